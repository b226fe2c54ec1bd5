//! `makeweb` with a home and a directory of users for the test.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{User, getgid, getuid};

use super::{code, install, names_in, stderr, stdout};
use crate::support::{Tree, is_root};

/// A home, a directory of users, and what is to be made in them.
struct Place {
    tree: Tree,
    directory: PathBuf,
    link: PathBuf,
}

impl Place {
    fn new() -> Place {
        let tree = Tree::new();
        for name in ["home", "users"] {
            fs::create_dir(tree.dir().join(name)).unwrap();
        }
        let own = User::from_uid(getuid()).unwrap().expect("a line in /etc/passwd").name;
        let (directory, link) = (tree.dir().join("users").join(own), tree.dir().join("home/public_html"));
        Place { tree, directory, link }
    }

    fn users(&self) -> &Path {
        self.directory.parent().unwrap()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("HOME", self.tree.dir().join("home")).env("MAKEWEB_DIR", self.users());
        command
    }

    fn run(&self) -> Output {
        self.command(env!("CARGO_BIN_EXE_makeweb")).output().unwrap()
    }

    /// Runs it; it must refuse with `why` and make no link.
    fn refuses(&self, why: &str) {
        let output = self.run();
        assert_eq!(code(&output), Some(1));
        assert!(stderr(&output).contains(why), "{}", stderr(&output));
        assert!(fs::symlink_metadata(&self.link).is_err());
    }
}

#[test]
fn a_user_gets_a_directory_and_a_link_to_it() {
    let place = Place::new();
    let output = place.run();
    assert_eq!((code(&output), stderr(&output).as_str()), (Some(0), ""));
    let (directory, link) = (place.directory.display(), place.link.display());
    let told = format!("Created web directory {directory}\nCreated symbolic link {link}\n");
    assert_eq!(stdout(&output), told);
    assert_eq!(fs::metadata(&place.directory).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::read_link(&place.link).unwrap(), place.directory);
}

#[test]
fn existing_directories_are_left_alone() {
    let place = Place::new();
    place.run();
    fs::write(place.directory.join("index.html"), "mine").unwrap();
    fs::set_permissions(&place.directory, fs::Permissions::from_mode(0o711)).unwrap();
    let output = place.run();
    assert_eq!(code(&output), Some(0));
    assert_eq!(stdout(&output).matches(" already existed.").count(), 2, "{}", stdout(&output));
    assert_eq!(names_in(&place.directory), ["index.html"]);
    assert_eq!(fs::metadata(&place.directory).unwrap().mode() & 0o7777, 0o711);
}

#[test]
fn a_link_that_leads_elsewhere_is_made_anew() {
    let place = Place::new();
    symlink("/elsewhere", &place.link).unwrap();
    let output = place.run();
    assert_eq!(code(&output), Some(0));
    assert!(stdout(&output).contains("already existed but pointed to /elsewhere."), "{}", stdout(&output));
    assert_eq!(fs::read_link(&place.link).unwrap(), place.directory);
}

#[test]
fn a_public_html_that_is_no_link_is_reported_and_kept() {
    let place = Place::new();
    fs::create_dir(&place.link).unwrap();
    fs::write(place.link.join("index.html"), "mine").unwrap();
    let output = place.run();
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).contains("already exists but is not a symbolic link!"), "{}", stderr(&output));
    assert_eq!(names_in(&place.link), ["index.html"]);
}

#[test]
fn a_link_or_file_in_place_of_the_directory_is_refused() {
    let place = Place::new();
    fs::create_dir(place.tree.dir().join("target")).unwrap();
    symlink(place.tree.dir().join("target"), &place.directory).unwrap();
    place.refuses("already exists but is not a directory!");
    fs::remove_file(&place.directory).unwrap();
    fs::write(&place.directory, "").unwrap();
    place.refuses("already exists but is not a directory!");
}

#[test]
fn a_directory_of_users_that_is_not_there_is_said_to_be_a_mistake_of_configuration() {
    let place = Place::new();
    fs::remove_dir(place.users()).unwrap();
    place.refuses("This is probably a configuration error.");
}

#[test]
fn an_argument_is_answered_with_the_usage() {
    let place = Place::new();
    let output = place.command(env!("CARGO_BIN_EXE_makeweb")).arg("jef").output().unwrap();
    assert_eq!(code(&output), Some(1));
    assert!(stderr(&output).starts_with("usage:  "), "{}", stderr(&output));
    assert!(!place.directory.exists());
}

#[test]
fn a_directory_of_somebody_else_is_refused() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    fs::create_dir(&place.directory).unwrap();
    chown(&place.directory, Some(65534), Some(65534)).unwrap();
    place.refuses("already exists but you don't own it!");
}

#[test]
fn the_directory_is_the_users_own_group_whatever_its_parents_is() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    chown(place.users(), None, Some(65534)).unwrap();
    fs::set_permissions(place.users(), fs::Permissions::from_mode(0o2777)).unwrap();
    assert_eq!(code(&place.run()), Some(0));
    let meta = fs::metadata(&place.directory).unwrap();
    assert_eq!((meta.gid(), meta.mode() & 0o7777), (getgid().as_raw(), 0o755));
}

#[test]
fn with_the_rights_of_another_user_or_group_it_does_nothing() {
    if !is_root() {
        return;
    }
    let place = Place::new();
    if statvfs(place.tree.dir()).unwrap().flags().contains(FsFlags::ST_NOSUID) {
        eprintln!("skipped: no program runs set-user-id below {}", place.tree.dir().display());
        return;
    }
    let copy = place.tree.dir().join("makeweb");
    for mode in ["4755", "2755"] {
        install(env!("CARGO_BIN_EXE_makeweb"), mode, (65534, 65534), &copy);
        let output = place.command(copy.to_str().unwrap()).output().unwrap();
        assert_eq!(code(&output), Some(1), "{mode}");
        assert_eq!(stderr(&output), "This program does not run set-user-id or set-group-id.\n", "{mode}");
        assert!(!place.directory.exists(), "{mode}");
    }
}
