//! Headless browser for tests.

use super::{Tree, run};

/// The document at `url` as it stands when its scripts have run; none where there is no browser.
pub fn dom_of(tree: &Tree, url: &str) -> Option<String> {
    let profile = format!("--user-data-dir={}", tree.dir().join("profile").display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--virtual-time-budget=2000",
        &profile,
        "--dump-dom",
        url,
    ];
    run("chromium", &arguments).map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
}
