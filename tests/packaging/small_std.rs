//! The std of the static programs, which is a usual one with a few changes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

use super::source;
use crate::support::Tree;

const MEMORY: &str =
    "/// Says so.\nconst fn capacity_overflow() -> ! {\n    panic!(\"capacity overflow\");\n}\n";
const CLOCK: &str =
    "impl Other {\n    fn now() {}\n}\n\nimpl Timespec {\n    pub fn now(clock: i32) -> Self {\n    }\n}\n";

/// A toolchain with two files of std, and a rustc that tells what it is started with.
fn toolchain(tree: &Tree) -> String {
    let library = tree.dir().join("toolchain/lib/rustlib/src/rust/library");
    for (file, text) in [("alloc/src/raw_vec/mod.rs", MEMORY), ("std/src/sys/pal/unix/time.rs", CLOCK)] {
        fs::create_dir_all(library.join(file).parent().unwrap()).unwrap();
        fs::write(library.join(file), text).unwrap();
    }
    fs::create_dir(tree.dir().join("toolchain/bin")).unwrap();
    let root = tree.dir().join("toolchain").display().to_string();
    let said =
        format!("#!/bin/sh\ncase $* in\n'--print sysroot') echo '{root}' ;;\n*) echo \"told $*\" ;;\nesac\n");
    let rustc = tree.beside("toolchain/bin/rustc", &said);
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
    rustc.to_str().unwrap().to_owned()
}

fn small_std(tree: &Tree, rustc: &str) -> (String, Output) {
    let output = Command::new(source("packaging/small-std"))
        .args([rustc, "made"])
        .current_dir(tree.dir())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    (String::from_utf8_lossy(&output.stdout).trim().to_owned(), output)
}

#[test]
fn functions_of_std_are_marked_where_they_are_and_what_is_not_there_is_told() {
    let tree = Tree::new();
    let rustc = toolchain(&tree);
    let (changed, output) = small_std(&tree, &rustc);

    let library = Path::new(&changed).with_file_name("lib/rustlib/src/rust/library");
    let text = |file: &str| fs::read_to_string(library.join(file)).unwrap();
    assert_eq!(text("alloc/src/raw_vec/mod.rs"), MEMORY.replace("const fn", "#[rustc_nounwind]\nconst fn"));
    assert_eq!(
        text("std/src/sys/pal/unix/time.rs"),
        CLOCK.replace("    pub fn", "    #[rustc_nounwind]\n    pub fn")
    );
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the program is larger: alloc/src/alloc.rs: handle_alloc_error\n"), "{said}");
    assert!(!said.contains("capacity_overflow") && !said.contains("time.rs: now"), "{said}");
    // The toolchain itself is as it was.
    assert_eq!(
        fs::read_to_string(
            tree.dir().join("toolchain/lib/rustlib/src/rust/library/alloc/src/raw_vec/mod.rs")
        )
        .unwrap(),
        MEMORY
    );
}

#[test]
fn the_rustc_it_prints_is_the_same_one_with_that_std() {
    let tree = Tree::new();
    let rustc = toolchain(&tree);
    let (changed, _) = small_std(&tree, &rustc);
    let output = Command::new(&changed).args(["-O", "main.rs"]).output().unwrap();
    let directory = Path::new(&changed).parent().unwrap().display();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("told --sysroot {directory} -O main.rs\n"));
    let (again, output) = small_std(&tree, &rustc);
    assert_eq!((again, output.stderr.len()), (changed, 0));
}
