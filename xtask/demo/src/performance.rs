//! The course of the demonstration, step by step.

use std::env;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use nix::libc::SIGKILL;
use wksp_core::{Align, Holder, Tag};
use wksp_shmem::{
    BaseDir, DEATH_MARK, NewRegionOptions, PageSize, Records, SharedWorkspace, WorkspaceOptions,
};
use wksp_testkit::image::{self, Lock};

use crate::directory::{self, Stored};
use crate::files::{self, File};
use crate::protocol::Order;
use crate::relocation;
use crate::staff::{Loader, Staff};
use crate::stage::{self, Stage};

/// More than this is not loaded: it would fill the memory of a small machine.
const BYTES_MAX: u64 = 1 << 30;

/// Runs the demonstration on the files below `directory`, and fails if anything is not as it should.
pub(crate) fn run(directory: &Path, loaders: usize, keep: bool) -> Result<()> {
    let start = Instant::now();
    println!();
    println!("Several processes load files into one workspace in shared memory.");
    println!("One of them is killed inside an allocation, and nothing is lost.");
    println!("Then all of it becomes a file, and comes back in another workspace.");
    println!();
    let files = files::find(directory)?;
    let bytes: u64 = files.iter().map(|file| file.bytes).sum();
    step(
        "Files",
        &format!("{} files, {}, below {}", files.len(), size(bytes), directory.display()),
    );
    ensure!(
        bytes <= BYTES_MAX,
        "that is more than {}, which this is not meant for: name a smaller directory",
        size(BYTES_MAX)
    );

    let stage = Stage::set_up(keep)?;
    files::write_paths(&stage.list(), &files)?;
    let shared = create(&stage, &files)?;
    let footprint = size(shared.workspace().geometry().footprint());
    step("Create", &format!("a workspace of {footprint} in {}", stage.region()?.display()));
    let staff = Staff::new(&stage, directory);
    let mut performance = Performance { stage: &stage, files: &files, shared: &shared, staff };
    performance.load_and_kill(loaders)?;
    performance.store_list()?;
    verify(&stage, &shared)?;
    read_back(&stage, directory, files.len())?;
    performance.show_contents()?;
    drop(performance);
    relocate(&stage, shared)?;
    read_back(&stage, directory, files.len())?;
    if keep {
        let base = stage.base().display();
        step(
            "Keep",
            &format!("look at it with FD_SHMEM_PATH={base} wksp-ctl ls; then remove {base}"),
        );
    }
    println!();
    println!("Nothing was lost. All this took {:.2} seconds.", start.elapsed().as_secs_f64());
    Ok(())
}

/// Creates a workspace that has room for all files.
fn create(stage: &Stage, files: &[File]) -> Result<SharedWorkspace> {
    let count = files.len() as u64;
    // An allocation cuts a free partition in three at most; the list of files is one as well.
    let records = count.saturating_add(1).saturating_mul(3).saturating_add(64);
    let slack = Align::PAGE.get().saturating_mul(2);
    let padded = files.iter().map(|file| file.bytes.saturating_add(slack));
    let list = files.iter().map(|file| file.path.as_os_str().len().saturating_add(64) as u64);
    let wanted: u64 = padded.chain(list).sum();
    let bytes = wanted.saturating_add(records.saturating_mul(64)).saturating_add(1 << 20);
    let region = NewRegionOptions {
        page_size: PageSize::Normal,
        page_count: bytes.div_ceil(PageSize::Normal.bytes()),
        mode: 0o600,
    };
    let base = BaseDir::resolve(Some(stage.base()))?;
    base.make_directory(PageSize::Normal)?;
    let options = WorkspaceOptions::default()
        .with_records(Records::Count(records))
        .with_lock(stage::lock_options());
    Ok(SharedWorkspace::create(&base, &stage::name()?, &region, &options)?)
}

