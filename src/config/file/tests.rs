//! Config files: thttpd's rules, files from distributions, and common errors.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::config::error::ConfigErrors;
use crate::config::error_kind::ConfigErrorKind;
use crate::config::pattern::Pattern;
use crate::config::{Config, LogTarget};

fn read_text(text: &[u8]) -> Settings {
    let mut settings = Settings::default();
    parse(text, "thttpd.conf", &mut settings);
    settings
}

fn config(text: &str) -> Config {
    let settings = read_text(text.as_bytes());
    assert_eq!(settings.problems, [], "{text}");
    settings.config
}

/// Text that standard error shows.
fn told(text: &[u8]) -> String {
    let settings = read_text(text);
    ConfigErrors { program: "thttpd".to_owned(), list: settings.problems, hint: settings.hint }.to_string()
}

#[test]
fn each_name_of_thttpd_sets_what_it_always_set() {
    type Holds = fn(&Config) -> bool;
    let cases: &[(&str, Holds)] = &[
        ("debug", |c| c.foreground),
        ("port=8080", |c| c.port == 8080),
        ("dir=/www", |c| c.dir == Some("/www".into())),
        ("chroot", |c| c.chroot && !c.symlink_check),
        ("chroot nochroot", |c| !c.chroot && c.symlink_check),
        ("data_dir=data", |c| c.data_dir == Some("data".into())),
        ("nosymlinkcheck", |c| !c.symlink_check),
        ("nosymlinkcheck symlinkcheck", |c| c.symlink_check),
        // Names of thttpd 2.25 and sthttpd.
        ("nosymlink", |c| !c.symlink_check),
        ("nosymlinks", |c| !c.symlink_check),
        ("nosymlinks symlink", |c| c.symlink_check),
        ("chroot symlinks", |c| c.chroot && c.symlink_check),
        ("user=www", |c| c.user == "www"),
        ("cgipat=/cgi-bin/*|/b", |c| c.cgi_pattern == Some(Pattern::new("cgi-bin/*|b"))),
        ("cgilimit=7", |c| c.cgi_limit == 7),
        ("urlpat=/x|y", |c| c.url_pattern == Some(Pattern::new("/x|y"))),
        ("localpat=*.a.b", |c| c.local_pattern == Some(Pattern::new("*.a.b"))),
        ("noemptyreferers", |c| c.no_empty_referrers),
        ("noemptyreferrers", |c| c.no_empty_referrers),
        ("throttles=t", |c| c.throttle_file == Some("t".into())),
        ("host=a.b", |c| c.host.as_deref() == Some("a.b")),
        ("logfile=l", |c| c.log == LogTarget::File("l".into())),
        ("vhost", |c| c.vhost),
        ("vhost novhost", |c| !c.vhost),
        ("globalpasswd", |c| c.global_passwd),
        ("globalpasswd noglobalpasswd", |c| !c.global_passwd),
        ("pidfile=p", |c| c.pid_file == Some("p".into())),
        ("charset=utf-8", |c| c.charset == b"utf-8"),
        ("p3p=x", |c| c.p3p == b"x"),
        ("max_age=60", |c| c.max_age == Some(60)),
    ];
    for (text, holds) in cases {
        assert!(holds(&config(text)), "{text}");
        let upper = text.split_inclusive(['=', ' ']).map(|part| match part.strip_suffix(['=', ' ']) {
            Some(name) => part.replace(name, &name.to_uppercase()),
            None if text.contains('=') => part.to_owned(),
            None => part.to_uppercase(),
        });
        assert!(holds(&config(&upper.collect::<String>())), "{text} in capitals");
    }
}

