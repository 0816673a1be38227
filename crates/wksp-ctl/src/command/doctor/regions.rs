//! What the dead have left: locks that they hold, and files that never became regions.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use wksp_core::MAGIC;
use wksp_shmem::{
    Access, BaseDir, PageSize, Region, RegionError, RegionId, RegionInfo, describe, list, mappers,
};

use super::finding::{Check, Finding};
use crate::base_path::BasePath;
use crate::failure;
use crate::plural::Plural;
use crate::process::Others;
use crate::shell;
use crate::size::Bytes;

const LOCKS: Check = Check {
    name: "locks",
    why: "A lock that a dead process holds is taken over by whoever wants it next, who looks over \
          the workspace then.",
};
const LEFTOVERS: Check = Check {
    name: "leftovers",
    why: "A process that is killed while it makes a region can leave its memory behind, without a \
          name.",
};

/// Where the lock word is in a workspace; see docs/layout.md.
const LOCK_OFFSET: u64 = 112;
/// The lock word of a lock that is free.
const FREE: u64 = u64::MAX;
/// How the names of files begin that are to become regions.
const NEW: &str = ".new-";
/// A file that was changed so lately may still become a region, whoever makes it.
const FRESH: Duration = Duration::from_secs(60);
/// The most things that are named.
const NAMED_MAX: usize = 8;

pub(super) fn check(base: &BasePath) -> Vec<Finding> {
    // Opened by its path, it is not made.
    let opened = match fs::metadata(&base.path) {
        Ok(_) => BaseDir::resolve(Some(&base.path)).map(Some),
        Err(_) => Ok(None),
    };
    match opened {
        Ok(Some(directory)) => vec![check_locks(base, &directory), check_leftovers(&directory)],
        Ok(None) => vec![LOCKS.ok("there are no regions"), LEFTOVERS.ok("there are none")],
        Err(error) => {
            let cause = failure::base(&error).cause;
            vec![LOCKS.unknown(&cause, None), LEFTOVERS.unknown(&cause, None)]
        }
    }
}

/// What is known of the lock of a region.
enum Lock {
    /// Free, held by somebody who is there, or none at all.
    Sound,
    /// Held by a process of that id, which is not there.
    Stale(u64),
    /// It cannot be told.
    Unseen,
}

