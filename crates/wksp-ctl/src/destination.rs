//! Where a command writes: a file that appears whole or not at all, or a stream.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use wksp_checkpt::Append;
use wksp_checkpt::publish::{Draft, Existing};

use crate::failure::{self, Failure, Kind};
use crate::interrupt::Interrupt;
use crate::session::Session;

/// A file or `-`, as it was typed, and whether a file may be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// `None` is standard output.
    file: Option<PathBuf>,
    force: bool,
}

/// A destination that can be written to.
#[derive(Debug)]
pub(crate) enum Opened<'d> {
    /// Goes through a pipe or to a device as it is written.
    Stream(Stream<'d>),
    /// Gets its name when it is published.
    Draft(Draft),
}

impl Destination {
    pub(crate) fn new(file: PathBuf, force: bool) -> Self {
        Self { file: Some(file).filter(|file| file != Path::new("-")), force }
    }

    /// The file, `None` for standard output.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What it is called.
    pub(crate) fn name(&self) -> String {
        self.file.as_ref().map_or("standard output".to_owned(), |file| file.display().to_string())
    }

    /// Whether it cannot be written anywhere but at its end.
    pub(crate) fn is_stream(&self) -> bool {
        self.file.as_deref().is_none_or(is_stream)
    }

    /// Refuses what cannot come to a good end, before any work is done for it.
    pub(crate) fn check(&self, session: &Session<'_>) -> Result<(), Failure> {
        match &self.file {
            None if session.is_json() => Err(Failure::usage(
                "both the bytes and the JSON would go to standard output",
                "name a file, or leave --json out",
            )),
            None if io::stdout().is_terminal() => Err(Failure::usage(
                "standard output is a terminal, which cannot show these bytes",
                "name a file, or lead standard output into one",
            )),
            Some(path) if !is_stream(path) => match fs::symlink_metadata(path) {
                Ok(metadata) if metadata.is_dir() || !self.force => Err(exists(path)),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Opens it; nothing has a name yet.
    pub(crate) fn open<'d>(&self, interrupt: &'d Interrupt) -> Result<Opened<'d>, Failure> {
        let stream = |file: io::Result<File>| {
            let stream = file.and_then(|file| Stream::new(file, interrupt));
            stream.map(Opened::Stream).map_err(|error| self.not_written(&error))
        };
        match &self.file {
            None => stream(io::stdout().as_fd().try_clone_to_owned().map(File::from)),
            Some(path) if is_stream(path) => stream(OpenOptions::new().write(true).open(path)),
            Some(path) => {
                let draft = Draft::at(path).map(Opened::Draft);
                draft.map_err(|error| failure::publish(path, Existing::Keep, &error))
            }
        }
    }

    /// Gives what was written its mode and name.
    pub(crate) fn publish(&self, opened: Opened<'_>, mode: u32) -> Result<(), Failure> {
        let (Opened::Draft(draft), Some(path)) = (opened, &self.file) else { return Ok(()) };
        let existing = if self.force { Existing::Replace } else { Existing::Keep };
        draft.publish(mode, existing).map_err(|error| failure::publish(path, existing, &error))
    }

    /// What is said if writing to it fails.
    pub(crate) fn not_written(&self, error: &io::Error) -> Failure {
        let remedy = if self.file.is_some() {
            "no file was left behind; choose another place or make room"
        } else {
            "what came out is incomplete; make sure that all of it is taken"
        };
        Failure::io(format_args!("cannot write {}", self.name()), error, remedy)
    }
}

/// Whether a path leads to a pipe or device, which has no content to protect.
pub(crate) fn is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir())
}

/// What is said of a file that is not to be replaced.
pub(crate) fn exists(path: &Path) -> Failure {
    Failure::new(
        Kind::Failed,
        format_args!("{} is there already", path.display()),
        "choose another name, or say --force to replace a file",
    )
}

/// Something that is written to from front to back, until somebody asks to end.
///
/// A pipe whose reader is slow blocks whoever writes to it, with the lock of a workspace in hand;
/// so it is written to only as far as it has room.
#[derive(Debug)]
pub(crate) struct Stream<'i> {
    file: File,
    piece_bytes: usize,
    wake: BorrowedFd<'i>,
}

/// What a pipe has room for if it has any: `PIPE_BUF`.
const PIPE_PIECE_BYTES: usize = 4096;

impl<'i> Stream<'i> {
    fn new(file: File, interrupt: &'i Interrupt) -> io::Result<Self> {
        let kind = file.metadata()?.file_type();
        let is_pipe = kind.is_fifo() || kind.is_socket();
        let piece_bytes = if is_pipe { PIPE_PIECE_BYTES } else { usize::MAX };
        Ok(Self { file, piece_bytes, wake: interrupt.wake() })
    }

    /// Waits until there is room.
    fn wait(&self) -> io::Result<()> {
        loop {
            let mut ready = [
                PollFd::new(self.file.as_fd(), PollFlags::POLLOUT),
                PollFd::new(self.wake, PollFlags::POLLIN),
            ];
            match poll(&mut ready, PollTimeout::NONE) {
                Err(Errno::EINTR) => continue,
                result => result?,
            };
            let [room, asked] = ready.map(|one| one.any().unwrap_or(true));
            if asked {
                return Err(io::ErrorKind::TimedOut.into());
            }
            if room {
                return Ok(());
            }
        }
    }
}

impl Append for Stream<'_> {
    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.wait()?;
            let piece = bytes.get(..bytes.len().min(self.piece_bytes)).unwrap_or(bytes);
            match self.file.write(piece) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
