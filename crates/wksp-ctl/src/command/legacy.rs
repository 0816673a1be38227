//! `legacy`: calls one of the tools that were there before, which is done before anything else.

use std::ffi::OsString;

use crate::failure::Failure;
use crate::legacy::{COMMAND, Tool};

/// Does what one of the existing tools does: fd_wksp_ctl, fd_shmem_ctl or fd_shmem_cfg.
///
/// It is the first word, and all that follows is for that tool, in its own grammar.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl legacy fd_wksp_ctl help
  wksp-ctl legacy fd_shmem_ctl cpu-cnt numa-cnt
  wksp-ctl links ~/bin    # then they can be called by their names")]
pub(crate) struct Args {
    /// The tool.
    #[arg(value_parser = Tool::ALL.map(Tool::name))]
    name: String,
    /// Its commands and their arguments, one after the other.
    #[arg(value_name = "WORD", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<OsString>,
}

impl Args {
    /// What is said if it is not the first word.
    pub(crate) fn misplaced(&self) -> Failure {
        let Self { name, words } = self;
        let dots = if words.is_empty() { "" } else { " ..." };
        Failure::usage(
            format_args!("`{COMMAND} {name}` can neither have options before it nor follow `+`"),
            format_args!(
                "call `wksp-ctl {COMMAND} {name}{dots}`; FD_SHMEM_PATH names the base directory"
            ),
        )
    }
}
