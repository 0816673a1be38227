//! Where regions live: the base directory, and the one directory in it for each page size.

use std::env;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use nix::unistd::geteuid;

use crate::page_size::PageSize;

/// The environment variable that names the base directory.
pub const BASE_VARIABLE: &str = "FD_SHMEM_PATH";
/// The base directory of a machine that was set up for it.
const MOUNTED: &str = "/mnt/.fd";
/// Where a user's private base directory is made.
const PRIVATE_PARENT: &str = "/dev/shm";

/// What decided on the base directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BaseSource {
    /// The caller, for instance a command-line flag.
    Flag,
    /// The environment variable FD_SHMEM_PATH.
    Environment,
    /// Nobody, and /mnt/.fd is there.
    Mounted,
    /// Nobody, and /mnt/.fd is not there: a directory of the user's own.
    Private,
}

/// An open base directory.
///
/// A copy is another handle on the same directory, whatever its path leads to by then.
#[derive(Clone, Debug)]
pub struct BaseDir {
    path: PathBuf,
    source: BaseSource,
    directory: Arc<OwnedFd>,
}

/// Why a base directory, or one of those in it, cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BaseError {
    /// There is no such directory.
    #[error(
        "there is no directory {}: make it, or choose another base directory by flag or by \
         {BASE_VARIABLE}",
        path.display()
    )]
    NotFound {
        /// The directory.
        path: PathBuf,
    },
    /// There is something else in its place, for instance a symbolic link.
    #[error("{} must be a directory and no symbolic link: move it out of the way", path.display())]
    NotADirectory {
        /// The path.
        path: PathBuf,
    },
    /// The private directory is somebody else's.
    #[error(
        "{} belongs to user {owner_uid} and not to user {uid}: do not trust it; choose a base \
         directory by flag or by {BASE_VARIABLE}",
        path.display()
    )]
    ForeignOwner {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        owner_uid: u32,
        /// Whose it should be.
        uid: u32,
    },
    /// The private directory can be used by others.
    #[error(
        "{} has mode {mode:04o} and so is not private: see what is in it, then make it 0700",
        path.display()
    )]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The system refused.
    #[error("cannot use the directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What base directories there are to choose from.
struct Choices<'a> {
    flag: Option<&'a Path>,
    environment: Option<PathBuf>,
    mounted: &'a Path,
    private_parent: &'a Path,
}

impl BaseDir {
    /// Finds the base directory and opens it: `flag`, else what FD_SHMEM_PATH names, else /mnt/.fd
    /// if it is there, else /dev/shm/wksp-UID.
    ///
    /// The last one is made if need be, with mode 0700; an empty FD_SHMEM_PATH names nothing.
    ///
    /// # Errors
    ///
    /// [`BaseError`] if the one decided on cannot be opened; no other one is tried then.
    #[doc(alias = "fd_shmem_private_base")]
    pub fn resolve(flag: Option<&Path>) -> Result<Self, BaseError> {
        Self::choose(&Choices {
            flag,
            environment: env::var_os(BASE_VARIABLE).filter(|v| !v.is_empty()).map(PathBuf::from),
            mounted: Path::new(MOUNTED),
            private_parent: Path::new(PRIVATE_PARENT),
        })
    }

    fn choose(choices: &Choices<'_>) -> Result<Self, BaseError> {
        if let Some(path) = choices.flag {
            return Self::open(path, BaseSource::Flag);
        }
        if let Some(path) = &choices.environment {
            return Self::open(path, BaseSource::Environment);
        }
        if choices.mounted.is_dir() {
            return Self::open(choices.mounted, BaseSource::Mounted);
        }
        Self::open_private(choices.private_parent)
    }

    fn open(path: &Path, source: BaseSource) -> Result<Self, BaseError> {
        let how = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = open(path, how, Mode::empty()).map_err(|errno| refused(path, errno))?;
        Ok(Self { path: path.to_owned(), source, directory: Arc::new(directory) })
    }

