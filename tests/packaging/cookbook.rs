//! Recipes of `thttpd-cookbook(7)`, run as written in a root, a network and a process tree of their own.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use super::text;
use crate::support::{Tree, is_root};

/// A recipe: the scripts that set it up, and the commands that show it, with their answers.
#[derive(Debug, Default)]
struct Recipe {
    name: String,
    setup: String,
    shown: Vec<(String, String)>,
}

/// Recipes of the page, in its order.
fn recipes() -> Vec<Recipe> {
    let page = text("man/thttpd-cookbook.7");
    page.split("\n.Ss ").skip(1).map(recipe).collect()
}

fn recipe(section: &str) -> Recipe {
    let name = plain(section.lines().next().unwrap());
    let mut recipe = Recipe { name, ..Recipe::default() };
    for block in section.split(".Bd -literal -offset indent\n").skip(1) {
        let block = plain(block.split("\n.Ed").next().unwrap());
        if !block.starts_with("$ ") {
            recipe.setup += &format!("{block}\n");
            continue;
        }
        for line in block.lines() {
            match (line.strip_prefix("$ "), recipe.shown.last_mut()) {
                (Some(command), _) => recipe.shown.push((command.to_owned(), String::new())),
                (None, Some((_, answer))) => *answer += &format!("{line}\n"),
                (None, None) => unreachable!("a block of answers begins with a command"),
            }
        }
    }
    recipe
}

/// Literal text of the page, as it is shown.
fn plain(block: &str) -> String {
    let marks = [
        ("\\(aq", "'"),
        ("\\(ga", "`"),
        ("\\(ha", "^"),
        ("\\(ti", "~"),
        ("\\&", ""),
        ("\\-", "-"),
        ("\\e", "\\"),
    ];
    marks.iter().fold(block.to_owned(), |text, (mark, sign)| text.replace(mark, sign))
}

/// Makes a root of its own in `$ROOT` of the system's programs, the server's, and nothing else to write to.
const APART: &str = r#"
mount -t tmpfs -o mode=755 none "$ROOT"
cd "$ROOT"
mkdir -p usr opt proc dev etc srv run tmp root var/log/nginx var/lib/nginx var/lib/haproxy var/tmp
chmod 1777 tmp var/tmp
mount --rbind /usr usr
mount --bind "$PROGRAMS" opt
mount --rbind /dev dev
mount -t proc proc proc
for name in bin sbin lib lib64; do if [ -L "/$name" ]; then ln -s "usr/$name" "$name"; fi; done
for name in alternatives passwd group ld.so.cache ld.so.conf ld.so.conf.d nsswitch.conf containers perl php; do
    if [ -e "/etc/$name" ]; then cp -a "/etc/$name" etc; fi
done
echo '127.0.0.1 localhost' >etc/hosts
printf 'retry = 30\nretry-connrefused\nretry-delay = 1\nmax-time = 60\n' >root/.curlrc
ip link set lo up
exec env -i HOME=/root PATH=/opt:/usr/sbin:/usr/bin:/sbin:/bin THTTPD_SYSLOG_SOCKET=/nonexistent \
    chroot "$ROOT" sh -eu -c "$SCRIPT"
"#;

/// Separator between two answers.
const MARK: &str = "=== next ===\n";

/// Programs of other projects; without one, its recipe cannot be tried.
const PROGRAMS: [&str; 9] = [
    "/usr/lib/cgi-bin/gitweb.cgi",
    "/usr/lib/cgit/cgit.cgi",
    "/usr/bin/php-cgi",
    "/usr/sbin/nginx",
    "/usr/bin/caddy",
    "/usr/sbin/haproxy",
    "/usr/bin/git",
    "/usr/bin/curl",
    "/usr/bin/skopeo",
];

