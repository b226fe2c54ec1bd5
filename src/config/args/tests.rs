//! Command lines as thttpd reads them, and error messages.

use std::fs;
use std::os::unix::ffi::OsStringExt;

use proptest::prelude::*;

use super::*;
use crate::config::LogTarget;
use crate::config::pattern::Pattern;

/// End of a message about an unknown option.
const HELP: &str = "./thttpd --help lists them all";

fn run(argv: &[&str]) -> Result<Invocation, ConfigErrors> {
    parse(&argv.iter().map(OsString::from).collect::<Vec<_>>(), "./thttpd")
}

fn config(argv: &[&str]) -> Config {
    run(argv).unwrap_or_else(|problems| panic!("{argv:?}: {problems}")).config
}

fn action(argv: &[&str]) -> Action {
    run(argv).unwrap_or_else(|problems| panic!("{argv:?}: {problems}")).action
}

/// The text for standard error.
fn refused(argv: &[&str]) -> String {
    run(argv).map(|invocation| panic!("{argv:?}: {invocation:?}")).unwrap_err().to_string()
}

/// Config file in its own directory, removed on drop.
struct ConfigFile(std::path::PathBuf);

impl ConfigFile {
    fn new(name: &str, text: &str) -> ConfigFile {
        let dir = std::env::temp_dir().join(format!("thttpd-args-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("conf"), text).unwrap();
        ConfigFile(dir)
    }

    fn path(&self) -> String {
        self.0.join("conf").to_str().unwrap().to_owned()
    }
}

impl Drop for ConfigFile {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn no_arguments_serve_with_the_defaults() {
    let invocation = run(&[]).unwrap();
    assert_eq!((invocation.action, invocation.config), (Action::Serve, Config::default()));
    assert_eq!(invocation.warnings, [""; 0]);
}

#[test]
fn each_flag_of_thttpd_sets_what_it_always_set() {
    type Holds = fn(&Config) -> bool;
    let cases: &[(&[&str], Holds)] = &[
        (&["-p", "8080"], |c| c.port == 8080),
        (&["-p", "0"], |c| c.port == 0),
        (&["-d", "www"], |c| c.dir.as_deref() == Some(Path::new("www"))),
        (&["-r"], |c| c.chroot && !c.symlink_check),
        (&["-nor"], |c| !c.chroot && c.symlink_check),
        (&["-dd", "data"], |c| c.data_dir.as_deref() == Some(Path::new("data")) && c.dir.is_none()),
        (&["-nos"], |c| !c.symlink_check),
        (&["-nos", "-s"], |c| c.symlink_check),
        (&["-v"], |c| c.vhost),
        (&["-v", "-nov"], |c| !c.vhost),
        (&["-g"], |c| c.global_passwd),
        (&["-g", "-nog"], |c| !c.global_passwd),
        (&["-u", "www-data"], |c| c.user == "www-data"),
        (&["-c", "/cgi-bin/*|/**.cgi"], |c| c.cgi_pattern == Some(Pattern::new("cgi-bin/*|**.cgi"))),
        (&["-t", "throttle"], |c| c.throttle_file.as_deref() == Some(Path::new("throttle"))),
        (&["-h", "::1"], |c| c.host.as_deref() == Some("::1")),
        (&["-l", "log"], |c| c.log == LogTarget::File("log".into())),
        (&["-l", "-"], |c| c.log == LogTarget::Stdout),
        (&["-l", "/dev/null"], |c| c.log == LogTarget::Off),
        (&["-i", "pid"], |c| c.pid_file.as_deref() == Some(Path::new("pid"))),
        (&["-T", "iso-8859-1"], |c| c.charset == b"iso-8859-1"),
        (&["-T", ""], |c| c.charset.is_empty()),
        (&["-P", "CP=\"NOI DSP\" # x"], |c| c.p3p == b"CP=\"NOI DSP\" # x"),
        (&["-M", "3600"], |c| c.max_age == Some(3600)),
        (&["-M", "0"], |c| c.max_age == Some(0)),
        (&["-M", "60", "-M", "-7"], |c| c.max_age.is_none()),
        (&["-D"], |c| c.foreground),
    ];
    for (argv, holds) in cases {
        assert!(holds(&config(argv)), "{argv:?}");
    }
}

#[test]
fn the_chroot_flags_overwrite_the_symlink_check_where_they_stand() {
    let cases: [(&[&str], bool, bool); 6] = [
        (&["-s", "-r"], true, false),
        (&["-r", "-s"], true, true),
        (&["-r", "-nor"], false, true),
        (&["-nos", "-nor"], false, true),
        (&["-nor", "-nos"], false, false),
        (&["-nor", "-r", "-s", "-r"], true, false),
    ];
    for (argv, chroot, check) in cases {
        let config = config(argv);
        assert_eq!((config.chroot, config.symlink_check), (chroot, check), "{argv:?}");
    }
}

#[test]
fn a_config_file_is_read_where_its_flag_stands_and_may_be_followed_by_another() {
    let files = [ConfigFile::new("one", "port=90 chroot"), ConfigFile::new("two", "port=91")];
    let [one, two] = files.each_ref().map(ConfigFile::path);
    let cases: [(&[&str], u16, bool); 6] = [
        (&["-C", &one, "-p", "81"], 81, false),
        (&["-p", "81", "-C", &one], 90, false),
        (&["-C", &one, "-C", &two], 91, false),
        (&["-C", &two, "-C", &one], 90, false),
        (&["-C", &one, "-s"], 90, true),
        (&["-s", "-C", &one], 90, false),
    ];
    for (argv, port, check) in cases {
        let config = config(argv);
        assert_eq!((config.port, config.symlink_check), (port, check), "{argv:?}");
    }
}

#[test]
fn a_value_is_taken_whatever_it_looks_like() {
    let config = config(&["-d", "-p", "-u", "--", "-i", "-V", "-T", "--help", "-h", "-"]);
    assert_eq!(config.dir.as_deref(), Some(Path::new("-p")));
    assert_eq!(config.pid_file.as_deref(), Some(Path::new("-V")));
    assert_eq!((config.user.as_str(), &config.charset[..]), ("--", &b"--help"[..]));
    assert_eq!((config.host.as_deref(), config.port), (Some("-"), 80));
}

#[test]
fn a_path_need_not_be_text_but_text_must_be() {
    let odd = OsString::from_vec(b"/srv/\xff".to_vec());
    let invocation = parse(&["-d".into(), odd.clone()], "thttpd").unwrap();
    assert_eq!(invocation.config.dir, Some(odd.clone().into()));
    let problems = parse(&["-u".into(), odd], "thttpd").unwrap_err();
    assert_eq!(problems.to_string(), "thttpd: -u /srv/\\xff: not valid UTF-8");
}

#[test]
fn the_version_is_shown_at_once_and_what_follows_is_not_looked_at() {
    assert_eq!(action(&["-V"]), Action::ShowVersion);
    assert_eq!(action(&["-p", "81", "-V", "--nonsense", "junk", "-p"]), Action::ShowVersion);
    assert_eq!(action(&["--check", "--version", "junk"]), Action::ShowVersion);
    assert_eq!(action(&["--help", "junk"]), Action::ShowHelp);
    assert_eq!(action(&["junk", "-V"]), Action::ShowVersion);
    assert_eq!(refused(&["-x", "-V"]), format!("./thttpd: -x: unknown option; {HELP}"));
    assert_eq!(refused(&["-p", "x", "-V"]), "./thttpd: -p x: not a number");
}

#[test]
fn a_directory_alone_is_served_for_a_look() {
    let served = |host: Option<&str>, port, log| Config {
        dir: Some("www".into()),
        foreground: true,
        log,
        host: host.map(str::to_owned),
        port,
        fallback_port: (port == 80).then_some(8080),
        ..Config::default()
    };
    let file = || LogTarget::File("log".into());
    let cases: &[(&[&str], Config)] = &[
        (&["www"], served(Some("localhost"), 80, LogTarget::Stdout)),
        (&["www", "-p", "81"], served(None, 81, LogTarget::Stdout)),
        (&["-p", "81", "www"], served(None, 81, LogTarget::Stdout)),
        (&["www", "-h", "::1"], served(Some("::1"), 80, LogTarget::Stdout)),
        (&["-h", "::", "www", "-p", "81"], served(Some("::"), 81, LogTarget::Stdout)),
        (&["www", "-o", "port=81", "-D"], served(None, 81, LogTarget::Stdout)),
        (&["-l", "log", "www"], served(Some("localhost"), 80, file())),
        (&["www", "-l", "log"], served(Some("localhost"), 80, file())),
    ];
    for (argv, want) in cases {
        assert_eq!(&config(argv), want, "{argv:?}");
    }
    let conf = ConfigFile::new("operand", "port=81 dir=other");
    assert_eq!(config(&["www", "-C", &conf.path()]), served(None, 81, LogTarget::Stdout));
    assert_eq!(action(&["www", "--check"]), Action::Check);
}

#[test]
fn the_other_actions_leave_the_rest_of_the_line_to_be_read() {
    let cases: &[(&[&str], Action)] = &[
        (&["--check", "-p", "81"], Action::Check),
        (&["--dump-config", "-p", "81"], Action::DumpConfig),
        (&["--explain", "-p", "-p", "81"], Action::Explain(vec!["-p".into()])),
        (&["--explain=/a=b", "-p", "81"], Action::Explain(vec!["/a=b".into()])),
        (
            &["--explain", "/a", "/b", "-p", "81", "--explain", "/c"],
            Action::Explain(vec!["/a".into(), "/b".into(), "/c".into()]),
        ),
        (&["--healthcheck", "-p", "81"], Action::HealthCheck(None)),
        (&["-p", "81", "--healthcheck"], Action::HealthCheck(None)),
        (&["--healthcheck", "/up", "-p", "81"], Action::HealthCheck(Some("/up".into()))),
        (&["--healthcheck=/up", "-p", "81"], Action::HealthCheck(Some("/up".into()))),
    ];
    for (argv, want) in cases {
        let invocation = run(argv).unwrap();
        assert_eq!((&invocation.action, invocation.config.port), (want, 81), "{argv:?}");
    }
}

#[test]
fn an_assignment_sets_any_option_by_its_config_file_name() {
    let config =
        config(&["-o", "Head_Limit=8k", "-o", "nolisting", "-o", "p3p=a b#c", "-p", "81", "-o", "port=82"]);
    assert_eq!((config.limits.head, config.listing, config.port), (8192, false, 82));
    assert_eq!(config.p3p, b"a b#c");
}

#[test]
fn each_value_remembers_who_wrote_it_last() {
    let file = ConfigFile::new("origins", "\nport=90\nvhost user=www\nnoemptyreferers");
    let invocation = run(&["-r", "-p", "81", "-C", &file.path(), "-u", "me", "-o", "nolisting"]).unwrap();
    let origin = |name: &str| invocation.origins.get(name).to_string();
    assert_eq!(origin("port"), format!("{}:2", file.path()));
    assert_eq!(origin("vhost"), format!("{}:3", file.path()));
    assert_eq!(origin("noemptyreferrers"), format!("{}:4", file.path()));
    assert_eq!((origin("user"), origin("listing")), ("-u".to_owned(), "-o".to_owned()));
    assert_eq!((origin("chroot"), origin("symlinkcheck")), ("-r".to_owned(), "-r".to_owned()));
    assert_eq!((origin("dir"), origin("no such option")), ("default".to_owned(), "default".to_owned()));
}

#[test]
fn a_line_that_cannot_be_understood_is_told_in_one_line_with_where_to_look() {
    let cases: &[(&[&str], &str)] = &[
        (&["www", "more"], "more: unexpected argument"),
        (&["-d", "www", "more"], "more: unexpected argument"),
        (&["www", "-d", "more"], "www: unexpected argument"),
        (&["-p", "80", "www", "-x"], "-x: unknown option"),
        (&["port=80"], "port=80: unknown option; did you mean -o port=80?"),
        (&["-"], "-: unexpected argument"),
        (&[""], "'': unexpected argument"),
        (&["--"], "--: unknown option"),
        (&["-x"], "-x: unknown option"),
        (&["-p"], "-p: value required"),
        (&["-o"], "-o: value required"),
        (&["--explain"], "--explain: value required"),
        (&["--check=now"], "--check=now: no value allowed"),
        (&["-p80"], "-p80: unknown option; did you mean -p 80?"),
        (&["-p=80"], "-p=80: unknown option; did you mean -p 80?"),
        (&["-rs"], "-rs: unknown option"),
        (&["--r"], "--r: unknown option; did you mean -r?"),
        (&["-norr"], "-norr: unknown option; did you mean -nor?"),
        (&["--hlep"], "--hlep: unknown option; did you mean --help?"),
        (&["--port", "80"], "--port: unknown option; did you mean -p port?"),
        (&["--prot=80"], "--prot=80: unknown option; did you mean -p 80?"),
        (&["-nosymlinkcheck"], "-nosymlinkcheck: unknown option; did you mean -nos?"),
        (&["--workers=4"], "--workers=4: unknown option; did you mean -o workers=4?"),
        (&["--no-listing"], "--no-listing: unknown option; did you mean -o nolisting?"),
        (&["--head_timeot"], "--head_timeot: unknown option; did you mean -o head_timeout=seconds?"),
        (&["-\u{7}\n"], "-\\x07\\n: unknown option"),
    ];
    for (argv, want) in cases {
        let join = if want.ends_with('?') { " " } else { "; " };
        assert_eq!(refused(argv), format!("./thttpd: {want}{join}{HELP}"), "{argv:?}");
    }
}

#[test]
fn an_address_without_a_url_to_explain_starts_no_server() {
    for rest in [&[][..], &["--check"], &["--dump-config"], &["--healthcheck"]] {
        let argv = [&["--from", "192.0.2.1"], rest].concat();
        assert_eq!(refused(&argv), "./thttpd: --from 192.0.2.1: only with --explain URL");
    }
    assert_eq!(action(&["--from", "192.0.2.1", "--version"]), Action::ShowVersion);
    assert_eq!(action(&["--from", "192.0.2.1", "--explain", "/"]), Action::Explain(vec!["/".into()]));
}

#[test]
fn a_number_as_other_servers_write_it_is_told_without_its_quotes() {
    let advice = |word: &str| refused(&["-o", word]);
    for (word, number) in [
        ("port=\"80\"", 80),
        ("port='80'", 80),
        ("port=80;", 80),
        ("keepalive_timeout=\"5\"", 5),
        ("keepalive_timeout=5s;", 5),
    ] {
        assert_eq!(advice(word), format!("./thttpd: -o {word}: not a number; write {number}"));
    }
}

#[test]
fn a_name_and_a_value_with_a_blank_between_are_told_as_one_word() {
    for word in ["port 80", "port = 80", "port =80"] {
        let told = refused(&["-o", word]);
        assert_eq!(told, format!("./thttpd: -o {word}: write port=80, as one word without a blank"));
    }
    assert!(refused(&["-o", "prot 80"]).contains("unknown option"));
}

#[test]
fn bad_values_are_all_told_and_where_to_look_once() {
    let argv =
        ["-p", "80x", "-M", "", "-d", "", "-o", "prot=1", "-o", "vhost=1", "-P", "a\r\nb", "-p", "65536"];
    let want = "\
./thttpd: -p 80x: not a number
./thttpd: -M '': must not be empty
./thttpd: -d '': must not be empty
./thttpd: -o prot=1: unknown option; did you mean port? ./thttpd --help lists them all
./thttpd: -o vhost=1: no value allowed; write vhost
./thttpd: -P a\\r\\nb: control characters are not allowed
./thttpd: -p 65536: must be from 0 to 65535";
    assert_eq!(refused(&argv), want);
}

#[test]
fn problems_of_files_and_of_the_line_are_told_in_order() {
    let file = ConfigFile::new("order", "port=abc");
    let path = file.path();
    let want = format!(
        "./thttpd: -p x: not a number\n{path}:1: port=abc: not a number\n\
         ./thttpd: /nonexistent/thttpd.conf: No such file or directory; give a configuration file that can be read with -C\n\
         ./thttpd: -q: unknown option; {HELP}"
    );
    assert_eq!(refused(&["-p", "x", "-C", &path, "-C", "/nonexistent/thttpd.conf", "-q"]), want);
}

#[test]
fn a_refused_value_leaves_the_one_before_it_in_force() {
    let mut settings = Settings::default();
    for word in ["port=81", "port=x", "dir=a", "dir="] {
        settings.word(word.as_bytes(), Origin::Assignment);
    }
    assert_eq!((settings.config.port, settings.config.dir), (81, Some("a".into())));
    assert_eq!(settings.problems.len(), 2);
}

proptest! {
    /// getopts collects the occurrences of each option; the order must survive that.
    #[test]
    fn flags_act_in_the_order_in_which_they_stand(line in prop::collection::vec(0..9_usize, 0..30)) {
        const FLAGS: [&str; 9] = ["-r", "-nor", "-s", "-nos", "-v", "-nov", "-g", "-nog", "-p"];
        let (mut argv, mut want) = (Vec::new(), Config::default());
        for (at, flag) in line.into_iter().enumerate() {
            argv.push(FLAGS[flag].to_owned());
            match flag {
                0 | 1 => (want.chroot, want.symlink_check) = (flag == 0, flag == 1),
                2 | 3 => want.symlink_check = flag == 2,
                4 | 5 => want.vhost = flag == 4,
                6 | 7 => want.global_passwd = flag == 6,
                _ => {
                    argv.push(at.to_string());
                    want.port = at as u16;
                }
            }
        }
        let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
        prop_assert_eq!(config(&argv), want);
    }

    #[test]
    fn no_argument_vector_makes_the_parser_panic(
        argv in prop::collection::vec(
            prop_oneof![
                prop::collection::vec(1..=255_u8, 0..12),
                "-{0,3}[a-zA-Z=]{0,4}".prop_map(String::into_bytes),
                prop::sample::select(&["-o", "-dd", "--healthcheck", "-p", "--explain"][..])
                    .prop_map(|flag| flag.as_bytes().to_vec()),
            ],
            0..8,
        ),
    ) {
        let argv: Vec<OsString> = argv.into_iter().map(OsString::from_vec).collect();
        if let Err(problems) = parse(&argv, "thttpd") {
            prop_assert!(!problems.list.is_empty());
            prop_assert!(!problems.to_string().contains(|c: char| c.is_control() && c != '\n'));
        }
    }
}
