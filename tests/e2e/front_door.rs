//! README and other entry pages: they exist, and refer to existing files only.

use std::fs;
use std::path::Path;

#[test]
fn every_file_that_the_readme_links_to_exists() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(top.join("README.md")).unwrap();
    let links: Vec<&str> = text
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|to| !to.contains("://"))
        .collect();
    assert!(links.len() > 8, "{links:?}");
    for link in links {
        assert!(top.join(link).exists(), "README.md links to {link}, which is not there");
    }
    for file in ["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "thttpd.conf.example", ".ci/run", "tests/run"]
    {
        assert!(top.join(file).exists(), "{file}");
    }
}
