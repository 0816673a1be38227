//! What this process is allowed: locking memory, capabilities, system calls.

use std::fs;
use std::io;

use nix::errno::Errno;
use wksp_shmem::{DirectoryState, HostStatus, PageSize};

use super::directories::init_command;
use super::finding::{Check, Finding};
use crate::base_path::BasePath;
use crate::shell;
use crate::size::Bytes;

const MEMORY_LOCK: Check = Check {
    name: "memory-lock",
    why: "A program that wants its workspace never to be put out to swap space locks it in memory.",
};
const CAP_IPC_LOCK: Check =
    Check { name: "cap-ipc-lock", why: "It lifts the limit on locking memory." };
const CAP_SYS_ADMIN: Check = Check {
    name: "cap-sys-admin",
    why: "Mounting the directories for regions takes it, but using them does not.",
};
const CAP_SYS_NICE: Check = Check {
    name: "cap-sys-nice",
    why: "Containers often allow it to place memory only with this.",
};
const MBIND: Check = Check {
    name: "mbind",
    why: "It binds the pages of a region to their node, which `new --near` needs.",
};
const MOVE_PAGES: Check = Check {
    name: "move-pages",
    why: "It says on which node a page is, which `where` and `new --near` need.",
};
const POPULATE: Check = Check {
    name: "populate",
    why: "It brings huge pages in without the danger of a signal, which `new --near` needs for them.",
};

/// The numbers of capabilities, as of capabilities(7).
const IPC_LOCK: u32 = 14;
const SYS_ADMIN: u32 = 21;
const SYS_NICE: u32 = 23;

const IN_A_CONTAINER: &str = "docker run --cap-add SYS_NICE IMAGE";

pub(super) fn check(base: &BasePath, status: &HostStatus) -> Vec<Finding> {
    let capabilities = fs::read_to_string("/proc/self/status").ok();
    let capabilities = capabilities.and_then(|status| effective(&status));
    let calls = &status.numa_calls;
    let can_place = calls.bind.is_ok() && calls.locate.is_ok();
    vec![
        check_memory_lock(status.memory_lock_limit, capabilities),
        check_ipc_lock(status.memory_lock_limit, capabilities),
        check_sys_admin(base, status, capabilities),
        check_sys_nice(can_place, capabilities),
        check_call(MBIND, "mbind(2)", &calls.bind),
        check_call(MOVE_PAGES, "move_pages(2)", &calls.locate),
        check_populate(&calls.populate),
    ]
}

