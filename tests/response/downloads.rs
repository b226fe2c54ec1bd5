//! Downloads in hundreds of pieces, and from replicas behind a balancer.

use std::fs;
use std::process::{Child, Command, Stdio};

use crate::support::server::free_port;
use crate::support::{Server, Tree, eventually, run};

/// A process, ended with the test.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(count: usize) -> String {
    (0..count).map(|n| format!("line {n}\n")).collect()
}

#[test]
fn zsync_loads_what_is_new_in_a_file_by_many_ranges() {
    let tree = Tree::new();
    let text = lines(200_000);
    let path = tree.file("list.txt", &text);
    let www = tree.www();
    let target = www.join("list.txt.zsync").display().to_string();
    let Some(output) = run("zsyncmake", &["-u", "list.txt", "-o", &target, path.to_str().unwrap()]) else {
        return;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    tree.mode("list.txt.zsync", 0o644);
    let server = Server::start(&tree, &["-o", "precompressed"]);
    // The client has an older version: two hundred lines were others, all over the file.
    let old = text.replace("777\n", "changed\n");
    let seed = tree.beside("seed", &old);
    let url = server.url("/list.txt.zsync");
    let output =
        Command::new("zsync").args(["-q", "-i"]).arg(seed).arg(url).current_dir(tree.dir()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::read_to_string(tree.dir().join("list.txt")).unwrap() == text);
    server.logged(" 206 ");
    let whole = server.log_lines().iter().filter(|line| line.contains("/list.txt HTTP/1.1\" 200 ")).count();
    assert_eq!(whole, 0, "the whole file was sent");
}

#[test]
fn replicas_behind_a_balancer_answer_304_each_time() {
    let (first, second) = (Tree::new(), Tree::new());
    for tree in [&first, &second] {
        tree.file("a.txt", lines(20_000));
    }
    let servers = [Server::start(&first, &[]), Server::start(&second, &[])];
    let port = free_port();
    let config = format!(
        "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n\
         listen replicas\n bind 127.0.0.1:{port}\n balance roundrobin\n\
         server one 127.0.0.1:{}\n server two 127.0.0.1:{}\n",
        servers[0].port, servers[1].port
    );
    let config = first.beside("haproxy.cfg", &config);
    let mut balancer = Command::new("haproxy");
    balancer.arg("-db").arg("-f").arg(config).stdout(Stdio::null()).stderr(Stdio::null());
    if run("haproxy", &["-v"]).is_none() {
        return;
    }
    let _balancer = Ended(balancer.spawn().unwrap());
    eventually("the balancer listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    for server in &servers {
        eventually("a strong tag", || server.connect().get("/a.txt").field("ETag").unwrap().starts_with('"'));
    }
    let (url, tag) =
        (format!("http://127.0.0.1:{port}/a.txt"), first.dir().join("tag").display().to_string());
    let ask = |flag| {
        let arguments = ["-sS", "-o", "/dev/null", "-w", "%{http_code}", flag, &tag, &url];
        run("curl", &arguments).map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let Some(status) = ask("--etag-save") else { return };
    assert_eq!(status, "200");
    for _ in 0..6 {
        assert_eq!(ask("--etag-compare").as_deref(), Some("304"));
    }
    for server in &servers {
        server.logged(" 304 ");
    }
}
