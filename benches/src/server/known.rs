//! The servers the benchmark knows by itself, and how it finds them on this machine.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Role, Server};
use crate::Result;
use crate::limit;

/// A server from a Debian package.
struct Packaged {
    name: &'static str,
    program: &'static str,
    package: &'static str,
    arguments: &'static [&'static str],
    places: &'static [(&'static str, &'static str)],
}

const NGINX: &[&str] = &["-p", "{work}", "-e", "{work}/nginx-error.log", "-c", "{conf}"];
const LIGHTTPD: &[&str] = &["-D", "-f", "{conf}"];

const PACKAGED: &[Packaged] = &[
    Packaged {
        name: "nginx",
        program: "nginx",
        package: "nginx-light",
        arguments: NGINX,
        places: &[("sendfile", "on")],
    },
    Packaged {
        name: "nginx-copy",
        program: "nginx",
        package: "nginx-light",
        arguments: NGINX,
        places: &[("sendfile", "off")],
    },
    Packaged {
        name: "lighttpd",
        program: "lighttpd",
        package: "lighttpd",
        arguments: LIGHTTPD,
        places: &[("workers", "0")],
    },
    Packaged {
        name: "lighttpd-2",
        program: "lighttpd",
        package: "lighttpd",
        arguments: LIGHTTPD,
        places: &[("workers", "2")],
    },
];

/// The name of this repository's server.
pub const OURS: &str = "thttpd";

/// Names of our server with rules, and the files that hold these.
pub const RULES: [(&str, &str); 2] = [("thttpd-rules-10", "rules-10"), ("thttpd-rules-200", "rules-200")];

/// Builds this repository's server as it is released.
///
/// # Errors
/// It does not compile.
pub fn build() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    eprintln!("Building {OURS} …");
    let status = Command::new("cargo")
        .args(["build", "--release", "--quiet", "--bin", OURS, "--target-dir"])
        .arg(&target)
        .current_dir(&root)
        .status()?;
    if !status.success() {
        return Err("cargo build --release failed".into());
    }
    Ok(target.join("release").join(OURS))
}

/// Our server with its access log on, as an operator would run it.
///
/// # Errors
/// There is no such program.
pub fn ours(program: &Path) -> Result<Server> {
    let program = program.canonicalize().map_err(|error| format!("{}: {error}", program.display()))?;
    let arguments =
        ["-D", "-h", "127.0.0.1", "-p", "{port}", "-d", "{root}", "-l", "{work}/access.log", "-u", "nobody"];
    Ok(Server {
        name: OURS.to_owned(),
        role: Role::Ours,
        command: command(&program, &arguments),
        configuration: None,
        places: Vec::new(),
        version: version_of(&program, "-V"),
    })
}

/// Our server with a rules file, once for each of [`RULES`].
///
/// # Errors
/// There is no such program.
pub fn variants(program: &Path) -> Result<Vec<Server>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let variant = |(name, file): &(&str, &str)| {
        let mut server = ours(program)?;
        server.command.extend(["-o".to_owned(), "rules={conf}".to_owned()]);
        let configuration = Some(folder.join(file));
        Ok(Server { name: (*name).to_owned(), role: Role::Variant, configuration, ..server })
    };
    RULES.iter().map(variant).collect()
}

/// nginx and lighttpd where they are installed; prints which packages would bring the others.
pub fn peers() -> Vec<Server> {
    let (found, missing): (Vec<_>, Vec<_>) = PACKAGED
        .iter()
        .map(|packaged| (packaged, find_program(packaged.program)))
        .partition(|(_, path)| path.is_some());
    let mut packages: Vec<_> = missing.iter().map(|(packaged, _)| packaged.package).collect();
    packages.dedup();
    if !packages.is_empty() {
        println!("Not installed, so not measured: apt-get install {}", packages.join(" "));
    }
    let servers =
        found.into_iter().filter_map(|(packaged, path)| path.map(|path| from_package(packaged, &path)));
    servers.collect()
}

/// The limit servers, which are this very program.
///
/// # Errors
/// The system does not say where this program lies.
pub fn limits() -> Result<Vec<Server>> {
    limit::KINDS.iter().map(|kind| limit_server(kind)).collect()
}

/// The cheapest server there is.
///
/// # Errors
/// As [`limits`].
pub fn limit_loops() -> Result<Server> {
    limit_server(limit::LOOPS)
}

fn limit_server(kind: &str) -> Result<Server> {
    Ok(Server {
        name: kind.to_owned(),
        role: Role::Limit,
        command: command(&env::current_exe()?, &[kind, "{port}", "{root}"]),
        configuration: None,
        places: Vec::new(),
        version: String::new(),
    })
}

/// A server from `NAME=COMMAND`.
///
/// # Errors
/// The text has another form, or the command has no place for the port.
pub fn guest(definition: &str) -> Result<Server> {
    let (name, line) = definition.split_once('=').ok_or("--peer wants NAME=COMMAND")?;
    if !line.contains("{port}") {
        return Err(format!("--peer {name}: the command needs {{port}} (and {{root}}) in it").into());
    }
    Ok(Server {
        name: name.to_owned(),
        role: Role::Guest,
        command: line.split_whitespace().map(str::to_owned).collect(),
        configuration: None,
        places: Vec::new(),
        version: String::new(),
    })
}

fn from_package(packaged: &Packaged, program: &Path) -> Server {
    let templates = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    Server {
        name: packaged.name.to_owned(),
        role: Role::Peer,
        command: command(program, packaged.arguments),
        configuration: Some(templates.join(format!("{}.conf", packaged.program))),
        places: packaged.places.to_vec(),
        version: version_of(program, "-v"),
    }
}

fn command(program: &Path, arguments: &[&str]) -> Vec<String> {
    let program = program.to_string_lossy().into_owned();
    std::iter::once(program).chain(arguments.iter().map(|&argument| argument.to_owned())).collect()
}

/// Looks where a root shell would, for servers lie in `/usr/sbin`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/local/sbin".into(), "/usr/sbin".into()]);
    folders.map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn version_of(program: &Path, flag: &str) -> String {
    // By way of timeout(1): a server that does not know the flag might start and never end.
    let output = Command::new("timeout").arg("2").arg(program).arg(flag).output();
    let Ok(output) = output else { return String::new() };
    let text = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    String::from_utf8_lossy(&text).lines().next().unwrap_or_default().trim().to_owned()
}
