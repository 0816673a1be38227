//! A file of the repository, with its code told apart from its comments.

/// A file and its text.
#[derive(Debug)]
pub(super) struct Source {
    /// From the root of the repository, with slashes.
    pub(super) path: String,
    pub(super) text: String,
}

impl Source {
    pub(super) const fn new(path: String, text: String) -> Self {
        Self { path, text }
    }

    /// Whether this is Rust.
    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the file holds nothing but tests.
    pub(super) fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs")
    }

    /// Iterates over the lines with their numbers, without comments and what strings hold.
    ///
    /// Strings that go over several lines are cut off at the first; that is good enough here.
    pub(super) fn code(&self) -> impl Iterator<Item = (usize, String)> {
        (1..).zip(self.text.lines().map(code_of))
    }

    /// The documentation that the file opens with.
    pub(super) fn head(&self) -> String {
        let lines = self.text.lines().take_while(|line| line.starts_with("//!"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// A line without comments and without the contents of its strings.
fn code_of(line: &str) -> String {
    let mut code = String::new();
    let mut rest = line.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '/' if rest.peek() == Some(&'/') => break,
            '"' => {
                code.push('"');
                while let Some(c) = rest.next() {
                    match c {
                        '"' => break,
                        '\\' => drop(rest.next()),
                        _ => {}
                    }
                }
                code.push('"');
            }
            // A character that would look like the start of a string.
            '\'' if rest.peek() == Some(&'"') => drop(rest.next()),
            _ => code.push(c),
        }
    }
    code
}

/// Whether `code` has `word` in it, not as a part of a longer one.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c == '_' || c.is_alphanumeric();
    code.match_indices(word).any(|(at, _)| {
        let before = code.get(..at).and_then(|before| before.chars().next_back());
        let after = code.get(at.saturating_add(word.len())..).and_then(|rest| rest.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_no_code() {
        assert_eq!(code_of("let a = 1; // unsafe"), "let a = 1; ");
        assert_eq!(code_of(r#"f("a // \" b", 2) /// x"#), r#"f("", 2) "#);
        assert_eq!(code_of(r#"f('"', 2)"#), "f(', 2)");
        assert_eq!(code_of("//! all"), "");
    }

    #[test]
    fn words_are_whole() {
        assert!(has_word("let x = unsafe {", "unsafe"));
        assert!(!has_word("#![expect(unsafe_code)]", "unsafe"));
        assert!(!has_word("not_unsafe", "unsafe"));
    }
}
