//! CPU sequences as text: which processors, in which order, and how often.

use std::fmt;
use std::str::FromStr;

use crate::topology::CpuIndex;

/// The most entries that a sequence may have, each processor counted as often as it is named.
const ENTRIES_MAX: usize = 512;

/// Processors in an order, at least one, in which one may occur more than once.
///
/// As text it is a comma list of items: `N`; `N-M`, which is all from N to M inclusive; `N-M/S` or
/// `N-M:S`, which is every S-th of those, S being positive. White space around numbers and signs is
/// ignored.
///
/// # Examples
///
/// ```
/// use wksp_shmem::CpuSequence;
///
/// let cpus: CpuSequence = "0-4:2, 10, 9-11".parse()?;
/// assert_eq!(cpus.to_string(), "0,2,4,10,9,10,11");
/// # Ok::<(), wksp_shmem::CpuSequenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CpuSequence {
    cpus: Vec<CpuIndex>,
}

/// Why a text is no sequence of processors.
///
/// Positions are in bytes, and the first one is 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CpuSequenceError {
    /// Something else stands where a number has to be, or nothing.
    #[error(
        "a list of CPUs is written like 0-4:2,10,9-11, but at byte {position} of this one is no \
         number"
    )]
    NoNumber {
        /// Where.
        position: usize,
    },
    /// A number does not fit in 32 bits.
    #[error("the number at byte {position} of the list of CPUs is too large for a CPU or a stride")]
    TooLarge {
        /// Where.
        position: usize,
    },
    /// Something stands behind an item that neither goes on with it nor ends it.
    #[error(
        "a list of CPUs is written like 0-4:2,10,9-11, but at byte {position} of this one is \
         neither a comma nor the end"
    )]
    Unexpected {
        /// Where.
        position: usize,
    },
    /// A range ends before it begins.
    #[error("the range of CPUs {first}-{last} ends before it begins: write the smaller one first")]
    Backward {
        /// Where it begins.
        first: CpuIndex,
        /// Where it ends.
        last: CpuIndex,
    },
    /// A stride is 0.
    #[error("the range at byte {position} of the list of CPUs has stride 0: use 1 or more")]
    NoStride {
        /// Where the stride is.
        position: usize,
    },
    /// There are more entries than are allowed.
    #[error("a list of CPUs may have {ENTRIES_MAX} entries, but this one has more")]
    TooMany,
}

impl CpuSequence {
    /// The processors, in their order, at least one.
    #[must_use]
    pub fn cpus(&self) -> &[CpuIndex] {
        &self.cpus
    }
}

impl FromStr for CpuSequence {
    type Err = CpuSequenceError;

    fn from_str(text: &str) -> Result<Self, CpuSequenceError> {
        let mut rest = Rest { text: text.as_bytes(), position: 0 };
        let mut cpus = Vec::new();
        loop {
            let Item { first, last, stride } = rest.item()?;
            for cpu in (first..=last).step_by(stride) {
                if cpus.len() == ENTRIES_MAX {
                    return Err(CpuSequenceError::TooMany);
                }
                cpus.push(CpuIndex::new(cpu));
            }
            if rest.peek().is_none() {
                return Ok(Self { cpus });
            }
            if !rest.take(b",") {
                return Err(CpuSequenceError::Unexpected { position: rest.position });
            }
        }
    }
}

impl fmt::Display for CpuSequence {
    /// Writes the entries one by one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (count, cpu) in self.cpus.iter().enumerate() {
            let comma = if count == 0 { "" } else { "," };
            write!(f, "{comma}{cpu}")?;
        }
        Ok(())
    }
}

/// One item of a sequence.
struct Item {
    first: u32,
    last: u32,
    stride: usize,
}

/// What has not been read yet.
struct Rest<'a> {
    text: &'a [u8],
    position: usize,
}

