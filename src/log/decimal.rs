//! Decimal numbers as bytes, for the heads of requests and responses and the lines of the log.

/// Appends `number` in decimal, without the formatting machinery.
pub fn push_decimal(text: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend_from_slice(&digits[start..]);
}

/// Parses digits only: no sign, no blank, no list; `None` beyond u64.
pub fn parse_decimal(text: &[u8]) -> Option<u64> {
    let add = |number: u64, digit: &u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    };
    (!text.is_empty()).then(|| text.iter().try_fold(0, add))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_whole() {
        for n in [0, 1, 9, 10, 99, 100, 1_000_000, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            push_decimal(&mut out, n);
            assert_eq!(out, n.to_string().as_bytes());
        }
    }

    #[test]
    fn digits_alone_are_read_up_to_the_largest_number() {
        for n in [0, 7, 1_000_000, u64::MAX] {
            assert_eq!(parse_decimal(n.to_string().as_bytes()), Some(n));
        }
        assert_eq!(parse_decimal(b"007"), Some(7));
        for none in ["", "+1", "-1", " 1", "1 ", "1,1", "0x1", "18446744073709551616", "\u{663}"] {
            assert_eq!(parse_decimal(none.as_bytes()), None, "{none}");
        }
    }
}
