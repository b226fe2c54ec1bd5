use std::cell::Cell;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Instant;

use nix::errno::Errno;

use super::crypt::HashScheme;
use super::*;
use crate::docroot::DocRoot;

/// Document root of one test, and an authenticator.
struct Site {
    path: PathBuf,
    view: View<'static>,
    authenticator: Authenticator,
}

impl Site {
    fn new(name: &str) -> Site {
        let path = std::env::temp_dir().join(format!("thttpd-auth-{}-{name}", std::process::id()));
        fs::create_dir_all(path.join("private/deeper")).unwrap();
        let authenticator = Authenticator { settled_after: Duration::ZERO, ..Authenticator::new(2) };
        let root = Box::leak(Box::new(DocRoot::open(&path, b"/").unwrap()));
        Site { view: View::anywhere(root), path, authenticator }
    }

    fn write(&self, dir: &str, text: &[u8]) {
        fs::write(self.path.join(dir).join(".htpasswd"), text).unwrap();
    }

    fn place<'a>(&'a self, dir: &'a str, global: Option<&'a str>) -> Realm<'a> {
        let named = |name: &'a str| DirectoryRef::named(&self.view, name.as_bytes());
        Realm { dir: named(dir), global: global.map(named), links: Links::Refuse }
    }

    /// Outcome in one word, and whether a slow hash was announced.
    fn ask(&self, place: &Realm<'_>, credentials: Option<&str>) -> (String, bool) {
        let slow = Slow::default();
        let field = credentials.map(authorization);
        let attempt =
            Attempt { authorization: field.as_deref(), client: ClientNetwork::UNKNOWN, blocking: &slow };
        let verdict = self.authenticator.check(place, &attempt);
        (word(&verdict), slow.0.get())
    }

    fn check(&self, dir: &str, credentials: Option<&str>) -> String {
        self.ask(&self.place(dir, None), credentials).0
    }
}

/// Records whether a blocking call was announced.
#[derive(Default)]
struct Slow(Cell<bool>);

impl Blocking for Slow {
    fn block_in_place(&self) {
        self.0.set(true);
    }

