//! The workspace becomes a file, ends, and comes back as another one.

use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;

use anyhow::{Result, ensure};
use wksp_checkpt::publish::{Draft, Existing};
use wksp_checkpt::{
    Checkpoint, Control, RestoreOptions, Restored, Style, WriteOptions, Written, write,
};
use wksp_core::Geometry;
use wksp_shmem::{
    BaseDir, NewRegionOptions, PageSize, Records, SharedWorkspace, WorkspaceOptions, unlink,
};

use crate::stage::{self, Stage};

/// What a new workspace has more than the old one.
const MORE_BYTES: u64 = 3 << 20;

fn control() -> Control<'static> {
    let threads = thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    Control { threads, ..Control::default() }
}

/// Where the checkpoint is.
pub(crate) fn file(stage: &Stage) -> PathBuf {
    stage.base().join("demo.checkpoint")
}

/// Writes a checkpoint of the workspace to a file that is durable when this returns.
pub(crate) fn save(stage: &Stage, shared: &SharedWorkspace) -> Result<Written> {
    let draft = Draft::at(&file(stage))?;
    let options = WriteOptions { style: Style::Lz4, control: control(), ..WriteOptions::default() };
    let written = write(&shared.lock()?, draft.file(), &options)?;
    draft.publish(0o600, Existing::Keep)?;
    Ok(written)
}

/// Removes the workspace, of which nothing is left then.
pub(crate) fn destroy(stage: &Stage, shared: SharedWorkspace) -> Result<()> {
    let base = BaseDir::resolve(Some(stage.base()))?;
    unlink(&base, &stage::name()?, Some(PageSize::Normal))?;
    drop(shared);
    ensure!(!stage.region()?.exists(), "the workspace has been removed, but is still there");
    ensure!(stage::attach(stage.base()).is_err(), "what has been removed can be attached");
    Ok(())
}

/// Creates a larger workspace with fewer records and restores the checkpoint into it.
pub(crate) fn bring_back(
    stage: &Stage,
    old: &Geometry,
    part_max: u64,
) -> Result<(SharedWorkspace, Restored)> {
    let bytes = old.footprint().saturating_add(MORE_BYTES);
    let region = NewRegionOptions {
        page_size: PageSize::Normal,
        page_count: bytes.div_ceil(PageSize::Normal.bytes()),
        mode: 0o600,
    };
    let options = WorkspaceOptions::default()
        .with_records(Records::Count(part_max))
        .with_lock(stage::lock_options());
    let base = BaseDir::resolve(Some(stage.base()))?;
    let new = SharedWorkspace::create(&base, &stage::name()?, &region, &options)?;

    let source = File::open(file(stage))?;
    let checkpoint = Checkpoint::open(&source)?;
    let verified = checkpoint.verify(&control())?;
    ensure!(verified.is_protected(), "the checkpoint has no digest");
    let restore = RestoreOptions { control: control(), ..RestoreOptions::default() };
    let restored = verified.restore(&mut new.lock()?, &restore)?;
    drop(checkpoint);
    fs::remove_file(file(stage))?;
    Ok((new, restored))
}
