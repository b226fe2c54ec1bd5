//! The nearest word: what was probably meant by an unknown option.

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
    let one: Vec<char> = one.chars().flat_map(char::to_lowercase).collect();
    let other: Vec<char> = other.chars().flat_map(char::to_lowercase).collect();
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
