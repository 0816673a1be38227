//! What an operator wants to know about a process that holds a lock.

use std::fs;
use std::os::fd::AsFd;
use std::time::SystemTime;

use nix::sys::stat::{fstat, major, minor};

use crate::liveness::{since_boot, start_of};
use crate::procfs::{self, Maps, MapsId, Stat, Status};
use crate::region::Region;

/// What /proc shows of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Its id, in the pid namespace of the caller.
    pub pid: u32,
    /// Its command: the file name of its program, cut off after 15 bytes.
    pub command: String,
    /// Its state, a letter as of proc_pid_stat(5): R runs, S sleeps, D waits for a device, T is
    /// stopped, t is traced, Z has ended.
    pub state: char,
    /// The number of its threads.
    pub thread_count: u64,
    /// When it started, `None` if the clock cannot be read.
    pub started: Option<SystemTime>,
    /// The user that it runs as.
    pub uid: u32,
    /// Whether it maps the region, `None` if the caller may not know.
    pub maps_region: Option<bool>,
}

/// Describes a process for an operator, `None` if there is none of that id that /proc shows.
///
/// Without a region [`ProcessInfo::maps_region`] stays `None`.
/// The id is one of the caller's pid namespace; in a lock word it may be of another one.
#[must_use]
pub fn describe(pid: u32, region: Option<&Region>) -> Option<ProcessInfo> {
    if !procfs::is_of_our_namespace() {
        return None;
    }
    let text = pid.to_string();
    let status = Status::of(&text).ok().filter(|status| status.tgid == pid)?;
    let stat = Stat::of(&text).ok()?;
    let command = fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let maps = region.and_then(|region| Maps::of(&text, maps_id(region)?).ok());
    Some(ProcessInfo {
        pid,
        command: String::from_utf8_lossy(&command).trim_end().to_owned(),
        state: stat.state,
        thread_count: stat.thread_count,
        started: started(&stat),
        uid: status.uid,
        maps_region: maps.map(|maps| maps == Maps::File),
    })
}

fn maps_id(region: &Region) -> Option<MapsId> {
    let stat = fstat(region.as_fd()).ok()?;
    Some(MapsId::new(major(stat.st_dev), minor(stat.st_dev), stat.st_ino))
}

fn started(process: &Stat) -> Option<SystemTime> {
    let age = since_boot()?.checked_sub(start_of(process)?)?;
    SystemTime::now().checked_sub(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_described() {
        let info = describe(std::process::id(), None).unwrap();
        assert!(info.thread_count >= 1 && !info.command.is_empty());
        assert!(info.started.unwrap() <= SystemTime::now());
        assert_eq!(info.maps_region, None);
        assert_eq!(describe(u32::MAX, None), None);
    }
}