    /// Opens the user's own directory in `parent`, which other users can write to as well.
    ///
    /// So nothing about it is taken on trust, and all is asked of the open descriptor.
    fn open_private(parent: &Path) -> Result<Self, BaseError> {
        let how = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let above = open(parent, how, Mode::empty()).map_err(|errno| refused(parent, errno))?;
        let uid = geteuid().as_raw();
        let name = format!("wksp-{uid}");
        let path = parent.join(&name);
        match mkdirat(&above, name.as_str(), Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(refused(&path, errno)),
        }
        let directory = openat(&above, name.as_str(), how | OFlag::O_NOFOLLOW, Mode::empty())
            .map_err(|errno| refused(&path, errno))?;
        let stat = fstat(&directory).map_err(|errno| refused(&path, errno))?;
        if stat.st_uid != uid {
            return Err(BaseError::ForeignOwner { path, owner_uid: stat.st_uid, uid });
        }
        let mode = stat.st_mode & !SFlag::S_IFMT.bits();
        if mode & 0o077 != 0 {
            return Err(BaseError::NotPrivate { path, mode });
        }
        Ok(Self { path, source: BaseSource::Private, directory: Arc::new(directory) })
    }

    /// The path by which the directory was opened.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What decided on the directory.
    #[must_use]
    pub const fn source(&self) -> BaseSource {
        self.source
    }

    /// The path of the directory for regions of `page_size`.
    #[must_use]
    pub fn directory_path(&self, page_size: PageSize) -> PathBuf {
        self.path.join(page_size.directory())
    }

    /// Makes the directory for regions of `page_size`, with mode 0700, unless it is there.
    ///
    /// Huge and gigantic pages need a hugetlbfs to be mounted on it besides.
    ///
    /// # Errors
    ///
    /// [`BaseError`] if it is not there and cannot be made.
    pub fn make_directory(&self, page_size: PageSize) -> Result<(), BaseError> {
        match mkdirat(self, page_size.directory(), Mode::S_IRWXU) {
            Ok(()) | Err(Errno::EEXIST) => Ok(()),
            Err(errno) => Err(refused(&self.directory_path(page_size), errno)),
        }
    }

    /// Opens the directory for regions of `page_size` to look things up in it, which takes no
    /// permission to read it.
    pub(crate) fn open_directory(&self, page_size: PageSize) -> Result<OwnedFd, BaseError> {
        self.open_directory_as(page_size, OFlag::O_PATH)
    }

    /// Opens the directory for regions of `page_size` to list what there is.
    pub(crate) fn open_directory_to_list(&self, page_size: PageSize) -> Result<OwnedFd, BaseError> {
        self.open_directory_as(page_size, OFlag::O_RDONLY)
    }

    fn open_directory_as(&self, page_size: PageSize, how: OFlag) -> Result<OwnedFd, BaseError> {
        let how = how | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        openat(self, page_size.directory(), how, Mode::empty())
            .map_err(|errno| refused(&self.directory_path(page_size), errno))
    }

    /// Opens the directory for new regions of `page_size`; a private base makes its own.
    pub(crate) fn open_directory_for_new(&self, page_size: PageSize) -> Result<OwnedFd, BaseError> {
        if self.source == BaseSource::Private && page_size == PageSize::Normal {
            self.make_directory(page_size)?;
        }
        self.open_directory(page_size)
    }
}

impl BaseError {
    /// Whether the directory is one that the caller may not look into.
    pub(crate) fn is_permission(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }
}

