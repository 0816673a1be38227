//! What all commands of one invocation share: where workspaces are, and how their locks are waited
//! for.

use std::cell::OnceCell;
use std::time::Duration;

use wksp_core::{Guard, Name, Salvage};
use wksp_shmem::{BaseDir, LockOptions, PageSize, ProcessParty, Region, SharedWorkspace};

use crate::base_path::BasePath;
use crate::failure::{self, Failure, LockContext};
use crate::output::{Output, Report};
use crate::repair::RepairReport;
use crate::typed::GlobalPlan;

/// The base directory and the options that hold for every command.
#[derive(Debug)]
pub(crate) struct Session<'o> {
    /// Opened by the first command that needs it: a checkpoint can be looked at without.
    base: OnceCell<BaseDir>,
    options: GlobalPlan,
    output: &'o Output,
}

impl<'o> Session<'o> {
    /// A session in which nothing has been opened.
    pub(crate) const fn new(options: GlobalPlan, output: &'o Output) -> Self {
        Self { base: OnceCell::new(), options, output }
    }

    /// The base directory.
    pub(crate) fn base(&self) -> Result<&BaseDir, Failure> {
        if let Some(base) = self.base.get() {
            return Ok(base);
        }
        let base = BaseDir::resolve(self.options.base.as_deref());
        let base = base.map_err(|error| failure::base(&error))?;
        Ok(self.base.get_or_init(|| base))
    }

    /// The page size that was asked for.
    pub(crate) const fn page_size(&self) -> Option<PageSize> {
        self.options.page_size
    }

    /// How locks are waited for.
    pub(crate) const fn lock_options(&self) -> LockOptions {
        self.options.lock
    }

    /// How long locks are waited for.
    pub(crate) const fn patience(&self) -> Duration {
        self.options.lock.patience
    }

    /// Whether JSON was asked for.
    pub(crate) const fn is_json(&self) -> bool {
        self.output.is_json()
    }

    /// Whether work that takes a while may show how far it is.
    pub(crate) const fn shows_progress(&self) -> bool {
        !self.options.is_quiet && !self.output.is_json()
    }

    /// Writes one of several results, at once.
    pub(crate) fn write(&self, report: &dyn Report) -> Result<(), Failure> {
        self.output.write(report)
    }

    /// Says something that is no result.
    pub(crate) fn notice(&self, kind: &str, message: &str) {
        self.output.notice(kind, message);
    }

    /// Says that something is not as it was asked for, although that is no failure.
    pub(crate) fn warn(&self, kind: &str, message: &str) {
        self.output.warn(kind, message);
    }

    /// Where workspaces are, whether there is such a directory or not; none is made.
    pub(crate) fn base_path(&self) -> BasePath {
        BasePath::of_workspaces(self.options.base.as_deref())
    }

    /// Where this machine is set up for workspaces, or would be.
    pub(crate) fn host_path(&self) -> BasePath {
        BasePath::of_host(self.options.base.as_deref())
    }

    /// Attaches the workspace called `name`.
    pub(crate) fn attach(&self, name: &Name) -> Result<SharedWorkspace, Failure> {
        self.attach_pages(name, self.page_size())
    }

    /// Attaches the workspace called `name` that has pages of this size.
    pub(crate) fn attach_pages(
        &self,
        name: &Name,
        page_size: Option<PageSize>,
    ) -> Result<SharedWorkspace, Failure> {
        SharedWorkspace::attach(self.base()?, name, page_size, self.options.lock)
            .map_err(|error| failure::attach(name, &error))
    }

    /// Does something with the lock of a workspace held, and says if something had to be repaired.
    ///
    /// Nothing is printed while the lock is held: what reads our output may be slow.
    pub(crate) fn locked<T>(
        &self,
        shared: &SharedWorkspace,
        work: impl FnOnce(&mut Guard<'_, '_, ProcessParty>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let name = shared.joined().name();
        let mut guard = shared.lock().map_err(|error| failure::lock(self.context(name), &error))?;
        let taken_over = guard.repair();
        let outcome = work(&mut guard);
        let rebuilt = guard.repair().filter(|repair| Some(*repair) != taken_over);
        drop(guard);
        for repair in [taken_over, rebuilt].into_iter().flatten() {
            self.notice("repaired", &format!("{name}: {}", RepairReport::new(repair)));
        }
        outcome
    }

    /// Takes the lock of a workspace as it is, to look at it or repair it.
    pub(crate) fn salvage<'g>(
        &self,
        shared: &'g SharedWorkspace,
    ) -> Result<Salvage<'g, 'g, ProcessParty>, Failure> {
        let name = shared.joined().name();
        shared.workspace().salvage().map_err(|error| failure::lock(self.context(name), &error))
    }

    /// What is said of a lock that was waited for.
    pub(crate) const fn context<'n>(&self, name: &'n Name) -> LockContext<'n> {
        LockContext { name, patience: self.patience() }
    }
}

/// The region of an attached workspace.
///
/// There always is one: the tool attaches nothing but regions.
pub(crate) fn region_of(shared: &SharedWorkspace) -> Result<&Region, Failure> {
    shared.joined().region().ok_or_else(|| {
        Failure::new(
            failure::Kind::Failed,
            format_args!("{} lies in no region", shared.joined().name()),
            "attach it by name",
        )
    })
}
