//! Dumps: valid as config files, with the origin of each value.

use proptest::prelude::*;

use super::*;
use crate::config::file;
use crate::config::origin::Origin;
use crate::config::settings::Settings;

fn dumped(settings: &mut Settings) -> String {
    String::from_utf8_lossy(&render(&mut settings.config, &settings.origins)).into_owned()
}

fn read_again(text: &str) -> Settings {
    let mut settings = Settings::default();
    file::parse(text.as_bytes(), "dump", &mut settings);
    assert_eq!(settings.problems, [], "{text}");
    settings
}

#[test]
fn a_line_holds_the_option_and_where_it_was_written() {
    let mut settings = Settings::default();
    file::parse(b"port=81 head_limit=32768\nchroot cgipat=/cgi-bin/*", "thttpd.conf", &mut settings);
    settings.word(b"nolisting", Origin::Assignment);
    settings.word(b"p3p=a b", Origin::Flag("-P"));
    settings.word(b"dir=/srv/a#b", Origin::Flag("-d"));
    settings.word("logfile=/var/log/blå".as_bytes(), Origin::Flag("-l"));
    settings.word(b"pidfile=/a\xff", Origin::Flag("-i"));
    let dump = dumped(&mut settings);
    for want in [
        "port=81                              # thttpd.conf:1",
        "head_limit=32K                       # thttpd.conf:1",
        "chroot                               # thttpd.conf:2",
        "nosymlinkcheck                       # thttpd.conf:2",
        "cgipat=cgi-bin/*                     # thttpd.conf:2",
        "nolisting                            # -o",
        "novhost                              # default",
        "user=nobody                          # default",
        "#p3p=a b                             # -P (a config file cannot hold this value)",
        "#dir=/srv/a#b                        # -d (a config file cannot hold this value)",
        "pidfile=/a\u{fffd}                          # -i",
        "logfile=/var/log/blå                 # -l",
        "#host=                               # default: every address",
        "#debug                               # default: off",
        "# Times, in seconds",
    ] {
        assert!(dump.lines().any(|line| line == want), "{want}\n{dump}");
    }
}

#[test]
fn neither_a_value_nor_a_file_name_can_add_a_line() {
    let mut settings = Settings::default();
    file::parse(b"user=www", "evil\nport=1", &mut settings);
    settings.config.dir = Some("a\nport=2".into());
    let dump = dumped(&mut settings);
    assert!(dump.contains("# evil\\nport=1:1\n"), "{dump}");
    assert!(dump.contains("#dir=a\\nport=2 "), "{dump}");
    assert_eq!(read_again(&dump).config.port, 80);
}

/// Random word for a random option.
fn any_word() -> impl Strategy<Value = String> {
    (0..OPTIONS.len(), any::<bool>(), 0..100_000_u32, "[a-zA-Z0-9*?|/=-]{1,12}").prop_map(
        |(at, on, n, text)| {
            let row = &OPTIONS[at];
            match &row.kind {
                Kind::CliAction(_) => "vhost".to_owned(),
                Kind::Switch(_) if on || row.off_name.is_empty() => row.name.to_owned(),
                Kind::Switch(_) => row.off_name.to_owned(),
                Kind::Number { .. } => format!("{}={n}", row.name),
                _ => format!("{}={text}", row.name),
            }
        },
    )
}

proptest! {
    #[test]
    fn dumps_read_back_as_the_same_configuration(words in prop::collection::vec(any_word(), 0..40)) {
        let mut settings = Settings::default();
        for word in words {
            // A number out of range is refused, and the previous value is kept.
            settings.word(word.as_bytes(), Origin::Assignment);
        }
        let again = read_again(&dumped(&mut settings));
        prop_assert_eq!(&again.config, &settings.config);
    }
}
