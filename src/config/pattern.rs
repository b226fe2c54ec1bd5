//! thttpd's shell-like patterns: `?`, `*`, `**` and `|` (cgipat, urlpat, localpat, throttle file).
//!
//! `*` matches any bytes but slashes, `**` any bytes, `?` any one byte (a slash too), and `|` separates
//! alternatives. Matching is case-sensitive, the whole string must match, and nothing is escaped (thttpd's
//! rule).
//!
//! Patterns are compiled when the configuration is read, and matched on every request. An alternative is
//! cut into a literal prefix, a literal suffix, and a middle. In most patterns (`**.jpg`, `cgi-bin/*`) the
//! middle is a single star, which is decided at once. Other middles are sets of states, one bit each,
//! advanced by every byte of the name: time grows with the product of both lengths divided by 64, whereas
//! backtracking can be exponential.

use std::fmt;

use super::printable::printable;

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    text: Box<[u8]>,
    alternatives: Box<[Alternative]>,
}

impl Pattern {
    /// Compiles a pattern. Every byte string is valid.
    pub fn new(text: impl AsRef<[u8]>) -> Pattern {
        let text = text.as_ref();
        let alternatives = text.split(|&b| b == b'|').map(Alternative::new).collect();
        Pattern { text: text.into(), alternatives }
    }

    /// Compiles `text` with leading slashes removed from each alternative, as thttpd does for cgipat and
    /// throttles.
    ///
    /// Names are matched without their leading slash.
    pub fn relative(text: impl AsRef<[u8]>) -> Pattern {
        let without_slashes = |one: &'_ [u8]| {
            let slashes = one.iter().take_while(|&&b| b == b'/').count();
            one[slashes..].to_vec()
        };
        let alternatives: Vec<_> = text.as_ref().split(|&b| b == b'|').map(without_slashes).collect();
        Pattern::new(alternatives.join(&b'|'))
    }

    /// Text of the pattern as matched.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Tells whether `name` matches an alternative with a character besides wildcards and slashes.
    ///
    /// `**.php` and `cgi-bin/*` select files, whereas `**` only means all.
    pub fn matches_by_name(&self, name: &[u8]) -> bool {
        self.alternatives.iter().any(|alternative| alternative.is_specific && alternative.matches(name))
    }

    /// Tells whether `name` matches an alternative that names the file itself: `**.php`, but not
    /// `cgi-bin/*`.
    pub fn matches_by_file_name(&self, name: &[u8]) -> bool {
        self.alternatives.iter().any(|alternative| alternative.names_files && alternative.matches(name))
    }

    /// Tells whether the whole of `name` matches one of the alternatives.
    pub fn matches(&self, name: &[u8]) -> bool {
        self.alternatives.iter().any(|alternative| alternative.matches(name))
    }
}

impl fmt::Display for Pattern {
    /// Writes the pattern on one line, whatever bytes it has.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&printable(&self.text))
    }
}

/// Text between two bars, compiled.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Alternative {
    /// Bytes before the first wildcard.
    prefix: Box<[u8]>,
    /// Wildcards and literals between prefix and suffix; `None` without a wildcard.
    middle: Option<Middle>,
    /// Bytes after the last wildcard.
    suffix: Box<[u8]>,
    /// Set if there is a character besides wildcards and slashes.
    is_specific: bool,
    /// Set if there is such a character behind the last slash.
    names_files: bool,
}

/// Part of a pattern that begins and ends with a wildcard.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Middle {
    /// Single `*`.
    Run,
    /// Single `**`.
    AnyRun,
    /// Any other part, as a set of states.
    States(Box<States>),
}

impl Alternative {
    fn new(text: &[u8]) -> Alternative {
        let is_wild = |b: &u8| matches!(b, b'*' | b'?');
        let first = text.iter().position(is_wild).unwrap_or(text.len());
        let end = text.iter().rposition(is_wild).map_or(first, |last| last + 1);
        let middle = match &text[first..end] {
            b"" => None,
            b"*" => Some(Middle::Run),
            // `**` together with `*` matches like `**`.
            stars if stars.iter().all(|&b| b == b'*') => Some(Middle::AnyRun),
            more => Some(Middle::States(Box::new(States::new(more)))),
        };
        let is_literal = |b: &u8| !b"*?/".contains(b);
        let file = text.rsplit(|&b| b == b'/').next().unwrap_or_default();
        Alternative {
            prefix: text[..first].into(),
            middle,
            suffix: text[end..].into(),
            is_specific: text.iter().any(is_literal),
            names_files: file.iter().any(is_literal),
        }
    }

