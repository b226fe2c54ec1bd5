//! Kubernetes manifest: its contents match its comments, and its flags start a server that its probes
//! accept.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::text;
use crate::support::server::free_port;
use crate::support::{Client, Tree, eventually, is_root, program_for_every_user};

fn manifest() -> String {
    text("packaging/container/kubernetes/thttpd.yaml")
}

/// The documents of the manifest, by their kind, without comments.
fn document(kind: &str) -> String {
    let all = manifest();
    let bare = |line: &&str| !line.trim_start().starts_with('#');
    let plain: String = all.lines().filter(bare).map(|line| line.to_owned() + "\n").collect();
    let found = plain.split("---\n").find(|part| part.contains(&format!("kind: {kind}\n")));
    found.unwrap_or_else(|| panic!("no {kind}")).to_owned()
}

/// The lines below `key`, which are indented further than it.
fn below<'t>(text: &'t str, key: &str) -> &'t str {
    let start = text.find(&format!("{key}:\n")).unwrap_or_else(|| panic!("no {key}"));
    let indent = start - text[..start].rfind('\n').map_or(0, |at| at + 1);
    let lines = start + key.len() + 2;
    let mut end = lines;
    for line in text[lines..].split_inclusive('\n') {
        if line.len() - line.trim_start().len() <= indent && !line.trim().is_empty() {
            break;
        }
        end += line.len();
    }
    &text[lines..end]
}

/// The words of `key: [a, "b"]`.
fn list(text: &str, key: &str) -> Vec<String> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(&format!("{key}: ["))).expect(key);
    let words = line.split(']').next().unwrap().split(", ");
    words.map(|word| word.trim_matches('"').to_owned()).collect()
}

/// The number behind `name=` or `name: `.
fn number(text: &str, name: &str) -> u32 {
    let at = text.find(name).unwrap_or_else(|| panic!("no {name}"));
    let rest = text[at + name.len()..].trim_start_matches(['=', ':', ' ']);
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().expect(name)
}

#[test]
fn a_pod_has_no_more_rights_than_it_needs() {
    let pods = document("Deployment");
    for line in [
        "runAsNonRoot: true",
        "readOnlyRootFilesystem: true",
        "allowPrivilegeEscalation: false",
        "capabilities: {drop: [ALL]}",
        "seccompProfile: {type: RuntimeDefault}",
        "automountServiceAccountToken: false",
    ] {
        assert_eq!(pods.lines().filter(|found| found.trim() == line).count(), 1, "{line}");
    }
    assert!(number(&pods, "runAsUser") > 0 && number(&pods, "runAsGroup") > 0);
    assert!(!pods.contains("privileged") && !pods.contains("hostNetwork"));
    assert!(pods.contains("mountPath: /pages, readOnly: true"));
    let memory = below(&pods, "resources");
    assert!(memory.contains("limits: {memory:"), "{memory}");
}

#[test]
fn readiness_is_the_servers_health_and_liveness_is_a_page() {
    let pods = document("Deployment");
    let readiness = below(&pods, "readinessProbe");
    assert!(readiness.contains("httpGet: {port: status, path: /healthz}"), "{readiness}");
    for probe in ["livenessProbe", "startupProbe"] {
        let probe = below(&pods, probe);
        assert!(probe.contains("--healthcheck, /]") && !probe.contains("/healthz"), "{probe}");
    }
    // The endpoints have gone before the port closes, and all that is in flight may end before the kill.
    let (delay, grace) = (number(&pods, "stop_delay"), number(&pods, "stop_grace"));
    let seen = number(readiness, "periodSeconds") * number(readiness, "failureThreshold");
    assert!(delay > seen, "{delay} s, and the probe needs {seen} s");
    assert!(number(&pods, "terminationGracePeriodSeconds") > delay + grace);
    // Health and metrics are no business of clients.
    assert!(!document("Service").contains("status"));
    let ports = below(&pods, "ports");
    assert!(ports.contains("name: status, containerPort: 9117") && ports.contains("containerPort: 8080"));
}

#[test]
fn the_flags_of_the_manifest_start_a_server_that_its_probes_find_well() {
    let tree = Tree::new();
    tree.file("..2026/index.html", "from the map");
    tree.link("..2026", "..data");
    tree.link("..data/index.html", "index.html");
    let (web, status) = (free_port(), free_port());
    let pods = document("Deployment");
    let own = |word: String| {
        let word = word.replace("8080", &web.to_string()).replace("9117", &status.to_string());
        word.replace("/pages", tree.www().to_str().unwrap()).replace("stop_delay=8", "stop_delay=1")
    };
    let mut command = Command::new(program_for_every_user());
    // The entry point of the image, and what the manifest appends.
    command.args(["-D", "-l", "/dev/stderr", "-d", "/www"]).args(list(&pods, "args").into_iter().map(own));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    if is_root() {
        command.uid(number(&pods, "runAsUser")).gid(number(&pods, "runAsGroup"));
    }
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let health = || {
        let stream = std::net::TcpStream::connect(("127.0.0.1", status)).ok()?;
        Some(Client::of(stream).get("/healthz").status)
    };
    eventually("the pod is ready", || health() == Some(200));
    let mut client = Client::connect(([127, 0, 0, 1], web).into());
    assert_eq!(client.get("/").text(), "from the map");
    let line = lines.next().unwrap().unwrap();
    let object: serde_json::Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
    assert_eq!((&object["status"], &object["url"]), (&200.into(), &"/".into()));
    let probe = own("8080".to_owned());
    let checked =
        Command::new(env!("CARGO_BIN_EXE_thttpd")).args(["-p", &probe, "--healthcheck", "/"]).output();
    assert!(checked.unwrap().status.success());
    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
    eventually("the pod is not ready any more", || health() != Some(200));
    eventually("it ends in order", || {
        std::thread::sleep(Duration::from_millis(20));
        child.try_wait().unwrap().is_some_and(|status| status.success())
    });
}
