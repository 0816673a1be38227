//! Text in lines that fit on a terminal, and come out the same anywhere else.

use std::fmt;

/// The columns that a line may have, unless it is one word.
pub(crate) const COLUMNS: usize = 80;

/// Writes words in lines of at most 80 columns, all but the first indented.
///
/// `column` is where the first line begins: what stands before it was written already.
pub(crate) fn wrapped(
    f: &mut fmt::Formatter<'_>,
    column: usize,
    indent: usize,
    text: &str,
) -> fmt::Result {
    let mut at = column;
    for (count, word) in text.split_whitespace().enumerate() {
        let width = word.chars().count();
        if count > 0 && at.saturating_add(width) >= COLUMNS {
            write!(f, "\n{:indent$}", "")?;
            at = indent;
        } else if count > 0 {
            f.write_str(" ")?;
            at = at.saturating_add(1);
        }
        f.write_str(word)?;
        at = at.saturating_add(width);
    }
    writeln!(f)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Text<'t>(&'t str);

    impl fmt::Display for Text<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("title ")?;
            wrapped(f, 6, 2, self.0)
        }
    }

    #[test]
    fn lines_are_as_long_as_they_may_be() {
        let words = vec!["123456789"; 20].join(" ");
        let text = Text(&words).to_string();
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS), "{text}");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("  1")), "{text}");
        assert_eq!(text.split_whitespace().count(), 21);
        // 6 columns, 7 words of 10 and one that ends in the last column.
        let exact = Text(&(["123456789"; 7].join(" ") + " 1234")).to_string();
        assert_eq!(exact.lines().next().map(str::len), Some(COLUMNS), "{exact}");
    }

    #[test]
    fn a_word_that_is_too_long_is_left_whole() {
        let long = "x".repeat(200);
        assert_eq!(Text(&long).to_string(), format!("title {long}\n"));
    }
}
