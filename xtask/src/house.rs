//! The house rules that neither compiler nor clippy knows; CONTRIBUTING.md gives them in words.

mod rules;
mod source;

use std::fmt;

use anyhow::{Context, Result, bail};

use crate::repository;
use source::Source;

/// A breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1, or 0 if the finding is about the file as a whole.
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.what),
            line => write!(f, "{}:{line}: {}", self.path, self.what),
        }
    }
}

/// Checks every file against every rule, and lists all findings.
///
/// # Errors
///
/// There are findings, or a file cannot be read.
pub(crate) fn run() -> Result<()> {
    let root = repository::root();
    let mut sources = Vec::new();
    for path in repository::files(&root)? {
        let known =
            path.extension().is_some_and(|ext| ["rs", "md", "toml"].iter().any(|k| ext == *k));
        if known {
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let path = path.strip_prefix(&root).unwrap_or(&path).to_string_lossy().into_owned();
            sources.push(Source::new(path, text));
        }
    }
    let findings = rules::check(&sources);
    for finding in &findings {
        println!("{finding}");
    }
    if !findings.is_empty() {
        bail!("{} breaches of the house rules", findings.len());
    }
    println!("{} files keep the house rules.", sources.len());
    Ok(())
}
