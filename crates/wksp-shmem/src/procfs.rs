//! What /proc tells about processes: who they are, whether they live, and what they map.
//!
//! Everything here is read as text that may be cut off, missing or forbidden at any moment, so
//! each answer has a form that says "not known".

use std::fs;
use std::io;

use nix::errno::Errno;
use nix::sys::stat::{major, minor};

use crate::presence::PidNamespace;
use crate::region::RegionId;

/// The flag in `stat` of a thread of the kernel's own, PF_KTHREAD.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// What /proc/PID/status says of identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// The id of the process that the thread of this id belongs to.
    pub(crate) tgid: u32,
    /// The process id in each pid namespace, from that of /proc to the process's own.
    pub(crate) namespaced: Vec<u32>,
    /// The effective user.
    pub(crate) uid: u32,
}

impl Status {
    pub(crate) fn of(pid: &str) -> io::Result<Self> {
        // The name of a process may be any bytes.
        let text = fs::read(format!("/proc/{pid}/status"))?;
        Self::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.find_map(|(key, value)| (key == name).then(|| value.split_ascii_whitespace()))
        };
        Some(Self {
            tgid: field("Tgid")?.next()?.parse().ok()?,
            namespaced: field("NSpid")?.map(str::parse).collect::<Result<_, _>>().ok()?,
            uid: field("Uid")?.nth(1)?.parse().ok()?,
        })
    }

    /// What the process calls itself.
    pub(crate) fn own_pid(&self) -> Option<u32> {
        self.namespaced.last().copied()
    }
}

/// What /proc/PID/stat says of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// The state of the first thread, a letter.
    pub(crate) state: char,
    /// Whether it is a thread of the kernel's own.
    pub(crate) is_kernel_thread: bool,
    /// The number of threads that have not ended.
    pub(crate) thread_count: u64,
    /// When it started, in clock ticks since the machine did.
    pub(crate) start_ticks: u64,
}

impl Stat {
    pub(crate) fn of(pid: &str) -> io::Result<Self> {
        let text = fs::read(format!("/proc/{pid}/stat"))?;
        Self::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn parse(text: &str) -> Option<Self> {
        // The second field is the command in parentheses, and may hold anything.
        let (_, rest) = text.rsplit_once(')')?;
        let field = |number: usize| rest.split_ascii_whitespace().nth(number.checked_sub(3)?);
        Some(Self {
            state: field(3)?.chars().next()?,
            is_kernel_thread: field(9)?.parse::<u64>().ok()? & KERNEL_THREAD != 0,
            thread_count: field(20)?.parse().ok()?,
            start_ticks: field(22)?.parse().ok()?,
        })
    }

    /// Whether the process has ended and waits for its parent to notice, with all its threads.
    pub(crate) const fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.thread_count <= 1
    }
}

/// A file as the memory maps in /proc name it.
///
/// On some file systems that is not what stat(2) says, so it is learnt from a known mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MapsId {
    major: u64,
    minor: u64,
    inode: u64,
}

impl MapsId {
    pub(crate) const fn new(major: u64, minor: u64, inode: u64) -> Self {
        Self { major, minor, inode }
    }
}

/// One line of a memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct MapsLine {
    start: u64,
    id: MapsId,
}

impl MapsLine {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, _) = fields.next()?.split_once('-')?;
        let (_, _) = (fields.next()?, fields.next()?);
        let (major, minor) = fields.next()?.split_once(':')?;
        let inode = fields.next()?.parse().ok()?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let id = MapsId { major: hex(major)?, minor: hex(minor)?, inode };
        Some(Self { start: hex(start)?, id })
    }
}

/// What a process maps, as far as is asked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Maps {
    /// It has no memory: it is a thread of the kernel's own, or is ending.
    None,
    /// It has memory, and the file is not in it.
    Others,
    /// It maps the file.
    File,
}

impl Maps {
    /// Whether the process `pid` maps the file.
    pub(crate) fn of(pid: &str, id: MapsId) -> io::Result<Self> {
        let text = match fs::read(format!("/proc/{pid}/maps")) {
            Ok(text) => text,
            // New kernels say so, old ones show an empty map.
            Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Vec::new(),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&text);
        if text.is_empty() {
            return Ok(Self::None);
        }
        let mut lines = text.lines().filter_map(MapsLine::parse);
        Ok(if lines.any(|line| line.id == id) { Self::File } else { Self::Others })
    }
}

/// How the calling process maps a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnMaps {
    /// What the file is called in memory maps.
    pub(crate) id: MapsId,
    /// Whether there are mappings of it other than the known one.
    pub(crate) has_more: bool,
}

