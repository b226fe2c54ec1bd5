//! Response rules: header fields, caching, types, origins and directory lists, by the file served.
//!
//! All lines that cover the file apply, in order; for one field the last line counts.
//! [`ResponseRules`](super::ResponseRules) combines them once for each set of lines.

use super::words::{Words, expanded};
use crate::config::choice::ListingStyle;
use crate::config::kind::media;
use crate::config::suggest;

/// Action of one line that changes responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ResponseRule {
    /// Sets, adds or removes a header field: name and value.
    Header(Change, Box<str>, Box<str>),
    /// Limits how long caches may keep the response.
    Cache(Cache),
    /// Sets the media type, and removes the content encoding.
    Type(Box<str>),
    /// Sets the charset of text; `None` sends no charset.
    Charset(Option<Box<str>>),
    /// Allows scripts of these origins to read the response; `*` allows every origin.
    Cors(Box<[String]>),
    /// Sets how a directory is listed.
    Listing(Listing),
}

/// Change to a header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The field has this value alone.
    Set,
    /// The field has this value beside others.
    Add,
    /// The field is not sent.
    Remove,
}

/// Time for which caches may keep a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Number of seconds.
    Seconds(u32),
    /// Unlimited: another content has another name.
    Immutable,
    /// Unlimited, if the cache revalidates before each use.
    Revalidate,
    /// None: the response must not be stored.
    Never,
    /// No Cache-Control field is sent.
    Silent,
}

/// Form in which a directory without an index file is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// No list: 403.
    Off,
    /// A list in this style.
    Style(ListingStyle),
}

/// Fields that only the server may set, and the action that sets each instead.
const RESERVED: [(&str, &str); 18] = [
    ("Accept-Ranges", ""),
    ("Allow", ""),
    ("Connection", ""),
    ("Content-Encoding", "type"),
    ("Content-Length", ""),
    ("Content-Range", ""),
    ("Content-Type", "type"),
    ("Date", ""),
    ("ETag", ""),
    ("Keep-Alive", ""),
    ("Last-Modified", ""),
    ("Location", "redirect"),
    ("Proxy-Authenticate", ""),
    ("TE", ""),
    ("Trailer", ""),
    ("Transfer-Encoding", ""),
    ("Upgrade", ""),
    ("WWW-Authenticate", "auth"),
];

impl ResponseRule {
    /// Reads the action `word` that changes responses; `rest` is the text behind the word.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(super) fn parse(word: &str, rest: &str) -> Result<ResponseRule, String> {
        if word == "header" {
            return header(rest);
        }
        let words = Words::new(rest)?;
        match word {
            "cache" => {
                let [word] = words.exactly("cache SECONDS|immutable|revalidate|never|-")?;
                cache(word).map(ResponseRule::Cache)
            }
            "type" => {
                let text = words.joined();
                media(&text).map_err(|why| format!("{text}: {why}"))?;
                Ok(ResponseRule::Type(text.into()))
            }
            "charset" => {
                let [word] = words.exactly("charset NAME|-")?;
                let is_token = word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:+".contains(&b));
                match word {
                    "-" => Ok(ResponseRule::Charset(None)),
                    name if is_token => Ok(ResponseRule::Charset(Some(name.into()))),
                    _ => Err(format!("{word}: not the name of a charset")),
                }
            }
            "cors" => cors(&words),
            _ => {
                let [word] = words.exactly("listing off|classic|modern|json")?;
                match word {
                    "off" => Ok(ResponseRule::Listing(Listing::Off)),
                    "classic" => Ok(ResponseRule::Listing(Listing::Style(ListingStyle::Classic))),
                    "modern" => Ok(ResponseRule::Listing(Listing::Style(ListingStyle::Modern))),
                    "json" => Ok(ResponseRule::Listing(Listing::Style(ListingStyle::Json))),
                    _ => Err(unknown(word, &["off", "classic", "modern", "json"])),
                }
            }
        }
    }
}

