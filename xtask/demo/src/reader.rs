//! A process that knows nothing but the name of the workspace, and compares all that is in it with
//! the files on disk.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use wksp_shmem::SharedWorkspace;

use crate::directory::{self, Entry, Stored};
use crate::stage;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The base directory of the region
    #[arg(long)]
    base: PathBuf,
    /// The directory whose files were loaded
    #[arg(long)]
    directory: PathBuf,
}

/// Attaches the workspace, reads the list of files in it, and compares each file.
///
/// Prints how many there are, or fails with a line for each that differs.
pub(crate) fn run(options: &Options) -> Result<()> {
    let shared = stage::attach(&options.base)?;
    let entries = read_list(&shared)?;
    let mut differences = 0_u64;
    for Entry { path, stored } in &entries {
        if let Err(error) = compare(&shared, &options.directory.join(path), stored) {
            eprintln!("{}: {error:#}", path.display());
            differences = differences.saturating_add(1);
        }
    }
    if differences > 0 {
        bail!("{differences} of {} files are not as they were stored", entries.len());
    }
    let used = shared.lock()?.usage(None).used.count;
    let stored = entries.iter().filter(|entry| entry.stored.gaddr.is_some()).count() as u64;
    if used != stored.saturating_add(1) {
        bail!("{used} allocations, but the {stored} files and their list need one each");
    }
    println!("{}", entries.len());
    Ok(())
}

fn read_list(shared: &SharedWorkspace) -> Result<Vec<Entry>> {
    let list = shared.lock()?.lowest_tagged(directory::TAG);
    let list = list.context("the workspace has no list of files")?;
    let mut bytes = vec![0; usize::try_from(list.range.bytes())?];
    shared.workspace().copy_out(list.range.lo(), &mut bytes)?;
    directory::from_bytes(&bytes)
}

/// Compares the bytes in the workspace with those on disk.
fn compare(shared: &SharedWorkspace, path: &Path, stored: &Stored) -> Result<()> {
    let mut bytes = Vec::new();
    if let Some(gaddr) = stored.gaddr {
        let allocation = shared.lock()?.allocation(gaddr).context("its allocation is gone")?;
        if allocation.range.bytes() != stored.bytes {
            bail!("{} bytes are allocated, {} were", allocation.range.bytes(), stored.bytes);
        }
        bytes.resize(usize::try_from(stored.bytes)?, 0);
        shared.workspace().copy_out(gaddr, &mut bytes)?;
    }
    let found = crc32fast::hash(&bytes);
    if found != stored.crc32 {
        bail!(
            "the bytes in the workspace have CRC-32 {found:08x}, but {:08x} were put there",
            stored.crc32
        );
    }
    if fs::read(path)? != bytes {
        bail!("the file on disk has other bytes: was it changed while the demonstration ran?");
    }
    Ok(())
}
