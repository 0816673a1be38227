//! The grammar of the tools that were there before this one, for scripts that drive them:
//! docs/legacy.md.
//!
//! Called by one of their names, the program is that tool: it takes a chain of commands, writes
//! results as the tool does, logs everything else, and ends with 0 or 1.
//! What the commands do is done by the same code as that of ours.

mod cfg;
mod create;
mod listing;
mod number;
mod preview;
mod query;
mod run;
mod shmem;
mod wksp;
mod words;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

/// The command by which one of the tools is called where there is no link of its name.
pub(crate) const COMMAND: &str = "legacy";

/// A tool that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Workspaces and checkpoints.
    Wksp,
    /// Regions, and what the machine is made of.
    Shmem,
    /// Setting a machine up.
    Cfg,
}

impl Tool {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Wksp, Self::Shmem, Self::Cfg];

    /// What it is called.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Wksp => "fd_wksp_ctl",
            Self::Shmem => "fd_shmem_ctl",
            Self::Cfg => "fd_shmem_cfg",
        }
    }

    /// The tool of a name.
    pub(crate) fn named(name: &OsStr) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| name == tool.name())
    }
}

/// Runs one of the tools, if it is what the arguments call; the first is the name of the program.
pub(crate) fn called(arguments: &[OsString]) -> Option<ExitCode> {
    let (program, rest) = arguments.split_first()?;
    let (tool, words) = match (Path::new(program).file_name().and_then(Tool::named), rest) {
        (Some(tool), words) => (tool, words),
        (None, [command, name, words @ ..]) if command == COMMAND => (Tool::named(name)?, words),
        _ => return None,
    };
    Some(run::run(tool, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_told_by_the_name_of_the_file_alone() {
        let tool = |name: &str| Path::new(name).file_name().and_then(Tool::named);
        assert_eq!(tool("fd_wksp_ctl"), Some(Tool::Wksp));
        assert_eq!(tool("./a b/fd_shmem_ctl"), Some(Tool::Shmem));
        assert_eq!(tool("/fd_shmem_cfg"), Some(Tool::Cfg));
        for other in ["", "/", "wksp-ctl", "fd_wksp_ctl2", "fd_wksp_ctl/wksp-ctl", "FD_WKSP_CTL"] {
            assert_eq!(tool(other), None, "{other}");
        }
    }
}