/// The effective capabilities that /proc/self/status names.
fn effective(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Whether a process has a capability, `None` if that cannot be told.
fn has(capabilities: Option<u64>, number: u32) -> Option<bool> {
    capabilities.map(|all| all.checked_shr(number).unwrap_or(0) & 1 == 1)
}

/// The command that lifts the limit for the shell that it is typed in.
fn raise_limit() -> Option<String> {
    Some(shell::as_root("prlimit --pid $$ --memlock=unlimited"))
}

fn check_memory_lock(limit: Option<u64>, capabilities: Option<u64>) -> Finding {
    let check = MEMORY_LOCK;
    match (limit, has(capabilities, IPC_LOCK)) {
        (None, _) => check.ok("any amount can be locked"),
        (Some(limit), Some(true)) => check.ok(format_args!(
            "any amount can be locked: the limit of {} does not hold with CAP_IPC_LOCK",
            Bytes(limit)
        )),
        (Some(limit), _) => {
            check.warning(format_args!("at most {} can be locked", Bytes(limit)), raise_limit())
        }
    }
}

fn check_ipc_lock(limit: Option<u64>, capabilities: Option<u64>) -> Finding {
    let check = CAP_IPC_LOCK;
    match (has(capabilities, IPC_LOCK), limit) {
        (Some(true), _) => check.ok("this process has CAP_IPC_LOCK"),
        (Some(false), None) => check.ok("not there, and not needed: there is no limit"),
        (Some(false), Some(_)) => {
            check.warning("this process does not have CAP_IPC_LOCK", raise_limit())
        }
        (None, _) => unknown(check),
    }
}

fn check_sys_admin(base: &BasePath, status: &HostStatus, capabilities: Option<u64>) -> Finding {
    let check = CAP_SYS_ADMIN;
    // Normal pages need no file system of their own.
    let unmounted = status.directories.iter().find(|directory| {
        let is_mounted = matches!(directory.state, DirectoryState::Mounted { .. });
        !is_mounted && directory.page_size != PageSize::Normal
    });
    match (has(capabilities, SYS_ADMIN), unmounted) {
        (Some(true), _) => check.ok("this process has CAP_SYS_ADMIN"),
        (Some(false), None) => check.ok("not there, and not needed: all is mounted"),
        (Some(false), Some(unmounted)) => check.warning(
            "this process does not have CAP_SYS_ADMIN",
            Some(init_command(base, unmounted.page_size)),
        ),
        (None, _) => unknown(check),
    }
}

fn check_sys_nice(can_place: bool, capabilities: Option<u64>) -> Finding {
    let check = CAP_SYS_NICE;
    match has(capabilities, SYS_NICE) {
        Some(true) => check.ok("this process has CAP_SYS_NICE"),
        Some(false) if can_place => check.ok("not there, and not needed: the calls are permitted"),
        Some(false) => {
            let command = Some(IN_A_CONTAINER.to_owned());
            check.warning("this process does not have CAP_SYS_NICE", command)
        }
        None => unknown(check),
    }
}

fn unknown(check: Check) -> Finding {
    check.unknown(
        "/proc/self/status does not say which capabilities there are",
        Some(shell::as_root("mount -t proc proc /proc")),
    )
}

fn check_call(check: Check, call: &str, outcome: &io::Result<()>) -> Finding {
    match outcome {
        Ok(()) => check.ok(format_args!("{call} is permitted")),
        Err(error) => check
            .warning(format_args!("{call} is refused: {error}"), Some(IN_A_CONTAINER.to_owned())),
    }
}

fn check_populate(outcome: &io::Result<()>) -> Finding {
    let call = "madvise(2) with MADV_POPULATE_WRITE";
    match outcome {
        // A kernel before Linux 5.14 does not know it, and no command mends that.
        Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {
            POPULATE.warning(format_args!("{call} is not there: it takes Linux 5.14"), None)
        }
        outcome => check_call(POPULATE, call, outcome),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::State;

    #[test]
    fn capabilities_are_read() {
        let status = "Name:\tx\nCapPrm:\t0000000000000000\nCapEff:\t0000000000a04000\n";
        let capabilities = effective(status);
        assert_eq!(capabilities, Some(0xA0_4000));
        for number in [IPC_LOCK, SYS_ADMIN, SYS_NICE] {
            assert_eq!(has(capabilities, number), Some(true));
            assert_eq!(has(Some(0), number), Some(false));
            assert_eq!(has(None, number), None);
        }
        assert_eq!(effective("CapEff:\tx\n"), None);
        assert_eq!(effective(""), None);
    }

    #[test]
    fn what_is_not_needed_is_not_warned_of() {
        let states = |limit, capabilities| {
            let [lock, capability] =
                [check_memory_lock(limit, capabilities), check_ipc_lock(limit, capabilities)];
            (lock.state, capability.state)
        };
        assert_eq!(states(None, Some(0)), (State::Ok, State::Ok));
        assert_eq!(states(Some(8), Some(1 << IPC_LOCK)), (State::Ok, State::Ok));
        assert_eq!(states(Some(8), Some(0)), (State::Warning, State::Warning));
        assert_eq!(states(Some(8), None), (State::Warning, State::Unknown));
        assert_eq!(check_sys_nice(true, Some(0)).state, State::Ok);
        assert_eq!(check_sys_nice(false, Some(0)).state, State::Warning);
    }

    #[test]
    fn calls_that_are_refused_are_warned_of() {
        let refused = |errno: Errno| Err(io::Error::from(errno));
        let finding = check_call(MBIND, "mbind(2)", &refused(Errno::EPERM));
        assert_eq!(
            (finding.state, finding.command.as_deref()),
            (State::Warning, Some(IN_A_CONTAINER))
        );
        assert_eq!(check_call(MBIND, "mbind(2)", &Ok(())).state, State::Ok);
        let old = check_populate(&refused(Errno::EINVAL));
        assert!(old.found.contains("5.14") && old.command.is_none(), "{old:?}");
        assert!(check_populate(&refused(Errno::EPERM)).command.is_some());
    }
}
