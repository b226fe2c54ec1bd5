//! Stalled clients: at any stage, they hold no worker; even with a single worker, others are served.

use super::slow_readers::slow_reader;
use crate::support::{Client, Server, Tree};

fn served_by_one_worker(stall: impl Fn(&Server) -> Client) {
    let tree = Tree::new();
    tree.file("a", "a");
    tree.file("large", vec![b'l'; 20 << 20]);
    tree.file("script.cgi", "#!/bin/sh\ncat >/dev/null; printf 'Content-Type: text/plain\\n\\nok'");
    tree.mode("script.cgi", 0o755);
    tree.file("silent.cgi", "#!/bin/sh\nexec sleep 20");
    tree.mode("silent.cgi", 0o755);
    tree.file("endless.cgi", "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'; exec yes");
    tree.mode("endless.cgi", 0o755);
    let server = Server::start(&tree, &["-o", "workers=1", "-c", "**.cgi"]);
    let stalled: Vec<Client> = (0..20).map(|_| stall(&server)).collect();
    for _ in 0..20 {
        assert_eq!(server.connect().get("/a").text(), "a");
    }
    drop(stalled);
}

fn sent(server: &Server, bytes: &str) -> Client {
    let mut client = server.connect();
    client.send(bytes);
    client
}

#[test]
fn a_reader_that_takes_nothing_holds_no_worker() {
    served_by_one_worker(|server| slow_reader(server, "/large"));
}

#[test]
fn a_pipeliner_that_reads_nothing_holds_no_worker() {
    let flood = "GET /large HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    served_by_one_worker(|server| sent(server, &flood));
}

#[test]
fn half_a_head_holds_no_worker() {
    served_by_one_worker(|server| sent(server, "GET /a HTTP/1.1\r\nHost: x\r\nX: "));
}

#[test]
fn nothing_at_all_holds_no_worker() {
    served_by_one_worker(Server::connect);
}

#[test]
fn an_idle_connection_holds_no_worker() {
    served_by_one_worker(|server| {
        let mut client = server.connect();
        assert_eq!(client.get("/a").status, 200);
        client
    });
}

#[test]
fn half_an_upload_holds_no_worker() {
    let head = "POST /script.cgi HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf";
    served_by_one_worker(|server| sent(server, head));
    let head = "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf";
    served_by_one_worker(|server| sent(server, head));
}

#[test]
fn a_script_that_says_nothing_holds_no_worker() {
    served_by_one_worker(|server| sent(server, "GET /silent.cgi HTTP/1.1\r\nHost: x\r\n\r\n"));
}

#[test]
fn a_script_whose_output_nobody_reads_holds_no_worker() {
    served_by_one_worker(|server| slow_reader(server, "/endless.cgi"));
}
