//! The allocations of two sides, put together by address.

use wksp_core::{Allocation, Gaddr};

use crate::failure::{Failure, Kind};

/// What begins at an address on one side or on both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) a: Option<Allocation>,
    pub(super) b: Option<Allocation>,
}

impl Pair {
    /// Where it begins.
    pub(super) fn lo(&self) -> Option<Gaddr> {
        self.a.or(self.b).map(|one| one.range.lo())
    }

    /// The bytes that both sides have, 0 if one has none.
    pub(super) fn common_bytes(&self) -> u64 {
        self.a.zip(self.b).map_or(0, |(a, b)| a.range.bytes().min(b.range.bytes()))
    }
}

/// All of them, in ascending order of address.
#[derive(Debug)]
pub(super) struct Pairs(Vec<Pair>);

impl Pairs {
    /// Merges two lists, each in ascending order of address.
    pub(super) fn new(a: &[Allocation], b: &[Allocation]) -> Result<Self, Failure> {
        let mut pairs = Vec::new();
        pairs.try_reserve_exact(a.len().max(b.len())).map_err(|_| {
            Failure::new(
                Kind::NoRoom,
                format_args!("there is not enough memory for {} allocations", a.len().max(b.len())),
                "free some memory",
            )
        })?;
        let (mut a, mut b) = (a.iter().copied().peekable(), b.iter().copied().peekable());
        loop {
            let lo = |one: Option<&Allocation>| one.map(|one| one.range.lo());
            let pair = match (lo(a.peek()), lo(b.peek())) {
                (None, None) => return Ok(Self(pairs)),
                (Some(x), Some(y)) if x == y => Pair { a: a.next(), b: b.next() },
                (Some(x), Some(y)) if x > y => Pair { a: None, b: b.next() },
                (None, Some(_)) => Pair { a: None, b: b.next() },
                (Some(_), _) => Pair { a: a.next(), b: None },
            };
            pairs.push(pair);
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Pair> {
        self.0.iter()
    }

    pub(super) fn get(&self, at: usize) -> Option<&Pair> {
        self.0.get(at)
    }

    /// The position of the pair that begins at `lo`, if both sides have something there.
    pub(super) fn find(&self, lo: Gaddr) -> Option<usize> {
        let at = self.0.binary_search_by_key(&Some(lo), Pair::lo).ok()?;
        self.get(at).filter(|pair| pair.common_bytes() > 0).map(|_| at)
    }
}

#[cfg(test)]
mod tests {
    use wksp_core::{GaddrRange, Tag};

    use super::*;

    fn one(lo: u64, hi: u64) -> Allocation {
        Allocation { range: GaddrRange::new(lo, hi).unwrap(), tag: Tag::new(1).unwrap() }
    }

    #[test]
    fn what_begins_at_the_same_address_belongs_together() {
        let a = [one(1, 2), one(5, 9), one(20, 30)];
        let b = [one(2, 3), one(5, 7), one(40, 41)];
        let pairs = Pairs::new(&a, &b).unwrap();
        let found: Vec<_> = pairs.iter().map(|pair| (pair.a.is_some(), pair.b.is_some())).collect();
        assert_eq!(
            found,
            [(true, false), (false, true), (true, true), (true, false), (false, true)]
        );
        assert_eq!(pairs.find(Gaddr::new(5).unwrap()), Some(2));
        assert_eq!(pairs.get(2).unwrap().common_bytes(), 2);
        assert_eq!(pairs.find(Gaddr::new(20).unwrap()), None);
        assert_eq!(pairs.find(Gaddr::new(6).unwrap()), None);
    }
}
