//! The processes that load files, as the one that runs the demonstration sees them.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use wksp_core::Tag;

use crate::directory::{self, Stored};
use crate::protocol::{Order, Report};
use crate::stage::Stage;

/// How long a report may take to come; far more than it ever does.
const REPORT_WAIT: Duration = Duration::from_secs(60);

/// A loader by its number.
pub(crate) type Loader = usize;

/// That a lock was taken over from a dead process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recovery {
    /// By which process.
    pub(crate) by: u32,
    /// From which process, or the kernel's mark.
    pub(crate) from: u32,
    /// Whether the index had to be rebuilt.
    pub(crate) rebuilt: bool,
    /// When that was heard of.
    pub(crate) at: Instant,
}

/// All loaders there are and were, and what is known from them.
#[derive(Debug)]
pub(crate) struct Staff<'a> {
    stage: &'a Stage,
    directory: &'a Path,
    members: Vec<Member>,
    sender: Sender<Message>,
    reports: Receiver<Message>,
    /// What has been loaded so far, by the number of the file.
    pub(crate) loaded: BTreeMap<usize, Stored>,
    recovery: Option<Recovery>,
}

/// A line from a loader, `None` for the end of its lines, and when it came.
#[derive(Debug)]
struct Message {
    loader: Loader,
    report: Option<Result<Report>>,
    at: Instant,
}

#[derive(Debug)]
struct Member {
    child: Child,
    /// Orders go here, until there are no more.
    orders: Option<ChildStdin>,
    attached: bool,
    asking: bool,
    frozen: Option<(u64, u64)>,
}

impl Drop for Member {
    fn drop(&mut self) {
        // In the ordinary course it has ended, and this does nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl<'a> Staff<'a> {
    pub(crate) fn new(stage: &'a Stage, directory: &'a Path) -> Self {
        let (sender, reports) = mpsc::channel();
        Self {
            stage,
            directory,
            members: Vec::new(),
            sender,
            reports,
            loaded: BTreeMap::new(),
            recovery: None,
        }
    }

    /// Starts a loader and waits until it has attached the workspace.
    pub(crate) fn hire(&mut self) -> Result<Loader> {
        let loader = self.members.len();
        let mut child = Command::new(env::current_exe()?)
            .arg("load")
            .args(["--tag", &self.tag(loader)?.to_string()])
            .arg("--base")
            .arg(self.stage.base())
            .arg("--directory")
            .arg(self.directory)
            .arg("--list")
            .arg(self.stage.list())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a loading process")?;
        let (orders, output) = (child.stdin.take(), child.stdout.take());
        self.members.push(Member { child, orders, attached: false, asking: false, frozen: None });
        let (sender, output) = (self.sender.clone(), output.context("a pipe is missing")?);
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                let report = line.map_err(Into::into).and_then(|line| line.parse());
                let _ = sender.send(Message { loader, report: Some(report), at: Instant::now() });
            }
            let _ = sender.send(Message { loader, report: None, at: Instant::now() });
        });
        self.wait_until("a process attaches", |staff| {
            staff.members.get(loader).is_some_and(|member| member.attached)
        })?;
        Ok(loader)
    }

    /// The tag of what a loader allocates.
    pub(crate) fn tag(&self, loader: Loader) -> Result<Tag> {
        let after = u64::try_from(loader)?.saturating_add(1);
        Tag::new(directory::TAG.get().saturating_add(after)).context("0 is no tag")
    }

    /// How many loaders there are and were.
    pub(crate) const fn count(&self) -> usize {
        self.members.len()
    }

    /// The process id of a loader.
    pub(crate) fn pid(&self, loader: Loader) -> Result<u32> {
        Ok(self.members.get(loader).context("no such loader")?.child.id())
    }

    /// Gives orders to a loader.
    pub(crate) fn order(&mut self, loader: Loader, orders: &[Order]) -> Result<()> {
        let member = self.member(loader)?;
        member.asking = false;
        let pipe =
            member.orders.as_mut().context("it has been told that there is no more to do")?;
        for order in orders {
            writeln!(pipe, "{order}").context("a loading process has ended")?;
        }
        Ok(())
    }

    /// Waits until all `files` are loaded.
    pub(crate) fn wait_for(&mut self, files: &[usize]) -> Result<()> {
        let all_loaded = |staff: &Self| files.iter().all(|file| staff.loaded.contains_key(file));
        self.wait_until("files are loaded", all_loaded)
    }

    /// Waits until a loader is stopped, and returns behind which of how many stores.
    pub(crate) fn wait_for_freeze(&mut self, loader: Loader) -> Result<(u64, u64)> {
        self.wait_until("a process stops inside an allocation", |staff| {
            staff.members.get(loader).is_some_and(|member| member.frozen.is_some())
        })?;
        self.member(loader)?.frozen.context("it is not stopped")
    }

    /// Waits until a loader is about to take the lock.
    pub(crate) fn wait_for_asking(&mut self, loader: Loader) -> Result<()> {
        self.wait_until("a process asks for the lock", |staff| {
            staff.members.get(loader).is_some_and(|member| member.asking)
        })
    }

    /// Waits until somebody has taken the lock over, and returns who did.
    pub(crate) fn wait_for_recovery(&mut self) -> Result<Recovery> {
        self.wait_until("a process recovers", |staff| staff.recovery.is_some())?;
        self.recovery.context("nobody has recovered")
    }

    /// Kills a loader with SIGKILL, and returns how it ended.
    pub(crate) fn kill(&mut self, loader: Loader) -> Result<ExitStatus> {
        let member = self.member(loader)?;
        member.orders = None;
        member.child.kill()?;
        Ok(member.child.wait()?)
    }

    /// Tells a loader that there is no more to do, and waits until it has ended well.
    pub(crate) fn dismiss(&mut self, loader: Loader) -> Result<()> {
        let member = self.member(loader)?;
        member.orders = None;
        let status = member.child.wait()?;
        if !status.success() {
            bail!("a loading process ended with {status}");
        }
        Ok(())
    }

    fn member(&mut self, loader: Loader) -> Result<&mut Member> {
        self.members.get_mut(loader).context("no such loader")
    }

    /// Takes reports in until `done`.
    fn wait_until(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<()> {
        while !done(self) {
            let next = self.reports.recv_timeout(REPORT_WAIT);
            let Message { loader, report, at } =
                next.with_context(|| format!("waited {REPORT_WAIT:?} in vain until {what}"))?;
            match report {
                Some(report) => self.take_in(loader, report?, at)?,
                None => self.check_end(loader)?,
            }
        }
        Ok(())
    }

    /// Fails unless the loader was killed or told that there is no more to do.
    fn check_end(&mut self, loader: Loader) -> Result<()> {
        let member = self.member(loader)?;
        if member.orders.is_some() {
            bail!("process {} ended before its time", member.child.id());
        }
        Ok(())
    }

    fn take_in(&mut self, loader: Loader, report: Report, at: Instant) -> Result<()> {
        match report {
            Report::Attached => self.member(loader)?.attached = true,
            Report::Asking => self.member(loader)?.asking = true,
            Report::Frozen { store, of } => self.member(loader)?.frozen = Some((store, of)),
            Report::Recovered { pid: from, rebuilt } => {
                if self.recovery.is_some() {
                    bail!("the lock was taken over from a dead process for the second time");
                }
                let by = self.pid(loader)?;
                self.recovery = Some(Recovery { by, from, rebuilt, at });
            }
            Report::Loaded { file, stored } => {
                if self.loaded.insert(file, stored).is_some() {
                    bail!("file {file} was loaded twice");
                }
            }
        }
        Ok(())
    }
}
