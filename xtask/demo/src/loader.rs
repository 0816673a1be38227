//! A process that loads files into the workspace, and the one that is stopped while it does.

use std::cell::Cell;
use std::fs;
use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::thread;

use anyhow::{Context, Result, bail};
use clap::Args;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use wksp_core::{Align, Gaddr, Guard, Holder, Party, Repair, Tag, install};
use wksp_shmem::SharedWorkspace;

use crate::directory::Stored;
use crate::protocol::{Order, Report};
use crate::{files, stage};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The base directory of the region
    #[arg(long)]
    base: PathBuf,
    /// The directory whose files are loaded
    #[arg(long)]
    directory: PathBuf,
    /// The list of the files
    #[arg(long)]
    list: PathBuf,
    /// The tag of what this process allocates
    #[arg(long)]
    tag: u64,
}

/// Follows the orders that come on standard input, until it ends.
pub(crate) fn run(options: &Options) -> Result<()> {
    // Also when stopped for good, nobody outlives the demonstration.
    set_pdeathsig(Signal::SIGKILL).context("cannot ask to end with the demonstration")?;
    let loader = Loader {
        shared: stage::attach(&options.base)?,
        directory: options.directory.clone(),
        paths: files::paths(&options.list)?,
        tag: Tag::new(options.tag).context("0 is no tag")?,
    };
    say(Report::Attached)?;
    for line in io::stdin().lock().lines() {
        match line?.parse()? {
            Order::Load(file) => loader.load(file)?,
            Order::Freeze(file) => loader.freeze(file)?,
        }
    }
    Ok(())
}

struct Loader {
    shared: SharedWorkspace,
    directory: PathBuf,
    paths: Vec<PathBuf>,
    tag: Tag,
}

impl Loader {
    fn read(&self, file: usize) -> Result<Vec<u8>> {
        let path = self.paths.get(file).with_context(|| format!("there is no file {file}"))?;
        let path = self.directory.join(path);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }

    /// Puts the bytes of a file into an allocation of its own; an empty one needs none.
    fn load(&self, file: usize) -> Result<()> {
        let bytes = self.read(file)?;
        let gaddr = if bytes.is_empty() { None } else { Some(self.store(&bytes)?) };
        let stored = Stored { gaddr, bytes: bytes.len() as u64, crc32: crc32fast::hash(&bytes) };
        say(Report::Loaded { file, stored })
    }

    fn store(&self, bytes: &[u8]) -> Result<Gaddr> {
        say(Report::Asking)?;
        let gaddr = {
            let mut guard = self.shared.lock()?;
            if let Some(Repair::TakenOver { from: Holder::Owner(dead), rebuilt }) = guard.repair() {
                say(Report::Recovered { pid: u32::try_from(dead.get())?, rebuilt })?;
            }
            allocate(&mut guard, bytes.len() as u64, self.tag)?
        };
        // The allocation is this process's own, so the copy needs no lock.
        self.shared.workspace().copy_in(gaddr, bytes)?;
        Ok(gaddr)
    }

    /// Begins to load a file, and stops for good half-way through the allocation.
    fn freeze(&self, file: usize) -> Result<()> {
        let bytes = (self.read(file)?.len() as u64).max(1);
        let mut guard = self.shared.lock()?;
        let of = count_stores(&mut guard, bytes, self.tag)?;
        let (half, count) = (of.div_ceil(2), Cell::new(0));
        install(Some(Box::new(move || {
            count.update(|count: u64| count.saturating_add(1));
            if count.get() == half && say(Report::Frozen { store: half, of }).is_ok() {
                loop {
                    thread::park();
                }
            }
        })));
        let _ = allocate(&mut guard, bytes, self.tag);
        bail!("the allocation ended before its store {half}")
    }
}

/// Counts the stores to the index that an allocation makes, by making one and undoing it.
fn count_stores<P: Party>(guard: &mut Guard<'_, '_, P>, bytes: u64, tag: Tag) -> Result<u64> {
    let count = Rc::new(Cell::new(0));
    let counter = Rc::clone(&count);
    install(Some(Box::new(move || counter.update(|count: u64| count.saturating_add(1)))));
    let gaddr = allocate(guard, bytes, tag)?;
    install(None);
    guard.free(gaddr)?;
    Ok(count.get())
}

/// Allocates whole pages for what fills some, and whole cache lines for less.
fn allocate<P: Party>(guard: &mut Guard<'_, '_, P>, bytes: u64, tag: Tag) -> Result<Gaddr> {
    let align = if bytes < Align::PAGE.get() { Align::CACHE_LINE } else { Align::PAGE };
    Ok(guard.alloc(align, bytes, tag)?)
}

fn say(report: Report) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{report}")?;
    out.flush()?;
    Ok(())
}
