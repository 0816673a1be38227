//! `man`: the manual.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use crate::failure::Failure;
use crate::manual::{self, Page};
use crate::output::Outcome;
use crate::session::Session;

/// Prints the manual page of a command, for man to show, or writes all pages to a directory.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl man | man -l -
  wksp-ctl man host init | man -l -
  wksp-ctl man --all ~/.local/share/man/man1")]
pub(crate) struct Args {
    /// The command [default: none, for the program as a whole].
    command: Vec<String>,
    /// Write the pages of all commands to this directory, which is made if need be.
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    all: Option<PathBuf>,
}

impl super::Plan for Args {
    fn run(&self, _: &Session<'_>) -> Result<Outcome, Failure> {
        let failed = |error| Failure::io("cannot make the manual", &error, "report it");
        let mut pages = manual::pages().map_err(failed)?;
        let Some(directory) = &self.all else {
            let wanted = [&["wksp-ctl".to_owned()], self.command.as_slice()].concat().join(" ");
            pages.retain(|page| page.command == wanted);
            if pages.is_empty() {
                return Err(Failure::usage(
                    format_args!("{wanted:?} is no command"),
                    "`wksp-ctl --help` lists the commands",
                ));
            }
            return Ok(Outcome::done(Report { pages, directory: None }));
        };
        let failed = |error| {
            let what = format!("cannot write the manual to {}", directory.display());
            Failure::io(what, &error, "name a directory that can be written to")
        };
        fs::create_dir_all(directory).map_err(failed)?;
        for page in &pages {
            fs::write(directory.join(&page.file_name), &page.roff).map_err(failed)?;
        }
        Ok(Outcome::done(Report { pages, directory: Some(directory.display().to_string()) }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    pages: Vec<Page>,
    /// `None` if they were not written to files.
    directory: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.directory {
            Some(directory) => writeln!(f, "{} pages in {directory}", self.pages.len()),
            None => self.pages.iter().try_for_each(|page| f.write_str(&page.roff)),
        }
    }
}
