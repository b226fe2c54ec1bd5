use super::*;
use crate::cache::Freshness;
use crate::config::Config;
use crate::config::pattern::Pattern;
use crate::docroot::DocRoot;
use crate::docroot::blocking::BlockingAllowed;
use crate::representation::mime::Types;
use crate::request::{Client, Parsed, head};
use crate::rules::{Charged, Rules};
use crate::testing::TempTree;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Step of a look-up after its name was looked at, and before anything is opened.
const FOUND: &str = "permission bits";
/// Step of a look-up after its file was opened and read.
const READ: &str = "a file of";
/// Step of a look-up after its script was opened.
const SCRIPT: &str = "matches the CGI pattern";

/// Resolver of a temporary tree.
struct Scene {
    tree: TempTree,
    resolver: Resolver,
}

impl Scene {
    /// Scene with the `files`, whose directories are known to have no password file.
    fn new(files: &[(&str, &str)]) -> Scene {
        let tree = TempTree::new();
        for (name, text) in files {
            tree.file(name, text);
        }
        let root = DocRoot::open(tree.path(), tree.path().as_os_str().as_encoded_bytes()).unwrap();
        let config = Config { cgi_pattern: Some(Pattern::new("**.cgi")), ..Config::default() };
        let (rules, types) = (Arc::new(Rules::default()), Types::new(b"UTF-8"));
        let scene = Scene { tree, resolver: Resolver::new(Arc::new(root), Arc::new(config), rules, types) };
        let dirs = files.iter().map(|(name, _)| name.split('/').next().unwrap());
        dirs.for_each(|dir| scene.ask_until_known(dir));
        scene
    }

    /// Asks for the file `a.txt` of `dir` until that is known to have no password file.
    fn ask_until_known(&self, dir: &str) {
        eventually(|| {
            self.ask(&format!("{dir}/a.txt")).unwrap();
            let check =
                self.resolver.cache.check_directory(&View::local(&self.resolver.root), dir.as_bytes());
            check.is_some_and(|check| check.still_holds() && check.shows_unprotected(dir.as_bytes()))
        });
    }

    fn path(&self, name: &str) -> PathBuf {
        self.tree.path().join(name)
    }

    /// Answer to a request: the file's text, or the status of the refusal.
    fn ask(&self, name: &str) -> Result<String, u16> {
        self.answer(name, |query| self.resolver.resolve(query))
    }

    /// Answer to a request that is looked up while `change` happens, at the step that begins with `at`.
    fn ask_during(&self, name: &str, at: &str, change: impl FnOnce()) -> Result<String, u16> {
        let mut change = Some(change);
        let answer = self.answer(name, |query| {
            self.resolver.look_up(query, &mut |step| {
                if step.to_string().starts_with(at) {
                    change.take().into_iter().for_each(|change| change());
                }
            })
        });
        assert!(change.is_none(), "no step {at:?}");
        answer
    }

