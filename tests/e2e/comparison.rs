//! README's table of servers: what stands in it is asked of Debian's packages, and of ours.
//!
//! darkhttpd and static-web-server are in no Debian 12; their columns follow their manuals.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::support::server::free_port;
use crate::support::{Answer, Client, Peer, Server, Tree, run};

/// The cell of README's table in the row `feature` and the column `server`.
fn cell(feature: &str, server: &str) -> String {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let cells = |row: &str| -> Vec<String> { row.split('|').map(|cell| cell.trim().to_owned()).collect() };
    let mut rows = text.lines().filter(|line| line.starts_with('|')).map(cells);
    let columns = rows.find(|row| row.iter().any(|cell| cell == "static-web-server")).unwrap();
    let column = columns.iter().position(|cell| cell == server).expect(server);
    let row = rows.find(|row| row[1] == feature).unwrap_or_else(|| panic!("README has no row {feature}"));
    row[column].clone()
}

/// Holds the cell to what was seen: `–` where the server does not have the feature.
fn holds(feature: &str, server: &str, has: bool) {
    let cell = cell(feature, server);
    assert_eq!(cell != "–", has, "{feature}, {server}: README says {cell}");
}

/// Files that the servers serve: a directory without an index, one for `ada` with `secret`, and a script.
fn tree() -> Tree {
    let tree = Tree::new();
    tree.file("d/listed.txt", "listed");
    tree.file("p/a.txt", "for ada");
    tree.file("p/.htpasswd", "ada:$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/\n");
    tree.file("cgi-bin/s", "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\nby a script\\n'\n");
    tree.mode("cgi-bin/s", 0o755);
    tree
}

