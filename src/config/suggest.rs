//! Suggestions for unknown options.

use getopts::HasArg;

use super::options::{OPTIONS, OptionSpec};
use super::printable::printable;

/// Names that other servers, and other versions of this one, have for our options.
const SYNONYMS: [(&str, &str); 14] = [
    ("hostname", "host"),
    ("root", "dir"),
    ("docroot", "dir"),
    ("directory", "dir"),
    ("data-directory", "data_dir"),
    ("username", "user"),
    ("log", "logfile"),
    ("pid", "pidfile"),
    ("virtual-host", "vhost"),
    ("check-symlinks", "symlinkcheck"),
    ("check-referer", "noemptyreferrers"),
    ("local-pattern", "localpat"),
    ("url-pattern", "urlpat"),
    ("list-dotfiles", "hide_dotfiles"),
];

/// The config-file name that `word` is probably a slip of, or another name for.
pub fn name(word: &str) -> Option<String> {
    synonym(word).or_else(|| nearest(word, &mut names())).map(str::to_owned)
}

fn synonym(word: &str) -> Option<&'static str> {
    SYNONYMS.iter().find(|(other, _)| *other == word).map(|(_, ours)| *ours)
}

/// Suggestion for the unknown flag `word`: another flag, a config-file name, or a separated value.
pub fn flag(word: &str) -> Option<String> {
    let bare = word.trim_start_matches('-');
    let (name, value) = bare.split_once('=').map_or((bare, None), |(name, value)| (name, Some(value)));
    let flags = OPTIONS.iter().flat_map(OptionSpec::flags).map(|(flag, _)| flag.trim_start_matches('-'));
    if let Some(meant) = synonym(name).or_else(|| nearest(name, &mut names().chain(flags))) {
        return OPTIONS.iter().find_map(|row| in_place_of(meant, row, value));
    }
    let glued = OPTIONS.iter().filter(|row| row.flag.len() > 1 && row.kind.takes() == HasArg::Yes);
    let glued = glued.filter_map(|row| Some((row.flag, word.strip_prefix(row.flag)?)));
    // -ddwww is rather -dd www than -d dwww.
    let longest = glued.max_by_key(|(flag, _)| flag.len());
    longest.map(|(flag, value)| format!("{flag} {}", printable(value.as_bytes())))
}

/// Command-line form of `meant`, which is a name of `row`, or its flag without dashes.
fn in_place_of(meant: &str, row: &OptionSpec, value: Option<&str>) -> Option<String> {
    let by_flag = || row.flags().find(|(flag, _)| flag.trim_start_matches('-') == meant);
    let on = row.turned_by(meant).or_else(|| by_flag().map(|(_, on)| on))?;
    let flag = row.flags().find(|(_, way)| *way == on).map(|(flag, _)| flag);
    let noun = if row.value.is_empty() { row.kind.noun() } else { row.value };
    let value = value.unwrap_or(noun);
    Some(match (flag, row.kind.takes()) {
        (Some(flag), HasArg::No) => flag.to_owned(),
        (Some(flag), _) => format!("{flag} {value}"),
        (None, HasArg::No) => format!("-o {meant}"),
        (None, _) => format!("-o {meant}={value}"),
    })
}

/// All config-file names.
fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().flat_map(OptionSpec::names).map(|(name, _)| name)
}

/// Candidate that is most similar to `word`, with at most one error in three characters.
///
/// Short words are thus not replaced by unrelated ones.
pub fn nearest<'a>(word: &str, candidates: &mut dyn Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let most = word.chars().count() / 3;
    let (mut found, mut least) = (None, most + 1);
    let (mut longer, mut is_alone) = (None, word.len() > 2);
    for candidate in candidates {
        let distance = distance(word, candidate);
        if distance < least {
            (found, least) = (Some(candidate), distance);
        }
        if candidate.starts_with(word) {
            is_alone &= longer.is_none_or(|other| other == candidate);
            longer = Some(candidate);
        }
    }
    found.or(longer.filter(|_| is_alone))
}

/// Number of typing errors between two words, without regard to case.
///
/// Errors are insertions, deletions, changes, and swaps of neighbours (restricted Damerau-Levenshtein
/// distance).
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (folded(one), folded(other));
    let width = other.len() + 1;
    // rows[i * width + j] is the distance of the first i characters of `one` to the first j of `other`.
    let mut rows: Vec<usize> = (0..width).collect();
    for i in 1..=one.len() {
        rows.push(i);
        for j in 1..width {
            let at = i * width + j;
            let change = rows[at - width - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = change.min(rows[at - width] + 1).min(rows[at - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[at - 2 * width - 2] + 1);
            }
            rows.push(least);
        }
    }
    rows.last().copied().unwrap_or_default()
}

fn folded(word: &str) -> Vec<char> {
    word.chars().map(|letter| letter.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_slip_counts_once() {
        let cases = [("port", "port", 0), ("prt", "port", 1), ("portt", "port", 1), ("pert", "port", 1)];
        for (one, other, want) in cases.into_iter().chain([("prot", "port", 1), ("Port", "port", 0)]) {
            assert_eq!(distance(one, other), want, "{one} {other}");
        }
    }

    #[test]
    fn other_names_for_an_option_lead_to_an_option() {
        for (other, ours) in SYNONYMS {
            assert_eq!(name(other).as_deref(), Some(ours));
            assert!(names().any(|known| known == ours), "{ours}");
            assert!(flag(&format!("--{other}")).is_some(), "{other}");
        }
        assert_eq!(flag("--expl").as_deref(), Some("--explain url"));
        assert_eq!(flag("--dump").as_deref(), Some("--dump-config"));
        assert_eq!(flag("--root").as_deref(), Some("-d dir"));
        assert_eq!(flag("-dwww").as_deref(), Some("-d www"));
        assert_eq!(flag("-ddwww").as_deref(), Some("-dd www"));
    }

    #[test]
    fn a_near_word_is_found_and_a_far_one_is_not() {
        let words = || ["port", "pidfile", "user"].into_iter();
        assert_eq!(nearest("prot", &mut words()), Some("port"));
        assert_eq!(nearest("pidflie", &mut words()), Some("pidfile"));
        assert_eq!(nearest("group", &mut words()), None);
        let short = (nearest("pid", &mut words()), nearest("us", &mut words()));
        assert_eq!(short, (Some("pidfile"), None));
        assert_eq!(nearest("pid", &mut ["pidfile", "pidname"].into_iter()), None);
        assert_eq!(nearest("", &mut words()), None);
    }
}
