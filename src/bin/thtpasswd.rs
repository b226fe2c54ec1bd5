//! thtpasswd(1): keeps password files. See `thttpd::companion::thtpasswd`.

use std::fs;
use std::io::{self, BufRead, IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use getopts::{Matches, Options};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use thttpd::companion::thtpasswd::{Change, fault_of_name, hash, replace, verify, with_user, without_user};
use thttpd::resource::auth::crypt::{SHA_ROUNDS, Scheme};

/// bcrypt's work factor: some 50 ms a check on today's machines.
const COST: u32 = 10;

/// `-v` found no such user or another password.
const WRONG: u8 = 3;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(why) => {
            let _ = writeln!(io::stderr(), "{why}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Options {
    let mut options = Options::new();
    options.optflag("c", "", "create the file, or empty the one that is there");
    options.optflag("D", "", "delete the user");
    options.optflag("v", "", "verify the password: exit status 0 if right, 3 if not");
    options.optflag("i", "", "read the password from standard input without asking");
    options.optflag("s", "", "SHA-512 ($6$), the default");
    options.optflag("5", "", "SHA-256 ($5$)");
    options.optflag("B", "", "bcrypt ($2y$)");
    options.optflag("m", "", "Apache's MD5 ($apr1$)");
    options.optflag("d", "", "DES crypt: eight characters count; for old files only");
    options
}

fn run() -> Result<ExitCode, String> {
    let options = options();
    let usage = || options.usage("usage: thtpasswd [-c|-D|-v] [-i] [-s|-5|-B|-m|-d] passwordfile username");
    let given =
        options.parse(std::env::args_os().skip(1)).map_err(|fault| format!("{fault}\n{}", usage()))?;
    let [file, user] = &given.free[..] else { return Err(usage()) };
    let modes = ["c", "D", "v"].iter().filter(|flag| given.opt_present(flag)).count();
    if modes > 1 {
        return Err(format!("-c, -D and -v exclude each other\n{}", usage()));
    }
    if let Some(fault) = fault_of_name(user.as_bytes()) {
        return Err(format!("the user name {fault}"));
    }
    act(&given, Path::new(file), user)
}

fn act(given: &Matches, file: &Path, user: &str) -> Result<ExitCode, String> {
    let shown = file.display();
    let failed = |error: io::Error| format!("{shown}: {error}");
    let text = match fs::read(file) {
        _ if given.opt_present("c") => Vec::new(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(format!(
                "Could not open passwd file {shown} for reading.\nUse -c option to create new one."
            ));
        }
        read => read.map_err(failed)?,
    };
    if given.opt_present("D") {
        let rest = without_user(&text, user.as_bytes()).ok_or(format!("{shown}: there is no user {user}"))?;
        replace(file, &rest).map_err(failed)?;
        println!("Deleting user {user}");
        return Ok(ExitCode::SUCCESS);
    }
    if given.opt_present("v") {
        let password = password(given, false)?;
        let right = verify(&text, user.as_bytes(), &password);
        println!("Password for user {user} is {}.", if right { "right" } else { "wrong" });
        return Ok(if right { ExitCode::SUCCESS } else { ExitCode::from(WRONG) });
    }
    let hash = hash(scheme(given), &password(given, true)?).map_err(failed)?;
    let (text, change) = with_user(&text, user.as_bytes(), &hash);
    replace(file, &text).map_err(failed)?;
    match change {
        _ if given.opt_present("c") => println!("Adding password for {user}."),
        Change::Added => println!("Adding user {user}"),
        Change::Changed => println!("Changing password for user {user}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn scheme(given: &Matches) -> Scheme {
    match () {
        () if given.opt_present("d") => Scheme::Des,
        () if given.opt_present("m") => Scheme::Apr1,
        () if given.opt_present("B") => Scheme::Bcrypt { cost: COST },
        () if given.opt_present("5") => Scheme::Sha256 { rounds: SHA_ROUNDS },
        () => Scheme::Sha512 { rounds: SHA_ROUNDS },
    }
}

/// From the terminal, unseen, twice if `new`; else the first line of standard input.
fn password(given: &Matches, new: bool) -> Result<Vec<u8>, String> {
    if given.opt_present("i") || !io::stdin().is_terminal() {
        return line();
    }
    let first = ask(if new { "New password:" } else { "Password:" })?;
    if new && ask("Re-type new password:")? != first {
        return Err("They don't match, sorry.".to_owned());
    }
    Ok(first)
}

fn ask(prompt: &str) -> Result<Vec<u8>, String> {
    let failed = |errno: nix::Error| format!("terminal: {errno}");
    let stdin = io::stdin();
    let before = tcgetattr(&stdin).map_err(failed)?;
    let mut silent = before.clone();
    silent.local_flags.remove(LocalFlags::ECHO);
    let _ = write!(io::stderr(), "{prompt}");
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &silent).map_err(failed)?;
    let answer = line();
    tcsetattr(&stdin, SetArg::TCSAFLUSH, &before).map_err(failed)?;
    let _ = writeln!(io::stderr());
    answer
}

fn line() -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_until(b'\n', &mut bytes).map_err(|error| format!("standard input: {error}"))?;
    while bytes.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err("the password is empty".to_owned());
    }
    Ok(bytes)
}
