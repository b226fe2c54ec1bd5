//! A browser loads a single-page application by the first example of thttpd-rules(5).
//!
//! The application has deep links, hashed assets, `env.js` and a redirect.

use super::examples::by_example;
use crate::support::{Server, Tree, dom_of};

/// The page, which shows what its script has found out.
const SHELL: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>loading</title>\n\
    <link rel=\"stylesheet\" href=\"/assets/style-3c4d.css\">\n\
    <script src=\"/env.js\"></script><script type=\"module\" src=\"/assets/app-1a2b.js\"></script></head>\n\
    <body><main id=\"app\">nothing yet</main></body></html>\n";

/// Imports a second file, loads data by way of a redirect, and asks for a name that is not there.
const APP: &str = "import { named } from './route-5e6f.js';\n\
    const [moved, asset] = await Promise.all([fetch('/old/data'), fetch('/assets/gone-0000.js')]);\n\
    const width = getComputedStyle(document.getElementById('app')).width;\n\
    document.title = named(location.pathname);\n\
    document.getElementById('app').textContent = `api ${env.API_URL}; from ${new URL(moved.url).pathname}; \
    gone ${asset.status}; width ${width}; ${await moved.text()}`;\n";

fn application() -> Tree {
    let tree = Tree::new();
    tree.file("index.html", SHELL);
    tree.file("assets/app-1a2b.js", APP);
    tree.file("assets/route-5e6f.js", "export const named = (path) => `page ${path}`;\n");
    tree.file("assets/style-3c4d.css", "main { width: 321px }\n");
    tree.file("data", "data of the application");
    tree
}

fn page(tree: &Tree, server: &Server, path: &str) -> Option<String> {
    dom_of(tree, &server.url(path))
}

#[test]
fn a_browser_runs_a_single_page_application_from_any_of_its_links() {
    let tree = application();
    let server = by_example("an application", &tree, &[]);
    for (path, title) in [
        ("/", "page /"),
        ("/users/7/edit?tab=2#top", "page /users/7/edit"),
        ("/john.doe", "page /john.doe"),
        ("/assets/deep", "page /assets/deep"),
        // Sent elsewhere, as a bookmark of an older version is.
        ("/old/users", "page /users"),
    ] {
        let Some(dom) = page(&tree, &server, path) else { return };
        assert!(dom.contains(&format!("<title>{title}</title>")), "{path}: {dom}");
        let said = "api /api; from /data; gone 404; width 321px; data of the application";
        assert!(dom.contains(said), "{path}: {dom}");
    }
    // The shell is asked for anew, what is named by its content is not.
    let lines = server.log_lines();
    let statuses = |name: &str| -> Vec<&str> {
        let of_name = lines.iter().filter(|line| line.contains(&format!("GET {name} HTTP")));
        of_name.map(|line| line.split("\" ").nth(1).unwrap().split(' ').next().unwrap()).collect()
    };
    assert!(statuses("/assets/app-1a2b.js").iter().all(|status| *status == "200"));
    assert_eq!(statuses("/old/users"), ["301"]);
}

#[test]
fn a_browser_without_an_application_shows_its_missing_page() {
    let tree = application();
    let server = by_example("an application", &tree, &[]);
    let Some(dom) = page(&tree, &server, "/assets/none.js") else { return };
    assert!(dom.contains("<title>404") && !dom.contains("id=\"app\""), "{dom}");
}
