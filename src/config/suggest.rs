//! Suggestions for words that are no option.

use getopts::HasArg;

use super::options::{OPTIONS, OptionSpec};
use super::printable::printable;

/// The config-file name that `word` is probably a slip of.
pub fn name(word: &str) -> Option<String> {
    nearest(word, names()).map(str::to_owned)
}

/// Suggestion for the unknown flag `word`: another flag, a config-file name, or a
/// value glued to its flag.
pub fn flag(word: &str) -> Option<String> {
    let bare = word.trim_start_matches('-');
    let (name, value) = bare.split_once('=').map_or((bare, None), |(name, value)| (name, Some(value)));
    let flags = OPTIONS.iter().flat_map(OptionSpec::flags).map(|(flag, _)| flag.trim_start_matches('-'));
    if let Some(meant) = nearest(name, names().chain(flags)) {
        return OPTIONS.iter().find_map(|row| in_place_of(meant, row, value));
    }
    let glued = OPTIONS.iter().filter(|row| row.flag.len() == 2 && row.kind.takes() == HasArg::Yes);
    let mut glued = glued.filter_map(|row| Some((row.flag, word.strip_prefix(row.flag)?)));
    glued.next().map(|(flag, value)| format!("{flag} {}", printable(value.as_bytes())))
}

/// How the command line says `meant`, if that is a name, or a flag without its dashes, of `row`.
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

/// Every config-file name.
fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().flat_map(OptionSpec::names).map(|(name, _)| name)
}

/// The candidate that `word` is most likely a slip of, if one is near: at most one slip in three
/// characters, so that short words do not turn into anything.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let most = word.chars().count() / 3;
    candidates
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Slips between two words: letters put in, left out, changed, or two neighbours swapped (the
/// restricted Damerau-Levenshtein distance), letter case aside.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.to_ascii_lowercase().chars().collect();
    let other: Vec<char> = other.to_ascii_lowercase().chars().collect();
    // rows[i][j] is the distance of the first i characters of `one` to the first j of `other`.
    let mut rows = vec![(0..=other.len()).collect::<Vec<usize>>()];
    for i in 1..=one.len() {
        let mut row = vec![i];
        for j in 1..=other.len() {
            let change = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && one[i - 1] == other[j - 2] && one[i - 2] == other[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
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
    fn a_near_word_is_found_and_a_far_one_is_not() {
        let words = || ["port", "pidfile", "user"].into_iter();
        assert_eq!(nearest("prot", words()), Some("port"));
        assert_eq!(nearest("pidflie", words()), Some("pidfile"));
        assert_eq!(nearest("group", words()), None);
        assert_eq!(nearest("", words()), None);
    }
}
