//! Test vectors by other programs: `openssl passwd`, Apache's `htpasswd`, perl's crypt (libxcrypt).
//!
//! The `.htpasswd` of the recorded exchanges is included.

use proptest::prelude::*;

use super::*;

const FORTY_ONE: &[u8] = b"a password of forty-one characters, truly";

const VECTORS: &[(&[u8], &str)] = &[
    // Made with perl's crypt: seven bits of eight characters count.
    (b"wonder", "ab5da3hZp5iFU"),
    (b"toor", "zzyFDjAEl8M4."),
    (b"", "./Una9Fi.seRo"),
    (b"a", "ZzsizYWrNJRQc"),
    (b"exactly8", "9/ZzjeGx8sfxo"),
    (b"exactly8 and more", "9/ZzjeGx8sfxo"),
    (b"p\xe4ssw\xf6rd", "x.m4wTCtEHRkg"),
    (b"pdsswvrd", "x.m4wTCtEHRkg"),
    (b"longer than eight", "QQJ.eG4KQyBjc"),
    // openssl passwd -1 and perl.
    (b"", "$1$Salt.1/x$MnfvDWmsNF4irExmsZUU51"),
    (b"a", "$1$Salt.1/x$waFiKoCpaQxlvd9slNvX2/"),
    (b"hello", "$1$Salt.1/x$oUiOwVn6RtGWCHXdNoDtL1"),
    (FORTY_ONE, "$1$Salt.1/x$1oXpO98C78ZyCIwNrHbEw0"),
    (b"secret:more", "$1$12345678$yEGnAuXegQ5OiB5iagIn4."),
    (b"", "$1$$qRPK7m23GJusamGpoGLby/"),
    // openssl passwd -apr1 and htpasswd -m.
    (b"", "$apr1$Salt.1/x$Dlx9.AJLt4yS4WygBL6Wf0"),
    (b"a", "$apr1$Salt.1/x$kBN4p0wVN.fJIaPmowbvs0"),
    (FORTY_ONE, "$apr1$Salt.1/x$dD8qLiebdOBrc6gZDE0X91"),
    (b"correct horse", "$apr1$iMjpyiKQ$MYTu2aOK6rhs9xTDSPrXj."),
    // perl and htpasswd -B.
    (b"U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    (b"", "$2y$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq"),
    (&[b'x'; 80], "$2b$04$......................SZFhVdUK5wGKY4lx/QrgUMHG0XsWjbi"),
    (&[b'x'; 72], "$2b$04$......................SZFhVdUK5wGKY4lx/QrgUMHG0XsWjbi"),
    (b"p\xe4ss", "$2y$04$abcdefghijklmnopqrstuu1L3qhPthuwddSyHopqP/p1oYCozgT7m"),
    (b"correct horse", "$2y$04$625uY9SFFty144oTEWvqCuW2CnUAECaMctr37pJ80H6lKM.pMLJMC"),
    // openssl passwd -5, perl, htpasswd -5.
    (b"a", "$5$$QG6CCM7eJAxpUPcBpn0Z2K29NHtaI6Mk1fCpPrpjdj3"),
    (b"hello", "$5$Salt.1/x$faWkm2e.Pz2cmxHwozOPZ7fy7mi2vYcAGY8wTU07Op4"),
    (FORTY_ONE, "$5$Salt.1/x$7xhKZMs4mxebB.jFNX1hqQqmj7wKFr/1/Yom8CFpeF4"),
    (&[b'x'; 33], "$5$rounds=1234$a$5PhKEP8gs923tUR7Ea3sNDr0l34OeabdRsVg9hmYDMD"),
    (b"correct horse", "$5$D9SLjl5v6qqPBxel$S5uiglG9wPewVbaImnmrh7UzP6Rx1iwhMMKnQ8RZyAC"),
    // openssl passwd -6, perl, the recorded tree.
    (b"", "$6$$/chiBau24cE26QQVW3IfIe68Xu5.JQ4E8Ie7lcRLwqxO5cxGuBhqF2HmTL.zWJ9zjChg3yJYFXeGBQ2y3Ba1d1"),
    (
        b"a",
        "$6$Salt.1/x$AI38f23Wb77ZVW.GG8VEpEca4x8Nw1aqElNbj3gCBgp7c8xJyaVhswZpiuVbEFt3uuZ9BF6Snuv.EQMgQJ4ka1",
    ),
    (
        FORTY_ONE,
        "$6$Salt.1/x$W8.Aku7fHmS.nl6xPf1ELsKR4HKFB3MlIQ3UGnFyi7R2oJFwic61ca/3gwck2R8wJBHqnZ0Deplq1iJ.PnYE51",
    ),
    (
        &[b'x'; 100],
        "$6$rounds=1000$0123456789abcdef$YuY9JJen25lTUY7EM6hCCYwjDk4in7o2JfUsdnbCiQGBp7TNrnx2bpzBZTG9Un9xTV2Y6Dy6RNeoW94STiEFU0",
    ),
    (
        b"p\xe4ss",
        "$6$saltstring$5Tl84HiAjL8MDbf85UY2oxvccy8hzfahPWs8.s1I7ChyB011EsgEz.ti0l6UrNjzdgG0tTJ0zH1RDeXClCkmM.",
    ),
    (
        b"christmas",
        "$6$saltsalt$KC2vuwq3xKI.x9PeWn882cDlqFmFxl4vvAa9cybW0klkg.6Y4MVRdJPulCGGQYNf/TCIzdPQFkK0bxfGBh0oO/",
    ),
];

const SCHEMES: [HashScheme; 6] = [
    HashScheme::Des,
    HashScheme::Md5,
    HashScheme::Apr1,
    HashScheme::Bcrypt { cost: 4 },
    HashScheme::Sha256 { rounds: 1000 },
    HashScheme::Sha512 { rounds: 1000 },
];

#[test]
fn hashes_made_by_other_programs_match_their_password() {
    for (password, hash) in VECTORS {
        assert!(verify(hash.as_bytes(), password), "{hash} {}", password.escape_ascii());
    }
}

#[test]
fn another_password_never_matches() {
    for (password, hash) in VECTORS {
        // The change is within the significant part of every scheme.
        let other = [b"!", *password].concat();
        assert!(!verify(hash.as_bytes(), &other), "{hash}");
    }
}

#[test]
fn a_changed_shortened_or_lengthened_hash_never_matches() {
    for (password, hash) in VECTORS {
        let hash = hash.as_bytes();
        assert!(!verify(&hash[..hash.len() - 1], password));
        assert!(!verify(&[hash, b"."].concat(), password));
        let mut changed = hash.to_vec();
        // The first digest character is changed, as the last one may hold unused bits.
        let at = hash.len() - 11;
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        assert!(!verify(&changed, password), "{}", changed.escape_ascii());
    }
}

#[test]
fn unknown_and_broken_forms_never_match() {
    let broken = [
        "",
        "*",
        "!",
        "x",
        "$",
        "$$",
        "$1",
        "$1$",
        "$1$salt",
        "$1$123456789$yEGnAuXegQ5OiB5iagIn4.",
        "$2y$",
        "$2y$04$",
        "$2y$04$short",
        "$2x$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq",
        "$2y$4x$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq",
        "$2y$4$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq",
        "$2y$03$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq",
        "$2y$31$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq",
        "$2y$04$abcdefghi!klmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq",
        "$5$rounds=$a$",
        "$5$rounds=999$$QG6CCM7eJAxpUPcBpn0Z2K29NHtaI6Mk1fCpPrpjdj3",
        "$5$rounds=999999999$$QG6CCM7eJAxpUPcBpn0Z2K29NHtaI6Mk1fCpPrpjdj3",
        "$5$rounds=99999999999999999999$$QG6CCM7eJAxpUPcBpn0Z2K29NHtaI6Mk1fCpPrpjdj3",
        "$5$rounds=+5000$$QG6CCM7eJAxpUPcBpn0Z2K29NHtaI6Mk1fCpPrpjdj3",
        "$y$j9T$abc$def",
        "{SHA}qvTGHdzF6KLavt4PO0gs2a6pQ00=",
        "plain",
        "!!Una9Fi.seRo",
    ];
    for hash in broken {
        for password in ["", "a", hash] {
            assert!(!verify(hash.as_bytes(), password.as_bytes()), "{hash}");
        }
    }
}

#[test]
fn the_random_bytes_become_the_salt() {
    let random = *b"\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x3f";
    let starts = ["./", "$1$./012345$", "$apr1$./012345$", "$2y$04$..CA.uOD/eaGAOmJB.yMNu"];
    for (scheme, start) in SCHEMES.iter().zip(starts) {
        let hash = make(*scheme, &random, b"x").unwrap();
        assert!(hash.starts_with(start.as_bytes()), "{}", hash.escape_ascii());
    }
    let sha = make(HashScheme::Sha512 { rounds: SHA_ROUNDS }, &random, b"x").unwrap();
    assert!(sha.starts_with(b"$6$./0123456789ABCz$"), "{}", sha.escape_ascii());
}

#[test]
fn a_work_factor_out_of_bounds_makes_no_hash() {
    for scheme in [
        HashScheme::Bcrypt { cost: 3 },
        HashScheme::Bcrypt { cost: 18 },
        HashScheme::Sha256 { rounds: 999 },
        HashScheme::Sha512 { rounds: MOST_SHA_ROUNDS + 1 },
    ] {
        assert_eq!(make(scheme, &[0; 16], b"x"), None, "{scheme:?}");
    }
}

#[test]
fn the_schemes_that_stretch_are_slow() {
    for (_, hash) in VECTORS {
        let stretches = ["$2", "$5", "$6"].iter().any(|id| hash.starts_with(id));
        assert_eq!(is_slow(hash.as_bytes()), stretches, "{hash}");
    }
    assert!(!is_slow(b"$2y$31$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq"), "never computed");
}

#[test]
fn digests_are_compared_to_their_last_byte() {
    assert!(same(b"", b"") && same(b"abc", b"abc"));
    assert!(!same(b"abc", b"abd") && !same(b"xbc", b"abc") && !same(b"ab", b"abc") && !same(b"abc", b"ab"));
}

/// Random text that often passes the first checks of the parser.
fn hash_like() -> impl Strategy<Value = Vec<u8>> {
    let id = prop::sample::select(vec![
        "",
        "$1$",
        "$apr1$",
        "$2y$04$",
        "$2a$",
        "$5$",
        "$6$",
        "$5$rounds=1000$",
        "$6$rounds=",
    ]);
    (id, prop::collection::vec(any::<u8>(), 0..70)).prop_map(|(id, rest)| [id.as_bytes(), &rest].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn made_hashes_verify_their_password_alone(
        scheme in prop::sample::select(&SCHEMES[..]),
        random in any::<[u8; 16]>(),
        password in "[a-z]{1,8}",
        other in "[a-z]{1,8}",
    ) {
        let hash = make(scheme, &random, password.as_bytes()).unwrap();
        prop_assert!(verify(&hash, password.as_bytes()));
        prop_assert_eq!(verify(&hash, other.as_bytes()), other == password);
    }

    #[test]
    fn any_hash_and_password_are_judged_without_panic(
        hash in hash_like(),
        password in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        prop_assert!(!verify(&hash, &password));
        let _ = is_slow(&hash);
    }
}

#[test]
fn a_hash_of_an_unknown_form_is_named_by_its_kind_and_nothing_more() {
    for (hash, part) in [
        ("$y$j9T$abc$secret", "$y$ (yescrypt)"),
        ("$gy$j9T$abc$secret", "$gy$ (yescrypt)"),
        ("$7$CU..../....abc$secret", "$7$ (scrypt)"),
        ("$argon2id$v=19$secret", "$argon2id$ (Argon2)"),
        ("{SHA}secret", "{SHA} (unsalted or LDAP SHA-1)"),
        ("{SSHA}secret", "{SSHA} (unsalted or LDAP SHA-1)"),
        ("{PLAIN}secret", "{PLAIN} (unknown)"),
        ("_J9..CCCCXBrJUJVsecret", "perhaps the password itself"),
        ("_J9..CCCCXBrJUsecret", "the hash _ (BSDi's extended DES) is not understood"),
        ("_J9..CCCC:BrJUsecret", "perhaps the password itself"),
        ("$6$", "$6$ (incomplete)"),
        ("$6$rounds=999999999$salt$secret", "rounds"),
        ("$2y$31$0123456789012345678901secret", "rounds"),
        ("secret", "perhaps the password itself"),
        ("$secret", "perhaps the password itself"),
        ("{secret", "perhaps the password itself"),
    ] {
        let trouble = trouble(hash.as_bytes()).expect(hash);
        assert!(trouble.contains(part) && !trouble.contains("secret"), "{hash}: {trouble}");
    }
    for hash in ["", "*", "!", "!!", "ab5da3hZp5iFU", "$1$salt$digest", "$5$salt$digest"] {
        assert_eq!(trouble(hash.as_bytes()), None, "{hash}");
    }
}
