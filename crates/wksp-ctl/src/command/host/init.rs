//! `host init`: mounts the directories for regions.

use std::fmt;
use std::fs;
use std::path::Path;

use nix::sys::statvfs::statvfs;
use nix::unistd::{Gid, Group, Uid, User, getegid, geteuid};
use serde::Serialize;
use wksp_shmem::{
    DirectoryState, DirectoryStatus, MountChange, MountOptions, PagePool, PageSize, directories,
    mount,
};

use super::changes::{DirectoryChange, DirectoryTable};
use crate::failure::{self, Failure, Kind};
use crate::number;
use crate::output::Outcome;
use crate::plural::Plural;
use crate::session::Session;
use crate::shell;
use crate::size::Bytes;
use crate::value;

/// Mounts the directories for regions, one for each page size that the kernel has.
///
/// What is mounted already stays, and gets owner and mode if these are others. Done by root for
/// somebody else, it takes --owner; else nobody but root can make regions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  sudo wksp-ctl host init --owner alice      # for one user
  sudo wksp-ctl host init --owner root:dev --mode 0770
  sudo wksp-ctl host init --mode 1777        # for everybody
  sudo wksp-ctl host init --page-size huge   # only those")]
pub(crate) struct Args {
    /// Permission bits of the directories in octal; 1000 is the sticky bit.
    #[arg(long, default_value = "0700", allow_negative_numbers = true)]
    mode: String,
    /// Whose they are: a user, perhaps with a colon and a group, by name or number [default: you].
    #[arg(long, value_name = "USER[:GROUP]")]
    owner: Option<String>,
    /// The most bytes of all regions of normal pages together [default: half of the memory].
    #[arg(long, value_name = "SIZE", allow_negative_numbers = true)]
    normal_max: Option<String>,
}

/// What to mount, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    mode: u32,
    owner: Option<Account>,
    normal_max: Option<u64>,
}

/// A user and perhaps a group, as they were typed.
#[derive(Debug)]
pub(crate) struct Account {
    user: String,
    group: Option<String>,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        let owner = self.owner.map(|text| {
            let (user, group) = match text.split_once(':') {
                Some((user, group)) => (user, Some(group)),
                None => (text.as_str(), None),
            };
            if user.is_empty() || group.is_some_and(str::is_empty) {
                return Err(Failure::usage(
                    format_args!("{text:?} is no --owner"),
                    "name a user, or a user and a group, as in `--owner root:root`",
                ));
            }
            Ok(Account { user: user.to_owned(), group: group.map(str::to_owned) })
        });
        Ok(Plan {
            mode: value::directory_mode(&self.mode)?,
            owner: owner.transpose()?,
            normal_max: self.normal_max.map(|text| value::size(&text)).transpose()?,
        })
    }
}

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        let base = session.host_path().path;
        let (uid, gid) = match &self.owner {
            Some(account) => account.find()?,
            None => (geteuid(), getegid()),
        };
        let mut options =
            MountOptions::default().with_mode(self.mode).with_owner(uid.as_raw(), gid.as_raw());
        if let Some(bytes) = self.normal_max {
            options = options.with_normal_bytes_max(bytes);
        }
        let page_sizes = match session.page_size() {
            Some(page_size) => vec![page_size],
            None => there_are()?,
        };
        if let Some(failure) = hidden(&base, &page_sizes) {
            return Err(failure);
        }
        let mut directories = Vec::new();
        let mut failure = None;
        for page_size in page_sizes {
            match mount(&base, page_size, &options) {
                Ok(change) => {
                    directories.push(DirectoryChange::new(&base, page_size, change));
                    if page_size == PageSize::Normal && change != MountChange::Mounted {
                        self.check_limit(session, &base.join(page_size.directory()));
                    }
                }
                Err(error) => {
                    failure = Some(failure::mount(&error));
                    break;
                }
            }
        }
        if let Some(failure) = failure.take_if(|_| directories.is_empty()) {
            return Err(failure);
        }
        let report = Report {
            base: base.display().to_string(),
            mode: format!("{:04o}", self.mode),
            uid: uid.as_raw(),
            gid: gid.as_raw(),
            directories,
        };
        Ok(Outcome::with_failure(report, failure))
    }
}