#[test]
fn words_are_cut_as_thttpd_cuts_them() {
    let cases: &[(&str, u16, &str)] = &[
        ("port=81 user=a", 81, "a"),
        ("  port=81\t\tuser=a  \r\n", 81, "a"),
        ("port=81\r\nuser=a\r\n", 81, "a"),
        ("port=81\ruser=a", 81, "a"),
        ("user=httpd#x", 80, "httpd"),
        ("user=a # port=81", 80, "a"),
        ("#port=81\nuser=a", 80, "a"),
        ("user=a=b", 80, "a=b"),
        ("user=a user=b", 80, "b"),
        ("user=\"a\"", 80, "\"a\""),
        ("user=a\\", 80, "a\\"),
        ("", 80, "nobody"),
        ("\n\n#\n \n", 80, "nobody"),
        ("port=082", 82, "nobody"),
        ("port=+82", 82, "nobody"),
    ];
    for (text, port, user) in cases {
        let config = config(text);
        assert_eq!((config.port, config.user.as_str()), (*port, *user), "{text:?}");
    }
}

#[test]
fn an_empty_value_is_a_value() {
    assert_eq!(config("p3p=x p3p=").p3p, b"");
    assert_eq!(config("charset=").charset, b"");
    assert_eq!(config("localpat=").local_pattern, Some(Pattern::new("")));
}

/// Files with lines in the style of distributions.
#[test]
fn files_in_the_manner_of_distributions_are_read() {
    let debian = "# /etc/thttpd/thttpd.conf\n\n# the usual port\nport=80 \n\ndir=/var/www\n\
                  chroot\nuser=www-data\ncgipat=/cgi-bin/*\nthrottles=/etc/thttpd/throttle.conf\n\
                  #host=\nlogfile=/var/log/thttpd.log\n";
    let config_of_debian = config(debian);
    assert_eq!(config_of_debian.user, "www-data");
    assert_eq!(config_of_debian.throttle_file, Some(PathBuf::from("/etc/thttpd/throttle.conf")));
    assert!(config_of_debian.chroot && !config_of_debian.symlink_check && config_of_debian.host.is_none());

    let redhat = "# one option a line, no blank lines\n# ---- changed here ----\ndir=/var/www/thttpd\n\
                  chroot\nuser=thttpd         # was nobody\nlogfile=/var/log/thttpd.log\n\
                  pidfile=/var/run/thttpd.pid\n# ---- left as built ----\n# port=80\n\
                  # nosymlink         # follows chroot\n# novhost\n# nocgipat\n# nothrottles\n# host=0.0.0.0\n\
                  # charset=iso-8859-1\n";
    assert_eq!(config(redhat).pid_file, Some(PathBuf::from("/var/run/thttpd.pid")));
    assert_eq!(config(redhat).user, "thttpd");

    let gentoo =
        "port=80 dir=/var/www/localhost/htdocs user=thttpd nochroot\r\n\tlogfile=/dev/null\r\nnovhost\r\n";
    assert_eq!(config(gentoo).log, LogTarget::Off);
    assert!(!config(gentoo).chroot && config(gentoo).symlink_check);

    let bsd = "dir=/usr/local/www/data#comment glued on\nuser=www\ncgipat=**.cgi|/cgi-bin/*\nnosymlinkcheck#\n\
               charset=UTF-8\t\nmax_age=0\nvhost   ";
    assert_eq!(config(bsd).dir, Some(PathBuf::from("/usr/local/www/data")));
    assert!(config(bsd).vhost && !config(bsd).symlink_check && config(bsd).max_age == Some(0));

    let alpine = "nochroot\ndata_dir=/var/www/http\nsymlinkcheck\nVHost\nCGIPAT=/cgi-bin/**\nGlobalPasswd\n";
    assert_eq!(config(alpine).cgi_pattern, Some(Pattern::new("cgi-bin/**")));
    assert!(config(alpine).global_passwd);
}