impl Rest<'_> {
    fn item(&mut self) -> Result<Item, CpuSequenceError> {
        let first = self.number()?;
        if !self.take(b"-") {
            return Ok(Item { first, last: first, stride: 1 });
        }
        let last = self.number()?;
        if last < first {
            let (first, last) = (CpuIndex::new(first), CpuIndex::new(last));
            return Err(CpuSequenceError::Backward { first, last });
        }
        let mut stride = 1;
        if self.take(b"/:") {
            let before = self.position;
            stride = usize::try_from(self.number()?).unwrap_or(usize::MAX);
            if stride == 0 {
                return Err(CpuSequenceError::NoStride { position: before });
            }
        }
        Ok(Item { first, last, stride })
    }

    /// The next byte that is no white space, without reading it.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = self.text.get(self.position).copied()?;
            if !byte.is_ascii_whitespace() && byte != 0x0B {
                return Some(byte);
            }
            self.advance();
        }
    }

    /// Reads the next byte if it is one of `wanted`.
    fn take(&mut self, wanted: &[u8]) -> bool {
        let is_wanted = self.peek().is_some_and(|byte| wanted.contains(&byte));
        if is_wanted {
            self.advance();
        }
        is_wanted
    }

    fn number(&mut self) -> Result<u32, CpuSequenceError> {
        let first = self.peek();
        let position = self.position;
        if !first.is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(CpuSequenceError::NoNumber { position });
        }
        let mut number = 0_u32;
        while let Some(digit) = self.text.get(self.position).filter(|byte| byte.is_ascii_digit()) {
            let digit = u32::from(digit.wrapping_sub(b'0'));
            let longer = number.checked_mul(10).and_then(|tens| tens.checked_add(digit));
            number = longer.ok_or(CpuSequenceError::TooLarge { position })?;
            self.advance();
        }
        Ok(number)
    }

    const fn advance(&mut self) {
        self.position = self.position.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<u32>, CpuSequenceError> {
        let sequence: CpuSequence = text.parse()?;
        Ok(sequence.cpus().iter().map(|cpu| cpu.get()).collect())
    }

    #[test]
    fn every_kind_of_item_is_understood() {
        for (text, cpus) in [
            ("0", vec![0]),
            ("0-4:2,10,9-11", vec![0, 2, 4, 10, 9, 10, 11]),
            ("0-4/2", vec![0, 2, 4]),
            ("0-5:2", vec![0, 2, 4]),
            ("3-3", vec![3]),
            ("3-3:7", vec![3]),
            ("007", vec![7]),
            ("4294967295", vec![u32::MAX]),
            ("4294967290-4294967295:4294967295", vec![4_294_967_290]),
            (" 1 ,\t2 - 4 : 2\n", vec![1, 2, 4]),
        ] {
            assert_eq!(parse(text), Ok(cpus), "{text:?}");
        }
    }

    #[test]
    fn everything_else_is_malformed_at_a_place() {
        for (text, error) in [
            ("", CpuSequenceError::NoNumber { position: 0 }),
            ("  ", CpuSequenceError::NoNumber { position: 2 }),
            (",1", CpuSequenceError::NoNumber { position: 0 }),
            ("1,", CpuSequenceError::NoNumber { position: 2 }),
            ("1,,2", CpuSequenceError::NoNumber { position: 2 }),
            ("-1", CpuSequenceError::NoNumber { position: 0 }),
            ("+1", CpuSequenceError::NoNumber { position: 0 }),
            ("0x1", CpuSequenceError::Unexpected { position: 1 }),
            ("1 2", CpuSequenceError::Unexpected { position: 2 }),
            ("1:2", CpuSequenceError::Unexpected { position: 1 }),
            ("1-", CpuSequenceError::NoNumber { position: 2 }),
            ("1-2-3", CpuSequenceError::Unexpected { position: 3 }),
            ("1-2:", CpuSequenceError::NoNumber { position: 4 }),
            ("1-2:0", CpuSequenceError::NoStride { position: 4 }),
            ("1-2:1:1", CpuSequenceError::Unexpected { position: 5 }),
            ("1-2:-1", CpuSequenceError::NoNumber { position: 4 }),
            ("4294967296", CpuSequenceError::TooLarge { position: 0 }),
            ("1\u{a0}", CpuSequenceError::Unexpected { position: 1 }),
        ] {
            assert_eq!(parse(text), Err(error), "{text:?}");
        }
        let (first, last) = (CpuIndex::new(2), CpuIndex::new(1));
        assert_eq!(parse("0,2-1"), Err(CpuSequenceError::Backward { first, last }));
    }

    #[test]
    fn there_are_at_most_512_entries_however_they_are_written() {
        assert_eq!(parse("0-511").unwrap().len(), 512);
        assert_eq!(parse("0-512"), Err(CpuSequenceError::TooMany));
        assert_eq!(parse("0-4294967295"), Err(CpuSequenceError::TooMany));
        assert_eq!(parse("0-1022:2").unwrap().len(), 512);
        assert_eq!(parse(&vec!["7"; 512].join(",")).unwrap(), [7; 512]);
        assert_eq!(parse(&vec!["7"; 513].join(",")), Err(CpuSequenceError::TooMany));
    }

    #[test]
    fn what_is_written_can_be_read() {
        let sequence: CpuSequence = "5, 0-6:3".parse().unwrap();
        assert_eq!(sequence.to_string(), "5,0,3,6");
        assert_eq!(sequence.to_string().parse(), Ok(sequence));
    }
}