/// The page sizes that this kernel has.
fn there_are() -> Result<Vec<PageSize>, Failure> {
    let pools = PagePool::all().map_err(|error| failure::pool(&error))?;
    let has = |page_size: &PageSize| {
        *page_size == PageSize::Normal || pools.iter().any(|pool| pool.page_size == *page_size)
    };
    Ok(PageSize::ALL.into_iter().filter(has).collect())
}

/// What is said if there are files where something would be mounted on top of them.
fn hidden(base: &Path, page_sizes: &[PageSize]) -> Option<Failure> {
    let mut wanted =
        directories(base).into_iter().filter(|found| page_sizes.contains(&found.page_size));
    let (path, count) = wanted.find_map(|DirectoryStatus { path, state, .. }| {
        let is_plain = matches!(state, DirectoryState::NotMounted { .. });
        let files = is_plain.then(|| fs::read_dir(&path).ok()).flatten()?;
        Some((path, files.count() as u64)).filter(|(_, count)| *count > 0)
    })?;
    Some(Failure::new(
        Kind::Failed,
        format_args!(
            "{} is in use without being mounted: nobody would find its {} any more",
            path.display(),
            Plural(count, "file")
        ),
        "remove them, as `wksp-ctl rm` does, or name other pages, as `--page-size huge` does",
    ))
}

impl Plan {
    /// Says so if a file system that was there already has another limit than was asked for.
    fn check_limit(&self, session: &Session<'_>, path: &Path) {
        let Some((wanted, found)) = self.normal_max.zip(statvfs(path).ok()) else { return };
        let bytes = found.blocks().saturating_mul(found.fragment_size());
        let wanted = wanted.checked_next_multiple_of(PageSize::Normal.bytes()).unwrap_or(wanted);
        if bytes != wanted {
            let shown = shell::path(path);
            let text = format!(
                "{} was mounted already and keeps its limit of {}; `mount -o remount,size={wanted} \
                 {shown}` changes it",
                path.display(),
                Bytes(bytes)
            );
            session.warn("other_limit", &text);
        }
    }
}

impl Account {
    /// A user, which if empty is the one who runs this, and a group, which if empty is that user's.
    pub(crate) fn new(user: &str, group: &str) -> Self {
        let user = if user.is_empty() { geteuid().to_string() } else { user.to_owned() };
        Self { user, group: Some(group.to_owned()).filter(|group| !group.is_empty()) }
    }

    /// Looks up the numbers.
    pub(crate) fn find(&self) -> Result<(Uid, Gid), Failure> {
        let (uid, primary) = self.user()?;
        let gid = match &self.group {
            Some(group) => find_group(group)?,
            None => primary.ok_or_else(|| {
                Failure::usage(
                    format_args!("user {} has no name, and so no group of its own", self.user),
                    format_args!("name a group as well: `--owner {0}:{0}`", self.user),
                )
            })?,
        };
        Ok((uid, gid))
    }

    /// The user, with its group if it is known.
    fn user(&self) -> Result<(Uid, Option<Gid>), Failure> {
        let text = &self.user;
        if let Ok(Some(user)) = User::from_name(text) {
            return Ok((user.uid, Some(user.gid)));
        }
        let uid = id(text).map(Uid::from_raw).ok_or_else(|| not_there("user", "passwd", text))?;
        let user = User::from_uid(uid).ok().flatten();
        Ok((uid, user.map(|user| user.gid)))
    }
}

fn find_group(text: &str) -> Result<Gid, Failure> {
    if let Ok(Some(group)) = Group::from_name(text) {
        return Ok(group.gid);
    }
    id(text).map(Gid::from_raw).ok_or_else(|| not_there("group", "group", text))
}

/// A number of a user or group; the largest one means none.
fn id(text: &str) -> Option<u32> {
    let number = number::parse(text).ok()?;
    u32::try_from(number).ok().filter(|id| *id != u32::MAX)
}

fn not_there(what: &str, database: &str, text: &str) -> Failure {
    Failure::new(
        Kind::NotFound,
        format_args!("there is no {what} {text:?}"),
        format_args!("`getent {database}` lists them; a number of 32 bits will do as well"),
    )
}

#[derive(Debug, Serialize)]
struct Report {
    base: String,
    mode: String,
    uid: u32,
    gid: u32,
    directories: Vec<DirectoryChange>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { base, mode, uid, gid, directories } = self;
        writeln!(f, "{base}: for user {uid} and group {gid}, mode {mode}\n")?;
        write!(f, "{}", DirectoryTable(directories))
    }
}
