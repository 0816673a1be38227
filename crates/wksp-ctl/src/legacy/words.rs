//! The words of a chain, without the options that are ignored in it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use crate::failure::Failure;

/// What is left of a chain.
#[derive(Debug)]
pub(super) struct Words {
    words: std::vec::IntoIter<OsString>,
}

impl Words {
    /// Leaves out every option, with the value behind it, wherever it stands.
    pub(super) fn new(typed: &[OsString]) -> Self {
        let mut words = Vec::new();
        let mut typed = typed.iter();
        while let Some(word) = typed.next() {
            if is_option(word) {
                // The last one may have none.
                let _value = typed.next();
            } else {
                words.push(word.clone());
            }
        }
        Self { words: words.into_iter() }
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.words.as_slice().is_empty()
    }

    /// The next word, which is that of a command.
    pub(super) fn command(&mut self) -> Option<String> {
        self.words.next().map(|word| word.to_string_lossy().into_owned())
    }

    /// The arguments of a command.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[OsString; N], Failure> {
        let found = self.words.len();
        let taken: Vec<OsString> = self.words.by_ref().take(N).collect();
        taken.try_into().map_err(|_| {
            Failure::usage(
                format_args!("it takes {N} arguments, but only {found} are left"),
                "`help` lists the arguments of all commands",
            )
        })
    }
}

/// Whether a word is the name of an option: `--`, and letters, digits, `-` and `_`.
///
/// A word with `=` is none: taking the word behind it as well would swallow a command.
fn is_option(word: &OsStr) -> bool {
    let name = word.as_bytes().strip_prefix(b"--").unwrap_or_default();
    let is_allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
    name.first().is_some_and(u8::is_ascii_alphanumeric) && name.iter().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left_of(typed: &[&str]) -> Vec<String> {
        let typed: Vec<OsString> = typed.iter().map(OsString::from).collect();
        let mut words = Words::new(&typed);
        std::iter::from_fn(|| words.command()).collect()
    }

    #[test]
    fn options_go_with_their_values() {
        assert_eq!(left_of(&["--log-path", "x", "tag", "1"]), ["tag", "1"]);
        assert_eq!(left_of(&["tag", "--a_b", "tag", "1", "--log-path"]), ["tag", "1"]);
        assert_eq!(left_of(&["--a", "--b", "tag", "1"]), ["tag", "1"]);
        assert!(left_of(&["--log-path", "x"]).is_empty());
    }

    #[test]
    fn what_only_looks_like_an_option_stays() {
        let words = ["-1", "-", "--", "---", "--=", "--a=b", "+"];
        assert_eq!(left_of(&words), words);
    }
}
