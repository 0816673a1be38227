//! The files that are loaded: found, listed, and the list handed to other processes.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// Directories that hold what Git and Cargo made, not what somebody wrote.
const LEFT_OUT: [&str; 2] = [".git", "target"];

/// A file to be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Where it is below the directory that is loaded.
    pub(crate) path: PathBuf,
    /// Its size when it was found.
    pub(crate) bytes: u64,
}

/// Finds all files below `directory`, the empty ones first; symbolic links are left out.
pub(crate) fn find(directory: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_path_buf()];
    while let Some(current) = directories.pop() {
        let entries =
            fs::read_dir(&current).with_context(|| format!("cannot list {}", current.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", current.display()))?;
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_file() {
                let bytes = entry.metadata()?.len();
                let path = path.strip_prefix(directory).unwrap_or(&path).to_path_buf();
                files.push(File { path, bytes });
            } else if kind.is_dir() && !LEFT_OUT.iter().any(|name| entry.file_name() == *name) {
                directories.push(path);
            }
        }
    }
    // Empty ones need no allocation; so they come first, and somebody still has one to load that does
    // when somebody else is killed.
    files.sort_by(|a, b| (a.bytes > 0, &a.path).cmp(&(b.bytes > 0, &b.path)));
    if files.last().is_none_or(|file| file.bytes == 0) {
        bail!("no file below {} has any bytes: name a directory with files", directory.display());
    }
    Ok(files)
}

/// Writes the paths of files for [`paths`] to read.
pub(crate) fn write_paths(list: &Path, files: &[File]) -> Result<()> {
    let paths: Vec<&[u8]> = files.iter().map(|file| file.path.as_os_str().as_bytes()).collect();
    fs::write(list, paths.join(&0)).with_context(|| format!("cannot write {}", list.display()))
}

/// Reads the paths that [`write_paths`] wrote.
pub(crate) fn paths(list: &Path) -> Result<Vec<PathBuf>> {
    let bytes = fs::read(list).with_context(|| format!("cannot read {}", list.display()))?;
    Ok(bytes.split(|byte| *byte == 0).map(|path| OsStr::from_bytes(path).into()).collect())
}
