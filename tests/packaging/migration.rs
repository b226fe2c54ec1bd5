//! Migration page: this server accepts all its lines.

use thttpd::config::args;
use thttpd::config::options::OPTIONS;
use thttpd::rules::Rules;

use super::text;

/// Flags that no option of the configuration file stands behind.
const COMMAND_LINE_ONLY: [&str; 2] = ["-C", "-o"];

/// Ends of words that stand for a name.
const PLACEHOLDERS: [&str; 3] = ["=FILE", "=DIR", "=N"];

/// The right column of the tables, with its heading.
fn cells() -> Vec<(String, String)> {
    let page = text("man/thttpd-migration.7");
    let tables = page.split(".Bd -literal -offset indent\n").skip(1);
    let tables = tables.filter_map(|table| table.split_once("\n.Ed")).map(|(table, _)| table);
    let rows = tables.flat_map(|table| {
        let mut rows = table.lines().map(|row| row.rsplit_once("  ").expect(row).1.trim().to_owned());
        let heading = rows.next().unwrap();
        rows.map(move |cell| (heading.clone(), cell))
    });
    rows.collect()
}

fn is_option(name: &str) -> bool {
    OPTIONS.iter().any(|row| row.names().any(|(known, _)| known == name))
}

fn is_flag(word: &str) -> bool {
    OPTIONS.iter().any(|row| row.flag == word || row.off_flag == word) || COMMAND_LINE_ONLY.contains(&word)
}

#[test]
fn every_option_that_replaces_another_servers_is_known() {
    let mut seen = 0;
    let of_options = |(heading, cell): &&(String, String)| heading != "RULES" && !cell.starts_with("none");
    for (heading, cell) in cells().iter().filter(of_options) {
        let words: Vec<&str> = cell.split([' ', ',']).filter(|word| !word.is_empty()).collect();
        for (at, word) in words.iter().enumerate() {
            let name = word.split('=').next().unwrap();
            let is_name = word.contains('=') || (at > 0 && words[at - 1] == "-o");
            let begins = at == 0 && heading == "THTTPD.CONF" && !["one", "a"].contains(word);
            let is_word = !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
            if is_name || (begins && is_word) {
                assert!(is_option(name), "{cell}: {name}");
                let is_taken = || args::parse(&["-o".into(), (*word).into()], "thttpd").is_ok();
                let is_example = !word.contains('=')
                    || word.ends_with("...")
                    || PLACEHOLDERS.iter().any(|end| word.ends_with(end));
                // A list with commas was taken apart.
                assert!(is_example || cell.contains(',') || is_taken(), "{cell}: {word}");
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn every_flag_that_replaces_another_servers_is_known() {
    let mut seen = 0;
    let of_flags = |(heading, cell): &&(String, String)| heading != "RULES" && !cell.starts_with("thtpasswd");
    for (_, cell) in cells().iter().filter(of_flags) {
        for word in cell.split([' ', ',']).filter(|word| word.starts_with('-') && word.len() > 1) {
            assert!(is_flag(word), "{cell}: {word}");
            seen += 1;
        }
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn every_rule_that_replaces_another_servers_line_is_one() {
    let rules: Vec<String> =
        cells().into_iter().filter(|(heading, _)| heading == "RULES").map(|(_, cell)| cell).collect();
    for rule in rules.iter().filter(|rule| !rule.starts_with("none")) {
        let read = Rules::parse(rule.as_bytes(), "rules").map(|rules| rules.dump());
        let dump = read.unwrap_or_else(|faults| panic!("{rule}: {}", faults[0]));
        assert_eq!(dump.lines().count(), 1, "{rule}");
    }
    assert!(rules.len() > 40, "{}", rules.len());
}
