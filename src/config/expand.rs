//! Environment variables in values: `${NAME}` and `${NAME:-text}`.
//!
//! Values are expanded once, after words were split: inserted text is not expanded again, and blanks in it
//! separate nothing. `$${` stands for `${`. A dollar sign without a brace is literal.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::error_kind::ConfigErrorKind;
use super::printable::printable;

/// Look-up function for environment variables.
pub type Environment<'e> = &'e dyn Fn(&OsStr) -> Option<OsString>;

/// Expands `value` with the process's environment.
///
/// # Errors
/// A variable is not set and has no default, a reference is malformed, or a control byte would be inserted.
pub fn expand(value: &[u8]) -> Result<Cow<'_, [u8]>, ConfigErrorKind> {
    expand_from(value, &|name| std::env::var_os(name))
}

/// Expands variables from `environment`.
///
/// # Errors
/// Those of [`expand`].
pub fn expand_from<'v>(
    value: &'v [u8],
    environment: Environment<'_>,
) -> Result<Cow<'v, [u8]>, ConfigErrorKind> {
    if !value.windows(2).any(|pair| pair == b"${") {
        return Ok(Cow::Borrowed(value));
    }
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&first, after)) = rest.split_first() {
        if rest.starts_with(b"$${") {
            out.extend_from_slice(b"${");
            rest = &rest[3..];
        } else if let Some(reference) = rest.strip_prefix(b"${") {
            let end = reference.iter().position(|&b| b == b'}');
            let end = end.ok_or_else(|| ConfigErrorKind::Variable(printable(rest)))?;
            out.extend_from_slice(&value_of(&reference[..end], environment)?);
            rest = &reference[end + 1..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    Ok(Cow::Owned(out))
}

/// Escapes every `${` in `text`, so that [`expand`] returns `text`.
pub fn escape(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for (at, &byte) in text.iter().enumerate() {
        if text[at..].starts_with(b"${") {
            escaped.push(b'$');
        }
        escaped.push(byte);
    }
    escaped
}

/// Value of `NAME` or `NAME:-text`.
fn value_of(reference: &[u8], environment: Environment<'_>) -> Result<Vec<u8>, ConfigErrorKind> {
    let colon = reference.windows(2).position(|pair| pair == b":-");
    let (name, default) = match colon {
        Some(at) => (&reference[..at], Some(&reference[at + 2..])),
        None => (reference, None),
    };
    if !is_name(name) {
        return Err(ConfigErrorKind::Variable(printable(&[b"${", reference, b"}"].concat())));
    }
    let found = environment(OsStr::from_bytes(name)).map(OsString::into_vec);
    // An empty value counts as unset, as with `:-` in a shell.
    let value = match (found, default) {
        (Some(value), None) => value,
        (Some(value), Some(_)) if !value.is_empty() => value,
        (_, Some(default)) => default.to_vec(),
        (None, None) => return Err(ConfigErrorKind::Unset(printable(name))),
    };
    match value.iter().any(u8::is_ascii_control) {
        true => Err(ConfigErrorKind::Control),
        false => Ok(value),
    }
}

/// Tells whether `name` is valid as a variable's name.
pub fn is_name(name: &[u8]) -> bool {
    let is_part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    name.iter().all(is_part) && name.first().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn environment(name: &OsStr) -> Option<OsString> {
        let value = match name.to_str()? {
            "PORT" => "8080",
            "EMPTY" => "",
            "BLANK" => "a b",
            "NESTED" => "${PORT}",
            "LINE" => "a\nb",
            _ => return None,
        };
        Some(value.into())
    }

    fn expanded(value: &str) -> Result<String, ConfigErrorKind> {
        let bytes = expand_from(value.as_bytes(), &environment)?.into_owned();
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn variables_are_put_in_once() {
        for (value, want) in [
            ("", ""),
            ("plain", "plain"),
            ("${PORT}", "8080"),
            ("a${PORT}b${PORT}", "a8080b8080"),
            ("${PORT:-1}", "8080"),
            ("${NONE:-1}", "1"),
            ("${NONE:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-x}", "x"),
            ("${BLANK}", "a b"),
            ("${NESTED}", "${PORT}"),
            ("$${PORT}", "${PORT}"),
            ("$$${PORT}", "$${PORT}"),
            ("$PORT $ {}", "$PORT $ {}"),
            ("$1", "$1"),
        ] {
            assert_eq!(expanded(value), Ok(want.to_owned()), "{value}");
        }
    }

    #[test]
    fn invalid_values_are_reported() {
        for (value, want) in [
            ("${NONE}", ConfigErrorKind::Unset("NONE".into())),
            ("${PORT", ConfigErrorKind::Variable("${PORT".into())),
            ("${}", ConfigErrorKind::Variable("${}".into())),
            ("${1}", ConfigErrorKind::Variable("${1}".into())),
            ("${A-B}", ConfigErrorKind::Variable("${A-B}".into())),
            ("${LINE}", ConfigErrorKind::Control),
        ] {
            assert_eq!(expanded(value), Err(want), "{value}");
        }
    }

    proptest! {
        #[test]
        fn escaped_text_expands_to_itself(text in "[${}A:a-]{0,20}") {
            prop_assert_eq!(expanded(str::from_utf8(&escape(text.as_bytes())).unwrap()), Ok(text));
        }
    }
}
