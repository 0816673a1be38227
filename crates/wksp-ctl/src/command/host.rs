//! `host`: setting a machine up for regions, and back; a file for each of its commands.

mod changes;
mod fini;
mod init;
mod release;
mod reserve;
mod reset;
mod status;

use clap::Subcommand;

pub(crate) use self::init::Account;
pub(crate) use self::reserve::check_room;
use super::Plan;
use crate::failure::Failure;

/// Mounts the directories of regions, reserves pages for them, and undoes both.
///
/// All but `status` need root. Where the base directory is not named, it is /mnt/.fd.
#[derive(Debug, clap::Args)]
#[command(
    arg_required_else_help = false,
    subcommand_required = true,
    after_help = "\
Examples:
  wksp-ctl host status
  sudo wksp-ctl host init --owner alice:alice
  sudo wksp-ctl host reserve --page-size huge --pages 512
  sudo wksp-ctl host reset"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

/// A command on a machine, as it was typed.
#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Args),
    Fini(fini::Args),
    Reserve(reserve::Args),
    Release(release::Args),
    Status(status::Args),
    Reset(reset::Args),
}

impl Args {
    /// Its name.
    pub(crate) const fn name(&self) -> &'static str {
        match self.command {
            Command::Init(_) => "host init",
            Command::Fini(_) => "host fini",
            Command::Reserve(_) => "host reserve",
            Command::Release(_) => "host release",
            Command::Status(_) => "host status",
            Command::Reset(_) => "host reset",
        }
    }

    /// Checks the arguments.
    pub(crate) fn plan(self) -> Result<Box<dyn Plan>, Failure> {
        Ok(match self.command {
            Command::Init(args) => Box::new(args.plan()?),
            Command::Fini(args) => Box::new(args),
            Command::Reserve(args) => Box::new(args.plan()?),
            Command::Release(args) => Box::new(args.plan()?),
            Command::Status(args) => Box::new(args),
            Command::Reset(args) => Box::new(args),
        })
    }
}
