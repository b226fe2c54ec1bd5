//! Options for servers behind proxies and in clusters: reading and writing their values.

use super::Config;
use super::address_list::AddressList;
use super::kind::Kind;
use super::listen;

/// `trusted_proxies`: list of addresses and networks.
pub(super) const TRUSTED: Kind = Kind::Parsed { read: set_trusted, write: trusted, noun: "list" };

/// `client_header`: name of a field.
pub(super) const CLIENT_HEADER: Kind =
    Kind::Parsed { read: set_client_header, write: client_header, noun: "field" };

/// `listen`: list of listeners.
pub(super) const LISTEN: Kind = Kind::Parsed { read: set_listen, write: listen, noun: "list" };

fn set_listen(config: &mut Config, text: &str) -> Result<(), String> {
    config.listen = listen::parse(text)?;
    Ok(())
}

fn listen(config: &Config) -> Option<String> {
    (!config.listen.is_empty()).then(|| listen::write(&config.listen))
}

/// `vhost_default`: directory below that of all hosts.
pub(super) const VHOST_DEFAULT: Kind =
    Kind::Parsed { read: set_vhost_default, write: vhost_default, noun: "name" };

fn set_vhost_default(config: &mut Config, text: &str) -> Result<(), String> {
    let is_segment = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    if !text.split('/').all(is_segment) {
        return Err("not the name of a directory below the one that is served".into());
    }
    config.vhost_default = Some(text.to_owned());
    Ok(())
}

fn vhost_default(config: &Config) -> Option<String> {
    config.vhost_default.clone()
}

fn set_trusted(config: &mut Config, text: &str) -> Result<(), String> {
    config.proxies.trusted = AddressList::parse(text)?;
    Ok(())
}

fn trusted(config: &Config) -> Option<String> {
    let trusted = &config.proxies.trusted;
    (*trusted != AddressList::default()).then(|| trusted.to_string())
}

/// Fields that are not allowed for `client_header`, as requests have them for other purposes.
const NO_CLIENT: [&str; 8] = [
    "host",
    "authorization",
    "cookie",
    "x-forwarded-proto",
    "x-forwarded-host",
    "connection",
    "content-length",
    "transfer-encoding",
];

fn set_client_header(config: &mut Config, text: &str) -> Result<(), String> {
    // In a script's environment, an underscore would look like a hyphen.
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let name = text.to_ascii_lowercase();
    if !is_name || NO_CLIENT.contains(&name.as_str()) {
        return Err(
            "not the name of a field with addresses, such as x-forwarded-for, forwarded, x-real-ip".into()
        );
    }
    config.proxies.field = name;
    Ok(())
}

fn client_header(config: &Config) -> Option<String> {
    Some(config.proxies.field.clone())
}
