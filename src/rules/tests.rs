//! The grammar of the rules file.

use proptest::prelude::*;

use std::path::Path;

use super::guard::Guard;
use super::rate::Rate;
use super::*;
use crate::request::client::ClientAddress;
use crate::throttle;

fn parsed(text: &str) -> Rules {
    Rules::parse(text.as_bytes(), "rules").unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

/// Faults of `text`, a line each.
fn faults(text: &str) -> Vec<String> {
    let faults = Rules::parse(text.as_bytes(), "rules").err().unwrap_or_default();
    faults.iter().map(Fault::to_string).collect()
}

#[test]
fn comments_begin_at_a_line_or_behind_a_blank_and_nowhere_else() {
    let text =
        "# all\n\n  # indented\na#b cache 1 # why\n\tcache 2\t#\n**\theader X: #1\r\n**\theader X: a#1\n";
    let said = faults(text);
    assert_eq!(said, ["rules:6: X has no value"], "a blank and # begin a comment");
    let dump = parsed(&text.replace("\n**\theader X: #1\r", "")).dump();
    assert_eq!(dump, "# rules:4: a#b cache 1\n# rules:5: a#b cache 2\n# rules:6: ** header X: a#1\n");
}

#[test]
fn equal_request_limits_have_a_bucket_each_also_after_a_reload() {
    let text = "a requests 2/h\nb requests 2/h\na requests 2/h\n";
    let (old, mut new) = (parsed(text), parsed(text));
    new.follow(&old);
    let take = |rules: &Rules, line: usize| match &rules.guards[line].action {
        Guard::Requests(requests) => requests.take(ClientAddress::Unix).is_ok(),
        _ => panic!("a limit"),
    };
    for line in [0, 2] {
        assert!(take(&old, line), "each request takes a token of both lines");
        assert!(take(&new, line));
        assert!(!take(&new, line), "the old and the new line share a bucket");
    }
}

#[test]
fn an_indented_line_goes_on_with_the_pattern_above() {
    let rules = parsed("a cache 1\n cache 2\n\n\t deny unix\nb cache 3\n");
    assert_eq!(
        rules.response.iter().map(|line| line.pattern.to_string()).collect::<Vec<_>>(),
        ["a", "a", "b"]
    );
    assert_eq!(rules.guards[0].pattern.to_string(), "a");
    assert_eq!(faults(" cache 1\n"), ["rules:1: begins with a blank, but there is no pattern above it"]);
    assert_eq!(faults("//h cache 1\n cache x\n").len(), 1, "of a pattern at fault one word is enough");
}

#[test]
fn every_fault_is_told_with_its_line_and_the_nearest_word() {
    let text = "a redirct 301 /\nb\nc cache imutable\nd redirect 300 /\ne redirect 301\nf status 200 x\n\
                g header X-A\nh allow nowhere\ni 10-5\nj 5k\nk try html\nl fallback /\nm status 401\n\
                n cache ${THTTPD_NO_SUCH}\n";
    let want = [
        "rules:1: redirct: unknown action; did you mean redirect?",
        "rules:2: an action must follow the pattern",
        "rules:3: imutable: did you mean immutable?",
        "rules:4: 300: a redirect is 301, 302, 303, 307 or 308",
        "rules:5: write redirect CODE TARGET",
        "rules:6: write status CODE",
        "rules:7: write header NAME: VALUE, header +NAME: VALUE or header -NAME",
        "rules:8: nowhere is no address, network or unix",
        "rules:9: the minimum is above the maximum",
        "rules:10: 5k: nothing may follow the rate",
        "rules:11: html: a suffix begins with . or - and has no slash",
        "rules:12: : a fallback names a file from the top of the host's tree",
        "rules:13: 401: a response of this status needs fields that status does not send",
        "rules:14: ${THTTPD_NO_SUCH}: the environment has no THTTPD_NO_SUCH; write ${THTTPD_NO_SUCH:-text} \
         for a default",
    ];
    assert_eq!(faults(text), want);
}

#[test]
fn every_action_is_read() {
    let text = "a redirect 308 https://$host/$1?\na rewrite /b.cgi?x=$1\n\
                a try .html -x\na fallback /i.html any\na status 204\n/e.json env A=1\na pass\n\
                a allow 10.0.0.0/8, unix\na deny ::1\na auth /etc/users The realm\na auth -\n\
                a requests per-address 5/s burst 9\na header +X: y\na cache never\na type a/b\n\
                a charset -\na cors https://a.example\na listing classic\na 5\na 1-5\n\
                a per-address 5\na per-connection 5\nconnections per-address 9\n";
    let rules = parsed(&text.replace("a re", "* re"));
    assert_eq!((rules.routes.len(), rules.guards.len()), (7, 5));
    assert_eq!((rules.response.len(), rules.rates.len()), (6, 4));
    assert_eq!(rules.connections_per_address(), Some(9));
    assert_eq!(rules.dump().lines().count(), 7 + 5 + 6 + 4 + 1);
}

/// Lines of throttle files, sound ones and others, none of them of the exceptions that the manual names.
fn old_line() -> impl Strategy<Value = String> {
    let pattern = "(/?[a-c\u{e9}*?]{1,4}\\|?){1,2}";
    let rate = prop_oneof![
        "[0-9]{1,6}",
        "[0-9]{1,3}-[0-9]{3,5}",
        "[0-9]{1,3}- [0-9]{3,5}",
        "per-address [1-9]{1,3}",
        "per-connection [1-9]{1,3}",
    ];
    prop_oneof![
        (pattern, "[ \t]{1,3}", rate, "(|[ \t]{1,2}|[ \t]# \u{fc})")
            .prop_map(|(p, b, r, end)| p + &b + &r + &end),
        Just("connections per-address 20".to_owned()),
        Just("/connections per-address 20".to_owned()),
        Just("# comment".to_owned()),
        Just(String::new()),
    ]
}

proptest! {
    #[test]
    fn an_old_throttle_file_means_what_it_meant(lines in proptest::collection::vec(old_line(), 0..8)) {
        // Old files are in Latin-1.
        let text: Vec<u8> = lines.join("\n").chars().map(|char| char as u8).collect();
        let old = throttle::file::parse(Path::new("rules"), &text);
        match Rules::parse(&text, "rules") {
            Ok(rules) => {
                prop_assert_eq!(&old.problems, &[]);
                let facts = |pattern: &Pattern, rate: &Rate| {
                    let names: [&[u8]; 9] =
                        [b"", b"a", b"b", b"ab", b"a/b", b"abc", b"c", b"\xe9", b"connections"];
                    let covered = names.map(|name| pattern.matches(&Name::plain(name)));
                    (covered, rate.each, rate.min, rate.max)
                };
                let ours: Vec<_> = rules.rates().map(|rate| facts(&rate.pattern, rate)).collect();
                let theirs: Vec<_> = old.rules.iter().map(|rate| facts(&rate.pattern, rate)).collect();
                prop_assert_eq!(ours, theirs);
                prop_assert_eq!(rules.connections_per_address(), old.connections_per_address);
            }
            Err(faults) => prop_assert!(!old.problems.is_empty(), "{:?} of {}", faults, text.escape_ascii()),
        }
    }

    #[test]
    fn any_bytes_are_rules_or_faults(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Err(faults) = Rules::parse(&bytes, "rules") {
            prop_assert!(!faults.is_empty());
        }
    }
}
