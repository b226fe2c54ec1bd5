//! Recorded exchanges: answers of thttpd 2.29, as expectations for its replacement.
//!
//! `tree.json` is the document tree, `cases.json` has the groups of flags, the requests' bytes and the
//! expectations. If they differ from thttpd, `why` gives the reason.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::support::{Answer, Server, Tree};

mod expect;

fn data(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compliance").join(name);
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// JSON strings stand for bytes, a character each.
fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).expect("latin-1")).collect()
}

fn shown(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| char::from(b)).collect()
}

fn path_of(www: &Path, name: &str) -> std::path::PathBuf {
    // File names in the tree were laid by a program that encodes them as UTF-8.
    www.join(name)
}

/// Lays the document tree, modes and times as listed.
fn lay(tree: &Tree) {
    let spec = data("tree.json");
    let mut directories = Vec::new();
    for entry in spec["entries"].as_array().unwrap() {
        let path = path_of(&tree.www(), entry["path"].as_str().unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mode = entry["mode"].as_str().map_or(0o644, |m| u32::from_str_radix(m, 8).unwrap());
        match entry["type"].as_str().unwrap() {
            "dir" => {
                fs::create_dir_all(&path).unwrap();
                directories.push((path, mode, entry["mtime"].as_u64().unwrap()));
            }
            "symlink" => symlink(entry["target"].as_str().unwrap(), &path).unwrap(),
            _ => {
                fs::write(&path, content(entry)).unwrap();
                set_time(&path, entry["mtime"].as_u64().unwrap());
                fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }
    for (path, mode, time) in directories.into_iter().rev() {
        set_time(&path, time);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn content(entry: &Value) -> Vec<u8> {
    match entry["text"].as_str() {
        Some(text) => latin1(text),
        None => (0..entry["size"].as_u64().unwrap()).map(|i| ((i * 7 + i / 251) % 256) as u8).collect(),
    }
}

fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

fn flags(group: &Value, tree: &Tree) -> Vec<String> {
    let mut flags = Vec::new();
    if let Some(config) = group["config"].as_str() {
        flags.extend(["-C".to_owned(), tree.beside("conf", config).display().to_string()]);
    }
    flags.extend(group["flags"].as_array().unwrap().iter().map(|f| f.as_str().unwrap().to_owned()));
    flags
}

/// Runs every case of one group against one server; fails with all that differs.
fn run(group_name: &str) {
    let all = data("cases.json");
    let group = &all["groups"][group_name];
    let tree = Tree::new();
    lay(&tree);
    if group["global_passwd"].as_bool() == Some(true) {
        fs::write(tree.www().join(".htpasswd"), "root:xyC0Q.0M6kvs2\n").unwrap();
    }
    let flags = flags(group, &tree);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut server = Server::start(&tree, &flags);
    let cases = all["cases"].as_array().unwrap().iter().filter(|case| case["group"] == group_name);
    let mut count = 0;
    let mut differences = Vec::new();
    for case in cases {
        count += 1;
        let differs = put(case, &server, &tree);
        if !differs.is_empty() {
            differences.push(format!("{}: {}", case["name"].as_str().unwrap(), differs.join("; ")));
        }
        assert!(server.is_alive(), "the server died at {}", case["name"]);
    }
    assert!(count > 0, "no cases in the group {group_name}");
    assert!(differences.is_empty(), "{} of {count} differ:\n{}", differences.len(), differences.join("\n"));
}

fn put(case: &Value, server: &Server, tree: &Tree) -> Vec<String> {
    let request = case["request"].as_str().unwrap();
    let before = server.log_lines().len();
    let mut client = server.connect();
    client.send(latin1(request));
    let method = request.split(' ').next().unwrap();
    let answer = if request.to_uppercase().contains(" HTTP/") || case["expect"]["status"][0].is_null() {
        client.try_answer(method)
    } else {
        None
    };
    let answer =
        answer.unwrap_or_else(|| Answer { body: client.rest().unwrap_or_default(), ..Answer::default() });
    drop(client);
    let names: HashMap<String, &str> = HashMap::from([
        (format!("127.0.0.1:{}", server.port), "127.0.0.1:PORT"),
        (format!(":{}", server.port), ":PORT"),
        (format!("SERVER_PORT={}", server.port), "SERVER_PORT=PORT"),
        (tree.www().display().to_string(), "ROOT"),
    ]);
    let normal = |text: String| names.iter().fold(text, |text, (real, name)| text.replace(real, name));
    expect::differences(&case["expect"], &answer, &normal, &|| server.log_lines().split_off(before))
}

macro_rules! groups {
    ($($test:ident = $name:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            run($name);
        })*
    };
}

groups! {
    the_default_group_is_answered_as_recorded = "default",
    the_vhost_group_is_answered_as_recorded = "vhost",
    the_headers_group_is_answered_as_recorded = "headers",
    the_globalpasswd_group_is_answered_as_recorded = "globalpasswd",
    the_nosymlink_group_is_answered_as_recorded = "nosymlink",
    the_config_group_is_answered_as_recorded = "config",
    the_referer_group_is_answered_as_recorded = "referer",
    the_referer_strict_group_is_answered_as_recorded = "referer-strict",
    the_cgi_group_is_answered_as_recorded = "cgi",
    the_chroot_group_is_answered_as_recorded = "chroot",
    the_datadir_group_is_answered_as_recorded = "datadir",
}
