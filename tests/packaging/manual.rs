//! Manual and program: each describes everything of the other.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::process::Command;

use thttpd::config::args;
use thttpd::config::help;
use thttpd::config::kind::Kind;
use thttpd::config::options::{Group, OPTIONS, OptionSpec};

use super::{source, text};

/// `.It Cm name Ns = Ns Ar value Bq Fl p` → its names, flags, and the lines up to the next item.
struct Item {
    names: Vec<String>,
    flags: Vec<String>,
    body: String,
}

/// The items of `thttpd.conf.5`'s OPTIONS section.
fn conf_items() -> Vec<Item> {
    let page = text("man/thttpd.conf.5");
    let options = page.split(".Sh OPTIONS").nth(1).unwrap().split(".Sh ").next().unwrap().to_owned();
    options.split("\n.It Cm ").skip(1).map(item).collect()
}

fn item(entry: &str) -> Item {
    let (head, body) = entry.split_once('\n').unwrap();
    let (names, flags) = head.split_once(" Bq Fl ").unwrap_or((head, ""));
    let names = names.split(" Ns ").next().unwrap_or_default();
    let list = |words: &str| words.split(" , ").filter(|w| !w.is_empty()).map(str::to_owned).collect();
    Item { names: list(names), flags: list(flags), body: body.to_owned() }
}

/// Every word that a row has in the configuration file.
fn names(row: &OptionSpec) -> Vec<&'static str> {
    row.names().map(|(name, _)| name).collect()
}

#[test]
fn the_configuration_manual_names_exactly_the_options_of_the_program() {
    let documented: BTreeSet<String> = conf_items().into_iter().flat_map(|item| item.names).collect();
    let real: BTreeSet<String> = OPTIONS.iter().flat_map(names).map(str::to_owned).collect();
    assert_eq!(documented, real);
}

#[test]
fn each_option_in_the_configuration_manual_has_its_flags() {
    for item in conf_items() {
        let row = OPTIONS.iter().find(|row| names(row).contains(&item.names[0].as_str())).unwrap();
        let flags: Vec<&str> =
            [row.flag, row.off_flag].into_iter().filter_map(|flag| flag.strip_prefix('-')).collect();
        assert_eq!(item.flags, flags, "{:?}", item.names);
    }
}

#[test]
fn the_defaults_in_the_configuration_manual_are_the_programs() {
    let items = conf_items();
    for row in OPTIONS.iter().filter(|row| matches!(row.kind, Kind::Number { .. })) {
        let item = items.iter().find(|item| item.names[0] == row.name).unwrap();
        let default = help::default(row).unwrap();
        let stated = item.body.split("Default ").nth(1).unwrap_or_default().replace('\\', "");
        let stated = stated.split([',', '\n']).next().unwrap_or_default().trim_end_matches('.');
        assert_eq!(stated, default, "{}", row.name);
    }
}

#[test]
fn each_option_has_an_example_that_the_program_takes() {
    for item in conf_items() {
        let example = item.body.lines().find_map(|line| line.strip_prefix(".Dl "));
        let example = example.unwrap_or_else(|| panic!("{:?} has no example", item.names));
        let name = example.split('=').next().unwrap().to_owned();
        assert!(item.names.contains(&name), "{example} is not an example of {:?}", item.names);
        let argv: Vec<OsString> = ["-o", example].map(OsString::from).into();
        assert!(args::parse(&argv, "thttpd").is_ok(), "{example}");
    }
}

#[test]
fn every_flag_of_the_program_is_in_its_manual() {
    let page = text("man/thttpd.8");
    let options = page.split(".Sh OPTIONS").nth(1).unwrap().split(".Sh ").next().unwrap();
    let heads: BTreeSet<&str> = options
        .lines()
        .filter(|line| line.starts_with(".It Fl "))
        .flat_map(|line| line[4..].split(" , "))
        .filter_map(|part| part.trim_start_matches("Fl ").split(' ').next())
        .collect();
    let real: BTreeSet<&str> = OPTIONS
        .iter()
        .flat_map(|row| [row.flag, row.off_flag])
        .filter_map(|flag| flag.strip_prefix('-'))
        .collect();
    assert_eq!(heads, real);
}

/// `.It D-…` heads of the page of differences.
fn tags() -> Vec<String> {
    let page = text("man/thttpd-differences.7");
    page.lines().filter_map(|line| line.strip_prefix(".It ")).map(str::to_owned).collect()
}