    fn matches(&self, name: &[u8]) -> bool {
        let Some(rest) = name.strip_prefix(&*self.prefix) else { return false };
        let Some(rest) = rest.strip_suffix(&*self.suffix) else { return false };
        match &self.middle {
            None => rest.is_empty(),
            Some(Middle::Run) => !rest.contains(&b'/'),
            Some(Middle::AnyRun) => true,
            Some(Middle::States(states)) => states.accept(rest),
        }
    }
}

/// State machine: state `i` means that the first `i` single-byte steps (literals and `?`) have matched.
///
/// A star is not a step but a loop that keeps its state alive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct States {
    /// Number of steps, which is also the number of the last state.
    steps: usize,
    /// Positions of stars, per word of 64 states.
    loops: Box<[Loops]>,
    /// For each byte, its row in `moves`; 0 for bytes that are no literal of the pattern.
    class: Box<[u8; 256]>,
    /// Rows of as many words as `loops`: states that advance over a byte of the class.
    moves: Box<[u64]>,
}

/// Which of 64 states stay alive over a byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Loops {
    /// States that survive a byte other than a slash: `*` or `**`.
    no_slash: u64,
    /// States that survive any byte: `**`.
    any: u64,
}

impl States {
    fn new(text: &[u8]) -> States {
        let steps: Vec<u8> = text.iter().copied().filter(|&b| b != b'*').collect();
        let words = steps.len() / 64 + 1;
        let mut class = Box::new([0; 256]);
        let mut moves = row(&steps, b'?', words);
        for (&literal, number) in literals(&steps).iter().zip(1..) {
            class[usize::from(literal)] = number;
            moves.extend(row(&steps, literal, words));
        }
        States { steps: steps.len(), loops: loops(text, words).into(), class, moves: moves.into() }
    }

    fn accept(&self, name: &[u8]) -> bool {
        let words = self.loops.len();
        let (mut few, mut many) = ([0_u64; 4], Vec::new());
        let alive = if words <= few.len() {
            &mut few[..words]
        } else {
            many.resize(words, 0_u64);
            &mut many[..]
        };
        alive[0] = 1;
        for &byte in name {
            let row = usize::from(self.class[usize::from(byte)]) * words;
            self.step(alive, &self.moves[row..row + words], byte == b'/');
            if alive.iter().all(|&word| word == 0) {
                return false;
            }
        }
        alive[self.steps / 64] >> (self.steps % 64) & 1 == 1
    }

    /// Advances all live states over one byte: to the next state by `moves`, and to themselves by a star.
    fn step(&self, alive: &mut [u64], moves: &[u64], slash: bool) {
        let mut carry = 0;
        for ((alive, moves), loops) in alive.iter_mut().zip(moves).zip(&self.loops) {
            let stay = *alive & if slash { loops.any } else { loops.no_slash };
            let moving = *alive & moves;
            *alive = moving << 1 | carry | stay;
            carry = moving >> 63;
        }
    }
}

/// States that advance over `byte`: those whose step is this literal or `?`.
fn row(steps: &[u8], byte: u8, words: usize) -> Vec<u64> {
    let mut row = vec![0; words];
    for (state, _) in steps.iter().enumerate().filter(|&(_, &step)| step == b'?' || step == byte) {
        row[state / 64] |= 1 << (state % 64);
    }
    row
}

/// Distinct literals among the steps.
fn literals(steps: &[u8]) -> Vec<u8> {
    (0..=u8::MAX).filter(|byte| *byte != b'?' && steps.contains(byte)).collect()
}

