//! `metrics`: figures of workspaces and pages, for Prometheus.

mod families;
mod figures;

use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use wksp_checkpt::publish::{Draft, Existing};
use wksp_core::Name;
use wksp_shmem::{PagePool, PageSize, list};

use self::families::{Families, Family};
use self::figures::Figures;
use crate::failure::{self, Failure};
use crate::output::Outcome;
use crate::session::Session;
use crate::value;

/// Prints figures of workspaces, and of the pages kept for them, in the text format of Prometheus.
///
/// Nobody is kept waiting for it, and nothing is repaired. What cannot be read is a figure as well:
/// wksp_up is 0 then, with the reason.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl metrics
  wksp-ctl metrics demo --nodes
  wksp-ctl metrics --output /var/lib/prometheus/node-exporter/wksp.prom # for node_exporter")]
pub(crate) struct Args {
    /// The workspaces [default: all].
    names: Vec<String>,
    /// Count the pages of each workspace on each node as well, which takes longer the more there are.
    #[arg(long)]
    nodes: bool,
    /// Write to this file, which is replaced as a whole, and say nothing.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// What to look at, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    names: Vec<Name>,
    nodes: bool,
    output: Option<PathBuf>,
}

/// The permission bits of the file: a collector is another user.
const MODE: u32 = 0o644;

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let names = self.names.iter().map(|name| value::name(name)).collect::<Result<_, _>>()?;
        Ok(Plan { names, nodes: self.nodes, output: self.output })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let mut families = Families::default();
        families.add("wksp_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
        if self.names.is_empty() {
            let listing = list(session.base()?);
            for (page_size, error) in &listing.unreadable {
                let reason = failure::base(error).kind;
                families.down("", Some(*page_size), reason);
            }
            for entry in &listing.entries {
                if session.page_size().is_some_and(|wanted| wanted != entry.page_size) {
                    continue;
                }
                let name = entry.file_name.to_string_lossy();
                let figures = match &entry.info {
                    Ok(info) => Figures::of(session, &info.name, Some(info.page_size), self.nodes),
                    Err(error) => Err(failure::region(error)),
                };
                families.workspace(&name, Some(entry.page_size), figures);
            }
        }
        for name in &self.names {
            let page_size = session.page_size();
            let figures = Figures::of(session, name, page_size, self.nodes);
            families.workspace(name.as_str(), page_size, figures);
        }
        // Where pages cannot be counted there are none to be had.
        for pool in PagePool::all().unwrap_or_default() {
            families.pool(&pool);
        }
        let report = Report { file: None, metrics: families.into_list() };
        let Some(file) = &self.output else { return Ok(Outcome::done(report)) };
        write(file, &report.to_string())?;
        Ok(Outcome::done(Report { file: Some(file.display().to_string()), ..report }))
    }
}

/// Replaces a file as a whole.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error| failure::publish(path, Existing::Replace, &error);
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        return Err(crate::destination::exists(path));
    }
    let draft = Draft::at(path).map_err(failed)?;
    let mut file = draft.file();
    file.write_all(text.as_bytes()).map_err(|error| {
        let remedy = "what was there is as it was; make room or choose another place";
        Failure::io(format_args!("cannot write {}", path.display()), &error, remedy)
    })?;
    draft.publish(MODE, Existing::Replace).map_err(failed)
}

impl Families {
    /// Says that something cannot be read, and why.
    fn down(&mut self, name: &str, page_size: Option<PageSize>, reason: failure::Kind) {
        let page_size = page_size.map(|size| size.to_string()).unwrap_or_default();
        let labels = [("name", name), ("page_size", &page_size), ("reason", reason.word())];
        self.add("wksp_up", &labels, 0);
    }

    fn workspace(
        &mut self,
        name: &str,
        page_size: Option<PageSize>,
        figures: Result<Figures, Failure>,
    ) {
        let figures = match figures {
            Ok(figures) => figures,
            Err(failure) => return self.down(name, page_size, failure.kind),
        };
        let page_size = figures.page_size.to_string();
        let labels = [("name", name), ("page_size", page_size.as_str())];
        self.add("wksp_up", &labels, 1);
        for (metric, value) in figures.gauges() {
            self.add(metric, &labels, value);
        }
        for (node, count) in &figures.node_pages {
            let labels = [labels.as_slice(), &[("node", node)]].concat();
            self.add("wksp_node_pages", &labels, *count);
        }
    }

    fn pool(&mut self, pool: &PagePool) {
        let (node, page_size) = (pool.node.to_string(), pool.page_size.to_string());
        let labels = [("node", node.as_str()), ("page_size", page_size.as_str())];
        self.add("wksp_pool_pages", &labels, pool.total);
        self.add("wksp_pool_free_pages", &labels, pool.free);
        self.add("wksp_pool_surplus_pages", &labels, pool.surplus);
    }
}

#[derive(Debug, Serialize)]
struct Report {
    /// `None` if they go to standard output.
    file: Option<String>,
    metrics: Vec<Family>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.file {
            Some(_) => Ok(()),
            None => self.metrics.iter().try_for_each(|family| write!(f, "{family}")),
        }
    }
}
