//! Status listeners: `/healthz` and `/metrics` in every state of the server.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::alone;
use crate::support::server::free_port;
use crate::support::{Answer, Client, Server, Tree, eventually};
use crate::waiting::idle_clients;

/// A server with a listener for files and one for its status.
pub struct Site {
    pub server: Server,
    status: u16,
}

impl Site {
    pub fn new(tree: &Tree, flags: &[&str]) -> Site {
        Site::prepared(tree, flags, |_| {})
    }

    /// A site whose server has the environment that `prepare` sets.
    pub fn prepared(tree: &Tree, flags: &[&str], prepare: impl Fn(&mut Command)) -> Site {
        let (port, status) = (free_port(), free_port());
        let listen = format!("listen=127.0.0.1:{port},127.0.0.1:{status};status");
        let flags = [&["-o", &listen][..], flags].concat();
        Site { server: Server::start_on_with(port, tree, &flags, prepare), status }
    }

    fn connect(&self) -> Client {
        Client::connect(([127, 0, 0, 1], self.status).into())
    }

    fn ask(&self, method: &str, target: &str) -> Answer {
        let mut client = self.connect();
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n"));
        client.answer(method)
    }

    fn health(&self) -> Answer {
        self.ask("GET", "/healthz")
    }

    pub fn metrics(&self) -> Metrics {
        let answer = self.ask("GET", "/metrics");
        assert_eq!(answer.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
        Metrics(answer.text())
    }
}

pub struct Metrics(String);

impl Metrics {
    /// The value of the line that begins with `name` and a blank.
    pub fn get(&self, name: &str) -> f64 {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{}", self.0)).parse().unwrap()
    }

    /// The sum over all labels of `name`.
    pub fn sum(&self, name: &str) -> f64 {
        let lines = self.0.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }
}

fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("a.txt", "hello");
    tree.file("healthz", "a file of that name");
    tree
}

#[test]
fn a_status_listener_answers_two_names_and_nothing_else() {
    let tree = tree();
    let site = Site::new(&tree, &[]);
    let answer = site.health();
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok\n"));
    assert_eq!(answer.field("Cache-Control"), Some("no-store"));
    assert_eq!(answer.field("Connection"), Some("close"));
    assert!(answer.field("Date").is_some());
    let head = site.ask("HEAD", "/healthz");
    assert_eq!((head.status, head.body.len(), head.field("Content-Length")), (200, 0, Some("3")));
    for (method, target, status) in [
        ("GET", "/", 404),
        ("GET", "/a.txt", 404),
        ("GET", "/healthz/", 404),
        ("GET", "/../healthz", 200),
        ("GET", "/healthz?verbose", 200),
        ("POST", "/healthz", 405),
        ("DELETE", "/metrics", 405),
        ("BREW", "/metrics", 405),
    ] {
        assert_eq!(site.ask(method, target).status, status, "{method} {target}");
    }
    let mut garbage = site.connect();
    garbage.send("\u{1}\r\n\r\n");
    assert_eq!(garbage.answer("GET").status, 400);
    // A public port knows nothing of it.
    assert_eq!(site.server.connect().get("/healthz").text(), "a file of that name");
    assert_eq!(site.server.connect().get("/metrics").status, 404);
    let lines = site.server.log_lines();
    assert!(lines.iter().all(|line| !line.contains("verbose")), "probes are not logged");
}

#[test]
fn requests_bytes_and_durations_are_counted_and_agree() {
    let tree = tree();
    let site = Site::new(&tree, &["-c", "/cgi-bin/*"]);
    let before = site.metrics();
    assert_eq!(before.sum("thttpd_requests_total"), 0.0);
    for _ in 0..3 {
        assert_eq!(site.server.connect().get("/a.txt").status, 200);
    }
    assert_eq!(site.server.connect().get("/none").status, 404);
    eventually("four requests are counted", || site.metrics().sum("thttpd_requests_total") == 4.0);
    let metrics = site.metrics();
    assert_eq!(metrics.get("thttpd_requests_total{class=\"2xx\"}"), 3.0);
    assert_eq!(metrics.get("thttpd_requests_total{class=\"4xx\"}"), 1.0);
    assert_eq!(metrics.get("thttpd_request_seconds_count"), 4.0);
    assert_eq!(metrics.get("thttpd_request_seconds_bucket{le=\"+Inf\"}"), 4.0);
    assert!(metrics.get("thttpd_request_seconds_sum") > 0.0);
    assert!(metrics.get("thttpd_response_bytes_total") >= 15.0);
    assert!(metrics.get("thttpd_connections_total") >= 4.0);
    assert_eq!(metrics.get("thttpd_reload_success"), 1.0);
    assert_eq!(metrics.get("thttpd_log_lines_lost_total"), 0.0);
    assert_eq!(metrics.get("thttpd_cgi_running"), 0.0);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let started = metrics.get("thttpd_process_start_time_seconds");
    assert!(started <= now && started > now - 600.0, "{started}");
    // Statistics on USR2 begin a new period; what a scraper sees never falls.
    site.server.signal(Signal::SIGUSR2);
    assert_eq!(site.server.connect().get("/a.txt").status, 200);
    eventually("the fifth is counted", || site.metrics().sum("thttpd_requests_total") == 5.0);
}