fn unknown(word: &str, known: &[&'static str]) -> String {
    match suggest::nearest(word, &mut known.iter().copied()) {
        Some(meant) => format!("{word}: did you mean {meant}?"),
        None => format!("{word}: not one of {}", known.join(", ")),
    }
}

fn cache(word: &str) -> Result<Cache, String> {
    match word {
        "immutable" => Ok(Cache::Immutable),
        "revalidate" => Ok(Cache::Revalidate),
        "never" => Ok(Cache::Never),
        "-" => Ok(Cache::Silent),
        digits if digits.bytes().all(|b| b.is_ascii_digit()) => {
            let seconds =
                digits.parse().map_err(|_| format!("{digits}: more seconds than a cache counts"))?;
            Ok(Cache::Seconds(seconds))
        }
        _ => Err(unknown(word, &["a number of seconds", "immutable", "revalidate", "never"])),
    }
}

fn cors(words: &Words) -> Result<ResponseRule, String> {
    if words.is_empty() {
        return Err("write cors ORIGIN...".into());
    }
    for origin in words.iter().filter(|origin| *origin != "*") {
        let host = origin.split_once("://").filter(|(scheme, _)| {
            scheme.starts_with(|c: char| c.is_ascii_lowercase())
                && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
        });
        let is_host = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._:[]".contains(&b);
        if !host.is_some_and(|(_, host)| !host.is_empty() && host.bytes().all(is_host)) {
            return Err(format!(
                "{origin}: an origin is scheme://host or scheme://host:port, in lower case, without a path"
            ));
        }
    }
    Ok(ResponseRule::Cors(words.iter().map(str::to_owned).collect()))
}

/// Reads `NAME: VALUE`, `+NAME: VALUE` or `-NAME`.
fn header(text: &str) -> Result<ResponseRule, String> {
    let (change, rest) = match text.as_bytes().first() {
        Some(b'+') => (Change::Add, &text[1..]),
        Some(b'-') => (Change::Remove, &text[1..]),
        _ => (Change::Set, text),
    };
    let (name, value) = match (change, rest.split_once(':')) {
        (Change::Remove, None) => (rest, ""),
        (Change::Remove, Some(_)) => return Err("a field is removed by its name alone: header -NAME".into()),
        (_, Some((name, value))) => (name, value.trim()),
        (_, None) => return Err("write header NAME: VALUE, header +NAME: VALUE or header -NAME".into()),
    };
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(format!("{name}: not the name of a field"));
    }
    if let Some((_, action)) = RESERVED.iter().find(|(reserved, _)| reserved.eq_ignore_ascii_case(name)) {
        let instead = match *action {
            "" => "the server itself says it".to_owned(),
            action => format!("that is the job of the action {action}"),
        };
        return Err(format!("{name} cannot be changed: {instead}"));
    }
    let value = expanded(value)?;
    if value.is_empty() && change != Change::Remove {
        return Err(format!("{name} has no value"));
    }
    Ok(ResponseRule::Header(change, name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_are_read() {
        for (word, rest, want) in [
            ("header", "X-A: b c", ResponseRule::Header(Change::Set, "X-A".into(), "b c".into())),
            ("header", "+Link: <a>; b", ResponseRule::Header(Change::Add, "Link".into(), "<a>; b".into())),
            ("header", "-Server", ResponseRule::Header(Change::Remove, "Server".into(), "".into())),
            ("cache", "3600", ResponseRule::Cache(Cache::Seconds(3600))),
            ("cache", "-", ResponseRule::Cache(Cache::Silent)),
            ("type", "application/gzip", ResponseRule::Type("application/gzip".into())),
            ("type", "text/plain; charset=x", ResponseRule::Type("text/plain; charset=x".into())),
            ("charset", "-", ResponseRule::Charset(None)),
            ("listing", "off", ResponseRule::Listing(Listing::Off)),
        ] {
            assert_eq!(ResponseRule::parse(word, rest), Ok(want), "{word} {rest}");
        }
    }

    #[test]
    fn faults_are_reported() {
        for (word, rest, part) in [
            ("header", "X-A", "write header"),
            ("header", "X A: b", "not the name"),
            ("header", "X-A:", "no value"),
            ("header", "-X-A: b", "by its name alone"),
            ("header", "content-type: a/b", "the action type"),
            ("header", "Location: /", "the action redirect"),
            ("header", "-Date", "the server itself"),
            ("header", "+WWW-Authenticate: Basic", "the action auth"),
            ("cache", "imutable", "did you mean immutable?"),
            ("cache", "99999999999", "more seconds"),
            ("cache", "1h", "1h: not one of a number of seconds, immutable,"),
            ("cache", "", "write cache"),
            ("type", "gzip", "not a media type"),
            ("charset", "a b", "write charset"),
            ("charset", "a\"", "not the name of a charset"),
            ("cors", "", "write cors"),
            ("cors", "null", "an origin is"),
            ("cors", "https://a/", "an origin is"),
            ("cors", "https://A", "an origin is"),
            ("listing", "clasic", "did you mean classic?"),
        ] {
            let said = ResponseRule::parse(word, rest).unwrap_err();
            assert!(said.contains(part), "{word} {rest}: {said}");
        }
    }
}
