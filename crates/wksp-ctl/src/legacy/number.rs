//! Numbers as C reads them: whatever is typed is one, if need be 0.

/// Reads a number as `strtoul` does in base 0: decimal, hexadecimal after `0x`, octal after `0`.
///
/// What follows the digits is ignored, what has none is 0, a negative number wraps, and what is too
/// large is the largest of 64 bits.
pub(super) fn unsigned(text: &[u8]) -> u64 {
    let (is_negative, digits) = sign(text);
    let number = match digits {
        // Without a digit behind it, the x is what follows a 0.
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => {
            magnitude(rest, 16)
        }
        [b'0', ..] => magnitude(digits, 8),
        _ => magnitude(digits, 10),
    };
    signed(is_negative, number)
}

/// Reads an octal number as `strtoul` does in base 8.
pub(super) fn octal(text: &[u8]) -> u64 {
    let (is_negative, digits) = sign(text);
    signed(is_negative, magnitude(digits, 8))
}

/// Splits what comes before the digits off: white space, and whether there is a minus.
fn sign(text: &[u8]) -> (bool, &[u8]) {
    // The sixth character that C calls white space, the vertical tab, is none of Rust's.
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0B;
    let start = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    match text.get(start..).unwrap_or_default() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] | digits => (false, digits),
    }
}

/// The number that the leading digits are, `None` if it has more than 64 bits.
fn magnitude(digits: &[u8], radix: u32) -> Option<u64> {
    let digits = digits.iter().map_while(|&byte| char::from(byte).to_digit(radix));
    let mut number = Some(0_u64);
    for digit in digits {
        let times = number.and_then(|number| number.checked_mul(u64::from(radix)));
        number = times.and_then(|number| number.checked_add(u64::from(digit)));
    }
    number
}

fn signed(is_negative: bool, magnitude: Option<u64>) -> u64 {
    match magnitude {
        None => u64::MAX,
        Some(number) if is_negative => number.wrapping_neg(),
        Some(number) => number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a C program printed for `strtoul` in base 0 and in base 8.
    #[test]
    fn numbers_are_those_of_c() {
        const MAX: u64 = u64::MAX;
        for (text, any, octal_too) in [
            ("", 0, 0),
            ("0", 0, 0),
            ("12abc", 12, 10),
            ("0x", 0, 0),
            ("0X", 0, 0),
            ("0xg", 0, 0),
            ("08", 0, 0),
            ("010", 8, 8),
            ("0x10", 16, 0),
            ("0XfF", 255, 0),
            ("-1", MAX, MAX),
            ("-0x1", MAX, 0),
            ("+5", 5, 5),
            ("+-5", 0, 0),
            (" 7", 7, 7),
            ("\t\n\u{b}\u{c}\r 7", 7, 7),
            ("18446744073709551615", MAX, 1),
            ("18446744073709551616", MAX, 1),
            ("-18446744073709551616", MAX, MAX),
            ("99999999999999999999999", MAX, 0),
            ("-18446744073709551615", 1, MAX),
            ("0xffffffffffffffff", MAX, 0),
            ("0x1ffffffffffffffff", MAX, 0),
            ("01777777777777777777777", MAX, MAX),
            ("02000000000000000000000", MAX, MAX),
            ("- 1", 0, 0),
            ("1 2", 1, 1),
            ("abc", 0, 0),
            ("0b101", 0, 0),
            ("1e3", 1, 1),
            ("0x-1", 0, 0),
            ("\u{a0}7", 0, 0),
            ("00x1", 0, 0),
            ("0x0x1", 0, 0),
            ("9223372036854775808", 9_223_372_036_854_775_808, 0),
            ("-9223372036854775809", 9_223_372_036_854_775_807, 0),
        ] {
            assert_eq!(
                (unsigned(text.as_bytes()), octal(text.as_bytes())),
                (any, octal_too),
                "{text:?}"
            );
        }
    }
}