#[test]
fn the_manual_names_every_number_and_every_state() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/man/thttpd.conf.5")).unwrap();
    let (_, section) = page.split_once("\n.Sh STATUS\n").unwrap();
    let section = section.split("\n.Sh ").next().unwrap();
    let told: Vec<&str> = section.split(|c: char| !c.is_ascii_lowercase() && c != '_').collect();
    let tree = tree();
    let throttles = tree.beside("throttles", "** 1000\n");
    let site = Site::new(&tree, &["-t", throttles.to_str().unwrap()]);
    for line in site.metrics().0.lines() {
        let (name, labels) = line.split_once('{').unwrap_or((line, ""));
        if let Some(name) = name.strip_prefix("# TYPE thttpd_") {
            let name = name.split(' ').next().unwrap();
            assert!(told.contains(&name), "{name}");
        }
        if let Some(state) = labels.strip_prefix("state=\"") {
            let state = state.split('"').next().unwrap();
            assert!(told.contains(&state), "{state}");
        }
    }
}

#[test]
fn a_duration_goes_to_the_last_byte() {
    let tree = tree();
    tree.file("big.bin", vec![b'x'; 30_000]);
    let throttles = tree.beside("throttles", "**.bin 20000\n\"odd\\name\"* 1000\n");
    let site = Site::new(&tree, &["-t", throttles.to_str().unwrap()]);
    assert_eq!(site.server.connect().get("/big.bin").body.len(), 30_000);
    eventually("the download is counted", || site.metrics().sum("thttpd_requests_total") == 1.0);
    let metrics = site.metrics();
    assert!(metrics.get("thttpd_request_seconds_sum") > 0.9, "{}", metrics.0);
    assert_eq!(metrics.get("thttpd_request_seconds_bucket{le=\"0.25\"}"), 0.0);
    assert_eq!(metrics.get("thttpd_throttle_limit_bytes{number=\"0\",rule=\"**.bin\"}"), 20_000.0);
    assert_eq!(
        metrics.get("thttpd_throttle_limit_bytes{number=\"1\",rule=\"\\\"odd\\\\name\\\"*\"}"),
        1000.0
    );
}

#[test]
fn connections_are_told_by_what_they_wait_for() {
    let tree = tree();
    let site = Site::new(&tree, &[]);
    let idle = idle_clients(&site.server, 20, "/a.txt");
    let reading = || site.metrics().get("thttpd_connections{state=\"reading\"}");
    eventually("twenty connections wait for a request", || reading() == 20.0);
    drop(idle);
    eventually("none is left", || site.metrics().sum("thttpd_connections") == 0.0);
}

#[test]
fn status_is_told_when_no_more_connections_are_taken() {
    let tree = tree();
    let site = Site::new(&tree, &["-o", "max_connections=10", "-o", "keepalive_timeout=600"]);
    let _idle = idle_clients(&site.server, 10, "/a.txt");
    // The next one waits in the kernel's queue.
    let mut eleventh = site.server.connect();
    eleventh.send("GET /a.txt HTTP/1.1\r\nHost: x\r\n\r\n");
    for _ in 0..20 {
        assert_eq!(site.health().status, 200);
        assert_eq!(site.metrics().sum("thttpd_connections"), 10.0);
    }
}

#[test]
fn status_is_told_at_the_descriptor_limit() {
    let _alone = alone();
    let tree = tree();
    let (port, status) = (free_port(), free_port());
    let listen = format!("listen=127.0.0.1:{port},127.0.0.1:{status};status");
    let script = format!("ulimit -n 128 && exec \"$0\" \"$@\" -o '{listen}'");
    let mut command = Command::new("sh");
    command
        .args(["-c", &script, env!("CARGO_BIN_EXE_thttpd"), "-D", "-l", "/dev/null", "-d"])
        .arg(tree.www());
    command.env("THTTPD_SYSLOG_SOCKET", "/nonexistent/log").stdin(Stdio::null());
    let mut server = crate::boot::Running::start(&mut command, port);
    let mut crowd: Vec<TcpStream> = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _ = stream.write_all(b"GET /a.txt HTTP/1.1\r\nHost: x\r\n");
        crowd.push(stream);
    }
    for _ in 0..20 {
        let mut prober = Client::connect(([127, 0, 0, 1], status).into());
        assert_eq!(prober.get("/healthz").text(), "ok\n");
    }
    drop(crowd);
    assert_eq!(server.end(Signal::SIGTERM).code(), Some(0));
}