impl AsFd for BaseDir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn refused(path: &Path, errno: Errno) -> BaseError {
    let path = path.to_owned();
    match errno {
        Errno::ENOENT => BaseError::NotFound { path },
        Errno::ENOTDIR | Errno::ELOOP => BaseError::NotADirectory { path },
        errno => BaseError::Io { path, source: errno.into() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use tempfile::TempDir;

    fn private_name() -> String {
        format!("wksp-{}", geteuid())
    }

    #[test]
    fn the_flag_wins_over_the_environment_over_the_mount_over_the_private_directory() {
        let dirs: Vec<TempDir> = (0..4).map(|_| TempDir::new().unwrap()).collect();
        let missing = dirs[0].path().join("missing");
        let mut choices = Choices {
            flag: Some(dirs[0].path()),
            environment: Some(dirs[1].path().to_owned()),
            mounted: dirs[2].path(),
            private_parent: dirs[3].path(),
        };
        let mut check = |change: fn(&mut Choices<'_>), source, path: &Path| {
            change(&mut choices);
            let base = BaseDir::choose(&choices).unwrap();
            assert_eq!((base.source(), base.path()), (source, path));
        };
        check(|_| {}, BaseSource::Flag, dirs[0].path());
        check(|c| c.flag = None, BaseSource::Environment, dirs[1].path());
        check(|c| c.environment = None, BaseSource::Mounted, dirs[2].path());
        choices.mounted = &missing;
        let base = BaseDir::choose(&choices).unwrap();
        assert_eq!(base.source(), BaseSource::Private);
        assert_eq!(base.path(), dirs[3].path().join(private_name()));
    }

    #[test]
    fn a_base_that_is_decided_on_and_missing_is_an_error() {
        let dir = TempDir::new().unwrap();
        let missing = dir.path().join("missing");
        let error = BaseDir::resolve(Some(&missing)).unwrap_err();
        assert!(matches!(error, BaseError::NotFound { path } if path == missing));
        fs::write(&missing, "").unwrap();
        let error = BaseDir::resolve(Some(&missing)).unwrap_err();
        assert!(matches!(error, BaseError::NotADirectory { .. }));
    }

    #[test]
    fn the_private_directory_is_made_private_once() {
        let parent = TempDir::new().unwrap();
        for _ in 0..2 {
            let base = BaseDir::open_private(parent.path()).unwrap();
            assert_eq!(fs::metadata(base.path()).unwrap().mode() & 0o7777, 0o700);
            base.open_directory_for_new(PageSize::Normal).unwrap();
            let error = base.open_directory_for_new(PageSize::Huge).unwrap_err();
            assert!(matches!(error, BaseError::NotFound { .. }));
        }
    }

    #[test]
    fn a_private_directory_that_is_open_to_others_or_a_link_is_refused() {
        let parent = TempDir::new().unwrap();
        let path = parent.path().join(private_name());
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o710)).unwrap();
        let error = BaseDir::open_private(parent.path()).unwrap_err();
        assert!(matches!(error, BaseError::NotPrivate { mode: 0o710, .. }), "{error}");

        fs::remove_dir(&path).unwrap();
        symlink(parent.path(), &path).unwrap();
        let error = BaseDir::open_private(parent.path()).unwrap_err();
        assert!(matches!(error, BaseError::NotADirectory { .. }), "{error}");

        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        let error = BaseDir::open_private(parent.path()).unwrap_err();
        assert!(matches!(error, BaseError::NotADirectory { .. }), "{error}");
    }

    #[test]
    fn a_private_directory_of_another_user_is_refused() {
        if !geteuid().is_root() {
            wksp_testkit::skip::skip("only root can give a directory to another user");
            return;
        }
        let parent = TempDir::new().unwrap();
        let path = parent.path().join(private_name());
        fs::create_dir(&path).unwrap();
        std::os::unix::fs::chown(&path, Some(65_534), None).unwrap();
        let error = BaseDir::open_private(parent.path()).unwrap_err();
        assert!(matches!(error, BaseError::ForeignOwner { owner_uid: 65_534, .. }), "{error}");
    }

    #[test]
    fn a_page_size_directory_that_is_a_link_is_refused() {
        let dir = TempDir::new().unwrap();
        symlink(dir.path(), dir.path().join(".normal")).unwrap();
        let base = BaseDir::resolve(Some(dir.path())).unwrap();
        let error = base.open_directory(PageSize::Normal).unwrap_err();
        assert!(matches!(error, BaseError::NotADirectory { .. }), "{error}");
    }
}