impl OwnMaps {
    /// Looks up the mapping [address, address + bytes) of the calling process.
    ///
    /// `None` if it cannot be found, or the map cannot be trusted to show files.
    pub(crate) fn find(address: usize, bytes: usize) -> Option<Self> {
        let text = fs::read("/proc/self/maps").ok()?;
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<MapsLine> = text.lines().filter_map(MapsLine::parse).collect();
        let (start, end) = (address as u64, (address as u64).saturating_add(bytes as u64));
        let known = lines.iter().find(|line| line.start == start)?;
        if known.id.inode == 0 {
            return None;
        }
        let mut same = lines.iter().filter(|line| line.id == known.id);
        let has_more = same.any(|line| line.start < start || line.start >= end);
        Some(Self { id: known.id, has_more })
    }
}

/// Whether /proc shows the pid namespace of the calling process, and not one around it.
pub(crate) fn is_of_our_namespace() -> bool {
    Status::of("self").is_ok_and(|status| status.namespaced.len() == 1)
}

/// Whether /proc shows the processes of all users.
pub(crate) fn shows_everyone() -> bool {
    fs::read("/proc/1/status").is_ok()
}

/// The ids of all processes that /proc shows, as text.
pub(crate) fn pids() -> io::Result<Vec<String>> {
    let mut pids = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let text = name.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        pids.extend(text.map(ToOwned::to_owned));
    }
    Ok(pids)
}

/// A process that maps a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapper {
    /// Its process id in the pid namespace of the caller.
    pub pid: u32,
    /// Its process id in its own pid namespace: what it writes into lock words.
    pub own_pid: u32,
    /// Its own pid namespace, `None` if the caller may not know.
    pub namespace: Option<PidNamespace>,
}

/// Lists the processes that can be seen to map the file `id`, with or without having joined.
///
/// The best that can be done: processes of other users are seen only by root, those of other pid
/// namespaces only from the outside, and none where /proc is not mounted. The device and inode
/// must be as memory maps show them, which they are on tmpfs and hugetlbfs.
///
/// Costs the reading of every process's memory map.
#[must_use]
pub fn mappers(id: RegionId) -> Vec<Mapper> {
    let id = MapsId::new(major(id.device), minor(id.device), id.inode);
    let pids = pids().unwrap_or_default();
    pids.iter()
        .filter(|pid| Maps::of(pid, id).is_ok_and(|m| m == Maps::File))
        .filter_map(|pid| mapper(pid))
        .collect()
}

/// Identifies a process that was found to map a region, `None` if it has ended meanwhile.
pub(crate) fn mapper(pid: &str) -> Option<Mapper> {
    let status = Status::of(pid).ok()?;
    Some(Mapper {
        pid: pid.parse().ok()?,
        own_pid: status.own_pid()?,
        namespace: PidNamespace::at(&format!("/proc/{pid}/ns/pid")).ok(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_with_parentheses_and_spaces_does_not_confuse() {
        let fields = "S 1 2 2 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 3 0 9876 1 1";
        let stat = Stat::parse(&format!("12 (a) S 0 (b c) {fields}")).unwrap();
        assert_eq!(
            stat,
            Stat { state: 'S', is_kernel_thread: false, thread_count: 3, start_ticks: 9876 }
        );
        assert!(!stat.is_dead());
        assert_eq!(Stat::parse("12 (a"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn a_leader_that_ended_before_its_threads_is_not_dead() {
        let of = |threads| {
            let line = format!("1 (x) Z 1 2 2 0 -1 0 1 2 3 4 5 6 7 8 20 0 {threads} 0 9 1 1");
            Stat::parse(&line).unwrap()
        };
        assert!(!of(2).is_dead());
        assert!(of(1).is_dead());
    }

    #[test]
    fn status_gives_the_innermost_pid() {
        let text = "Name:\tx\nTgid:\t500\nUid:\t0\t7\t0\t0\nNSpid:\t500\t12\t3\n";
        let status = Status::parse(text).unwrap();
        assert_eq!(status, Status { tgid: 500, namespaced: vec![500, 12, 3], uid: 7 });
        assert_eq!(status.own_pid(), Some(3));
        assert_eq!(Status::parse("Name:\tx\n"), None);
    }

    #[test]
    fn lines_of_memory_maps_are_understood() {
        let line = "7f00-7f80 rw-s 00000000 00:1f 42    /dev/shm/.normal/a b (deleted)";
        let id = MapsId { major: 0, minor: 0x1f, inode: 42 };
        assert_eq!(MapsLine::parse(line), Some(MapsLine { start: 0x7f00, id }));
        assert_eq!(MapsLine::parse("7f00-7f80 rw-p"), None);
    }

    #[test]
    fn this_process_lives_and_maps_no_unknown_file() {
        assert!(!Stat::of("self").unwrap().is_dead());
        assert_eq!(Status::of("self").unwrap().tgid, std::process::id());
        let id = MapsId { major: 0xFFF, minor: 0xFFF, inode: u64::MAX };
        assert_eq!(Maps::of("self", id).unwrap(), Maps::Others);
    }
}
