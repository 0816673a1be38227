//! `checkpt`: a workspace becomes a file.

use std::fmt;
use std::fs;
use std::num::NonZeroUsize;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Instant;

use nix::unistd::getuid;
use serde::Serialize;
use wksp_checkpt::{
    Control, Protection, Provenance, Style, Text, WriteError, WriteOptions, Written,
};
use wksp_core::{Guard, Name, Tag};
use wksp_shmem::ProcessParty;

use crate::destination::{Destination, Opened};
use crate::effort::Effort;
use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::size::Bytes;
use crate::stored::ProtectionReport;
use crate::{number, value};

/// Writes what is allocated in a workspace to a file, from which `restore` brings it back.
///
/// The file appears whole or not at all, and never over another one without --force. Others can
/// neither allocate nor free while it is written, but can change what they have allocated.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl checkpt demo demo.wksp
  wksp-ctl checkpt demo demo.wksp --style zstd --level 9 --info 'before the move'
  wksp-ctl checkpt demo - | ssh elsewhere wksp-ctl restore demo - --create")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// The file, or - for standard output.
    file: PathBuf,
    /// v1, v2 (not compressed), v3 (LZ4) or zstd, which the tools in C do not read.
    #[arg(long, default_value = "v3")]
    style: String,
    /// The level of zstd, 1 to 22 [default: 3].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    level: Option<String>,
    /// How many threads compress and write [default: one per processor].
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    threads: Option<String>,
    /// Only what has this tag; can be given several times.
    #[arg(long = "tag", value_name = "TAG", allow_negative_numbers = true)]
    tags: Vec<String>,
    /// What to write into it for people.
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    #[arg(allow_hyphen_values = true)]
    info: String,
    /// Who may use the file: permission bits in octal, whatever the umask.
    #[arg(long, default_value = "0600", allow_negative_numbers = true)]
    mode: String,
    /// Leave the digest out, by which damage is found later.
    #[arg(long)]
    no_digest: bool,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

/// What to write where, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    to: Destination,
    style: Style,
    threads: NonZeroUsize,
    /// `None` for all.
    tags: Option<Vec<Tag>>,
    info: Text,
    mode: u32,
    digest: bool,
}

/// The level of zstd unless another one is asked for.
const DEFAULT_LEVEL: i32 = 3;

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let style = match (self.style.as_str(), &self.level) {
            ("zstd", level) => {
                Style::Zstd { level: level.as_deref().map_or(Ok(DEFAULT_LEVEL), parse_level)? }
            }
            (style, Some(_)) => {
                return Err(Failure::usage(
                    format_args!("--style {style} has no levels"),
                    "leave --level out, or say --style zstd",
                ));
            }
            ("v1", None) => Style::V1,
            ("v2", None) => Style::Raw,
            ("v3", None) => Style::Lz4,
            (style, None) => {
                return Err(Failure::usage(
                    format_args!("{style:?} is no --style"),
                    "choose v1, v2, v3 or zstd",
                ));
            }
        };
        let tags = self.tags.iter().map(|text| value::tag(text)).collect::<Result<Vec<_>, _>>()?;
        Ok(Plan {
            name: value::name(&self.name)?,
            to: Destination::new(self.file, self.force),
            style,
            threads: value::threads(self.threads.as_deref())?,
            tags: Some(tags).filter(|tags| !tags.is_empty()),
            info: self.info.into(),
            mode: value::mode(&self.mode)?,
            digest: !self.no_digest,
        })
    }
}

fn parse_level(text: &str) -> Result<i32, Failure> {
    let level = number::parse(text).ok().filter(|level| (1..=22).contains(level));
    level.and_then(|level| i32::try_from(level).ok()).ok_or_else(|| {
        Failure::usage(
            format_args!("{text:?} is no --level of zstd"),
            "give a number from 1, the fastest, to 22, the smallest",
        )
    })
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let shared = session.attach(&self.name)?;
        self.to.check(session)?;
        let effort = Effort::new(session, self.threads)?;
        let start = Instant::now();
        let is_stream = self.to.is_stream();
        // A pipe can be waited for; a file can be named already, and must not be left behind.
        let stream = is_stream.then(|| self.to.open(effort.interrupt())).transpose()?;
        let (_held, opened, written) = session.locked(&shared, |guard| {
            // From here on until the file has its name, or there is none, only asked to end.
            let held = effort.interrupt().hold();
            let mut opened = stream.map_or_else(|| self.to.open(effort.interrupt()), Ok)?;
            let written = effort.run("writing", |control| self.write(guard, &mut opened, control));
            let written = written.map_err(|error| self.not_written(&effort, error))?;
            Ok((held, opened, written))
        })?;
        if effort.interrupt().is_asked() {
            return Err(self.not_written(&effort, WriteError::Cancelled));
        }
        // The lock is given back: what follows takes as long as the disk does.
        self.to.publish(opened, self.mode)?;
        let Some(file) = self.to.file() else { return Ok(Outcome::written()) };
        Ok(Outcome::done(Report {
            name: self.name.to_string(),
            file: file.display().to_string(),
            style: self.style_name(),
            level: if let Style::Zstd { level } = self.style { Some(level) } else { None },
            mode: format!("{:04o}", self.mode),
            allocation_count: written.allocations,
            data_bytes: written.data_bytes,
            checkpoint_bytes: written.bytes,
            protection: ProtectionReport::new(written.protection),
            place: self.place(written.protection, is_stream),
            seconds: start.elapsed().as_secs_f64(),
        }))
    }
}

