//! What a check has found.

use std::fmt;

use serde::Serialize;

use crate::failure::Kind;
use crate::process::printable;
use crate::wrap::wrapped;

/// How things are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    /// As they should be.
    Ok,
    /// Something cannot be used that one may do without.
    Warning,
    /// Something does not work, or is not safe.
    Bad,
    /// It cannot be told.
    Unknown,
}

/// What a check has found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    /// What was checked, a word for programs.
    pub(super) check: &'static str,
    pub(super) state: State,
    pub(super) found: String,
    pub(super) why: &'static str,
    /// What mends it, if there is a command that does.
    pub(super) command: Option<String>,
    #[serde(skip)]
    kind: Kind,
}

/// What is checked, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) why: &'static str,
}

impl Check {
    /// All is well.
    pub(super) fn ok(self, found: impl fmt::Display) -> Finding {
        self.finding(State::Ok, found, None)
    }

    /// Something is lacking that one may do without.
    pub(super) fn warning(self, found: impl fmt::Display, command: Option<String>) -> Finding {
        self.finding(State::Warning, found, command)
    }

    /// Something does not work, or is not safe.
    pub(super) fn bad(
        self,
        kind: Kind,
        found: impl fmt::Display,
        command: Option<String>,
    ) -> Finding {
        Finding { kind, ..self.finding(State::Bad, found, command) }
    }

    /// It cannot be told.
    pub(super) fn unknown(self, found: impl fmt::Display, command: Option<String>) -> Finding {
        self.finding(State::Unknown, found, command)
    }

    fn finding(self, state: State, found: impl fmt::Display, command: Option<String>) -> Finding {
        let Self { name: check, why } = self;
        // Names of files are in it, which are somebody else's choice.
        let found = printable(&found.to_string());
        Finding { check, state, found, why, command, kind: Kind::Failed }
    }
}

impl Finding {
    /// The kind of failure that it is, `None` if it is none.
    pub(super) fn kind(&self) -> Option<Kind> {
        (self.state == State::Bad).then_some(self.kind)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const INDENT: usize = 9;
        let state = match self.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Bad => "BAD",
            State::Unknown => "unknown",
        };
        write!(f, "{state:<INDENT$}")?;
        wrapped(f, INDENT, INDENT, &format!("{}: {}", self.check, self.found))?;
        write!(f, "{:INDENT$}", "")?;
        wrapped(f, INDENT, INDENT, self.why)?;
        match &self.command {
            // In one line, so that it can be copied.
            Some(command) => writeln!(f, "{:INDENT$}$ {}", "", printable(command)),
            None => Ok(()),
        }
    }
}
