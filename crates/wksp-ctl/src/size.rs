//! Sizes in bytes as people write them, both ways.
//!
//! `K`, `M`, `G`, `T`, `P`, `E` and `KiB`, `MiB`, ... are powers of 1024; `KB`, `MB`, ... are powers
//! of 1000, as the tools of GNU have it.

use std::fmt;

use crate::number::{self, NumberError};

/// Why a text is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SizeError {
    /// The part before the unit is no number.
    #[error(transparent)]
    Number(#[from] NumberError),
    /// What follows the number is no unit.
    #[error("its unit is none of K, M, G, T, P, E, KiB ... EiB, KB ... EB and B")]
    Unit,
    /// The fraction does not come out as whole bytes.
    #[error("it is no whole number of bytes")]
    Fraction,
    /// It is 2^64 or more.
    #[error("it is more than 18446744073709551615 bytes, the largest number of 64 bits")]
    TooLarge,
}

/// The letters of the units, from 1024^1 on.
const LETTERS: &str = "KMGTPE";

/// Reads a size.
pub(crate) fn parse(text: &str) -> Result<u64, SizeError> {
    let is_hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let end = match is_hexadecimal {
        // `E` and `B` are digits there; so a hexadecimal number has no unit.
        true => text.len(),
        false => {
            text.find(|c: char| c.is_ascii_alphabetic() || !c.is_ascii()).unwrap_or(text.len())
        }
    };
    let (digits, unit) = text.split_at_checked(end).ok_or(SizeError::Unit)?;
    let unit = parse_unit(unit).ok_or(SizeError::Unit)?;
    let Some((whole, fraction)) = digits.split_once('.') else {
        return number::parse(digits)?.checked_mul(unit).ok_or(SizeError::TooLarge);
    };
    let whole = number::parse(whole)?.checked_mul(unit).ok_or(SizeError::TooLarge)?;
    whole.checked_add(parse_fraction(fraction, unit)?).ok_or(SizeError::TooLarge)
}

/// The bytes of a unit, `None` if there is no such one.
fn parse_unit(unit: &str) -> Option<u64> {
    let mut letters = unit.chars().map(|letter| letter.to_ascii_uppercase());
    let Some(first) = letters.next() else { return Some(1) };
    let rest: String = letters.collect();
    if first == 'B' {
        return rest.is_empty().then_some(1);
    }
    let power = u32::try_from(LETTERS.find(first)?).ok()?.checked_add(1)?;
    match rest.as_str() {
        "" | "IB" => 1024_u64.checked_pow(power),
        "B" => 1000_u64.checked_pow(power),
        _ => None,
    }
}

/// The bytes of the digits behind the point.
fn parse_fraction(digits: &str, unit: u64) -> Result<u64, SizeError> {
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err(NumberError::NotANumber.into());
    }
    let digits = digits.trim_end_matches('0');
    if digits.is_empty() {
        return Ok(0);
    }
    // No unit has more than 60 factors of 2, so more digits than that cannot come out even, and
    // 18 are as many as fit.
    let scale = u32::try_from(digits.len()).ok().filter(|&count| count <= 18);
    let scale = scale.and_then(|count| 10_u128.checked_pow(count)).ok_or(SizeError::Fraction)?;
    let numerator = digits.parse::<u128>().ok().and_then(|d| d.checked_mul(u128::from(unit)));
    let numerator = numerator.ok_or(SizeError::Fraction)?;
    let bytes = numerator.checked_div(scale).filter(|_| numerator.is_multiple_of(scale));
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).ok_or(SizeError::Fraction)
}

/// A number of bytes for people: exact if it is a whole number of some unit, else rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Human(pub(crate) u64);

impl fmt::Display for Human {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(power) = self.0.checked_ilog(1024).filter(|&power| power > 0) else {
            return f.pad(&format!("{} B", self.0));
        };
        let unit = 1024_u64.saturating_pow(power);
        let letter = (power as usize).checked_sub(1).and_then(|at| LETTERS.chars().nth(at));
        let letter = letter.unwrap_or('?');
        if let Some(whole) = self.0.checked_div(unit).filter(|_| self.0.is_multiple_of(unit)) {
            return f.pad(&format!("{whole} {letter}iB"));
        }
        #[expect(clippy::cast_precision_loss, reason = "it is rounded to one digit anyway")]
        let rounded = self.0 as f64 / unit as f64;
        f.pad(&format!("{rounded:.1} {letter}iB"))
    }
}

/// A number of bytes, exact and then for people where that says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes(pub(crate) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("1 byte"),
            bytes @ ..1024 => write!(f, "{bytes} bytes"),
            bytes => write!(f, "{bytes} bytes ({})", Human(bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_powers_of_1024_and_with_a_bare_b_of_1000() {
        for (text, bytes) in [
            ("0", 0),
            ("100", 100),
            ("100B", 100),
            ("4K", 4096),
            ("4k", 4096),
            ("4KiB", 4096),
            ("4kib", 4096),
            ("4KB", 4000),
            ("64MiB", 64 << 20),
            ("64M", 64 << 20),
            ("1G", 1 << 30),
            ("1GB", 1_000_000_000),
            ("2T", 2 << 40),
            ("1P", 1 << 50),
            ("15E", 15 << 60),
            ("0x1000", 4096),
            ("0xEB", 0xEB),
            ("1.5GiB", 3 << 29),
            ("0.5K", 512),
            ("1.0", 1),
            ("0.001KB", 1),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_for_its_own_reason() {
        let number = |error| Err(SizeError::Number(error));
        assert_eq!(parse(""), number(NumberError::Empty));
        assert_eq!(parse("K"), number(NumberError::Empty));
        assert_eq!(parse("-1K"), number(NumberError::Negative));
        assert_eq!(parse("010K"), number(NumberError::LeadingZero));
        assert_eq!(parse("1 K"), number(NumberError::NotANumber));
        assert_eq!(parse("1.K"), number(NumberError::NotANumber));
        assert_eq!(parse(".5K"), number(NumberError::Empty));
        assert_eq!(parse("1.5.5K"), number(NumberError::NotANumber));
        assert_eq!(parse("1e3"), Err(SizeError::Unit));
        for text in ["1X", "1KK", "1Ki", "1BB", "1Bi", "1\u{212a}", "1ZiB"] {
            assert_eq!(parse(text), Err(SizeError::Unit), "{text}");
        }
        for text in ["0.3K", "1.5", "0.00000000000000000001E"] {
            assert_eq!(parse(text), Err(SizeError::Fraction), "{text}");
        }
        assert_eq!(parse("16E"), Err(SizeError::TooLarge));
        assert_eq!(parse("15.9999E"), Err(SizeError::Fraction));
        assert_eq!(parse("18446744073709551615K"), Err(SizeError::TooLarge));
        assert_eq!(parse("18446744073709551616"), number(NumberError::TooLarge));
    }

    #[test]
    fn people_read_sizes_in_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (64 << 20, "64 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(Human(bytes).to_string(), text);
        }
        assert_eq!(Bytes(1).to_string(), "1 byte");
        assert_eq!(Bytes(4096).to_string(), "4096 bytes (4 KiB)");
    }
}
