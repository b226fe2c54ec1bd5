//! Headless browser: hostile names are shown as text, pages fit a phone.

use crate::support::{Server, Tree, dom_of};

#[test]
fn a_hostile_file_name_in_a_listing_is_text_not_script() {
    let tree = Tree::new();
    let hostile = "<img src=x onerror=\"document.title='owned'\">.txt";
    tree.file(hostile, "x");
    tree.file("<script>document.title='owned'<!--.txt", "x");
    tree.link("\"><script>document.title='owned'</script>", "link");
    let server = Server::start(&tree, &[]);
    let Some(dom) = dom_of(&tree, &server.url("/?<script>document.title='owned'</script>")) else { return };
    assert!(dom.contains("<title>Index of /"), "{dom}");
    assert!(!dom.contains("<title>owned"), "{dom}");
    assert!(dom.contains("&lt;img src=x"), "{dom}");
}

#[test]
fn a_hostile_url_on_an_error_page_is_text_not_script() {
    let tree = Tree::new();
    let server = Server::start(&tree, &[]);
    let Some(dom) = dom_of(&tree, &server.url("/x?<script>document.title='owned'</script>")) else { return };
    assert!(dom.contains("<title>404"), "{dom}");
    assert!(dom.contains("name=\"viewport\""), "{dom}");
}
