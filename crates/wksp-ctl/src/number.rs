//! Numbers as they are typed: decimal, or hexadecimal after `0x`.

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NumberError {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// It begins with a minus.
    #[error("it is negative")]
    Negative,
    /// Some programs would take it for octal, others for decimal.
    #[error("it begins with 0, which some programs take for octal")]
    LeadingZero,
    /// There is a character that belongs to no number.
    #[error("it is neither a decimal number nor 0x and a hexadecimal one")]
    NotANumber,
    /// It is 2^64 or more.
    #[error("it is more than 18446744073709551615, the largest number of 64 bits")]
    TooLarge,
}

/// Reads a whole number.
pub(crate) fn parse(text: &str) -> Result<u64, NumberError> {
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    let (digits, radix) = hexadecimal.map_or((text, 10), |digits| (digits, 16));
    if text.is_empty() {
        return Err(NumberError::Empty);
    }
    if text.starts_with('-') {
        return Err(NumberError::Negative);
    }
    // The library takes a plus sign as well.
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(NumberError::NotANumber);
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Err(NumberError::LeadingZero);
    }
    u64::from_str_radix(digits, radix).map_err(|_| NumberError::TooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bases_are_read() {
        for (text, number) in [
            ("0", 0),
            ("10", 10),
            ("0x10", 16),
            ("0XfF", 255),
            ("0x0010", 16),
            ("18446744073709551615", u64::MAX),
            ("0xffffffffffffffff", u64::MAX),
        ] {
            assert_eq!(parse(text), Ok(number), "{text}");
        }
    }

    #[test]
    fn all_else_is_refused_for_its_own_reason() {
        assert_eq!(parse(""), Err(NumberError::Empty));
        assert_eq!(parse("-1"), Err(NumberError::Negative));
        assert_eq!(parse("010"), Err(NumberError::LeadingZero));
        assert_eq!(parse("18446744073709551616"), Err(NumberError::TooLarge));
        for text in ["+1", "0x", "0x+1", "x", "1e3", " 1", "1 ", "1_000", "\u{662}"] {
            assert_eq!(parse(text), Err(NumberError::NotANumber), "{text}");
        }
    }
}
