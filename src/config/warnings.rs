//! Warnings about valid settings that, in combination, are probably not meant.

use super::address_list::AddressList;
use super::options::OPTIONS;
use super::origin::{Origin, Origins};
use super::pattern::Pattern;
use super::{Config, ProxyTrust};

/// Warnings, one line each, that begin with the origin of the setting.
pub fn collect(config: &mut Config, origins: &Origins) -> Vec<String> {
    let (limits, timeouts) = (&config.limits, &config.timeouts);
    let url_pattern = config.url_pattern.as_ref().map(Pattern::as_bytes);
    let slash = url_pattern.is_some_and(|text| text.split(|&b| b == b'|').any(|one| one.starts_with(b"/")));
    let total = timeouts.keepalive_total;
    let checks = [
        // thttpd removes that slash from cgipat and throttles only.
        (slash, "urlpat", "begins an alternative with a slash, but names are matched without one"),
        (url_pattern.is_none() && config.local_pattern.is_some(), "localpat", "has no effect without urlpat"),
        (
            url_pattern.is_none() && config.no_empty_referrers,
            "noemptyreferrers",
            "has no effect without urlpat",
        ),
        (limits.target > limits.head, "target_limit", "is more than head_limit"),
        (
            !total.is_zero() && timeouts.keepalive > total,
            "keepalive_timeout",
            "is more than keepalive_max_time",
        ),
        (
            config.reload_on_hup && config.chroot,
            "reload_on_hup",
            "has no effect with chroot: the files to be read are not below the new root",
        ),
        (
            config.proxies.trusted == AddressList::default()
                && config.proxies.field != ProxyTrust::default().field,
            "client_header",
            "has no effect without trusted_proxies",
        ),
        (
            !config.listen.is_empty() && *origins.get("port") != Origin::Default,
            "port",
            "has no effect with listen, which names every port",
        ),
        (config.vhost_default.is_some() && !config.vhost, "vhost_default", "has no effect without vhost"),
        (config.hide_dotfiles && !config.listing, "hide_dotfiles", "has no effect with nolisting"),
    ];
    let told = checks.into_iter().filter(|(holds, ..)| *holds).map(|(_, name, what)| (name, what));
    let quoted = OPTIONS.iter().filter(|row| row.kind.read(config).is_some_and(|value| is_quoted(&value)));
    let told = told.chain(quoted.map(|row| (row.name, "is in quotes, which are part of the value")));
    told.map(|(name, what)| format!("{}: {name} {what}", origins.get(name))).collect()
}

fn is_quoted(value: &[u8]) -> bool {
    matches!(value, [first @ (b'"' | b'\''), .., last] if first == last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;
    use crate::config::settings::Settings;

    fn warned(text: &str) -> Vec<String> {
        let mut settings = Settings::default();
        file::parse(text.as_bytes(), "conf", &mut settings);
        assert_eq!(settings.problems, [], "{text}");
        collect(&mut settings.config, &settings.origins)
    }

    #[test]
    fn the_defaults_and_sound_settings_are_not_warned_of() {
        assert_eq!(warned(""), [""; 0]);
        assert_eq!(warned("listen=8080"), [""; 0]);
        assert_eq!(warned("urlpat=**.jpg localpat=a noemptyreferrers keepalive_max_time=0"), [""; 0]);
    }

    #[test]
    fn settings_that_undo_each_other_are_told_with_their_place() {
        let slash = "begins an alternative with a slash, but names are matched without one";
        let cases = [
            ("urlpat=a|/b", format!("conf:1: urlpat {slash}")),
            ("\nlocalpat=a", "conf:2: localpat has no effect without urlpat".to_owned()),
            ("noemptyreferers", "conf:1: noemptyreferrers has no effect without urlpat".to_owned()),
            ("head_limit=600", "default: target_limit is more than head_limit".to_owned()),
            (
                "keepalive_max_time=10",
                "default: keepalive_timeout is more than keepalive_max_time".to_owned(),
            ),
            (
                "chroot\nreload_on_hup",
                "conf:2: reload_on_hup has no effect with chroot: the files to be read are not below the \
                 new root"
                    .to_owned(),
            ),
            ("dir=\"/srv/www\"", "conf:1: dir is in quotes, which are part of the value".to_owned()),
            (
                "client_header=forwarded",
                "conf:1: client_header has no effect without trusted_proxies".to_owned(),
            ),
            (
                "port=80\nlisten=8080",
                "conf:1: port has no effect with listen, which names every port".to_owned(),
            ),
            ("vhost_default=a", "conf:1: vhost_default has no effect without vhost".to_owned()),
            ("nolisting\nhide_dotfiles", "conf:2: hide_dotfiles has no effect with nolisting".to_owned()),
        ];
        for (text, want) in cases {
            assert_eq!(warned(text), [want], "{text}");
        }
    }
}
