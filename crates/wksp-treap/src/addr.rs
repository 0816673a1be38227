//! Addresses, ranges and tags: numbers that mean the same in every process.

use core::fmt;
use core::num::NonZeroU64;

/// A global address: the offset in bytes of a byte from the first byte of the workspace header.
///
/// It is never 0, since the header lies there; where the C side returns 0 for "nothing", this
/// crate says `Option<Gaddr>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gaddr(NonZeroU64);

impl Gaddr {
    /// Makes a global address of an offset in bytes, `None` for 0.
    #[must_use]
    pub const fn new(offset_bytes: u64) -> Option<Self> {
        match NonZeroU64::new(offset_bytes) {
            Some(offset) => Some(Self(offset)),
            None => None,
        }
    }

    /// The offset in bytes from the start of the workspace.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The address `bytes` further on, `None` past the last one.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(offset) => Some(Self(offset)),
            None => None,
        }
    }
}

impl fmt::Display for Gaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Gaddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gaddr({})", self.0)
    }
}

/// The global addresses [`lo`](Self::lo), ..., [`hi`](Self::hi) - 1: half open and never empty.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GaddrRange {
    lo: Gaddr,
    hi: Gaddr,
}

impl GaddrRange {
    /// Makes the range `[lo, hi)` of offsets in bytes, `None` if it would be empty or hold 0.
    #[must_use]
    pub const fn new(lo: u64, hi: u64) -> Option<Self> {
        match (Gaddr::new(lo), Gaddr::new(hi)) {
            (Some(from), Some(to)) if lo < hi => Some(Self { lo: from, hi: to }),
            _ => None,
        }
    }

    /// The first address of the range.
    #[must_use]
    pub const fn lo(self) -> Gaddr {
        self.lo
    }

    /// The first address behind the range.
    #[must_use]
    pub const fn hi(self) -> Gaddr {
        self.hi
    }

    /// The length in bytes, at least 1.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "lo < hi since construction")]
    pub const fn bytes(self) -> u64 {
        self.hi.get() - self.lo.get()
    }

    /// Whether `gaddr` lies in the range.
    #[must_use]
    pub const fn contains(self, gaddr: Gaddr) -> bool {
        self.lo.get() <= gaddr.get() && gaddr.get() < self.hi.get()
    }

    /// Whether all of `inner` lies in the range.
    #[must_use]
    pub const fn encloses(self, inner: Self) -> bool {
        self.lo.get() <= inner.lo.get() && inner.hi.get() <= self.hi.get()
    }
}

impl fmt::Display for GaddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.lo, self.hi)
    }
}

impl fmt::Debug for GaddrRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the owner of an allocation calls it: any number but 0, and not necessarily unique.
///
/// A record with a tag is an allocation; being free is a state, not a tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(NonZeroU64);

impl Tag {
    /// Makes a tag of a number, `None` for 0.
    #[must_use]
    pub const fn new(tag: u64) -> Option<Self> {
        match NonZeroU64::new(tag) {
            Some(tag) => Some(Self(tag)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({})", self.0)
    }
}
