//! `tag-free`: frees all allocations that have a tag.

use std::fmt;

use serde::Serialize;
use wksp_core::{Name, Tag};

use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::size::Bytes;
use crate::value;

/// Frees all allocations that have one of the tags; that there are none is no error.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl tag-free demo 7
  wksp-ctl tag-free demo 7 8 0x9")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// The tags.
    #[arg(required = true, value_name = "TAG", allow_negative_numbers = true)]
    tags: Vec<String>,
}

/// What to free, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    tags: Vec<Tag>,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let tags = self.tags.iter().map(|text| value::tag(text)).collect::<Result<_, _>>()?;
        Ok(Plan { name: value::name(&self.name)?, tags })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let shared = session.attach(&self.name)?;
        let mut freed = Vec::new();
        let ended = self.tags.iter().try_for_each(|&tag| {
            let done = session.locked(&shared, |guard| {
                guard.free_tagged(tag).map_err(|error| failure::not_rebuildable(&self.name, &error))
            })?;
            freed.push(Freed { tag, count: done.count, bytes: done.bytes });
            Ok(())
        });
        Ok(Outcome::with_failure(Report { name: self.name.to_string(), freed }, ended.err()))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    freed: Vec<Freed>,
}

#[derive(Debug, Serialize)]
struct Freed {
    #[serde(serialize_with = "value::serialize_tag")]
    tag: Tag,
    count: u64,
    bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.freed.iter().try_for_each(|Freed { tag, count, bytes }| {
            let count = Plural(*count, "allocation");
            writeln!(f, "freed tag {tag}: {count}, {}", Bytes(*bytes))
        })
    }
}
