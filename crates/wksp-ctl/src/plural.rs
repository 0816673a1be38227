//! Numbers of things.

use std::fmt;

/// A number of things, named in the singular: `1 allocation`, `2 allocations`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plural(pub(crate) u64, pub(crate) &'static str);

impl fmt::Display for Plural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, thing) = self;
        write!(f, "{count} {thing}{}", if *count == 1 { "" } else { "s" })
    }
}

/// A number of pages of a size: `1 huge page`, `2 huge pages`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pages<S>(pub(crate) u64, pub(crate) S);

impl<S: fmt::Display> fmt::Display for Pages<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, size) = self;
        write!(f, "{count} {size} page{}", if *count == 1 { "" } else { "s" })
    }
}
