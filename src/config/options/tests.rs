//! The table of options, compared with itself, `Config::default()` and `thttpd.conf.example`.

use std::collections::HashSet;
use std::ffi::OsStr;

use getopts::HasArg;

use super::*;
use crate::config::dump;
use crate::config::file;
use crate::config::help;
use crate::config::origin::{Origin, Origins};
use crate::config::settings::Settings;

const EXAMPLE: &str = include_str!("../../../thttpd.conf.example");

/// Valid value of the option that is not its default.
fn another_value(row: &OptionSpec) -> String {
    match &row.kind {
        Kind::Number { least, most, .. } => (least.max(&0) + 77).min(*most).to_string(),
        Kind::Media(_) => "other/type".to_owned(),
        Kind::Choice(field) => {
            field(&mut Config::default()).words().last().copied().unwrap_or_default().to_owned()
        }
        Kind::Parsed { .. } => match row.name {
            "listen" => "8081;status,/run/sock;mode=600;proxy".to_owned(),
            "trusted_proxies" => "10.0.0.0/8,unix".to_owned(),
            "client_header" => "forwarded".to_owned(),
            _ => "other".to_owned(),
        },
        _ => "other".to_owned(),
    }
}

/// Words that change the option, in the form of a config file.
fn changing_word(row: &OptionSpec) -> String {
    match row.kind.takes() {
        HasArg::Yes => format!("{}={}", row.name, another_value(row)),
        _ if row.kind.read(&mut Config::default()).is_some() => row.off_name.to_owned(),
        _ => row.name.to_owned(),
    }
}

fn parsed(text: &str) -> Settings {
    let mut settings = Settings::default();
    file::parse(text.as_bytes(), "test", &mut settings);
    settings
}

fn settable() -> impl Iterator<Item = &'static OptionSpec> {
    OPTIONS.iter().filter(|row| !row.name.is_empty())
}

#[test]
fn no_two_options_share_a_word() {
    let mut seen = HashSet::new();
    for word in OPTIONS.iter().flat_map(|row| row.names().chain(row.flags())).map(|(word, _)| word) {
        assert!(seen.insert(word), "{word}");
    }
}

#[test]
fn config_file_names_are_lower_case_words() {
    for (name, _) in OPTIONS.iter().flat_map(OptionSpec::names) {
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_' || b == b'3'), "{name}");
    }
}

#[test]
fn each_option_changes_its_own_field_and_no_other() {
    let mut before = Config::default();
    for row in settable() {
        let mut settings = parsed(&changing_word(row));
        assert_eq!(settings.problems, [], "{}", row.name);
        assert_ne!(row.kind.read(&mut settings.config), row.kind.read(&mut before), "{}", row.name);
        for other in settable().filter(|other| other.name != row.name) {
            let follows = row.name == "chroot" && other.name == "symlinkcheck";
            let same = other.kind.read(&mut settings.config) == other.kind.read(&mut before);
            assert!(same || follows, "{} changes {}", row.name, other.name);
            let untouched = *settings.origins.get(other.name) == Origin::Default;
            assert!(untouched || follows, "{} writes the origin of {}", row.name, other.name);
        }
    }
}

/// The Debug format names every field: if all options are changed, no field may keep its default.
#[test]
fn every_field_of_the_configuration_has_an_option() {
    let words: Vec<String> = settable().map(changing_word).collect();
    let changed = format!("{:?}", parsed(&words.join(" ")).config);
    let default = format!("{:?}", Config::default());
    // `limits: Limits { head: 16384, …`: each part between commas ends in an innermost field.
    let fields = |text: &str| -> HashSet<String> {
        let innermost = text.split(',').filter_map(|piece| piece.rsplit('{').next());
        innermost.map(|field| field.trim_end_matches('}').trim().to_owned()).collect()
    };
    // Only a directory without a flag sets this field.
    let has_no_option = |field: &&String| !field.starts_with("fallback_port: ");
    let (changed, default) = (fields(&changed), fields(&default));
    let same: Vec<&String> = changed.intersection(&default).filter(has_no_option).collect();
    assert!(same.is_empty(), "not settable: {same:?}");
}

#[test]
fn options_without_a_default_describe_their_absence() {
    for row in settable().filter(|row| row.kind.takes() == HasArg::Yes) {
        let absent = row.kind.read(&mut Config::default()).is_none();
        assert_eq!(absent, !row.unset.is_empty(), "{}", row.name);
    }
}

/// Lines of the example file that are options without their `#`.
fn example_options() -> Vec<&'static str> {
    let lines = EXAMPLE.lines().filter_map(|line| line.strip_prefix('#'));
    lines.filter(|line| !line.is_empty() && !line.starts_with(' ')).collect()
}

#[test]
fn the_example_is_all_comment() {
    assert!(EXAMPLE.lines().all(|line| line.is_empty() || line.starts_with('#')));
}

#[test]
fn the_example_has_every_option_in_the_order_of_the_help() {
    let shown: Vec<&str> = example_options()
        .into_iter()
        .map(|line| line.split('=').next().unwrap())
        .map(|name| OPTIONS[place_of(name).expect(name)].name)
        .collect();
    let in_order = Group::ALL.into_iter().flat_map(|group| settable().filter(move |row| row.group == group));
    assert_eq!(shown, in_order.map(|row| row.name).collect::<Vec<_>>());
}

#[test]
fn the_example_mentions_every_spelling() {
    let words: HashSet<&str> = EXAMPLE.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    for (name, _) in OPTIONS.iter().flat_map(OptionSpec::names) {
        assert!(words.contains(name), "{name}");
    }
}

#[test]
fn the_example_says_why_before_each_option_and_has_the_groups_of_the_help() {
    let lines: Vec<&str> = EXAMPLE.lines().collect();
    for pair in lines.windows(2).filter(|pair| example_options().contains(&pair[1].trim_start_matches('#'))) {
        assert!(pair[0].starts_with("# "), "{}", pair[1]);
    }
    for group in Group::ALL.into_iter().filter(|&group| group != Command) {
        assert!(lines.contains(&format!("# {}", group.title()).as_str()), "{group:?}");
    }
}

#[test]
fn the_example_parses_with_every_option_uncommented() {
    let settings = parsed(&example_options().join("\n"));
    assert_eq!(settings.problems, []);
}

#[test]
fn the_example_shows_defaults_as_values_and_changes_as_switches() {
    for line in example_options() {
        let row = &OPTIONS[place_of(line.split('=').next().unwrap()).unwrap()];
        let (shown, default) =
            (row.kind.read(&mut parsed(line).config), row.kind.read(&mut Config::default()));
        if row.kind.takes() == HasArg::Yes && row.unset.is_empty() {
            assert_eq!(shown, default, "{line}");
        } else {
            assert_ne!(shown, default, "{line}");
        }
    }
}

#[test]
fn the_defaults_can_be_set_as_they_are_shown_in_the_help() {
    for row in settable().filter(|row| row.kind.takes() == HasArg::Yes && row.unset.is_empty()) {
        let shown = help::default(row).unwrap().replace("empty", "");
        let mut config = Config::default();
        assert_eq!(row.kind.set(&mut config, OsStr::new(&shown)), Ok(()), "{}", row.name);
        assert_eq!(config, Config::default(), "{}", row.name);
    }
}

#[test]
fn the_dump_of_the_defaults_is_the_default_configuration() {
    let settings = parsed(str::from_utf8(&dump::render(&mut Config::default(), &Origins::new())).unwrap());
    assert_eq!(settings.problems, []);
    assert_eq!(settings.config, Config::default());
}