/// States with a star.
fn loops(text: &[u8], words: usize) -> Vec<Loops> {
    let mut loops = vec![Loops::default(); words];
    let mut state = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte != b'*' {
            state += 1;
            continue;
        }
        let (word, bit) = (state / 64, 1 << (state % 64));
        loops[word].no_slash |= bit;
        if text[..at].ends_with(b"*") {
            loops[word].any |= bit;
        }
    }
    loops
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reference matcher: the plain recursive definition, exponential at worst.
    fn oracle(pattern: &[u8], name: &[u8]) -> bool {
        if let Some(bar) = pattern.iter().position(|&b| b == b'|') {
            return oracle(&pattern[..bar], name) || oracle(&pattern[bar + 1..], name);
        }
        let some_run = |rest: &[u8], longest: usize| (0..=longest).any(|n| oracle(rest, &name[n..]));
        match pattern {
            [] => name.is_empty(),
            [b'*', b'*', rest @ ..] => some_run(rest, name.len()),
            [b'*', rest @ ..] => some_run(rest, name.iter().position(|&b| b == b'/').unwrap_or(name.len())),
            [b'?', rest @ ..] => !name.is_empty() && oracle(rest, &name[1..]),
            [byte, rest @ ..] => name.first() == Some(byte) && oracle(rest, &name[1..]),
        }
    }

    #[test]
    fn each_wildcard_means_what_thttpd_says() {
        let cases: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "A", false),
            ("a", "ab", false),
            ("?", "", false),
            ("?", "/", true),
            ("?", "é", false),
            ("*", "", true),
            ("*", ".htaccess", true),
            ("*", "a/b", false),
            ("**", "a/b", true),
            ("***", "a/b", true),
            ("**.cgi", "a/b/c.cgi", true),
            ("**.cgi", "a/b/c.cgi/d", false),
            ("/cgi-bin/*", "cgi-bin/x", false),
            ("*/cgi-bin/*", "host/cgi-bin/x", true),
            ("*/cgi-bin/*", "a/b/cgi-bin/x", false),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a|b|", "b", true),
            ("a|b|", "", true),
            ("a|b", "a|b", false),
            ("[ab]", "a", false),
            ("\\*", "*", false),
            // `?` matches a slash after a `*` that cannot: remembering one star is not enough.
            ("*?b*c", "a/b/bxc", false),
            ("**/?*/c", "x/y/z/c", true),
            ("*?*?c", "a//c", true),
        ];
        for (pattern, name, want) in cases {
            assert_eq!(Pattern::new(pattern).matches(name.as_bytes()), *want, "{pattern} {name}");
        }
    }

    #[test]
    fn an_alternative_is_specific_by_a_character_of_its_own() {
        for (pattern, name, want) in [
            ("**.php", "a/db.php", true),
            ("cgi-bin/*", "cgi-bin/x", true),
            ("**", "a/db.php", false),
            ("*/**", "a/db.php", false),
            ("**|**.php", "db.php", true),
            ("**|**.php", "db.txt", false),
            ("**/a?b/*", "x/a-b/c", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches_by_name(name.as_bytes()), want, "{pattern} {name}");
        }
        for (pattern, want) in
            [("**.php", true), ("cgi-bin/*", false), ("cgi-bin/*.php", true), ("**", false)]
        {
            assert_eq!(Pattern::new(pattern).matches_by_file_name(b"cgi-bin/x.php"), want, "{pattern}");
        }
    }

    #[test]
    fn relative_removes_the_leading_slash_of_each_alternative() {
        let cases =
            [("/cgi-bin/*|/**.cgi", "cgi-bin/*|**.cgi"), ("//a|//b", "a|b"), ("a/b", "a/b"), ("|/", "|")];
        for (text, want) in cases {
            assert_eq!(Pattern::relative(text).as_bytes(), want.as_bytes());
        }
    }

    #[test]
    fn steps_beyond_one_machine_word_carry_over() {
        for steps in [62, 63, 64, 65, 127, 128, 255, 256, 300] {
            let pattern = Pattern::new(format!("*{}*", "?".repeat(steps)));
            assert!(pattern.matches(&vec![b'x'; steps]), "{steps}");
            assert!(pattern.matches(&vec![b'x'; steps + 9]), "{steps}");
            assert!(!pattern.matches(&vec![b'x'; steps - 1]), "{steps}");
        }
    }

    /// Backtracking would take some 10^40 steps here.
    #[test]
    fn many_stars_cost_no_more_than_few() {
        let pattern = Pattern::new("**a".repeat(40));
        assert!(!pattern.matches(&[b"a".repeat(2000), b"b".to_vec()].concat()));
        assert!(pattern.matches(&b"a".repeat(2000)));
    }

    proptest! {
        #[test]
        fn every_pattern_matches_as_the_definition_says(
            pattern in "[ab/?*|]{0,12}",
            name in "[ab/]{0,12}",
        ) {
            let got = Pattern::new(&pattern).matches(name.as_bytes());
            prop_assert_eq!(got, oracle(pattern.as_bytes(), name.as_bytes()));
        }

        /// Names are made from the pattern, so that matches are common too.
        #[test]
        fn every_name_made_from_a_pattern_matches_it(
            parts in prop::collection::vec((0..4_u8, "[a-c/]{0,3}", "[a-c]{0,3}"), 0..40),
        ) {
            let (mut pattern, mut name) = (String::new(), String::new());
            for (kind, any, no_slash) in &parts {
                let (left, right) = match kind {
                    0 => ("**", any.as_str()),
                    1 => ("*", no_slash.as_str()),
                    2 => ("?", "/"),
                    _ => (any.as_str(), any.as_str()),
                };
                pattern.push_str(left);
                name.push_str(right);
            }
            prop_assert!(Pattern::new(&pattern).matches(name.as_bytes()), "{} {}", pattern, name);
        }
    }
}
