//! What all commands of one invocation share: where workspaces are, and how their locks are waited
//! for.

use std::cell::OnceCell;
use std::fmt::Display;
use std::time::{Duration, Instant};

use wksp_core::{Guard, Name, Salvage};
use wksp_shmem::{
    BaseDir, BaseSource, LockOptions, PageSize, ProcessParty, Region, SharedWorkspace,
};

use crate::base_path::BasePath;
use crate::effort;
use crate::failure::{self, Failure, LockContext};
use crate::output::{Loudness, Output, Report};
use crate::repair::RepairReport;
use crate::size::Bytes;
use crate::typed::GlobalPlan;

/// The base directory and the options that hold for every command.
#[derive(Debug)]
pub(crate) struct Session<'o> {
    /// Opened by the first command that needs it: a checkpoint can be looked at without.
    base: OnceCell<BaseDir>,
    options: GlobalPlan,
    output: &'o Output,
}

/// What is to be said of a lock when it is held no more.
#[derive(Debug, Default)]
struct Notes {
    repairs: Vec<String>,
    detail: String,
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
        let why = match base.source() {
            BaseSource::Flag => "as --base says",
            BaseSource::Environment => "as FD_SHMEM_PATH says",
            BaseSource::Mounted => "where this machine has them",
            BaseSource::Private => "since nobody says otherwise and there is no /mnt/.fd",
        };
        self.detail(format_args!("workspaces are in {}, {why}", base.path().display()));
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
    pub(crate) fn shows_progress(&self) -> bool {
        self.output.says(Loudness::Normal) && !self.output.is_json()
    }

    /// Writes one of several results, at once.
    pub(crate) fn write(&self, report: &dyn Report) -> Result<(), Failure> {
        self.output.write(report)
    }

    /// Says something that is no result.
    pub(crate) fn notice(&self, kind: &str, message: &str) {
        self.output.notice(kind, message);
    }

    /// Says something that is not wrong, unless nobody wants to know.
    pub(crate) fn inform(&self, kind: &str, message: &str) {
        self.output.inform(Loudness::Normal, kind, message);
    }

    /// Says something that matters to those only who look into what is done.
    fn detail(&self, message: impl Display) {
        self.output.inform(Loudness::Verbose, "detail", &message.to_string());
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
        let shared = SharedWorkspace::attach(self.base()?, name, page_size, self.options.lock);
        let shared = shared.map_err(|error| failure::attach(name, &error))?;
        if let Some(region) = shared.joined().region() {
            let (path, info) = (region.path().display(), region.info());
            let (bytes, page_size) = (Bytes(info.bytes.get() as u64), info.page_size);
            self.detail(format_args!("{name} is {path}: {bytes}, {page_size} pages"));
        }
        Ok(shared)
    }

    /// Does something with the lock of a workspace held, and says if something had to be repaired.
    ///
    /// Nothing is printed while the lock is held: what reads our output may be slow.
    pub(crate) fn locked<T>(
        &self,
        shared: &SharedWorkspace,
        work: impl FnOnce(&mut Guard<'_, '_, ProcessParty>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let (outcome, notes) = self.locked_unsaid(shared, work)?;
        self.say(&notes);
        // The lock is free: who has asked to end meanwhile need not wait any longer.
        effort::interrupt()?.make_up();
        outcome
    }

    /// Does something with the locks of two workspaces held, which must not be the same.
    pub(crate) fn locked_both<T>(
        &self,
        first: &SharedWorkspace,
        second: &SharedWorkspace,
        work: impl FnOnce(
            &mut Guard<'_, '_, ProcessParty>,
            &mut Guard<'_, '_, ProcessParty>,
        ) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let mut unsaid = Notes::default();
        let outcome = self.locked(first, |first| {
            let (outcome, notes) = self.locked_unsaid(second, |second| work(first, second))?;
            unsaid = notes;
            outcome
        });
        self.say(&unsaid);
        outcome
    }

    fn say(&self, Notes { repairs, detail }: &Notes) {
        repairs.iter().for_each(|repair| self.notice("repaired", repair));
        if !detail.is_empty() {
            self.detail(detail);
        }
    }

    fn locked_unsaid<T>(
        &self,
        shared: &SharedWorkspace,
        work: impl FnOnce(&mut Guard<'_, '_, ProcessParty>) -> Result<T, Failure>,
    ) -> Result<(Result<T, Failure>, Notes), Failure> {
        let name = shared.joined().name();
        let interrupt = effort::interrupt()?;
        let start = Instant::now();
        let mut guard = shared.lock().map_err(|error| failure::lock(self.context(name), &error))?;
        let (waited, start) = (start.elapsed(), Instant::now());
        // Nobody who is asked to end leaves the lock behind, or a change half made.
        let held = interrupt.hold();
        let taken_over = guard.repair();
        let outcome = work(&mut guard);
        let rebuilt = guard.repair().filter(|repair| Some(*repair) != taken_over);
        drop((guard, held));
        let held = start.elapsed();
        let repairs = [taken_over, rebuilt].into_iter().flatten();
        let repairs = repairs.map(|repair| format!("{name}: {}", RepairReport::new(repair)));
        let repairs = repairs.collect();
        let detail = format!("waited {waited:.1?} for the lock of {name}, held it {held:.1?}");
        Ok((outcome, Notes { repairs, detail }))
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
