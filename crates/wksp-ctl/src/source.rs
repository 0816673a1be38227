//! Where a checkpoint is read from: a file, or a stream that is kept in a temporary file.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use wksp_checkpt::{Checkpoint, FromStart, Preview, preview};

use crate::failure::{self, Failure};

/// A file or `-`, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceName {
    /// `None` is standard input.
    file: Option<PathBuf>,
}

/// A checkpoint to be read.
pub(crate) struct Source {
    name: String,
    /// What comes from a stream is kept in `file`, which is empty at first.
    stream: Option<Box<dyn Read>>,
    file: File,
}

impl SourceName {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self { file: Some(file).filter(|file| file != Path::new("-")) }
    }

    /// Opens it.
    pub(crate) fn open(&self) -> Result<Source, Failure> {
        let name = self.to_string();
        let failed = |error: io::Error| {
            let remedy = "name a file that can be read";
            Failure::io(format_args!("cannot read {name}"), &error, remedy)
        };
        let Some(path) = &self.file else {
            let stdin = io::stdin().lock();
            if stdin.is_terminal() {
                return Err(Failure::usage(
                    "standard input is a terminal, and nobody types a checkpoint",
                    "name a file, or lead a checkpoint into standard input",
                ));
            }
            return Ok(Source { file: spool()?, stream: Some(Box::new(stdin)), name });
        };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        Ok(if metadata.is_file() {
            Source { name, stream: None, file }
        } else {
            Source { name, stream: Some(Box::new(file)), file: spool()? }
        })
    }
}

impl std::fmt::Display for SourceName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.file {
            None => f.write_str("standard input"),
            Some(file) => write!(f, "{}", file.display()),
        }
    }
}

/// Makes a file without a name.
fn spool() -> Result<File, Failure> {
    tempfile::tempfile().map_err(|error| {
        Failure::io(
            "cannot make a temporary file to keep the stream in",
            &error,
            "make room, or let TMPDIR name another directory",
        )
    })
}

impl Source {
    /// What it is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Finds out what is in it, but for the data; more than `allocations_max` are refused.
    pub(crate) fn checkpoint(&mut self, allocations_max: u64) -> Result<Checkpoint<'_>, Failure> {
        let Self { name, stream, file } = self;
        let opened = match stream {
            None => Checkpoint::open_at_most(file, allocations_max),
            Some(stream) => Checkpoint::spool(stream, file, allocations_max),
        };
        opened.map_err(|error| failure::read(name, &error))
    }

    /// Reads what it says at its front.
    pub(crate) fn preview(&mut self) -> Result<Preview, Failure> {
        let read = match &mut self.stream {
            None => preview(&mut FromStart::new(&self.file)),
            Some(stream) => preview(stream),
        };
        read.map_err(|error| failure::read(&self.name, &error))
    }
}