    fn answer(
        &self,
        name: &str,
        resolve: impl FnOnce(&ResolveRequest<'_>) -> Resolution,
    ) -> Result<String, u16> {
        let bytes = format!("GET /{name} HTTP/1.1\r\nHost: x\r\n\r\n");
        let Ok(Parsed::Complete(request, _)) = head::parse(bytes.as_bytes(), &self.resolver.config.limits)
        else {
            panic!("{bytes}")
        };
        let query = ResolveRequest {
            request: &request,
            client: &Client::of_peer(([127, 0, 0, 1], 0).into()),
            vhost: None,
            freshness: &Freshness::default(),
            view: &View::local(&self.resolver.root),
            blocking: &BlockingAllowed,
            charged: &Charged::default(),
            may_wait: false,
            may_list: true,
        };
        match resolve(&query).outcome {
            Ok(Resolved { resource: Resource::File(_, Content::Memory(bytes)), .. }) => {
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            Ok(other) => Ok(format!("{:?}", other.resource)),
            Err(denied) => Err(denied.rejection.status),
        }
    }

    /// Waits until a further change of the file must show in its times, so that the file may be cached.
    fn settle(&self, name: &str) {
        let changed = fs::metadata(self.path(name)).unwrap().ctime();
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        eventually(|| now() > changed.cast_unsigned() + 2);
    }
}

fn eventually(mut probe: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !probe() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Result of `run` in a scene whose directories are known; a run that took so long that they had to be looked at
/// anew is repeated.
fn quickly<T>(files: &[(&str, &str)], run: impl Fn(&Scene) -> T) -> T {
    let mut runs = (0..20).map(|_| {
        let began = Instant::now();
        let result = run(&Scene::new(files));
        (began.elapsed() < Duration::from_secs(1)).then_some(result)
    });
    runs.find_map(|result| result).expect("one run within a second")
}

/// Gives the directory `d` a password file.
fn protect(scene: &Scene) {
    fs::write(scene.path("d/.htpasswd"), "user:x\n").unwrap();
}

#[test]
fn a_password_file_that_comes_during_a_look_up_is_asked() {
    for at in [FOUND, READ] {
        let answers = quickly(&[("d/a.txt", "text")], |scene| {
            [scene.ask_during("d/a.txt", at, || protect(scene)), scene.ask("d/a.txt")]
        });
        assert_eq!(answers, [Err(401), Err(401)], "{at}");
    }
}

#[test]
fn a_script_is_not_run_without_the_password_that_is_asked_for_meanwhile() {
    let answer = quickly(&[("d/a.txt", "text"), ("d/a.cgi", "#!/bin/sh")], |scene| {
        fs::set_permissions(scene.path("d/a.cgi"), fs::Permissions::from_mode(0o755)).unwrap();
        scene.ask_until_known("d");
        scene.ask_during("d/a.cgi", SCRIPT, || protect(scene))
    });
    assert_eq!(answer, Err(401));
}

#[test]
fn another_directory_that_gets_the_name_during_a_look_up_is_asked_for_its_passwords() {
    for at in [FOUND, READ] {
        let answer = quickly(&[("d/a.txt", "text"), ("guarded/a.txt", "secret")], |scene| {
            fs::write(scene.path("guarded/.htpasswd"), "user:x\n").unwrap();
            scene.ask_during("d/a.txt", at, || {
                fs::rename(scene.path("d"), scene.path("old")).unwrap();
                fs::rename(scene.path("guarded"), scene.path("d")).unwrap();
            })
        });
        assert_eq!(answer, Err(401), "{at}");
    }
}

#[test]
fn a_refusal_does_not_come_before_the_question_for_a_password() {
    let answer = quickly(&[("d/a.txt", "text"), ("d/program", "#!/bin/sh")], |scene| {
        fs::set_permissions(scene.path("d/program"), fs::Permissions::from_mode(0o755)).unwrap();
        scene.ask_until_known("d");
        [scene.ask("d/program"), scene.ask_during("d/program", FOUND, || protect(scene))]
    });
    assert_eq!(answer, [Err(403), Err(401)], "executable, but no script");
}

#[test]
fn changes_of_other_files_during_a_look_up_do_not_refuse_it() {
    let answer = quickly(&[("d/a.txt", "text")], |scene| {
        scene.ask_during("d/a.txt", READ, || fs::write(scene.path("d/another"), "").unwrap())
    });
    assert_eq!(answer, Ok("text".into()));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_not_cached_as_it_was() {
    let scene = Scene::new(&[("d/a.txt", "old")]);
    scene.settle("d/a.txt");
    let write = || fs::write(scene.path("d/a.txt"), "new").unwrap();
    assert_eq!(scene.ask_during("d/a.txt", READ, write), Ok("old".into()));
    assert_eq!(scene.ask("d/a.txt"), Ok("new".into()));
    scene.settle("d/a.txt");
    let hide = || fs::set_permissions(scene.path("d/a.txt"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(scene.ask_during("d/a.txt", READ, hide), Ok("new".into()));
    assert_eq!(scene.ask("d/a.txt"), Err(403));
}

#[test]
fn a_file_that_changes_by_another_name_while_it_is_read_is_not_cached_as_it_was() {
    let scene = Scene::new(&[("d/a.txt", "old")]);
    let other = TempTree::new();
    scene.settle("d/a.txt");
    let write = || {
        fs::hard_link(scene.path("d/a.txt"), other.path().join("link")).unwrap();
        fs::write(other.path().join("link"), "new").unwrap();
    };
    assert_eq!(scene.ask_during("d/a.txt", READ, write), Ok("old".into()));
    assert_eq!(scene.ask("d/a.txt"), Ok("new".into()));
}
