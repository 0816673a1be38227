//! What the kernel says of the machine: its nodes, /proc, and huge pages without being asked.

use std::fs;

use wksp_shmem::{CpuSequence, HwlocTopology, Topology};

use super::finding::{Check, Finding};
use crate::failure::{self, Kind};
use crate::plural::Plural;
use crate::shell;

const HWLOC: Check = Check {
    name: "hwloc",
    why: "It says which CPU belongs to which node, which `new --near`, `numa` and `plan` need.",
};
const PROC: Check = Check {
    name: "proc",
    why: "There it is seen which processes live, without which no lock is taken from the dead.",
};
const TRANSPARENT: Check = Check {
    name: "transparent-huge-pages",
    why: "The kernel may put normal pages of a tmpfs together to huge ones by itself.",
};

const ONLINE: &str = "/sys/devices/system/node/online";
const SHMEM_ENABLED: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

pub(super) fn check() -> Vec<Finding> {
    let online = fs::read_to_string(ONLINE).ok();
    let status = fs::read_to_string("/proc/self/status").is_ok();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let enabled = fs::read_to_string(SHMEM_ENABLED).ok();
    vec![
        check_hwloc(online.as_deref()),
        check_proc(status, &mounts),
        check_transparent(enabled.as_deref()),
    ]
}

fn check_hwloc(online: Option<&str>) -> Finding {
    let machine = match HwlocTopology::this_machine() {
        Ok(machine) => machine,
        Err(error) => {
            let failure = failure::topology(&error);
            return HWLOC.bad(Kind::Failed, failure.cause, Some("hwloc-ls".to_owned()));
        }
    };
    if !machine.is_this_machine() {
        return HWLOC.bad(
            Kind::Failed,
            "the environment has hwloc believe in another machine than this one",
            Some("unset HWLOC_SYNTHETIC HWLOC_XMLFILE HWLOC_THISSYSTEM".to_owned()),
        );
    }
    let nodes = machine.nodes().len();
    let found = format!(
        "{} and {}",
        Plural(nodes as u64, "node"),
        Plural(machine.cpu_count() as u64, "CPU")
    );
    match online.and_then(node_count) {
        Some(count) if count == nodes => HWLOC.ok(found),
        // It shows what this process may use.
        Some(count) => HWLOC.warning(
            format_args!("{found}, but the kernel has {}", Plural(count as u64, "node")),
            Some("grep -E 'Cpus_allowed_list|Mems_allowed_list' /proc/self/status".to_owned()),
        ),
        None => HWLOC.unknown(
            format_args!("{found}, but {ONLINE} does not say how many there are"),
            Some(shell::as_root("mount -t sysfs sysfs /sys")),
        ),
    }
}

/// How many nodes the kernel lists; it writes lists as we do.
fn node_count(online: &str) -> Option<usize> {
    online.parse::<CpuSequence>().ok().map(|nodes| nodes.cpus().len())
}

fn check_proc(has_status: bool, mounts: &str) -> Finding {
    if !has_status {
        return PROC.bad(
            Kind::Failed,
            "/proc is not mounted, or shows nothing",
            Some(shell::as_root("mount -t proc proc /proc")),
        );
    }
    match hidden(mounts) {
        None => PROC.ok("/proc is mounted, and shows all processes"),
        Some(value) => PROC.warning(
            format_args!("/proc is mounted with hidepid={value}, and hides those of other users"),
            Some(shell::as_root("mount -o remount,hidepid=0 /proc")),
        ),
    }
}

/// The value of `hidepid`, if it hides anything.
fn hidden(mounts: &str) -> Option<&str> {
    // Each line is device, directory, type, options; what was mounted last is on top.
    let mut lines = mounts.lines().rev().map(|line| line.split(' '));
    let options =
        lines.find_map(|mut fields| (fields.nth(1)? == "/proc").then(|| fields.nth(1)))?;
    let value = options?.split(',').find_map(|option| option.strip_prefix("hidepid="))?;
    (!matches!(value, "0" | "off")).then_some(value)
}

fn check_transparent(enabled: Option<&str>) -> Finding {
    let chosen = |text: &str| {
        let (_, rest) = text.split_once('[')?;
        rest.split_once(']').map(|(chosen, _)| chosen.to_owned())
    };
    match enabled.and_then(chosen) {
        Some(setting) => TRANSPARENT.ok(format_args!("for tmpfs it is set to {setting}")),
        None => TRANSPARENT.unknown(format_args!("{SHMEM_ENABLED} cannot be read"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::doctor::finding::State;

    #[test]
    fn processes_may_be_hidden() {
        let mounts = |options| format!("sysfs /sys sysfs rw 0 0\nproc /proc proc {options} 0 0\n");
        assert_eq!(hidden(&mounts("rw,relatime")), None);
        assert_eq!(hidden(&mounts("rw,hidepid=0")), None);
        assert_eq!(hidden(&mounts("rw,hidepid=off")), None);
        assert_eq!(hidden(&mounts("rw,hidepid=2,gid=5")), Some("2"));
        assert_eq!(hidden(&mounts("rw,hidepid=invisible")), Some("invisible"));
        // Another one on top of it.
        assert_eq!(hidden(&(mounts("rw,hidepid=2") + &mounts("rw"))), None);
        assert_eq!(hidden(""), None);
        assert_eq!(check_proc(true, &mounts("hidepid=1")).state, State::Warning);
        assert_eq!(check_proc(false, "").state, State::Bad);
    }

    #[test]
    fn the_setting_is_the_one_in_brackets() {
        let found = |text| check_transparent(Some(text));
        assert!(found("always [never] deny\n").found.ends_with("never"));
        assert_eq!(found("always never\n").state, State::Unknown);
        assert_eq!(check_transparent(None).state, State::Unknown);
    }

    #[test]
    fn nodes_are_counted() {
        assert_eq!(node_count("0\n"), Some(1));
        assert_eq!(node_count("0-1,3\n"), Some(3));
        assert_eq!(node_count("\n"), None);
        assert_eq!(check_hwloc(Some("0-63,100")).state, State::Warning);
        assert_eq!(check_hwloc(None).state, State::Unknown);
    }
}
