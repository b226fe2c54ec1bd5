//! Four hosts in network namespaces: a client, HAProxy, and two replicas that are restarted in turn.
//!
//! The configurations are the lines of `thttpd-proxies(7)`.

use std::fs;
use std::process::{Command, Stdio};

use crate::support::{Tree, is_root};

/// Lays the network, starts all, restarts each replica while the client asks without a pause, and prints the
/// client's status codes.
const SCRIPT: &str = r#"
mount -t tmpfs none /run
ip link set lo up
for n in 1 2 3; do
    ip netns add h$n
    ip link add v$n type veth peer name eth0 netns h$n
    ip addr add 10.77.$n.1/24 dev v$n
    ip link set v$n up
    ip -n h$n addr add 10.77.$n.2/24 dev eth0
    ip -n h$n link set eth0 up
    ip -n h$n link set lo up
    ip -n h$n route add default via 10.77.$n.1
done
replica() {
    # shellcheck disable=SC2086 # words
    ip netns exec h$1 "$SERVER" -D -d "$DIR/www" -l "$DIR/log$1" $(printf -- '-o %s ' $(own $1)) &
    echo $! >"$DIR/pid$1"
}
# HAProxy is another address to each replica.
own() { echo "$OWN" | sed "s/192\.0\.2\.1/10.77.$1.1/"; }
well() {
    for try in $(seq 200); do
        if curl -sf -m 2 -o /dev/null "http://10.77.$1.2:9117/healthz"; then return; fi
        sleep 0.1
    done
    echo "replica $1 is not well" >&2
    return 1
}
replica 2
replica 3
well 2 && well 3
haproxy -db -f "$DIR/haproxy.cfg" >"$DIR/haproxy.log" 2>&1 &
proxy=$!
ask() { ip netns exec h1 curl -s -m 20 -o /dev/null -w '%{http_code}\n' http://10.77.1.1:8000/a.txt; }
until [ "$(ask)" = 200 ]; do sleep 0.1; done
while [ ! -e "$DIR/stop" ]; do ask; done >"$DIR/codes" &
client=$!
# Of a host that is gone the proxy has learnt, and one that is back it asks again.
for n in 2 3; do
    kill -TERM "$(cat "$DIR/pid$n")"
    wait "$(cat "$DIR/pid$n")"
    echo "replica $n ended with $?"
    replica $n
    well $n
    sleep 3
done
touch "$DIR/stop"
wait $client
kill $proxy "$(cat "$DIR/pid2")" "$(cat "$DIR/pid3")"
"#;

/// Lines below a heading of the page: the proxy's, and the server's.
fn page(heading: &str) -> (String, String) {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/thttpd-proxies.7")).unwrap();
    let section = text.split(&format!(".Sh {heading}\n")).nth(1).expect(heading).to_owned();
    let lines = section.split(".Bd -literal -offset indent\n").nth(1).unwrap().split(".Ed").next().unwrap();
    let own = section.lines().find_map(|line| line.strip_prefix(".Dl ")).unwrap();
    (lines.to_owned(), own.to_owned())
}

#[test]
fn a_rolling_restart_of_replicas_on_hosts_of_their_own_loses_no_request() {
    let trial = Command::new("unshare").args(["-nm", "ip", "link", "set", "lo", "up"]).output();
    let missing = ["haproxy", "curl"].into_iter().find(|program| {
        Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
    });
    if missing.is_some() || !is_root() || !trial.is_ok_and(|trial| trial.status.success()) {
        let may_skip = std::env::var_os("THTTPD_TESTS_SKIP").is_none_or(|value| value != "never");
        assert!(may_skip, "network namespaces and HAProxy are needed; tests/run installs it");
        eprintln!("skipped: no network namespaces, or no HAProxy or curl");
        return;
    }
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    let (lines, own) = page("HAPROXY");
    let lines = [
        ("bind :80\n", "bind :8000\n"),
        ("192.0.2.10:8080", "10.77.2.2:8080"),
        ("192.0.2.11:8080", "10.77.3.2:8080"),
    ]
    .iter()
    .fold(lines, |lines, (from, to)| {
        assert!(lines.contains(from), "{from} in\n{lines}");
        lines.replace(from, to)
    });
    tree.beside("haproxy.cfg", &lines);
    let mut command = Command::new("timeout");
    command.args(["150", "unshare", "-nmp", "--fork", "--kill-child", "sh", "-euc", SCRIPT]);
    command.env("SERVER", env!("CARGO_BIN_EXE_thttpd")).env("DIR", tree.dir()).env("OWN", own);
    command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log").stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    for n in [2, 3] {
        assert!(said.contains(&format!("replica {n} ended with 0")), "{said}");
        let log = fs::read_to_string(tree.dir().join(format!("log{n}"))).unwrap();
        assert!(log.lines().all(|line| line.starts_with("10.77.1.2 ")), "{log}");
        assert!(log.lines().count() > 3, "replica {n} answered: {log}");
    }
    let codes = fs::read_to_string(tree.dir().join("codes")).unwrap();
    assert!(codes.lines().count() > 50, "{codes}{said}");
    let failed: Vec<&str> = codes.lines().filter(|code| *code != "200").collect();
    assert!(failed.is_empty(), "{} of {}: {}", failed.len(), codes.lines().count(), failed.join(" "));
}