fn can_be_tried(recipe: &Recipe) -> bool {
    let is_wanted = |path: &&str| recipe.setup.contains(path.rsplit('/').next().unwrap());
    let missing = PROGRAMS.into_iter().filter(is_wanted).find(|path| !std::path::Path::new(path).exists());
    let trial = Command::new("unshare").args(["-nmp", "--fork", "ip", "link", "set", "lo", "up"]).output();
    let why = match missing {
        Some(path) => path,
        None if !is_root() || !trial.is_ok_and(|trial| trial.status.success()) => "a root of its own",
        None => return true,
    };
    let may_skip = std::env::var_os("THTTPD_TESTS_SKIP").is_none_or(|value| value != "never");
    assert!(may_skip, "{why} is not here; tests/run installs what is needed");
    eprintln!("skipped: {why} is not here");
    false
}

/// Names of the recipes that a test tries.
const TRIED: [&str; 15] = [
    "Gitweb",
    "Cgit",
    "PHP",
    "A password",
    "Throttled downloads",
    "Virtual hosts",
    "Instances",
    "Behind nginx",
    "Behind Caddy",
    "Behind HAProxy",
    "A single-page application",
    "A router",
    "A mirror",
    "A registry of images",
    "In Kubernetes",
];

fn try_recipe(name: &str) {
    assert!(TRIED.contains(&name));
    let recipe = recipes().into_iter().find(|recipe| recipe.name == name).expect(name);
    assert!(!recipe.setup.is_empty() && !recipe.shown.is_empty(), "{recipe:?}");
    if !can_be_tried(&recipe) {
        return;
    }
    let shown: String =
        recipe.shown.iter().map(|(command, _)| format!("printf '{MARK}'\n{command}\n")).collect();
    let script = format!("{{\n{}}} >&2\nset +e\n{}", recipe.setup, shown.replace(MARK, "=== next ===\\n"));
    let tree = Tree::new();
    let errors = tree.beside("errors", "");
    let root = tree.dir().join("root");
    std::fs::create_dir(&root).unwrap();
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_thttpd")).parent().unwrap();
    let mut command = Command::new("timeout");
    command.args(["300", "unshare", "-nmp", "--fork", "--kill-child", "sh", "-euc", APART]);
    command.env("ROOT", &root).env("PROGRAMS", programs).env("SCRIPT", &script).stdin(Stdio::null());
    let output = command.stderr(std::fs::File::create(&errors).unwrap()).output().unwrap();
    // A terminal does not show the end of a field line.
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    let answers: Vec<&str> = text.split(MARK).skip(1).collect();
    let said = || std::fs::read_to_string(&errors).unwrap_or_default();
    assert_eq!(answers.len(), recipe.shown.len(), "{name}: {text}\n{}", said());
    for ((command, want), answer) in recipe.shown.iter().zip(answers) {
        assert_eq!(answer, want, "{name}: {command}\n{}", said());
    }
}

#[test]
fn every_recipe_is_tried() {
    let written: BTreeSet<String> = recipes().into_iter().map(|recipe| recipe.name).collect();
    assert_eq!(written, TRIED.map(str::to_owned).into());
}

#[test]
fn gitweb_shows_repositories() {
    try_recipe("Gitweb");
}

#[test]
fn cgit_shows_repositories() {
    try_recipe("Cgit");
}

#[test]
fn a_php_page_answers() {
    try_recipe("PHP");
}

#[test]
fn a_password_protects_a_directory() {
    try_recipe("A password");
}

#[test]
fn downloads_are_throttled() {
    try_recipe("Throttled downloads");
}

#[test]
fn each_host_has_its_directory() {
    try_recipe("Virtual hosts");
}

#[test]
fn two_instances_serve_two_sites() {
    try_recipe("Instances");
}

#[test]
fn it_serves_behind_nginx() {
    try_recipe("Behind nginx");
}

#[test]
fn it_serves_behind_caddy() {
    try_recipe("Behind Caddy");
}

#[test]
fn it_serves_behind_haproxy() {
    try_recipe("Behind HAProxy");
}

#[test]
fn a_single_page_application_has_its_fallback() {
    try_recipe("A single-page application");
}

#[test]
fn a_router_runs_a_script() {
    try_recipe("A router");
}

#[test]
fn a_mirror_lists_and_resumes() {
    try_recipe("A mirror");
}

#[test]
fn images_are_copied_from_a_registry_of_plain_files() {
    try_recipe("A registry of images");
}

#[test]
fn the_command_of_the_container_runs() {
    try_recipe("In Kubernetes");
}