#[test]
fn each_difference_has_a_tag_of_its_own() {
    let tags = tags();
    let distinct: BTreeSet<&String> = tags.iter().collect();
    assert!(tags.len() > 50, "{} tags", tags.len());
    assert_eq!(tags.len(), distinct.len());
    for tag in &tags {
        let word = tag.strip_prefix("D-").unwrap_or_else(|| panic!("{tag} is no tag"));
        assert!(word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-'), "{tag}");
    }
}

/// A row of `differences.txt`: the tag of a difference, the file of a test that holds it, and its function.
fn rows_of_differences() -> Vec<[String; 3]> {
    let table = text("tests/packaging/differences.txt");
    let rows = table.lines().filter(|line| !line.starts_with('#'));
    rows.map(|row| row.split(' ').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap()).collect()
}

#[test]
fn each_difference_has_its_tests() {
    let rows = rows_of_differences();
    let mut named: Vec<&String> = rows.iter().map(|[tag, ..]| tag).collect();
    named.dedup();
    assert_eq!(named, tags().iter().collect::<Vec<_>>(), "the tags of the page, in its order");
    for [tag, file, function] in &rows {
        let code = text(file);
        // A macro makes the functions of some tests from their names.
        let is_there =
            code.contains(&format!("fn {function}(")) || code.contains(&format!("    {function} = "));
        assert!(is_there, "{tag}: {file} has no test {function}");
    }
}

#[test]
fn every_page_refers_only_to_pages_that_exist() {
    let pages: BTreeSet<String> = page_names().into_iter().collect();
    let system = ["syslog.3", "asctime.3", "strftime.3", "chroot.2", "logrotate.8"];
    for page in &pages {
        for line in text(&format!("man/{page}")).lines() {
            let Some(reference) = line.strip_prefix(".Xr ") else { continue };
            let words: Vec<&str> = reference.split(' ').collect();
            let name = format!("{}.{}", words[0], words[1]);
            assert!(pages.contains(&name) || system.contains(&name.as_str()), "{page}: {line}");
        }
    }
}

fn page_names() -> Vec<String> {
    let entries = fs::read_dir(source("man")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// A missing formatter is reported and skipped, as it is not installed everywhere.
#[test]
fn the_formatter_finds_nothing_wrong_with_any_page() {
    for page in page_names() {
        let Ok(output) = Command::new("mandoc").arg("-Tlint").arg(source("man").join(&page)).output() else {
            eprintln!("mandoc is not installed: apt-get install mandoc");
            return;
        };
        let said = String::from_utf8(output.stdout).unwrap();
        // Messages about missing pages that are referred to do not concern this page.
        let complaints: Vec<&str> =
            said.lines().filter(|line| !line.contains("referenced manual not found")).collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

/// Every program that is installed has a page, and the reverse.
#[test]
fn every_companion_program_has_a_page() {
    let pages = page_names();
    for program in fs::read_dir(source("src/bin")).unwrap() {
        let path = program.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let found = pages.iter().any(|page| page.rsplit_once('.').is_some_and(|(stem, _)| stem == name));
        assert!(found, "{name} has no page in man/");
    }
}

/// Each option with the heading it stands under, by lines `HEADING` and names in `text`.
fn under_headings(text: &str, heading: &str, name: &str) -> Vec<(String, String)> {
    let mut current = String::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let title =
            line.strip_prefix(heading).and_then(|title| Group::ALL.iter().find(|one| one.title() == title));
        if let Some(group) = title {
            current = group.title().to_owned();
        } else if let Some(rest) = line.strip_prefix(name) {
            let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
            found.push((rest[..end].to_owned(), current.clone()));
        }
    }
    found
}

#[test]
fn an_option_stands_under_the_same_heading_in_manual_example_and_help() {
    let manual = text("man/thttpd.conf.5").replace(".Ss Times\n", ".Ss Times, in seconds\n");
    let manual = manual.split(".Sh LISTENERS").next().unwrap();
    for (name, heading) in under_headings(manual, ".Ss ", ".It Cm ").into_iter().chain(under_headings(
        &text("thttpd.conf.example"),
        "# ",
        "#",
    )) {
        let Some(row) = OPTIONS.iter().find(|row| !name.is_empty() && names(row).contains(&name.as_str()))
        else {
            continue;
        };
        assert_eq!(heading, row.group.title(), "{name}");
    }
}

#[test]
fn no_page_shows_a_quotation_within_a_quotation() {
    for page in page_names() {
        let path = source("man").join(&page);
        let Ok(output) = Command::new("mandoc").args(["-Tutf8"]).arg(path).output() else { return };
        let mut depth = 0;
        for (index, line) in String::from_utf8_lossy(&output.stdout).lines().enumerate() {
            for character in line.chars() {
                depth += i32::from(character == '‘') - i32::from(character == '’');
                assert!((0..=1).contains(&depth), "{page}, line {}: {line}", index + 1);
            }
        }
    }
}

#[test]
fn the_page_of_the_server_leads_to_every_other() {
    let page = text("man/thttpd.8");
    let (_, see_also) = page.split_once(".Sh SEE ALSO\n").unwrap();
    for name in page_names().iter().filter(|name| *name != "thttpd.8") {
        let (stem, section) = name.rsplit_once('.').unwrap();
        assert!(see_also.contains(&format!(".Xr {stem} {section}")), "{name}");
    }
}