impl Plan {
    /// Everything in a workspace, in a style without levels.
    pub(crate) fn of_all(
        name: Name,
        to: Destination,
        style: Style,
        info: Text,
        mode: u32,
    ) -> Result<Self, Failure> {
        let threads = value::threads(None)?;
        Ok(Self { name, to, style, threads, tags: None, info, mode, digest: true })
    }

    fn write(
        &self,
        guard: &Guard<'_, '_, ProcessParty>,
        opened: &mut Opened<'_>,
        control: Control<'_>,
    ) -> Result<Written, WriteError> {
        let options = WriteOptions {
            style: self.style,
            tags: self.tags.as_deref(),
            provenance: self.provenance(),
            digest: self.digest,
            control,
        };
        match opened {
            Opened::Stream(stream) => wksp_checkpt::write(guard, stream, &options),
            Opened::Draft(draft) => wksp_checkpt::write(guard, draft.file(), &options),
        }
    }

    fn provenance(&self) -> Provenance {
        // A text that does not fit is left out: nothing depends on it.
        let short = |text: String| if text.len() <= 39 { text } else { String::new() };
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let path = self.to.file().and_then(|file| std::path::absolute(file).ok());
        let path = path.filter(|path| path.as_os_str().len() <= 4095).unwrap_or_default();
        Provenance {
            mode: u64::from(self.mode),
            user_id: u64::from(getuid().as_raw()),
            app: "wksp-ctl".into(),
            host: short(host.trim().to_owned()).into(),
            path: path.as_os_str().as_bytes().to_vec().into(),
            build_info: concat!("wksp-ctl ", env!("CARGO_PKG_VERSION")).into(),
            user_info: self.info.clone(),
            ..Provenance::now()
        }
    }

    fn not_written(&self, effort: &Effort, error: WriteError) -> Failure {
        let error = match error {
            WriteError::Sink { .. } if effort.interrupt().is_asked() => WriteError::Cancelled,
            WriteError::Sink { source, .. } => return self.to.not_written(&source),
            error => error,
        };
        failure::write(&self.name, &self.to.name(), &error)
    }

    const fn style_name(&self) -> &'static str {
        match self.style {
            Style::V1 => "v1",
            Style::Raw => "v2",
            Style::Lz4 => "v3",
            _ => "zstd",
        }
    }

    /// Where the digest is.
    const fn place(&self, protection: Protection, is_stream: bool) -> Option<&'static str> {
        match (protection, self.style) {
            (Protection::Digest(_), Style::V1) => Some("end"),
            (Protection::Digest(_), Style::Zstd { .. }) => Some("volumes"),
            (Protection::Digest(_), _) => Some(if is_stream { "volumes" } else { "user_info" }),
            (Protection::Chunks, _) => Some("chunks"),
            _ => None,
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    file: String,
    style: &'static str,
    /// `None` for styles without.
    level: Option<i32>,
    mode: String,
    allocation_count: u64,
    /// The bytes of the allocations.
    data_bytes: u64,
    /// The bytes of the file.
    checkpoint_bytes: u64,
    protection: ProtectionReport,
    /// Where the digest is.
    place: Option<&'static str>,
    seconds: f64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "checkpoint of {} in {}", self.name, self.file)?;
        let count = Plural(self.allocation_count, "allocation");
        writeln!(f, "  content    {count}, {}", Bytes(self.data_bytes))?;
        writeln!(f, "  written    {} in {:.2} s", Bytes(self.checkpoint_bytes), self.seconds)?;
        match self.level {
            Some(level) => writeln!(f, "  style      {}, level {level}", self.style)?,
            None => writeln!(f, "  style      {}", self.style)?,
        }
        let place = match self.place {
            Some("user_info") => ", behind the user info",
            Some("end") => ", behind the end",
            Some("volumes") => ", in volumes of its own",
            _ => "",
        };
        writeln!(f, "  digest     {}{place}", self.protection)
    }
}