#[test]
fn probers_that_say_nothing_keep_no_other_out() {
    let tree = tree();
    let site = Site::new(&tree, &[]);
    let silent: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = site.connect();
            client.send("GET /healthz HTTP/1.1\r\n");
            client
        })
        .collect();
    let began = Instant::now();
    assert_eq!(site.health().status, 200);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    drop(silent);
}

#[test]
fn status_is_told_under_full_load() {
    let _alone = alone();
    let tree = tree();
    let site = Site::new(&tree, &["-o", "workers=2"]);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let mut client = site.server.connect();
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    assert_eq!(client.get("/a.txt").status, 200);
                }
            });
        }
        let answers: Vec<(u16, f64)> =
            (0..30).map(|_| (site.health().status, site.metrics().sum("thttpd_requests_total"))).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(answers.iter().all(|(status, _)| *status == 200));
        assert!(answers.is_sorted_by_key(|(_, count)| *count) && answers[0].1 < answers[29].1);
    });
}

#[test]
fn a_server_that_ends_says_so_until_its_last_connection_is_over() {
    let tree = tree();
    tree.file("big.bin", vec![b'x'; 60_000]);
    let throttles = tree.beside("throttles", "**.bin 20000\n");
    let mut site = Site::new(&tree, &["-t", throttles.to_str().unwrap(), "-o", "stop_grace=30"]);
    let mut download = site.server.connect();
    download.send("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    eventually("the download is under way", || site.metrics().sum("thttpd_connections") == 1.0);
    site.server.signal(Signal::SIGTERM);
    eventually("the health has turned", || site.health().status == 503);
    assert_eq!(site.health().text(), "the server is stopping\n");
    assert_eq!(site.metrics().sum("thttpd_connections"), 1.0);
    assert_eq!(download.answer("GET").body.len(), 60_000);
    assert_eq!(site.server.wait().code(), Some(0));
}

#[test]
fn a_directory_that_cannot_be_opened_any_more_is_told_of() {
    let tree = tree();
    let site = Site::new(&tree, &[]);
    assert_eq!(site.health().status, 200);
    let www = tree.www();
    if nix::unistd::geteuid().is_root() {
        fs::set_permissions(&www, fs::Permissions::from_mode(0o700)).unwrap();
    } else {
        fs::set_permissions(&www, fs::Permissions::from_mode(0o000)).unwrap();
    }
    eventually("the health has turned", || site.health().status == 503);
    assert!(site.health().text().contains("the web directory cannot be opened: Permission denied"));
    fs::set_permissions(&www, fs::Permissions::from_mode(0o755)).unwrap();
    eventually("the health is back", || site.health().status == 200);
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let tree = tree();
    let throttles = tree.beside("throttles", "**.bin 20000\n**.bin 1000-30000\n");
    let site = Site::new(&tree, &["-t", throttles.to_str().unwrap(), "-c", "/cgi-bin/*"]);
    site.server.connect().get("/a.txt");
    let mut check = Command::new("promtool");
    let mut check = match check
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    {
        Ok(check) => check,
        Err(error) => return eprintln!("skipped: promtool - {error}"),
    };
    let text = site.metrics().0;
    check.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = check.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}\n{text}", String::from_utf8_lossy(&said));
}

#[test]
fn a_prometheus_scrapes_it() {
    let _alone = alone();
    let tree = tree();
    let site = Site::new(&tree, &[]);
    site.server.connect().get("/a.txt");
    let port = free_port();
    let conf = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: thttpd\n  static_configs:\n  - targets: ['127.0.0.1:{}']\n",
        site.status
    );
    let conf = tree.beside("prometheus.yml", &conf);
    let data = tree.dir().join("prometheus");
    let mut prometheus = Command::new("prometheus");
    prometheus.arg(format!("--config.file={}", conf.display()));
    prometheus.arg(format!("--storage.tsdb.path={}", data.display()));
    prometheus.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let mut prometheus = match prometheus.stdout(Stdio::null()).stderr(Stdio::null()).spawn() {
        Ok(running) => running,
        Err(error) => return eprintln!("skipped: prometheus - {error}"),
    };
    let query = |text: &str| {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        Some(Client::of(stream).get(&format!("/api/v1/query?query={text}")).text())
    };
    let found = std::panic::catch_unwind(|| {
        let is_up = || query("up").is_some_and(|said| said.contains(",\"1\"]"));
        eventually("the target is up", is_up);
        let counted =
            || query("thttpd_requests_total{class=\"2xx\"}").is_some_and(|said| said.contains(",\"1\"]"));
        eventually("the request is counted", counted);
    });
    let _ = prometheus.kill();
    let _ = prometheus.wait();
    assert!(found.is_ok());
}