struct Performance<'a> {
    stage: &'a Stage,
    files: &'a [File],
    shared: &'a SharedWorkspace,
    staff: Staff<'a>,
}

/// What one loader is to load, by the numbers of the files: before somebody is killed, and after.
struct Share {
    loader: Loader,
    before: Vec<usize>,
    after: Vec<usize>,
}

impl Performance<'_> {
    /// Has the files loaded, one of the loaders killed meanwhile, and its files loaded by a new one.
    fn load_and_kill(&mut self, loaders: usize) -> Result<()> {
        let mut shares = self.hire(loaders.clamp(1, self.files.len()))?;
        for share in &shares {
            self.staff.order(share.loader, &load(&share.before))?;
        }
        let before: Vec<usize> = shares.iter().flat_map(|share| share.before.clone()).collect();
        self.staff.wait_for(&before)?;
        let (processes, files) = (shares.len(), before.len());
        step("Load", &format!("{processes} processes attach it and load {files} files at once"));

        let victim = shares.pop().context("there is nobody to load files")?;
        let broken = self.freeze(&victim)?;
        self.let_others_wait(&victim, &shares)?;
        self.kill(&victim, broken)?;
        let all: Vec<usize> = (0..self.files.len()).collect();
        self.staff.wait_for(&all)?;
        for share in &shares {
            self.staff.dismiss(share.loader)?;
        }
        let (count, bytes) = self.staff.loaded.values().fold((0_u64, 0_u64), |(n, sum), stored| {
            (n.saturating_add(1), sum.saturating_add(stored.bytes))
        });
        step("Go on", &format!("all {count} files are loaded, {}", size(bytes)));
        Ok(())
    }

    /// Starts the loaders and divides the files among them.
    fn hire(&mut self, loaders: usize) -> Result<Vec<Share>> {
        let mut shares = Vec::new();
        for first in 0..loaders {
            let mut before: Vec<usize> = (first..self.files.len()).step_by(loaders).collect();
            let after = before.split_off(before.len() / 2);
            shares.push(Share { loader: self.staff.hire()?, before, after });
        }
        Ok(shares)
    }

    /// Has the victim stop inside an allocation, and returns how many rules are broken by then.
    fn freeze(&mut self, victim: &Share) -> Result<usize> {
        let file = *victim.after.first().context("the victim has nothing to load")?;
        self.staff.order(victim.loader, &[Order::Freeze(file)])?;
        let (store, of) = self.staff.wait_for_freeze(victim.loader)?;
        let pid = self.staff.pid(victim.loader)?;
        let path = self.files.get(file).context("no such file")?.path.display();
        step("Stop", &format!("process {pid} is stopped while it allocates memory for {path}"));
        detail(&format!("it has made {store} of some {of} stores to the index, and has the lock"));
        self.check_holder(pid)?;

        // Everybody is kept out by the lock, so the bytes of the region hold still.
        let bytes = fs::read(self.stage.region()?)?;
        let broken = image::check(&bytes, Lock::AnyOwner).err().map_or(0, |broken| broken.len());
        let mut found: Vec<(u64, u64)> = image::truth(&bytes)
            .map_err(|error| anyhow::anyhow!("the allocations contradict each other: {error:?}"))?
            .iter()
            .map(|used| (used.lo, used.hi))
            .collect();
        found.sort_unstable();
        let mut expected: Vec<(u64, u64)> =
            self.staff.loaded.values().filter_map(Stored::bounds).collect();
        expected.sort_unstable();
        ensure!(found == expected, "the allocations are not the {} made so far", expected.len());
        let so_far = expected.len();
        detail(&format!("the index breaks {broken} rules now; all {so_far} allocations are there"));
        Ok(broken)
    }

    /// Lets the other loaders go on, which they cannot.
    fn let_others_wait(&mut self, victim: &Share, others: &[Share]) -> Result<()> {
        let mut waiting = Vec::new();
        for share in others {
            self.staff.order(share.loader, &load(&share.after))?;
            // An empty file is loaded without an allocation.
            let asks = |file: &usize| self.files.get(*file).is_some_and(|file| file.bytes > 0);
            if share.after.iter().any(asks) {
                self.staff.wait_for_asking(share.loader)?;
                waiting.push(self.staff.pid(share.loader)?.to_string());
            }
        }
        self.check_holder(self.staff.pid(victim.loader)?)?;
        if !waiting.is_empty() {
            let who = waiting.join(", ");
            step(
                "Wait",
                &format!("the others ({who}) want to go on loading and wait for the lock"),
            );
        }
        Ok(())
    }

    /// Kills the victim, has a new process load its files, and tells who recovered.
    fn kill(&mut self, victim: &Share, broken: usize) -> Result<()> {
        let pid = self.staff.pid(victim.loader)?;
        let killed = Instant::now();
        let status = self.staff.kill(victim.loader)?;
        ensure!(status.signal() == Some(SIGKILL), "process {pid} was not killed: {status}");
        step("Kill", &format!("process {pid} gets SIGKILL, and ends without another instruction"));

        let heir = self.staff.hire()?;
        self.staff.order(heir, &load(&victim.after))?;
        let recovery = self.staff.wait_for_recovery()?;
        let is_marked = u64::from(recovery.from) == DEATH_MARK;
        let from = recovery.from;
        ensure!(is_marked || from == pid, "the lock was taken over from process {from}");
        ensure!(
            recovery.rebuilt == (broken > 0),
            "{broken} rules were broken, but rebuilt: {}",
            recovery.rebuilt
        );
        let (by, took) = (recovery.by, recovery.at.saturating_duration_since(killed));
        let took = took.as_secs_f64() * 1000.0;
        let finds = if is_marked { "finds the kernel's mark" } else { "finds out" };
        step(
            "Recover",
            &format!("process {by} {finds} and takes the lock over, {took:.1} ms later"),
        );
        detail(if recovery.rebuilt {
            "it rebuilds the index from the allocations, and everybody goes on"
        } else {
            "it finds the index sound, and everybody goes on"
        });
        self.staff.wait_for(&victim.after)?;
        self.staff.dismiss(heir)?;
        let (by, count) = (self.staff.pid(heir)?, victim.after.len());
        step(
            "Replace",
            &format!("process {by} is started, and loads the {count} files left undone"),
        );
        Ok(())
    }

    /// Stores the list of the files, so that the workspace itself says what is in it.
    fn store_list(&self) -> Result<()> {
        let entries = self.files.iter().zip(self.staff.loaded.values());
        let list =
            directory::to_bytes(entries.map(|(file, stored)| (file.path.as_path(), *stored)))?;
        let bytes = list.len() as u64;
        let gaddr = self.shared.lock()?.alloc(Align::CACHE_LINE, bytes, directory::TAG)?;
        self.shared.workspace().copy_in(gaddr, &list)?;
        step(
            "List",
            &format!("where each file is, is stored as well, at {}:{gaddr}", stage::name()?),
        );
        Ok(())
    }

    /// Shows what is in the workspace.
    fn show_contents(&self) -> Result<()> {
        let guard = self.shared.lock()?;
        let usage = guard.usage(None);
        let in_use = usage.used.count.saturating_add(usage.free.count);
        step("Contents", &format!("{in_use} of {} records are in use", usage.part_max));
        let tagged = |tag: Tag| {
            let tagged = guard.usage(Some(tag)).tagged;
            format!("tag {tag}: {:5} allocations, {:>9}", tagged.count, size(tagged.bytes))
        };
        detail(&format!("{}, the list", tagged(directory::TAG)));
        for loader in 0..self.staff.count() {
            let (tag, pid) = (self.staff.tag(loader)?, self.staff.pid(loader)?);
            detail(&format!("{}, by process {pid}", tagged(tag)));
        }
        let (count, bytes) = (usage.free.count, size(usage.free.bytes));
        detail(&format!("free:     {count:5} ranges,      {bytes:>9}"));
        Ok(())
    }

    fn check_holder(&self, pid: u32) -> Result<()> {
        let holder = self.shared.workspace().holder();
        let is_pid = matches!(holder, Some(Holder::Owner(id)) if id.get() == u64::from(pid));
        ensure!(is_pid, "process {pid} should hold the lock, but it is held by {holder:?}");
        Ok(())
    }
}