    fn enter_remote(&self) -> bool {
        true
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn word(verdict: &AuthOutcome) -> String {
    match verdict {
        AuthOutcome::Open => "open".into(),
        AuthOutcome::User(user) => format!("user {}", user.escape_ascii()),
        AuthOutcome::Challenge(value) => value.clone(),
        AuthOutcome::Misunderstood { challenge, trouble } => format!("{challenge} ({trouble})"),
        AuthOutcome::Busy => "busy".into(),
        AuthOutcome::Unreadable { path, reason } => format!("{}: {reason}", path.escape_ascii()),
    }
}

fn authorization(pair: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    [b"Basic ".to_vec(), crypt::text64::high_first(ALPHABET, pair.as_bytes())].concat()
}

fn line(user: &str, scheme: HashScheme, password: &str) -> Vec<u8> {
    let hash = crypt::make(scheme, b"0123456789abcdef", password.as_bytes()).unwrap();
    [user.as_bytes(), b":", &hash, b"\n"].concat()
}

const PRIVATE: &str = "Basic realm=\"private\"";
const SLOW: HashScheme = HashScheme::Bcrypt { cost: 4 };

#[test]
fn a_directory_without_file_is_open_whatever_the_credentials() {
    let site = Site::new("open");
    assert_eq!(site.check("", None), "open");
    assert_eq!(site.check("private", Some("alice:wonder")), "open");
}

#[test]
fn the_recorded_file_lets_in_whom_it_names() {
    let site = Site::new("recorded");
    let file = b"alice:ab5da3hZp5iFU\nmallory:\n# comment:x\n";
    site.write("private", file);
    assert_eq!(site.check("private", Some("alice:wonder")), "user alice");
    let refused =
        [None, Some("alice:"), Some("alice:Wonder"), Some("mallory:"), Some("nobody:x"), Some("# comment:x")];
    for credentials in refused {
        let told = site.check("private", credentials);
        assert!(told.starts_with(PRIVATE), "{credentials:?}: {told}");
    }
}

#[test]
fn a_file_protects_its_own_directory_only() {
    let site = Site::new("own");
    site.write("private", b"");
    assert_eq!(site.check("private", None), PRIVATE);
    assert_eq!(site.check("private/deeper", None), "open");
    assert_eq!(site.check("", None), "open");
}

#[test]
fn the_realm_of_the_top_is_a_dot() {
    let site = Site::new("top");
    site.write("", b"");
    assert_eq!(site.check("", None), "Basic realm=\".\"");
}

#[test]
fn a_global_file_decides_alone_and_without_one_the_local_does() {
    let site = Site::new("global");
    site.write("private", &line("alice", HashScheme::Des, "local"));
    let place = site.place("private", Some(""));
    assert_eq!(site.ask(&place, Some("alice:local")).0, "user alice");
    assert_eq!(site.ask(&site.place("", Some("")), None).0, "open");
    site.write("", &line("root", HashScheme::Des, "global"));
    assert_eq!(site.ask(&place, Some("root:global")).0, "user root");
    assert_eq!(site.ask(&place, Some("alice:local")).0, "Basic realm=\".\"");
}

#[test]
fn unreadable_password_files_shut_the_directory() {
    let site = Site::new("unreadable");
    let htpasswd = site.path.join("private/.htpasswd");
    let shut = |reason: &str| {
        let verdict = site.check("private", Some("alice:wonder"));
        assert_eq!(verdict, format!("private/.htpasswd: {reason}"));
    };
    fs::create_dir(&htpasswd).unwrap();
    shut("not a regular file");
    fs::remove_dir(&htpasswd).unwrap();
    nix::unistd::mkfifo(&htpasswd, nix::sys::stat::Mode::S_IRWXU).unwrap();
    shut("not a regular file");
    fs::remove_file(&htpasswd).unwrap();
    fs::write(&htpasswd, vec![b'x'; 1024 * 1024 + 1]).unwrap();
    shut("larger than 1 MiB");
    fs::remove_file(&htpasswd).unwrap();
    symlink("nowhere", &htpasswd).unwrap();
    shut(&std::io::Error::from(Errno::ELOOP).to_string());
}

#[test]
fn a_name_that_cannot_be_looked_up_shuts_the_directory() {
    let site = Site::new("lookup");
    fs::write(site.path.join("file"), "").unwrap();
    let htpasswd = site.path.join("private/.htpasswd");
    for target in ["nowhere", "/nowhere/at/all", "../file/below", ".htpasswd"] {
        symlink(target, &htpasswd).unwrap();
        for links in [Links::Refuse, Links::Within, Links::Follow] {
            let place = Realm { links, ..site.place("private", None) };
            let verdict = site.ask(&place, Some("alice:wonder")).0;
            assert!(verdict.starts_with("private/.htpasswd: "), "{target} {links:?}: {verdict}");
        }
        fs::remove_file(&htpasswd).unwrap();
    }
    let missing = site.check("missing", None);
    assert_eq!(missing, "missing/.htpasswd: No such file or directory (os error 2)");
    assert_eq!(site.check("file", None), "file/.htpasswd: Not a directory (os error 20)");
    assert_eq!(site.check("private", None), "open");
}

#[test]
fn a_dangling_global_file_shuts_the_whole_tree() {
    let site = Site::new("global-link");
    symlink("nowhere", site.path.join(".htpasswd")).unwrap();
    for dir in ["", "private", "private/deeper"] {
        let place = Realm { links: Links::Within, ..site.place(dir, Some("")) };
        let verdict = site.ask(&place, None).0;
        assert_eq!(verdict, ".htpasswd: a symbolic link to no file of the tree", "{dir}");
    }
}

#[test]
fn a_link_to_a_password_file_is_followed_where_links_are() {
    let site = Site::new("links");
    fs::write(site.path.join("passwords"), line("alice", HashScheme::Des, "wonder")).unwrap();
    symlink("../passwords", site.path.join("private/.htpasswd")).unwrap();
    let place = Realm { links: Links::Follow, ..site.place("private", None) };
    assert_eq!(site.ask(&place, Some("alice:wonder")).0, "user alice");
}

#[test]
fn a_slow_hash_is_computed_once_for_each_answer() {
    let site = Site::new("once");
    site.write("private", &line("alice", SLOW, "wonder"));
    let place = site.place("private", None);
    for (credentials, answer) in
        [("alice:wonder", "user alice"), ("alice:guess", PRIVATE), ("eve:wonder", PRIVATE)]
    {
        assert_eq!(site.ask(&place, Some(credentials)), (answer.into(), true), "{credentials}");
        assert_eq!(site.ask(&place, Some(credentials)), (answer.into(), false), "{credentials}, again");
    }
    assert_eq!(site.ask(&place, None), (PRIVATE.into(), false));
}

#[test]
fn a_changed_file_asks_anew() {
    let site = Site::new("changed");
    site.write("private", &line("alice", SLOW, "wonder"));
    assert_eq!(site.check("private", Some("alice:wonder")), "user alice");
    // The new file has equal size and another inode, as when thtpasswd writes it.
    let next = site.path.join("next");
    fs::write(&next, line("alice", SLOW, "plunder")).unwrap();
    fs::rename(next, site.path.join("private/.htpasswd")).unwrap();
    assert_eq!(site.check("private", Some("alice:wonder")), PRIVATE);
    assert_eq!(site.check("private", Some("alice:plunder")), "user alice");
}

#[test]
fn nothing_is_remembered_of_a_file_that_may_still_change_unseen() {
    let mut site = Site::new("unsettled");
    site.authenticator.settled_after = SETTLED_AFTER;
    site.write("private", &line("alice", SLOW, "wonder"));
    let start = Instant::now();
    let again = [(); 2].map(|()| site.ask(&site.place("private", None), Some("alice:wonder")).1);
    // Only a machine that stalls for seconds exceeds the settling time here.
    assert!(again == [true, true] || start.elapsed() >= SETTLED_AFTER);
}

#[test]
fn attempts_without_a_free_slot_are_busy() {
    let mut site = Site::new("busy");
    site.authenticator.attempt_cache = AttemptCache::new(1);
    site.write("private", &line("alice", HashScheme::Des, "wonder"));
    let inner = Cell::new(None);
    site.authenticator.attempt_cache.verify(ClientNetwork::UNKNOWN, &AttemptKey::default(), false, || {
        inner.set(Some(site.check("private", Some("alice:wonder"))));
        true
    });
    assert_eq!(inner.take().as_deref(), Some("busy"));
    assert_eq!(site.check("private", Some("alice:wonder")), "user alice");
}

#[test]
fn a_realm_cannot_break_out_of_its_quotes() {
    assert_eq!(challenge(b"one.example/docs"), "Basic realm=\"one.example/docs\"");
    assert_eq!(challenge(b"a\"b\\c"), r#"Basic realm="a\"b\\c""#);
    assert_eq!(challenge(b"a\r\nSet-Cookie: x\x7f"), "Basic realm=\"aSet-Cookie: x\"");
    assert_eq!(challenge("é\u{85}".as_bytes()), "Basic realm=\"é\"");
    assert_eq!(challenge(b"\xff"), "Basic realm=\"\u{fffd}\"");
}

#[test]
fn a_key_is_another_in_another_process() {
    let site = Site::new("marks");
    site.write("private", b"");
    let version = FileVersion::from_file(&File::open(site.path.join("private/.htpasswd")).unwrap()).unwrap();
    let credentials = Credentials::parse(&authorization("alice:wonder")).unwrap();
    assert_ne!(
        site.authenticator.key(&version, &credentials),
        Authenticator::new(2).key(&version, &credentials)
    );
}

#[test]
fn user_and_password_do_not_run_together_in_a_key() {
    let site = Site::new("apart");
    site.write("private", b"");
    let version = FileVersion::from_file(&File::open(site.path.join("private/.htpasswd")).unwrap()).unwrap();
    let key =
        |pair: &str| site.authenticator.key(&version, &Credentials::parse(&authorization(pair)).unwrap());
    assert_ne!(key("alic:ewonder"), key("alice:wonder"));
}

#[test]
fn a_hash_that_is_not_understood_is_named_with_its_file_and_user() {
    let site = Site::new("misunderstood");
    site.write("private", b"alice:$y$j9T$salt$digest\nbob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\ncarol:*\n");
    for (user, form) in [("alice", "$y$ (yescrypt)"), ("bob", "{SHA}")] {
        let told = site.check("private", Some(&format!("{user}:x")));
        assert!(told.starts_with(PRIVATE), "{told}");
        assert!(told.contains(&format!("private/.htpasswd: {user}: the hash {form}")), "{told}");
        assert!(told.contains("thtpasswd") && !told.contains("digest") && !told.contains("W6ph"), "{told}");
    }
    for credentials in [None, Some("carol:x"), Some("dave:x")] {
        assert_eq!(site.check("private", credentials), PRIVATE);
    }
    let described = site.authenticator.described(&site.place("private", None)).to_string();
    assert!(described.starts_with("password file private/.htpasswd; alice: "), "{described}");
    assert!(described.contains("; bob: the hash {SHA}") && !described.contains("carol"), "{described}");
}
