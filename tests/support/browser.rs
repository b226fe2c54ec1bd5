//! Headless browser for tests.

use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Tree, run};

/// Flags of a browser that shows no window, and asks nothing of its maker.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

fn profile(tree: &Tree) -> String {
    format!("--user-data-dir={}", tree.dir().join("profile").display())
}

/// The document at `url` as it stands when its scripts have run; none where there is no browser.
pub fn dom_of(tree: &Tree, url: &str) -> Option<String> {
    let profile = profile(tree);
    let arguments = [&FLAGS[..], &["--virtual-time-budget=2000", &profile, "--dump-dom", url]].concat();
    run("chromium", &arguments).map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Browser that stays on a page, in real time; ended on drop.
pub struct Browser(Child);

impl Browser {
    /// Opens `url`; none where there is no browser.
    pub fn open(tree: &Tree, url: &str) -> Option<Browser> {
        run("chromium", &["--version"])?;
        let mut command = Command::new("chromium");
        command.args(FLAGS).args([&profile(tree), url]).stdout(Stdio::null()).stderr(Stdio::null());
        Some(Browser(command.spawn().unwrap()))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}
