//! Tables for unwinding, which the static programs have in a shorter form.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::source;
use crate::support::Tree;

/// Panics below frames that save different registers, and says what came through. Its numbers are in registers that
/// the frame of a callee saves, unless the compiler thinks of something better.
const PROGRAM: &str = r#"
struct Told(u64);
impl Drop for Told {
    fn drop(&mut self) { println!("dropped {}", self.0); }
}
#[inline(never)]
fn inner(text: &str) -> u64 { text.parse().expect("a number") }
#[inline(never)]
fn outer(words: &[&str]) -> u64 {
    let (mut sum, mut product, mut last) = (1_u64, 1_u64, 0_u64);
    for word in words {
        let _told = Told(sum * 1000 + product * 10 + last);
        last = inner(word);
        sum += last;
        product *= last;
    }
    sum + product + last
}
fn main() {
    std::panic::set_hook(Box::new(|_| println!("panicked")));
    let (first, second) = (std::env::args().count() as u64, std::process::id() as u64);
    for word in ["4", "four"] {
        let result = std::panic::catch_unwind(|| outer(&["2", "3", word]));
        println!("{} {}", result.is_ok(), first * 7 + second == 7 + std::process::id() as u64);
    }
}
"#;

/// Lines in front of the program, for tables without an index: no library finds them unless told where they are.
const WITHOUT_INDEX: &str = r#"
unsafe extern "C" {
    fn __register_frame(tables: *const u8);
    static __eh_frame_start: u8;
}
#[used]
#[unsafe(link_section = ".init_array")]
static REGISTER: extern "C" fn() = {
    extern "C" fn register() { unsafe { __register_frame(&raw const __eh_frame_start) } }
    register
};
"#;

fn rustc() -> Command {
    Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// Directory of LLVM's linker of Rust's own version: in the toolchain, or of Debian's package.
fn llvm_linker() -> Option<PathBuf> {
    let said = |argument: &[&str]| {
        let output = rustc().args(argument).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let libraries = said(&["--print", "target-libdir"]);
    let own = Path::new(libraries.trim()).parent()?.join("bin/gcc-ld");
    let version = said(&["-vV"]);
    let version = version.lines().find_map(|line| line.strip_prefix("LLVM version: "))?.split('.').next()?;
    let packaged = PathBuf::from(format!("/usr/lib/llvm-{version}/bin"));
    [own, packaged].into_iter().find(|directory| directory.join("ld.lld").exists())
}

/// Compiles the program with `linker`, and returns the size of the section with its tables, and what it prints.
fn built(dir: &Path, linker: &str, static_linker: Option<&Path>) -> (u64, String) {
    let program = dir.join("program");
    let mut compile = rustc();
    compile.current_dir(dir).args(["--edition=2024", "-Copt-level=s", "-Ccodegen-units=1", "-Clto=fat"]);
    compile
        .args(["-Cforce-frame-pointers=yes", "main.rs", "-o", "program"])
        .arg(format!("-Clinker={linker}"));
    compile.env_remove("STATIC_LINKER").envs(static_linker.map(|linker| ("STATIC_LINKER", linker)));
    let output = compile.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sections = Command::new("size").args(["--format=sysv"]).arg(&program).output().unwrap();
    let sections = String::from_utf8_lossy(&sections.stdout).into_owned();
    let tables = sections.lines().find(|line| line.starts_with(".eh_frame ")).expect("no tables");
    let bytes = tables.split_whitespace().nth(1).unwrap().parse().unwrap();
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    (bytes, String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_panic_unwinds_by_tables_that_hold_at_calls_alone() {
    let tree = Tree::new();
    tree.beside("main.rs", PROGRAM);
    let (usual, expected) = built(tree.dir(), "cc", None);
    let (shortened, said) = built(tree.dir(), source("packaging/linker").to_str().unwrap(), None);
    assert_eq!(said, expected);
    assert!(said.ends_with("dropped 1010\ndropped 3022\npanicked\ndropped 6063\nfalse true\n"), "{said}");
    assert!(shortened * 3 < usual * 2, "{shortened} bytes of tables, for {usual}");
}

#[test]
fn functions_with_one_frame_share_their_description() {
    let tree = Tree::new();
    tree.beside("main.rs", PROGRAM);
    let (usual, expected) = built(tree.dir(), "cc", None);

    let Some(tools) = llvm_linker() else {
        let may_skip = std::env::var_os("THTTPD_TESTS_SKIP").is_none_or(|value| value != "never");
        assert!(may_skip, "LLVM's linker is not here; tests/run installs it");
        return eprintln!("skipped: LLVM's linker is not here; tests/run installs it");
    };
    // The linker behind the C compiler.
    let compiler = format!(
        "#!/bin/sh\nscript=$1\nshift\nexec cc -B{} -fuse-ld=lld \"$@\" \"-Wl,$script\" -Wl,--no-eh-frame-hdr\n",
        tools.display()
    );
    let linker = tree.beside("linker", &compiler);
    std::fs::set_permissions(&linker, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    tree.beside("main.rs", &format!("{WITHOUT_INDEX}{PROGRAM}"));
    let (shared, said) = built(tree.dir(), source("packaging/linker").to_str().unwrap(), Some(&linker));
    assert_eq!(said, expected);
    assert!(shared * 3 < usual, "{shared} bytes of tables, for {usual}");
}
