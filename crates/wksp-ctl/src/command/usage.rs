//! `usage`: how much of a workspace is used.

use std::fmt;

use serde::Serialize;
use wksp_core::{Amount, Name, Tag, Usage};

use crate::failure::Failure;
use crate::look::{DoubtReport, LookArgs, Sight};
use crate::output::Outcome;
use crate::session::Session;
use crate::size::Human;
use crate::table::{Side, Table};
use crate::value;

/// Adds up what is used and free, and what has a tag.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl usage demo
  wksp-ctl usage demo --tag 7")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// Add up what has this tag as well.
    #[arg(long, allow_negative_numbers = true)]
    tag: Option<String>,
    #[command(flatten)]
    look: LookArgs,
}

/// What to add up, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    tag: Option<Tag>,
    look: LookArgs,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let tag = self.tag.as_ref().map(|text| value::tag(text)).transpose()?;
        Ok(Plan { name: value::name(&self.name)?, tag, look: self.look })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let sight = Sight::open(session, &self.name, self.look)?;
        let seen = sight.look(session, |view| view.usage(self.tag))?;
        let usage = seen.value;
        Ok(Outcome::done(Report {
            name: self.name.to_string(),
            tag: self.tag,
            totals: Totals::new(&usage),
            tagged: self.tag.map(|_| Sum::new(&usage.tagged)),
            doubt: seen.doubt.map(DoubtReport::new),
        }))
    }
}

/// What there is, what is used and what is free.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Totals {
    part_max: u32,
    /// Neither used nor free.
    idle_count: u64,
    data_max: u64,
    used: Sum,
    free: Sum,
}

/// A number of partitions and of their bytes.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sum {
    count: u64,
    bytes: u64,
    largest_bytes: u64,
}

impl Totals {
    pub(super) fn new(usage: &Usage) -> Self {
        let in_use = usage.used.count.saturating_add(usage.free.count);
        Self {
            part_max: usage.part_max,
            idle_count: u64::from(usage.part_max).saturating_sub(in_use),
            data_max: usage.data_max,
            used: Sum::new(&usage.used),
            free: Sum::new(&usage.free),
        }
    }

    /// The totals as a table, with another sum below.
    pub(super) fn table(&self, below: Option<(String, Sum)>) -> Table {
        let mut table = Table::new([
            ("", Side::Left),
            ("PARTITIONS", Side::Right),
            ("BYTES", Side::Right),
            ("SIZE", Side::Right),
            ("LARGEST", Side::Right),
        ]);
        let sums = [("used".to_owned(), self.used), ("free".to_owned(), self.free)];
        for (title, sum) in sums.into_iter().chain(below) {
            table.row([
                title,
                sum.count.to_string(),
                sum.bytes.to_string(),
                Human(sum.bytes).to_string(),
                sum.largest_bytes.to_string(),
            ]);
        }
        table.row([
            "max".to_owned(),
            self.part_max.to_string(),
            self.data_max.to_string(),
            Human(self.data_max).to_string(),
            String::new(),
        ]);
        table
    }
}

impl Sum {
    const fn new(amount: &Amount) -> Self {
        let Amount { count, bytes, largest_bytes } = *amount;
        Self { count, bytes, largest_bytes }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    name: String,
    #[serde(serialize_with = "value::serialize_tag_option")]
    tag: Option<Tag>,
    #[serde(flatten)]
    totals: Totals,
    /// `None` if no tag was named.
    tagged: Option<Sum>,
    doubt: Option<DoubtReport>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = self.tag.zip(self.tagged).map(|(tag, sum)| (format!("tag {tag}"), sum));
        write!(f, "{}", self.totals.table(below))
    }
}
