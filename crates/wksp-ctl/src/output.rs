//! The two streams: results on standard output, all else on standard error, as text or as JSON.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::failure::{Failure, Kind};

/// The version of all JSON that is written; docs/json.md says what it promises.
const SCHEMA: u32 = 1;

/// What a command has found or done.
pub(crate) trait Report {
    /// Writes it for people.
    fn text(&self, to: &mut dyn Write) -> io::Result<()>;
    /// Writes it as a JSON document.
    fn json(&self, command: &str, to: &mut dyn Write) -> io::Result<()>;
}

impl<T: Serialize + Display> Report for T {
    fn text(&self, to: &mut dyn Write) -> io::Result<()> {
        write!(to, "{self}")
    }

    fn json(&self, command: &str, to: &mut dyn Write) -> io::Result<()> {
        document(command, self, to)
    }
}

/// How a command has ended that got as far as having a result.
pub(crate) struct Outcome {
    /// The result, `None` if it was written already.
    pub(crate) report: Option<Box<dyn Report>>,
    /// What is wrong nevertheless.
    pub(crate) failure: Option<Failure>,
    /// The exit code if nothing is wrong.
    pub(crate) code: u8,
}

impl Outcome {
    /// All went well.
    pub(crate) fn done(report: impl Report + 'static) -> Self {
        Self { report: Some(Box::new(report)), failure: None, code: 0 }
    }

    /// There is a result, and perhaps something is wrong.
    pub(crate) fn with_failure(report: impl Report + 'static, failure: Option<Failure>) -> Self {
        Self { report: Some(Box::new(report)), failure, code: 0 }
    }

    /// All went well and the result was written already.
    pub(crate) const fn written() -> Self {
        Self { report: None, failure: None, code: 0 }
    }
}

/// How much is said beside results and failures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Loudness {
    /// What has gone other than it should.
    Quiet,
    /// What somebody may not expect as well, and how far work has come.
    #[default]
    Normal,
    /// What was decided and how long it took as well.
    Verbose,
}

/// Something worth knowing that is no result.
#[derive(Debug, Serialize)]
pub(crate) struct Notice<'a> {
    /// A word for programs.
    pub(crate) kind: &'a str,
    /// A sentence for people.
    pub(crate) message: &'a str,
}

/// Where everything is written.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    command: &'static str,
    loudness: Loudness,
}

impl Output {
    pub(crate) const fn new(json: bool, command: &'static str) -> Self {
        Self { json, command, loudness: Loudness::Normal }
    }

    /// The same, but for how much it says.
    pub(crate) const fn with_loudness(self, loudness: Loudness) -> Self {
        Self { loudness, ..self }
    }

    /// Whether something of this loudness is said.
    pub(crate) fn says(&self, loudness: Loudness) -> bool {
        loudness <= self.loudness
    }

    /// Whether JSON was asked for.
    pub(crate) const fn is_json(&self) -> bool {
        self.json
    }

    /// Writes the result, and returns the exit code or passes on what is wrong.
    pub(crate) fn finish(&self, outcome: Outcome) -> Result<u8, Failure> {
        if let Some(report) = outcome.report {
            self.write(&*report)?;
        }
        outcome.failure.map_or(Ok(outcome.code), Err)
    }

    /// Says something that is not wrong, if it is to be heard at this loudness.
    pub(crate) fn inform(&self, loudness: Loudness, kind: &str, message: &str) {
        if self.says(loudness) {
            self.notice(kind, message);
        }
    }

    /// Writes one of several results.
    pub(crate) fn write(&self, report: &dyn Report) -> Result<(), Failure> {
        let mut stdout = io::BufWriter::new(io::stdout().lock());
        let written = if self.json {
            report.json(self.command, &mut stdout)
        } else {
            report.text(&mut stdout)
        };
        written.and_then(|()| stdout.flush()).or_else(unless_closed)
    }

    /// Says something that is no result.
    pub(crate) fn notice(&self, kind: &str, message: &str) {
        self.remark("note", Notice { kind, message });
    }

    /// Says that something is not as it was asked for, although that is no failure.
    pub(crate) fn warn(&self, kind: &str, message: &str) {
        self.remark("warning", Notice { kind, message });
    }

    fn remark(&self, word: &str, notice: Notice<'_>) {
        self.complain(|to| {
            if self.json {
                #[derive(Serialize)]
                struct Body<'a> {
                    notice: Notice<'a>,
                }
                document(self.command, &Body { notice }, to)
            } else {
                writeln!(to, "{word}: {}", notice.message)
            }
        });
    }

    /// Says what went wrong, and with which code to exit.
    pub(crate) fn fail(&self, failure: &Failure) -> ExitCode {
        self.complain(|to| {
            if self.json {
                document(self.command, &ErrorBody { error: ErrorReport::new(failure) }, to)
            } else {
                writeln!(to, "error: {}", failure.cause)?;
                if failure.remedy.is_empty() {
                    return Ok(());
                }
                writeln!(to, "remedy: {}", failure.remedy)
            }
        });
        ExitCode::from(failure.kind.exit_code())
    }

    /// Writes a help text.
    pub(crate) fn help(&self, text: &str) -> ExitCode {
        let mut stdout = io::stdout().lock();
        let written = write!(stdout, "{text}").and_then(|()| stdout.flush());
        match written.or_else(unless_closed) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => self.fail(&failure),
        }
    }

    /// Writes to standard error in one piece. There is nobody to tell if that fails.
    fn complain(&self, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) {
        let mut text = Vec::new();
        let _ = write(&mut text).and_then(|()| io::stderr().lock().write_all(&text));
    }
}

/// A failure as JSON has it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ErrorReport {
    kind: Kind,
    exit_code: u8,
    message: String,
    remedy: String,
}

impl ErrorReport {
    pub(crate) fn new(failure: &Failure) -> Self {
        Self {
            kind: failure.kind,
            exit_code: failure.kind.exit_code(),
            message: failure.cause.clone(),
            remedy: failure.remedy.clone(),
        }
    }

    /// The cause.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

#[derive(Serialize)]
struct ErrorBody {
    error: ErrorReport,
}

/// Passes a failed write to standard output on, unless nobody reads there any more.
pub(crate) fn unless_closed(error: io::Error) -> Result<(), Failure> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Ok(());
    }
    Err(Failure::io("cannot write to standard output", &error, "make room where it leads to"))
}

/// Writes one JSON document in one line.
fn document(command: &str, body: &impl Serialize, to: &mut dyn Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a, T> {
        schema: u32,
        command: &'a str,
        #[serde(flatten)]
        body: &'a T,
    }
    serde_json::to_writer(&mut *to, &Document { schema: SCHEMA, command, body })?;
    writeln!(to)
}
