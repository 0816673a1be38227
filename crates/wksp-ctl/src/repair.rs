//! What had to be repaired in a workspace before a command could go on.

use std::fmt;

use serde::Serialize;
use wksp_core::{Holder, Repair};
use wksp_shmem::DEATH_MARK;

use crate::process::holder_pid;

/// A repair, for JSON and people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RepairReport {
    /// The id that the dead holder of the lock had, `None` for damage without one.
    dead_pid: Option<u32>,
    /// Whether the index had to be rebuilt.
    pub(crate) rebuilt: bool,
    #[serde(skip)]
    text: String,
}

impl RepairReport {
    pub(crate) fn new(repair: Repair) -> Self {
        let (dead_pid, rebuilt, text) = match repair {
            Repair::TakenOver { from, rebuilt } => {
                (holder_pid(from), rebuilt, taken_over(from, rebuilt))
            }
            Repair::Rebuilt { damage } => {
                (None, true, format!("the index was damaged ({damage}): rebuilt"))
            }
            _ => (None, false, "repaired".to_owned()),
        };
        Self { dead_pid, rebuilt, text }
    }
}

fn taken_over(from: Holder, rebuilt: bool) -> String {
    let index = if rebuilt { "rebuilt" } else { "sound" };
    match from {
        Holder::Owner(id) if id.get() == DEATH_MARK => {
            format!("recovered from a process that the kernel has marked as dead: index {index}")
        }
        from => format!("recovered from dead {from}: index {index}"),
    }
}

impl fmt::Display for RepairReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