/// Checks every invariant, with the code of the workspace and with other code.
fn verify(stage: &Stage, shared: &SharedWorkspace) -> Result<()> {
    let report = shared.lock()?.verify();
    ensure!(report.is_clean(), "the workspace breaks rules: {report:?}");
    let bytes = fs::read(stage.region()?)?;
    if let Err(broken) = image::check(&bytes, Lock::MustBeFree) {
        anyhow::bail!("the workspace breaks rules: {broken:?}");
    }
    step("Verify", "two checkers, written independently, find every rule of the layout kept");
    Ok(())
}

/// Has a fresh process compare everything with the files on disk.
fn read_back(stage: &Stage, directory: &Path, expected: usize) -> Result<()> {
    let reader = Command::new(env::current_exe()?)
        .arg("read")
        .arg("--base")
        .arg(stage.base())
        .arg("--directory")
        .arg(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start a reading process")?;
    let pid = reader.id();
    let output = reader.wait_with_output()?;
    ensure!(output.status.success(), "what was read back is not what was loaded");
    let compared: usize = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    ensure!(compared == expected, "{compared} of {expected} files were read back");
    step("Read", &format!("process {pid}, started just now, finds all files by the list"));
    detail(&format!("{compared} of {expected} are the same as on disk, bytes and checksums"));
    Ok(())
}

/// Makes a file of the workspace, removes it, and restores the file into another one.
fn relocate(stage: &Stage, shared: SharedWorkspace) -> Result<()> {
    let old = *shared.workspace().geometry();
    // One for each allocation and one for each gap between them are always enough.
    let usage = shared.lock()?.usage(None);
    let part_max = usage.used.count.saturating_mul(2).saturating_add(1);
    let written = relocation::save(stage, &shared)?;
    let path = relocation::file(stage);
    step("Save", &format!("a checkpoint, compressed with LZ4, goes to {}", path.display()));
    let (count, bytes) = (written.allocations, size(written.data_bytes));
    let stored = size(written.bytes);
    detail(&format!("{count} allocations of {bytes} have become a file of {stored}"));
    ensure!(count == usage.used.count, "but {} are in the workspace", usage.used.count);

    relocation::destroy(stage, shared)?;
    step("Destroy", "the workspace is removed; all that is left is the checkpoint");

    let (new, restored) = relocation::bring_back(stage, &old, part_max)?;
    ensure!(restored.allocations == count, "only {} came back", restored.allocations);
    let geometry = new.workspace().geometry();
    step("Restore", "its digest is checked, and it goes into a new workspace of another shape");
    detail(&format!(
        "{} and {} records then, {} and {} records now",
        size(old.footprint()),
        old.part_max(),
        size(geometry.footprint()),
        geometry.part_max()
    ));
    verify(stage, &new)
}

fn load(files: &[usize]) -> Vec<Order> {
    files.iter().map(|file| Order::Load(*file)).collect()
}

/// Prints a step: what it is about, and what happened.
fn step(about: &str, what: &str) {
    println!("{about:>9}  {what}");
}

/// Prints what there is to say besides.
fn detail(what: &str) {
    step("", what);
}

/// A size for people.
fn size(bytes: u64) -> String {
    let units = [(1_u64 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match units.into_iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / unit as f64),
        None => format!("{bytes} bytes"),
    }
}
