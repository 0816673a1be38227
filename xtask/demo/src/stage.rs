//! Where the demonstration takes place: a private directory in memory, gone when it ends.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::thread;

use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use tempfile::{Builder, TempDir};
use wksp_core::Name;
use wksp_shmem::{BaseDir, LockOptions, PageSize, SharedWorkspace};

/// The file system whose files are memory.
const MEMORY: &str = "/dev/shm";

/// The name of the workspace.
pub(crate) fn name() -> Result<Name> {
    Ok(Name::new("demo")?)
}

/// How all processes of the demonstration wait for the lock.
pub(crate) fn lock_options() -> LockOptions {
    // The base directory is the demonstration's own, and so are all who use it.
    LockOptions::default().with_single_pid_namespace(true)
}

/// Attaches the workspace as the processes that are started do.
pub(crate) fn attach(base: &Path) -> Result<SharedWorkspace> {
    let base = BaseDir::resolve(Some(base))?;
    Ok(SharedWorkspace::attach(&base, &name()?, Some(PageSize::Normal), lock_options())?)
}

/// The private directory.
#[derive(Debug)]
pub(crate) struct Stage {
    directory: TempDir,
}

impl Stage {
    /// Makes the directory, and sees to it that it does not outlive this process, unless it is to be
    /// kept or the process is killed outright.
    pub(crate) fn set_up(keep: bool) -> Result<Self> {
        let mut signals = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
            signals.add(signal);
        }
        // Before there is anything to remove, and any thread that does not inherit this.
        signals.thread_block().context("cannot block signals")?;
        let directory = Builder::new()
            .prefix("wksp-demo-")
            .disable_cleanup(keep)
            .tempdir_in(MEMORY)
            .with_context(|| {
                format!("cannot make a directory in {MEMORY}, which the demo needs")
            })?;
        let path = directory.path().to_path_buf();
        thread::spawn(move || {
            let signal = signals.wait();
            if !keep {
                let _ = fs::remove_dir_all(path);
            }
            eprintln!("interrupted");
            process::exit(signal.map_or(1, |signal| 128_i32.saturating_add(signal as i32)));
        });
        Ok(Self { directory })
    }

    /// The base directory of the region.
    pub(crate) fn base(&self) -> &Path {
        self.directory.path()
    }

    /// Where the region is.
    pub(crate) fn region(&self) -> Result<PathBuf> {
        Ok(self.base().join(PageSize::Normal.directory()).join(name()?.as_str()))
    }

    /// Where the list of the files to be loaded is.
    pub(crate) fn list(&self) -> PathBuf {
        self.base().join("files")
    }
}
