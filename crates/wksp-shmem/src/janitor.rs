//! Recovering what the dead leave before anybody asks for it, for the sake of programs that only spin.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::uio::pread;
use wksp_core::{HEADER_BYTES, Holder, LockError, Name, Repair};

use crate::base::{BaseDir, BaseError};
use crate::list::list;
use crate::page_size::PageSize;
use crate::process::LockOptions;
use crate::region::{Access, NotARegion, Region, RegionError, RegionInfo};
use crate::workspace::{AttachError, SharedWorkspace};

/// For so long a lock that is held is looked at: long enough for more than one search for evidence.
const PATIENCE: Duration = Duration::from_millis(50);

/// As many bytes of a region are read as a header has.
const READ_BYTES: usize = 128;
const _: () = assert!(READ_BYTES as u64 == HEADER_BYTES);

/// Looks after all workspaces under a base directory, round by round.
///
/// A workspace is joined only while its lock is held by somebody, and left at the end of the round,
/// so that it can be unlinked, and everybody can prove to be its sole user. What is no workspace is
/// not even mapped.
///
/// # Concurrency
///
/// It takes a lock from nobody who may live, as [`ProcessParty`](crate::ProcessParty) has it, and
/// each round waits 50 ms at most for each of the others.
#[derive(Debug)]
pub struct Janitor {
    lock: LockOptions,
    /// What was in the way where, the last time.
    said: BTreeMap<Place, String>,
}

type Place = (PageSize, Option<OsString>);

/// Something that a round has come to.
#[derive(Debug)]
pub struct JanitorFinding {
    /// The size of the pages, and so the directory.
    pub page_size: PageSize,
    /// The name of the file, `None` if it is about the directory.
    pub file_name: Option<OsString>,
    /// What was repaired, or what is in the way.
    pub outcome: Result<Repair, JanitorError>,
}

/// What keeps a janitor from looking after something.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JanitorError {
    /// A directory cannot be listed.
    #[error(transparent)]
    Directory(#[from] BaseError),
    /// There is something else than a region, or it may not be opened.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// A region cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Where it is.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A workspace whose lock is held cannot be attached.
    #[error(transparent)]
    Attach(#[from] AttachError),
    /// A dead holder has left what cannot be rebuilt.
    #[error("{name}: {source}")]
    Lock {
        /// The workspace.
        name: Name,
        /// What happened to the lock.
        source: LockError,
    },
}

impl Janitor {
    /// One that takes the caller's word on pid namespaces as
    /// [`LockOptions::single_pid_namespace`] has it.
    #[must_use]
    pub fn new(single_pid_namespace: bool) -> Self {
        let lock = LockOptions::default()
            .with_patience(PATIENCE)
            .with_single_pid_namespace(single_pid_namespace);
        Self { lock, said: BTreeMap::new() }
    }

    /// Looks at every workspace under `base`, or those of `page_size`, and recovers those whose
    /// holder is dead.
    ///
    /// Returns what was repaired, and what is in the way unless the round before found the same.
    ///
    /// Costs four system calls for each workspace whose lock is free.
    pub fn round(&mut self, base: &BaseDir, page_size: Option<PageSize>) -> Vec<JanitorFinding> {
        let wanted = |size: PageSize| page_size.is_none_or(|wanted| wanted == size);
        let listing = list(base);
        let mut findings = Vec::new();
        for (size, error) in listing.unreadable {
            let outcome = Err(error.into());
            findings.push(JanitorFinding { page_size: size, file_name: None, outcome });
        }
        for entry in listing.entries {
            let outcome = match entry.info {
                _ if !wanted(entry.page_size) => continue,
                Ok(info) => self.look_after(base, &info).transpose(),
                // What cannot be called by name is nothing of ours.
                Err(RegionError::NotARegion { why: NotARegion::Misnamed, .. }) => None,
                Err(error) => Some(Err(error.into())),
            };
            let file_name = Some(entry.file_name);
            let page_size = entry.page_size;
            findings.extend(outcome.map(|outcome| JanitorFinding {
                page_size,
                file_name,
                outcome,
            }));
        }
        self.without_what_was_said(findings)
    }

    /// Recovers one workspace if its holder is dead, `None` if there is nothing to do.
    fn look_after(
        &self,
        base: &BaseDir,
        info: &RegionInfo,
    ) -> Result<Option<Repair>, JanitorError> {
        let (name, page_size) = (&info.name, Some(info.page_size));
        // To map a region gives it all the memory that it lacks, so it is read before.
        let holder = match Region::open(base, name, page_size, Access::ReadOnly) {
            Ok(region) => holder_of(&region)?,
            Err(RegionError::NotFound { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        if holder.is_none() {
            return Ok(None);
        }
        let shared = match SharedWorkspace::attach(base, name, page_size, self.lock) {
            Ok(shared) => shared,
            Err(AttachError::Region(RegionError::NotFound { .. })) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let outcome = shared.lock().map(|guard| guard.repair());
        match outcome {
            Ok(repair) => Ok(repair),
            // It lives, or may live.
            Err(LockError::Busy { .. }) => Ok(None),
            Err(source) => Err(JanitorError::Lock { name: *name, source }),
        }
    }

    /// Leaves out what was in the way in the last round already, and remembers what is now.
    fn without_what_was_said(&mut self, findings: Vec<JanitorFinding>) -> Vec<JanitorFinding> {
        let mut saying = BTreeMap::new();
        let mut news = Vec::new();
        for finding in findings {
            let Err(error) = &finding.outcome else {
                news.push(finding);
                continue;
            };
            let place = (finding.page_size, finding.file_name.clone());
            let text = error.to_string();
            if self.said.get(&place) != Some(&text) {
                news.push(finding);
            }
            saying.insert(place, text);
        }
        self.said = saying;
        news
    }
}

fn holder_of(region: &Region) -> Result<Option<Holder>, JanitorError> {
    let mut header = [0; READ_BYTES];
    match pread(region.as_fd(), &mut header, 0) {
        // A file that is made shorter meanwhile has a shorter beginning, and no header.
        Ok(count) => Ok(header.get(..count).and_then(Holder::in_header)),
        Err(errno) => {
            Err(JanitorError::Read { path: region.path().to_owned(), source: errno.into() })
        }
    }
}
