//! Config files of distributions for thttpd 2 keep their meaning.

use std::ffi::OsString;
use std::path::Path;

use thttpd::config::{Config, LogTarget, args};

use super::source;

fn read(name: &str) -> Config {
    let path = source("packaging/test/configs").join(name);
    let argv: Vec<OsString> = vec!["-C".into(), path.into()];
    args::parse(&argv, "thttpd").unwrap_or_else(|problems| panic!("{name}: {problems}")).config
}

fn log(path: &str) -> LogTarget {
    LogTarget::File(path.into())
}

#[test]
fn trailing_blanks_of_a_debian_file_are_not_part_of_a_value() {
    let config = read("debian.conf");
    assert_eq!(config.throttle_file.as_deref(), Some(Path::new("/etc/thttpd/throttle.conf")));
    assert_eq!(config.pid_file.as_deref(), Some(Path::new("/var/run/thttpd.pid")));
    assert_eq!(config.charset, b"iso-8859-1");
    assert_eq!((config.chroot, config.symlink_check, config.max_age), (false, true, None));
}

#[test]
fn the_chroot_of_a_fedora_file_turns_the_symlink_check_off() {
    let config = read("fedora.conf");
    assert_eq!(config.user, "thttpd");
    assert_eq!(config.dir.as_deref(), Some(Path::new("/var/www/thttpd")));
    assert_eq!((config.chroot, config.symlink_check), (true, false));
}

#[test]
fn the_dos_line_ends_of_an_alpine_file_are_blanks() {
    let config = read("alpine.conf");
    assert_eq!(config.port, 8080);
    assert_eq!(config.host.as_deref(), Some("0.0.0.0"));
    assert_eq!(config.log, log("/var/log/thttpd.log"));
    assert!(config.cgi_pattern.is_some_and(|pattern| pattern.matches(b"a/b.cgi")));
}

#[test]
fn a_gentoo_file_may_hold_many_words_a_line_and_comments_glued_to_values() {
    let config = read("gentoo.conf");
    assert_eq!(config.user, "thttpd");
    assert_eq!(config.log, log("/var/log/thttpd.log"));
    assert_eq!((config.cgi_limit, config.global_passwd, config.vhost), (10, false, false));
    assert!(config.cgi_pattern.is_some_and(|pattern| pattern.matches(b"cgi-bin/form")));
}

#[test]
fn the_last_word_of_a_freebsd_file_counts() {
    let config = read("freebsd.conf");
    assert_eq!(config.port, 80);
    assert_eq!(config.log, LogTarget::Off);
    assert_eq!((config.chroot, config.symlink_check, config.vhost), (true, true, true));
    assert_eq!((config.max_age, config.no_empty_referrers), (Some(86400), true));
    assert!(config.local_pattern.is_some_and(|pattern| pattern.matches(b"www.example.org")));
}

#[test]
fn the_configurations_that_the_packages_ship_are_right() {
    for name in ["deb/thttpd.conf", "rpm/thttpd.conf"] {
        let path = source("packaging").join(name);
        let argv: Vec<OsString> = vec!["-C".into(), path.into()];
        let read = args::parse(&argv, "thttpd").unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert!(read.warnings.is_empty(), "{name}: {:?}", read.warnings);
    }
}
