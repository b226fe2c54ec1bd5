//! Settings that are allowed but, taken together, probably not meant.

use super::Config;
use super::origin::Origins;

/// One line for each, beginning with the place where the setting was written.
pub fn of(config: &Config, origins: &Origins) -> Vec<String> {
    let pattern_has_slash = config.url_pattern.as_ref().is_some_and(|p| p.as_str().starts_with('/'));
    let local_unused = config.url_pattern.is_none();
    let checks: [(bool, &str, &str); 6] = [
        (
            pattern_has_slash,
            "urlpat",
            "begins with a slash, but file names are matched without one, so nothing is protected",
        ),
        (local_unused && config.local_pattern.is_some(), "localpat", "has no effect without urlpat"),
        (local_unused && config.no_empty_referrers, "noemptyreferrers", "has no effect without urlpat"),
        (
            config.limits.target > config.limits.head,
            "target_limit",
            "is more than head_limit, which is reached before it",
        ),
        (
            !config.timeouts.keepalive_total.is_zero()
                && config.timeouts.keepalive > config.timeouts.keepalive_total,
            "keepalive_timeout",
            "is more than keepalive_max_time, which is reached before it",
        ),
        (config.hide_dotfiles && !config.listing, "hide_dotfiles", "has no effect with nolisting"),
    ];
    let told = checks.into_iter().filter(|(holds, ..)| *holds);
    told.map(|(_, name, what)| format!("{}: {name} {what}", origins.of(name))).collect()
}