fn check_locks(base: &BasePath, directory: &BaseDir) -> Finding {
    let listing = list(directory);
    let (mut count, mut unseen) = (0_u64, 0_u64);
    let mut stale: Vec<(RegionInfo, u64)> = Vec::new();
    for info in listing.entries.into_iter().filter_map(|entry| entry.info.ok()) {
        count = count.saturating_add(1);
        match lock_of(directory, &info) {
            Lock::Sound => {}
            Lock::Stale(holder) => stale.push((info, holder)),
            Lock::Unseen => unseen = unseen.saturating_add(1),
        }
    }
    let regions = Plural(count, "region");
    let not_seen = match unseen {
        0 if listing.unreadable.is_empty() => String::new(),
        0 => "; some directories may not be read".to_owned(),
        unseen => format!("; {unseen} may not be looked into"),
    };
    if stale.is_empty() {
        let found = format!("{regions}, no lock of which is held by the dead{not_seen}");
        return match not_seen.is_empty() {
            true => LOCKS.ok(found),
            false => LOCKS.unknown(found, Some(shell::as_root(&shell::tool(&base.path, "doctor")))),
        };
    }
    let named = stale.iter().take(NAMED_MAX).map(|(info, holder)| match holder {
        0 => format!("{} ({}) by whoever formatted it", info.name, info.page_size),
        holder => format!("{} ({}) by process {holder}", info.name, info.page_size),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    let others = match stale.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    let command = match stale.as_slice() {
        [(info, _)] => format!("check {} --page-size {}", info.name, info.page_size),
        _ => "check".to_owned(),
    };
    let locked = match stale.len() {
        1 => "one is locked".to_owned(),
        several => format!("{several} are locked"),
    };
    LOCKS.warning(
        format_args!(
            "of {regions}, {locked} by somebody who is not there: {named}{others}{not_seen}"
        ),
        Some(shell::tool(&base.path, &command)),
    )
}

/// Looks at a lock by reading the file: neither taking it nor joining.
fn lock_of(base: &BaseDir, info: &RegionInfo) -> Lock {
    let region = match Region::open(base, &info.name, Some(info.page_size), Access::ReadOnly) {
        Ok(region) => region,
        // It has gone meanwhile.
        Err(RegionError::NotFound { .. }) => return Lock::Sound,
        Err(_) => return Lock::Unseen,
    };
    let Ok(Some(word)) = lock_word(&region) else { return Lock::Sound };
    if word == FREE {
        return Lock::Sound;
    }
    let Ok(others) = Others::of(&region) else { return Lock::Unseen };
    let is_there = if word == 0 {
        // Who formats a workspace does not say who it is.
        !others.list.is_empty()
    } else {
        others.list.iter().any(|process| u64::from(process.own_pid) == word)
    };
    if is_there {
        return Lock::Sound;
    }
    // A process of that id which may not be looked at can be the one.
    let namesake = u32::try_from(word).ok().and_then(|pid| describe(pid, Some(&region)));
    if namesake.is_some_and(|process| process.maps_region.is_none()) {
        return Lock::Unseen;
    }
    // It may have been given back, and only then its holder gone.
    match lock_word(&region) {
        Ok(Some(now)) if now == word && others.is_complete => Lock::Stale(word),
        Ok(Some(now)) if now == word => Lock::Unseen,
        _ => Lock::Sound,
    }
}

/// The lock word, `None` if there is no workspace.
fn lock_word(region: &Region) -> io::Result<Option<u64>> {
    let file = File::from(region.as_fd().try_clone_to_owned()?);
    let word = |offset| {
        let mut bytes = [0; 8];
        file.read_exact_at(&mut bytes, offset)?;
        Ok::<u64, io::Error>(u64::from_le_bytes(bytes))
    };
    if word(0)? != MAGIC {
        return Ok(None);
    }
    word(LOCK_OFFSET).map(Some)
}

fn check_leftovers(base: &BaseDir) -> Finding {
    let mut found: Vec<(PathBuf, u64)> = Vec::new();
    let mut unreadable = Vec::new();
    for page_size in PageSize::ALL {
        let path = base.directory_path(page_size);
        match leftovers_in(&path) {
            Ok(there) => found.extend(there),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => unreadable.push(format!("{}: {error}", path.display())),
        }
    }
    if found.is_empty() {
        return match unreadable.first() {
            None => LEFTOVERS.ok("there are none"),
            Some(first) => {
                LEFTOVERS.unknown(first, Some(shell::as_root(&shell::tool(base.path(), "doctor"))))
            }
        };
    }
    let bytes = found.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let paths = found.iter().take(NAMED_MAX).map(|(path, _)| shell::path(path));
    let paths = paths.collect::<Vec<_>>().join(" ");
    LEFTOVERS.warning(
        format_args!(
            "{} of {} that nobody makes any more, in {}",
            Plural(found.len() as u64, "file"),
            Bytes(bytes),
            base.path().display()
        ),
        Some(format!("rm {paths}")),
    )
}

/// The files in a directory that were to become regions, and whose makers are not there.
fn leftovers_in(directory: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(NEW)) else { continue };
        // It can go at any time.
        let Ok(metadata) = entry.metadata() else { continue };
        let maker = rest.split('-').next().unwrap_or_default();
        let is_id = !maker.is_empty() && maker.bytes().all(|byte| byte.is_ascii_digit());
        let lives = is_id && Path::new("/proc").join(maker).exists();
        let age = metadata.modified().ok();
        let age = age.and_then(|modified| SystemTime::now().duration_since(modified).ok());
        let is_fresh = age.is_none_or(|age| age < FRESH);
        let id = RegionId { device: metadata.dev(), inode: metadata.ino() };
        if metadata.is_file() && is_id && !lives && !is_fresh && mappers(id).is_empty() {
            found.push((entry.path(), metadata.len()));
        }
    }
    found.sort();
    Ok(found)
}
