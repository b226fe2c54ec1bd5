//! Accept and Accept-Encoding: members with their weights (RFC 9110 §12.4.2).

/// Member of a field, with its weight in thousandths: default 1000, 0 = not acceptable.
pub type Weighted<'v> = (&'v [u8], u16);

/// Members of all field lines in `values`, without other parameters. Members with a bad weight are skipped.
pub fn members<'v>(values: impl Iterator<Item = &'v [u8]>) -> impl Iterator<Item = Weighted<'v>> {
    values.flat_map(|value| value.split(|&byte| byte == b',')).filter_map(member)
}

fn member(text: &[u8]) -> Option<Weighted<'_>> {
    let mut parts = text.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| !name.is_empty())?;
    for parameter in parts {
        if let [b'q' | b'Q', b'=', weight @ ..] = parameter {
            return Some((name, thousandths(weight)?));
        }
    }
    Some((name, 1000))
}

/// Weight in thousandths: `0`, `0.5`, `1.000`, with at most three digits behind the dot.
fn thousandths(weight: &[u8]) -> Option<u16> {
    let (whole, fraction) = match weight {
        [whole] | [whole, b'.'] => (*whole, &b""[..]),
        [whole, b'.', fraction @ ..] if fraction.len() <= 3 => (*whole, fraction),
        _ => return None,
    };
    if !matches!(whole, b'0' | b'1') || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| u16::from(fraction.get(at).map_or(0, |digit| digit - b'0'));
    let sum = u16::from(whole - b'0') * 1000 + digit(0) * 100 + digit(1) * 10 + digit(2);
    (sum <= 1000).then_some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(value: &str) -> Vec<(&str, u16)> {
        let members = members([value.as_bytes()].into_iter());
        members.map(|(name, weight)| (str::from_utf8(name).unwrap(), weight)).collect()
    }

    #[test]
    fn members_have_the_weight_that_they_name_or_all() {
        for (value, expected) in [
            ("gzip", &[("gzip", 1000)][..]),
            ("gzip;q=0.5, br ;Q=1.000,*; q=0", &[("gzip", 500), ("br", 1000), ("*", 0)]),
            ("text/html;level=1;q=0.75", &[("text/html", 750)]),
            ("a;q=1.,b;q=0.001", &[("a", 1000), ("b", 1)]),
            ("a;q=2,b;q=1.001,c;q=0.5555,d;q=,e;q=-1,f;q=x, ,", &[]),
            ("", &[]),
        ] {
            assert_eq!(all(value), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(value: Vec<u8>) {
            prop_assert!(members([&value[..]].into_iter()).all(|(name, weight)| !name.is_empty() && weight <= 1000));
        }
    }
}