#[test]
fn every_mistake_is_told_with_its_file_line_and_words() {
    let text = b"port=abc\n\
        # a comment\n\
        prot=80 vhost=yes\r\n\
        port dir=\n\
        =v =\n\
        nocgipat\n\
        HEAD_LIMIT=500 field_limit=129 target_limit=2M\n\
        port=-1 port=99999999999999999999 port=80x port=0x50 port=\n\
        head_limit=16T head_limit=K head_limit=9999999999G body_limit=-1\n\
        max_age=99999999999\n\
        user=\xff dir=/a\0b charset=\x1b[0m\n\
        quite-another-thing\n\
        include /etc/other.conf\n\
        server.modules += ( \"a\" )\n\
        // a remark port=x";
    let want = "\
thttpd.conf:1: port=abc: not a number
thttpd.conf:3: prot=80: unknown option; did you mean port?
thttpd.conf:3: vhost=yes: no value allowed; write vhost
thttpd.conf:4: port: value required
thttpd.conf:4: dir=: must not be empty
thttpd.conf:5: =v =: unknown option
thttpd.conf:6: nocgipat: unknown option; did you mean cgipat?
thttpd.conf:7: HEAD_LIMIT=500: must be from 512 to 1M
thttpd.conf:7: field_limit=129: must be from 1 to 128
thttpd.conf:7: target_limit=2M: must be from 16 to 1M
thttpd.conf:8: port=-1: must be from 0 to 65535
thttpd.conf:8: port=99999999999999999999: must be from 0 to 65535
thttpd.conf:8: port=80x: not a number
thttpd.conf:8: port=0x50: not a number
thttpd.conf:8: port=: must not be empty
thttpd.conf:9: head_limit=16T: not a size (digits, with K, M or G behind them if wanted)
thttpd.conf:9: head_limit=K: not a size (digits, with K, M or G behind them if wanted)
thttpd.conf:9: head_limit=9999999999G: must be from 512 to 1M
thttpd.conf:9: body_limit=-1: must be from 0 to 9223372036854775807
thttpd.conf:10: max_age=99999999999: must be at most 4294967295
thttpd.conf:11: user=\\xff: not valid UTF-8
thttpd.conf:11: dir=/a\\x00b: control characters are not allowed
thttpd.conf:11: charset=\\x1b[0m: control characters are not allowed
thttpd.conf:12: quite-another-thing: unknown option
thttpd.conf:13: include /etc/other.conf: unknown option
thttpd.conf:14: server.modules += ( \"a\" ): unknown option
thttpd.conf:15: // a remark: unknown option
thttpd.conf:15: port=x: not a number";
    assert_eq!(told(text), want);
}

#[test]
fn a_line_with_blanks_is_told_as_it_should_be_written() {
    let to_be = |word: &str| format!("write {word}, as one word without a blank");
    for (text, written, why) in [
        ("port = 80", "port = 80", to_be("port=80")),
        ("port =80", "port =80", to_be("port=80")),
        ("port= 80", "port= 80", to_be("port=80")),
        ("port 80", "port 80", to_be("port=80")),
        ("Port: 80", "Port: 80", to_be("port=80")),
        ("port:80", "port:80", to_be("port=80")),
        ("-p 80", "-p 80", to_be("port=80")),
        ("-nor", "-nor", to_be("nochroot")),
        ("LogFile /var/log/x # here", "LogFile /var/log/x", to_be("logfile=/var/log/x")),
        ("vhost = yes", "vhost = yes", to_be("vhost")),
        ("vhost = no", "vhost = no", to_be("novhost")),
        ("chroot true", "chroot true", to_be("chroot")),
        ("charset =", "charset =", to_be("charset=")),
        ("vhost=off", "vhost=off", "no value allowed; write novhost".into()),
        ("novhost=off", "novhost=off", "no value allowed; write vhost".into()),
        ("symlinks=no", "symlinks=no", "no value allowed; write nosymlinkcheck".into()),
        ("debug=0", "debug=0", "no value allowed; write nothing: debug is off by default".into()),
        ("vhost=maybe", "vhost=maybe", "no value allowed".into()),
        ("port", "port", "value required".into()),
        ("port user=a", "port", "value required".into()),
        (
            "dir=/a/my site vhost",
            "dir=/a/my site",
            "a value ends at a blank and quotes are part of it; give this one with -d instead".into(),
        ),
        (
            "urlpat=\"a b\"",
            "urlpat=\"a b\"",
            "a value ends at a blank and quotes are part of it; give this one with -o instead".into(),
        ),
        ("max_age=1h", "max_age=1h", "not a number; write 3600".into()),
        ("head_timeout=90s", "head_timeout=90s", "not a number; write 90".into()),
        ("keepalive_timeout=2Days", "keepalive_timeout=2Days", "not a number; write 172800".into()),
        ("port=1h", "port=1h", "not a number".into()),
        ("user=a prot=80", "prot=80", "unknown option; did you mean port?".into()),
    ] {
        assert_eq!(told(text.as_bytes()), format!("thttpd.conf:1: {written}: {why}"), "{text}");
    }
    assert_eq!(config("p3p= vhost").p3p, b"", "an empty value, and an option");
}

#[test]
fn a_value_may_hold_any_bytes() {
    let settings = read_text(b"cgipat=/\xe9/* urlpat=\xe9* localpat=\xfc.de charset=\xe9 p3p=\xff dir=/\xe9");
    assert_eq!(settings.problems, []);
    let config = settings.config;
    assert!(config.cgi_pattern.unwrap().matches(b"\xe9/a"));
    assert!(config.url_pattern.unwrap().matches(b"\xe9t\xe9"));
    assert!(config.local_pattern.unwrap().matches(b"\xfc.de"));
    assert_eq!((config.charset, config.p3p), (vec![0xe9], vec![0xff]));
}

#[test]
fn sizes_take_suffixes_of_1024() {
    for (text, want) in [("9000", 9000), ("9k", 9216), ("9K", 9216), ("1m", 1 << 20)] {
        assert_eq!(config(&format!("head_limit={text}")).limits.head, want, "{text}");
    }
    assert_eq!(config("body_limit=3G").limits.body, 3 << 30);
    assert_eq!(config("body_limit=0").limits.body, 0);
}

#[test]
fn a_file_that_is_no_config_file_is_not_told_at_length() {
    let text = told("junk\n".repeat(1000).as_bytes());
    assert_eq!(text.lines().count(), 51);
    assert!(text.ends_with("thttpd.conf:50: junk: unknown option\n... and 950 more"));
    let long = told("j".repeat(100_000).as_bytes());
    let end = "j".repeat(200);
    assert_eq!(long, format!("thttpd.conf:1: {end}...{end}: unknown option"));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_changes_nothing() {
    let mut settings = Settings::default();
    let error = read(Path::new("/nonexistent/thttpd.conf"), &mut settings).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert_eq!((settings.config, settings.problems), (Config::default(), vec![]));
}

#[test]
fn advice_is_given_on_the_errors_that_are_shown_alone() {
    let problems = read_text("prot=80 usr=a\n".repeat(60).as_bytes()).problems;
    let nearest = |place: usize| match &problems[place].why {
        ConfigErrorKind::Unknown { nearest } => nearest.clone(),
        other => panic!("{other}"),
    };
    assert_eq!(nearest(0).as_deref(), Some("port"));
    assert_eq!(nearest(49).as_deref(), Some("user"));
    assert_eq!((nearest(50), nearest(problems.len() - 1)), (None, None));
    assert_eq!(problems.last().unwrap().place.as_ref().unwrap().1, 60);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic_or_forge_a_line(
        text in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..400),
            "([a-zA-Z_]{0,12}(=[^ ]{0,8})?[ \t\r\n#]{0,2}){0,30}".prop_map(String::into_bytes),
            "(port|dir|p3p|cgipat|head_limit|max_age|logfile)=[0-9KMG*?|/\u{0}-]{0,20}".prop_map(String::into_bytes),
        ],
    ) {
        let Settings { problems, hint, .. } = read_text(&text);
        let shown = problems.len().min(50) + usize::from(problems.len() > 50);
        // One line more names the server whose file this seems to be.
        let hints = usize::from(hint.is_some());
        prop_assert_eq!(told(&text).lines().count(), shown + hints);
    }

    /// Positions of blanks, line ends and comments do not matter.
    #[test]
    fn the_layout_of_a_file_does_not_matter(
        words in prop::collection::vec(
            (
                prop::sample::select(&["port=81", "vhost", "chroot", "nochroot", "user=a", "dir=/x=y", "max_age=5"][..]),
                "[ \t\r\n]{1,3}|#[a-z =]{0,9}\n| #\r\n",
            ),
            0..20,
        ),
    ) {
        let plain: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let laid_out: String = words.iter().flat_map(|(word, gap)| [*word, gap]).collect();
        prop_assert_eq!(config(&laid_out), config(&plain.join("\n")));
    }
}