/// Answer to a request of `target`, with the password where it is `with`.
fn ask(mut client: Client, target: &str, password: bool) -> Answer {
    let field = if password { "Authorization: Basic YWRhOnNlY3JldA==\r\n" } else { "" };
    client.send(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n{field}Connection: close\r\n\r\n"));
    client.answer("GET")
}

/// Asks a server about the rows that one request shows.
fn compare(server: &str, connect: &dyn Fn() -> Client) {
    let list = ask(connect(), "/d/", false);
    holds("directory lists", server, list.text().contains("listed.txt"));
    let guarded = [false, true].map(|password| ask(connect(), "/p/a.txt", password).status);
    holds("passwords", server, guarded == [401, 200]);
    let script = ask(connect(), "/cgi-bin/s", false);
    holds("CGI", server, script.text().trim() == "by a script");
}

/// A server behind the one that is compared, and the first bytes that one sends when `/up/x` or `/fcgi/x` is asked.
struct Behind(TcpListener);

impl Behind {
    fn new() -> Behind {
        Behind(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn port(&self) -> u16 {
        self.0.local_addr().unwrap().port()
    }

    fn first_bytes(&self, peer: &Peer, target: &str) -> Vec<u8> {
        let mut client = peer.connect();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"));
        let mut bytes = vec![0; 4];
        self.0.accept().unwrap().0.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The peer speaks FastCGI: its version, and the kind of record that begins a request.
    fn is_asked_by_fastcgi(&self, peer: &Peer) -> bool {
        self.first_bytes(peer, "/fcgi/x.php")[..2] == [1, 1]
    }

    fn is_asked_by_http(&self, peer: &Peer) -> bool {
        self.first_bytes(peer, "/up/x") == b"GET "
    }
}

/// Runs `program` and tells whether it prints each of `words`.
fn prints(program: &str, arguments: &[&str], words: &[&str]) -> bool {
    let Some(output) = run(program, arguments) else { return false };
    let text = [output.stdout, output.stderr].concat();
    words.iter().all(|word| String::from_utf8_lossy(&text).contains(word))
}

#[test]
fn ours() {
    let tree = tree();
    let server = Server::start(&tree, &["-c", "cgi-bin/*"]);
    compare("thttpd", &|| server.connect());
    let binary = env!("CARGO_BIN_EXE_thttpd");
    holds("tells how a URL would be answered", "thttpd", prints(binary, &["--help"], &["--explain"]));
    for (feature, word) in [("FastCGI", "fastcgi"), ("reverse proxy", "proxy_pass"), ("TLS, HTTP/2", "tls")] {
        holds(feature, "thttpd", prints(binary, &["--help"], &[word]));
    }
    // Its rates are held by the tests of `throttle`.
    holds("bandwidth limit by URL, over all clients", "thttpd", prints(binary, &["--help"], &["throttles"]));
}

#[test]
fn nginx() {
    let (tree, port, behind) = (tree(), free_port(), Behind::new());
    let (www, users, up) = (tree.www(), tree.www().join("p/.htpasswd"), behind.port());
    let text = format!(
        "server {{ listen 127.0.0.1:{port}; root {}; autoindex on;\n\
         location /p/ {{ auth_basic p; auth_basic_user_file {}; }}\n\
         location /up/ {{ proxy_pass http://127.0.0.1:{up}; }}\n\
         location /fcgi/ {{ fastcgi_pass 127.0.0.1:{up}; }} }}",
        www.display(),
        users.display()
    );
    let Some(peer) = Peer::nginx(&tree, &text, port) else { return };
    compare("nginx", &|| peer.connect());
    holds("reverse proxy", "nginx", behind.is_asked_by_http(&peer));
    holds("FastCGI", "nginx", behind.is_asked_by_fastcgi(&peer));
    holds("TLS, HTTP/2", "nginx", prints("nginx", &["-V"], &["http_ssl", "http_v2"]));
}

#[test]
fn lighttpd() {
    let (tree, port, behind) = (tree(), free_port(), Behind::new());
    let (up, users) = (behind.port(), tree.beside("users", "ada:secret\n"));
    let text = format!(
        "server.port = {port}\nserver.bind = \"127.0.0.1\"\nserver.document-root = \"{}\"\n\
         server.modules = (\"mod_auth\", \"mod_authn_file\", \"mod_cgi\", \"mod_proxy\", \"mod_fastcgi\")\n\
         dir-listing.activate = \"enable\"\ncgi.assign = (\"/cgi-bin/s\" => \"\")\n\
         auth.backend = \"plain\"\nauth.backend.plain.userfile = \"{}\"\n\
         auth.require = (\"/p/\" => (\"method\" => \"basic\", \"realm\" => \"p\", \"require\" => \"valid-user\"))\n\
         proxy.server = (\"/up/\" => ((\"host\" => \"127.0.0.1\", \"port\" => {up})))\n\
         fastcgi.server = (\"/fcgi/\" => ((\"host\" => \"127.0.0.1\", \"port\" => {up}, \"check-local\" => \"disable\")))\n",
        tree.www().display(),
        users.display()
    );
    let conf = tree.beside("lighttpd.conf", &text);
    let Some(peer) = Peer::start(Command::new("lighttpd").arg("-D").arg("-f").arg(conf), port) else {
        return;
    };
    compare("lighttpd", &|| peer.connect());
    holds("reverse proxy", "lighttpd", behind.is_asked_by_http(&peer));
    holds("FastCGI", "lighttpd", behind.is_asked_by_fastcgi(&peer));
    holds("TLS, HTTP/2", "lighttpd", prints("lighttpd", &["-V"], &["+ OpenSSL"]));
}

#[test]
fn caddy() {
    let (tree, port, behind) = (tree(), free_port(), Behind::new());
    let up = behind.port();
    let text = format!(
        "{{\n\tadmin off\n}}\nhttp://127.0.0.1:{port} {{\n\troot * {}\n\tfile_server browse\n\
         \tbasicauth /p/* {{\n\t\tada $2y$04$CZlg/7j60PLXkczamybBCOWKOp0FebJHUXkWYp5Zbp.RD0sKB1Kfa\n\t}}\n\
         \treverse_proxy /up/* 127.0.0.1:{up}\n\tphp_fastcgi /fcgi/* 127.0.0.1:{up} {{\n\t\ttry_files {{path}}\n\t}}\n}}\n",
        tree.www().display()
    );
    tree.file("fcgi/x.php", "<?php\n");
    let Some(peer) = Peer::caddy(&tree, &text, port) else { return };
    compare("Caddy", &|| peer.connect());
    holds("reverse proxy", "Caddy", behind.is_asked_by_http(&peer));
    holds("FastCGI", "Caddy", behind.is_asked_by_fastcgi(&peer));
    holds("TLS, HTTP/2", "Caddy", prints("caddy", &["list-modules"], &["tls.issuance.acme"]));
    let is_limited = prints("caddy", &["list-modules"], &["limit"]);
    holds("bandwidth limit by URL, over all clients", "Caddy", is_limited);
}

#[test]
fn busybox() {
    let (tree, port, behind) = (tree(), free_port(), Behind::new());
    let conf = format!("/p:ada:secret\nP:/up:http://127.0.0.1:{}/up\n", behind.port());
    let conf = tree.beside("httpd.conf", &conf);
    let mut command = Command::new("busybox");
    command
        .args(["httpd", "-f", "-p", &format!("127.0.0.1:{port}"), "-c"])
        .arg(conf)
        .arg("-h")
        .arg(tree.www());
    let Some(peer) = Peer::start(&mut command, port) else { return };
    compare("busybox", &|| peer.connect());
    // Debian builds it without its proxy, which says so and answers 404.
    holds("reverse proxy", "busybox", ask(peer.connect(), "/up/x", false).status != 404);
}
