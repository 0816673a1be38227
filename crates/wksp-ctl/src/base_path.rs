//! Which directory workspaces are in, without opening or making it.

use std::env;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;
use wksp_shmem::{BASE_VARIABLE, BaseSource};

/// The base directory of a machine that was set up for it.
pub(crate) const OF_THE_MACHINE: &str = "/mnt/.fd";

/// A base directory that need not be there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BasePath {
    /// The directory.
    pub(crate) path: PathBuf,
    /// What decided on it.
    pub(crate) source: BaseSource,
}

impl BasePath {
    /// The one that commands on workspaces use, which would make that of the user if need be.
    pub(crate) fn of_workspaces(flag: Option<&Path>) -> Self {
        let host = Self::of_host(flag);
        if host.source == BaseSource::Mounted && !host.path.is_dir() {
            let path = PathBuf::from(format!("/dev/shm/wksp-{}", geteuid()));
            return Self { path, source: BaseSource::Private };
        }
        host
    }

    /// The one that the machine is set up with: never that of a user.
    pub(crate) fn of_host(flag: Option<&Path>) -> Self {
        if let Some(path) = flag {
            return Self { path: path.to_owned(), source: BaseSource::Flag };
        }
        match env::var_os(BASE_VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => Self { path: path.into(), source: BaseSource::Environment },
            None => Self { path: OF_THE_MACHINE.into(), source: BaseSource::Mounted },
        }
    }
}
