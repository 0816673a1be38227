//! Processes that hold or have joined a workspace, as an operator wants to see them.

use std::collections::BTreeMap;
use std::fmt;
use std::io;

use serde::Serialize;
use wksp_core::Holder;
use wksp_shmem::{Joiner, PidNamespace, ProcessInfo, Region, describe, joiners, mappers};

use crate::moment;
use crate::table::{Side, Table};

/// What is known of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Process {
    /// Its id here, `None` if it cannot be seen from here.
    pub(crate) pid: Option<u32>,
    /// Its id in its own pid namespace: what it writes into lock words.
    pub(crate) own_pid: u32,
    /// Its own pid namespace, `None` if that cannot be told.
    pid_namespace: Option<u32>,
    /// Its command, `None` if that cannot be told; so with all that follows.
    pub(crate) command: Option<String>,
    /// What it does, a letter as of proc_pid_stat(5).
    pub(crate) state: Option<char>,
    thread_count: Option<u64>,
    uid: Option<u32>,
    /// When it started, in UTC.
    started: Option<String>,
    /// Whether it maps the region.
    maps_region: Option<bool>,
}

impl Process {
    /// The process of this id in our own pid namespace.
    pub(crate) fn here(pid: u32, region: Option<&Region>) -> Self {
        let namespace = PidNamespace::current().ok();
        Self::new(Some(pid), pid, namespace, describe(pid, region))
    }

    fn new(
        pid: Option<u32>,
        own_pid: u32,
        namespace: Option<PidNamespace>,
        info: Option<ProcessInfo>,
    ) -> Self {
        Self {
            pid,
            own_pid,
            pid_namespace: namespace.map(PidNamespace::get),
            command: info.as_ref().map(|info| info.command.clone()),
            state: info.as_ref().map(|info| info.state),
            thread_count: info.as_ref().map(|info| info.thread_count),
            uid: info.as_ref().map(|info| info.uid),
            started: info.as_ref().and_then(|info| info.started).map(moment::utc),
            maps_region: info.and_then(|info| info.maps_region),
        }
    }

    /// Whether there is such a process, as far as can be seen.
    pub(crate) const fn is_seen(&self) -> bool {
        self.command.is_some()
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(command) = &self.command else {
            return write!(f, "process {}, which cannot be seen from here", self.own_pid);
        };
        write!(f, "process {} ({}", self.pid.unwrap_or(self.own_pid), printable(command))?;
        if let Some(state) = self.state {
            write!(f, ", {}", state_word(state))?;
        }
        if let Some(uid) = self.uid {
            write!(f, ", user {uid}")?;
        }
        if let Some(started) = &self.started {
            write!(f, ", started {started}")?;
        }
        match self.maps_region {
            Some(true) => f.write_str(", maps the region)"),
            Some(false) => f.write_str(", does not map the region)"),
            None => f.write_str(")"),
        }
    }
}

/// The processes that have joined a region or map it, except this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Others {
    /// The processes.
    #[serde(rename = "processes")]
    pub(crate) list: Vec<Process>,
    /// Whether these are certainly all that show themselves.
    #[serde(rename = "processes_complete")]
    pub(crate) is_complete: bool,
}

impl Others {
    /// Finds them: those that show themselves as joined, and those seen to map the region.
    pub(crate) fn of(region: &Region) -> io::Result<Self> {
        let joiners = joiners(region)?;
        let ours = PidNamespace::current().ok();
        let me = ours.map(|namespace| Joiner { namespace, pid: std::process::id() });
        // By what each calls itself; a process that does both appears once.
        let mut found: BTreeMap<(Option<PidNamespace>, u32), Option<u32>> = BTreeMap::new();
        for joiner in joiners.list {
            let pid = (Some(joiner.namespace) == ours).then_some(joiner.pid);
            found.insert((Some(joiner.namespace), joiner.pid), pid);
        }
        for mapper in mappers(region.info().id) {
            found.insert((mapper.namespace, mapper.own_pid), Some(mapper.pid));
        }
        if let Some(me) = me {
            found.remove(&(Some(me.namespace), me.pid));
        }
        let list = found.into_iter().map(|((namespace, own_pid), pid)| {
            let info = pid.and_then(|pid| describe(pid, Some(region)));
            Process::new(pid, own_pid, namespace, info)
        });
        Ok(Self { list: list.collect(), is_complete: joiners.is_complete })
    }

    /// Names them in one line.
    pub(crate) fn names(&self) -> String {
        let names: Vec<String> = self
            .list
            .iter()
            .map(|process| {
                let command =
                    process.command.as_deref().map_or("not visible".to_owned(), printable);
                format!("{} ({command})", process.pid.unwrap_or(process.own_pid))
            })
            .collect();
        names.join(", ")
    }
}

impl fmt::Display for Others {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            ("PID", Side::Right),
            ("COMMAND", Side::Left),
            ("STATE", Side::Left),
            ("USER", Side::Right),
            ("STARTED", Side::Left),
        ]);
        let or_unknown = |text: Option<String>| text.unwrap_or_else(|| "?".to_owned());
        for process in &self.list {
            table.row([
                process.pid.unwrap_or(process.own_pid).to_string(),
                or_unknown(process.command.as_deref().map(printable)),
                or_unknown(process.state.map(|state| state_word(state).to_owned())),
                or_unknown(process.uid.map(|uid| uid.to_string())),
                or_unknown(process.started.clone()),
            ]);
        }
        write!(f, "{table}")?;
        if !self.is_complete {
            writeln!(f, "(and more than can be told apart)")?;
        }
        Ok(())
    }
}

/// The process id that a holder of a lock may have, `None` if it is none.
pub(crate) fn holder_pid(holder: Holder) -> Option<u32> {
    match holder {
        Holder::Owner(id) => u32::try_from(id.get()).ok(),
        Holder::Formatter => None,
    }
}

/// A text of somebody else's, without what would act on a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

const fn state_word(state: char) -> &'static str {
    match state {
        'R' => "running",
        'S' => "sleeping",
        'D' => "waiting for a device",
        'T' => "stopped",
        't' => "traced",
        'Z' | 'X' | 'x' => "ended",
        'I' => "idle",
        _ => "in an unknown state",
    }
}
