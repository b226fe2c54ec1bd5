//! redirect(8): sends old URLs to new ones. See `thttpd::companion::redirect`.

use std::io::Write;
use std::process::ExitCode;

use thttpd::companion::redirect::{broken, respond};

fn main() -> ExitCode {
    let variable = |name| std::env::var_os(name).map(|value| value.to_string_lossy().into_owned());
    let (answer, found) = match (variable("SCRIPT_NAME"), std::fs::read(".redirects")) {
        (None, _) => {
            (broken("The variable SCRIPT_NAME is missing: this program is run by a web server."), false)
        }
        (_, Err(error)) => (broken(&format!("The file .redirects could not be read: {error}.")), false),
        (Some(name), Ok(list)) => {
            let key = name + &variable("PATH_INFO").unwrap_or_default();
            respond(&key, &String::from_utf8_lossy(&list))
        }
    };
    let written = std::io::stdout().write_all(&answer);
    if found && written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
