//! The `env` action: environment variables as a script or as JSON.
//!
//! Container images without a shell use this to configure the pages they serve.

use super::pattern::Pattern;
use super::words::Words;
use crate::config::expand::is_name;

/// Content of one `env` line, made at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvScript {
    /// Media type of the content.
    pub media_type: &'static str,
    /// Bytes of the response body.
    pub content: Box<[u8]>,
    /// Names and values, for `--dump-config`.
    names: Box<[String]>,
}

impl EnvScript {
    /// Reads `NAME`, `NAME=TEXT` and `NAME:-TEXT`, and looks the variables up in the environment.
    ///
    /// # Errors
    /// The pattern is not a literal name ending in .js or .json, a name is not valid, or a variable is not
    /// UTF-8 or is not set and has no default.
    pub(super) fn parse(words: &Words, pattern: &Pattern) -> Result<EnvScript, String> {
        let file = pattern.literal().unwrap_or_default();
        let is_script = file.ends_with(".js");
        if !is_script && !file.ends_with(".json") {
            return Err(
                "env needs a pattern that is one name, without wildcards, ending in .js or .json".into()
            );
        }
        if words.is_empty() {
            return Err("write env NAME...".into());
        }
        let mut object = String::from("{");
        for (at, word) in words.iter().enumerate() {
            let (name, value) = variable(word)?;
            object.push_str(if at == 0 { "\"" } else { ",\"" });
            object.push_str(name);
            object.push_str("\":\"");
            escape(&mut object, &value);
            object.push('"');
        }
        object.push('}');
        let (media_type, content) = match is_script {
            true => ("text/javascript; charset=UTF-8", format!("globalThis.env={object};\n")),
            false => ("application/json", object + "\n"),
        };
        let names = words.iter().map(str::to_owned).collect();
        Ok(EnvScript { media_type, content: content.into_bytes().into(), names })
    }
}

fn variable(word: &str) -> Result<(&str, String), String> {
    let end = word.find(['=', ':']).unwrap_or(word.len());
    let (name, rest) = word.split_at(end);
    if !is_name(name.as_bytes()) {
        return Err(format!("{word}: write NAME, NAME=TEXT or NAME:-TEXT"));
    }
    if let Some(constant) = rest.strip_prefix('=') {
        return Ok((name, constant.to_owned()));
    }
    let default = rest.strip_prefix(":-");
    if default.is_none() && !rest.is_empty() {
        return Err(format!("{word}: write NAME, NAME=TEXT or NAME:-TEXT"));
    }
    match (std::env::var(name), default) {
        (Ok(value), None) => Ok((name, value)),
        (Ok(value), Some(_)) if !value.is_empty() => Ok((name, value)),
        (Err(std::env::VarError::NotUnicode(_)), _) => Err(format!("{name}: its value is not UTF-8")),
        (_, Some(default)) => Ok((name, default.to_owned())),
        (Err(_), None) => Err(format!("the environment has no {name}; write {name}:-TEXT for a default")),
    }
}

/// Appends `text` as the inside of a JSON string that is also safe in an HTML script element.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\u{7f}' => {
                out.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            control if control.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            plain => out.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(pattern: &str, words: &str) -> Result<String, String> {
        let environment = EnvScript::parse(&Words::new(words)?, &Pattern::parse(pattern)?)?;
        Ok(String::from_utf8(environment.content.to_vec()).unwrap())
    }

    #[test]
    fn values_are_escaped_for_scripts_and_pages() {
        assert_eq!(content("/env.json", "A=b C="), Ok("{\"A\":\"b\",\"C\":\"\"}\n".into()));
        assert_eq!(content("/env.js", "A=1"), Ok("globalThis.env={\"A\":\"1\"};\n".into()));
        let hostile = "A=</script>&\"\\\u{2028}\u{2029}";
        let want = r#"{"A":"\u003c/script\u003e\u0026\"\\\u2028\u2029"}"#.to_owned() + "\n";
        assert_eq!(content("a/env.json", hostile), Ok(want));
        assert_eq!(content("/e.json", "THTTPD_NO:-x"), Ok("{\"THTTPD_NO\":\"x\"}\n".into()));
    }

    #[test]
    fn invalid_env_lines_are_reported() {
        for (pattern, words, part) in [
            ("**.js", "A=1", "one name"),
            ("/env.txt", "A=1", "ending in .js or .json"),
            ("/env.js|/b.js", "A=1", "one name"),
            ("/env.js", "", "env NAME"),
            ("/env.js", "1=a", "write NAME"),
            ("/env.js", "A:x", "write NAME"),
            ("/env.js", "THTTPD_NO_SUCH_NAME", "the environment has no THTTPD_NO_SUCH_NAME"),
        ] {
            let said = content(pattern, words).unwrap_err();
            assert!(said.contains(part), "{pattern} {words}: {said}");
        }
    }
}
