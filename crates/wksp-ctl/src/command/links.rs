//! `links`: has this program called by the names of the existing tools.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::failure::{Failure, Kind};
use crate::legacy::Tool;
use crate::output::Outcome;
use crate::session::Session;

/// Makes links to this program that are called fd_wksp_ctl, fd_shmem_ctl and fd_shmem_cfg.
///
/// Called by such a name, it is that tool. Links that are there already stay; anything else of such
/// a name stays as well, and then no link is made.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl links ~/bin
  sudo wksp-ctl links /usr/local/bin # for all users")]
pub(crate) struct Args {
    /// The directory that the links are to be in.
    directory: PathBuf,
}

impl super::Plan for Args {
    fn run(&self, _session: &Session<'_>) -> Result<Outcome, Failure> {
        let target = env::current_exe().map_err(|error| {
            Failure::io(
                "cannot find out where this program is",
                &error,
                "see whether /proc is there",
            )
        })?;
        // First all are looked at, so that one in the way changes nothing.
        let mut links = Vec::new();
        for tool in Tool::ALL {
            let path = self.directory.join(tool.name());
            let is_there = is_there(&path, &target)?;
            links.push((path, is_there));
        }
        for (path, is_there) in &links {
            if !is_there {
                symlink(&target, path).map_err(|error| not_made(path, &error))?;
            }
        }
        let links = links.iter().map(|(path, is_there)| Link {
            path: path.display().to_string(),
            change: if *is_there { "unchanged" } else { "linked" },
        });
        Ok(Outcome::done(Report { target: target.display().to_string(), links: links.collect() }))
    }
}

/// Whether the link is there, and nothing else.
fn is_there(path: &Path, target: &Path) -> Result<bool, Failure> {
    match fs::read_link(path) {
        Ok(found) if found == target => Ok(true),
        Ok(found) => Err(in_the_way(path, format_args!("is a link to {}", found.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().unwrap_or(path);
            match fs::metadata(directory) {
                Ok(metadata) if metadata.is_dir() => Ok(false),
                Ok(_) => Err(not_made(path, &io::ErrorKind::NotADirectory.into())),
                Err(error) => Err(not_made(path, &error)),
            }
        }
        // There is something that is no link.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Err(in_the_way(path, "is there already, and no link to this program"))
        }
        Err(error) => Err(not_made(path, &error)),
    }
}

fn in_the_way(path: &Path, what: impl fmt::Display) -> Failure {
    Failure::new(
        Kind::Failed,
        format_args!("{} {what}: no link was made", path.display()),
        "name another directory, or move it out of the way if nobody needs it",
    )
}

fn not_made(path: &Path, error: &io::Error) -> Failure {
    Failure::io(
        format_args!("cannot make the link {}", path.display()),
        error,
        "name a directory that is there and that you may write to",
    )
}

#[derive(Debug, Serialize)]
struct Report {
    target: String,
    links: Vec<Link>,
}

#[derive(Debug, Serialize)]
struct Link {
    path: String,
    /// `linked` or `unchanged`.
    change: &'static str,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.links.iter().try_for_each(|Link { path, change }| {
            writeln!(f, "{path} -> {} ({change})", self.target)
        })
    }
}
