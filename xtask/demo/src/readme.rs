//! Compiles the example of the README, so that it stays true.

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
