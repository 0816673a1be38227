//! `fd_shmem_cfg`: setting a machine up for regions, and back.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use wksp_shmem::{
    ListEntry, MountOptions, NodeIndex, NodeMemory, NotARegion, Owner, PagePool, PageSize,
    RegionError, Wanted, list, mount, unlink, unmount,
};

use super::create::page_size;
use super::number::{octal, unsigned};
use super::run::Run;
use super::words::Words;
use crate::command::host::{Account, check_room};
use crate::destination;
use crate::failure::{self, Failure, Kind};
use crate::plural::Pages;
use crate::process::printable;

const HELP: &str = "\
fd_shmem_cfg COMMAND ARGUMENT... COMMAND ARGUMENT... ...

Runs the commands one after the other, up to the first that fails; then it ends with 1.

  help                     shows this
  init PERM USER GROUP     makes the base directory and mounts the file systems for regions
  fini                     unmounts them, with all regions, and removes the base directory
  alloc COUNT TYPE NODE    has the kernel keep as many pages of a type on a node
  free TYPE NODE           gives those pages back
  query                    shows the pages of each type on each node, and the regions of each type
  reset                    removes the name of every region

TYPE is normal, huge, gigantic or a number of bytes; PERM is octal. USER and GROUP are names or
numbers; an empty USER is the one who runs this, an empty GROUP that of the user.
";

/// Runs a command, with its arguments taken from `words`.
pub(super) fn command(run: &mut Run<'_>, command: &str, words: &mut Words) -> Result<(), Failure> {
    match command {
        "help" => run.print(format_args!("{HELP}")),
        "init" => init(run, words.take()?),
        "fini" => fini(run),
        "alloc" => {
            let [count, page_type, node] = words.take()?;
            keep(unsigned(count.as_bytes()), &page_type, &node)
        }
        "free" => {
            let [page_type, node] = words.take()?;
            keep(0, &page_type, &node)
        }
        "query" => query(run),
        "reset" => reset(run),
        _ => Err(run.unknown()),
    }
}

fn init(run: &Run<'_>, [perm, user, group]: [OsString; 3]) -> Result<(), Failure> {
    let base = run.session.host_path().path;
    if base.symlink_metadata().is_ok() {
        let failure = destination::exists(&base);
        return Err(Failure { remedy: "undo what is there by `fini` first".to_owned(), ..failure });
    }
    let (uid, gid) = Account::new(&user.to_string_lossy(), &group.to_string_lossy()).find()?;
    let mut mode = u32::try_from(octal(perm.as_bytes())).unwrap_or(u32::MAX);
    let owner = Owner { uid: uid.as_raw(), gid: gid.as_raw(), mode };
    if owner.is_unsafe() {
        // Scripts ask for 0777, and mean that everybody may make regions, not remove others'.
        mode |= 0o1000;
        let text =
            format!("the directories get mode {mode:04o}, so that none removes others' regions");
        run.session.warn("sticky", &text);
    }
    let options = MountOptions::default().with_mode(mode).with_owner(owner.uid, owner.gid);
    for page_size in PageSize::ALL {
        if let Err(error) = mount(&base, page_size, &options) {
            // All or nothing: what was just made has nobody's regions in it.
            for page_size in PageSize::ALL {
                let undone = unmount(&base, page_size, false);
                run.logged(undone.map_err(|error| failure::mount(&error)));
            }
            return Err(failure::mount(&error));
        }
    }
    Ok(())
}

fn fini(run: &Run<'_>) -> Result<(), Failure> {
    let base = run.session.host_path().path;
    if base.symlink_metadata().is_err() {
        return Err(Failure::new(
            Kind::NotFound,
            format_args!("there is no {}", base.display()),
            "`init` makes it",
        ));
    }
    for page_size in PageSize::ALL {
        unmount(&base, page_size, true).map_err(|error| failure::mount(&error))?;
    }
    if base.symlink_metadata().is_ok() {
        return Err(Failure::new(
            Kind::Failed,
            format_args!("{} was unmounted, but something else is in it", base.display()),
            format_args!("see what it is, `ls -la {}`, and remove it", base.display()),
        ));
    }
    Ok(())
}

/// Has the kernel keep exactly so many pages, if nobody uses any.
fn keep(count: u64, type_word: &OsString, node_word: &OsString) -> Result<(), Failure> {
    let page_size = page_size(type_word)?;
    let node = u32::try_from(unsigned(node_word.as_bytes())).map(NodeIndex::new).map_err(|_| {
        Failure::usage(
            format_args!("{node_word:?} is no node"),
            "`fd_shmem_ctl numa-cnt` shows how many there are",
        )
    })?;
    let pool = PagePool::count(node, page_size).map_err(|error| failure::pool(&error))?;
    if pool.used() > 0 {
        return Err(Failure::new(
            Kind::Busy,
            format_args!("{} of node {node} are in use", Pages(pool.used(), page_size)),
            "remove the regions that have them first",
        ));
    }
    check_room(&pool, count)?;
    let change = if count > pool.reserved() {
        PagePool::reserve(node, page_size, count)
    } else {
        PagePool::release(node, page_size, count)
    };
    let change = change.map_err(|error| failure::pool(&error))?;
    if change.is_granted() {
        return Ok(());
    }
    let bound = if matches!(change.wanted, Wanted::AtLeast(_)) { "only" } else { "still" };
    Err(Failure::new(
        Kind::NoRoom,
        format_args!("node {node} has {bound} {}", Pages(change.after, page_size)),
        format_args!("{count} were asked for; see what uses the memory of the node"),
    ))
}

fn query(run: &mut Run<'_>) -> Result<(), Failure> {
    let pools = PagePool::all().map_err(|error| failure::pool(&error))?;
    let mut nodes: Vec<NodeIndex> = pools.iter().map(|pool| pool.node).collect();
    nodes.dedup();
    for page_size in PageSize::ALL.into_iter().rev() {
        run.print(format_args!("{page_size} pages\n"))?;
        for pool in pools.iter().filter(|pool| pool.page_size == page_size) {
            let PagePool { node, total, free, .. } = pool;
            run.print(format_args!("\tnode {node}: {total} total, {free} free\n"))?;
        }
        for node in nodes.iter().filter(|_| page_size == PageSize::Normal) {
            let Ok(memory) = NodeMemory::of(*node) else { continue };
            let [total, free] = [memory.total_bytes, memory.free_bytes]
                .map(|bytes| bytes.checked_div(page_size.bytes()).unwrap_or(0));
            run.print(format_args!("\tnode {node}: {total} total, {free} free\n"))?;
        }
    }
    let base = run.logged(run.session.base().cloned());
    let entries = base.map(|base| list(&base).entries).unwrap_or_default();
    for page_size in PageSize::ALL.into_iter().rev() {
        run.print(format_args!("{page_size} regions\n"))?;
        for ListEntry { file_name, info, .. } in
            entries.iter().filter(|entry| entry.page_size == page_size)
        {
            let name = printable(&file_name.to_string_lossy());
            match info {
                Ok(info) => run.print(format_args!("\t{name}: {} pages\n", info.page_count()))?,
                Err(_) => run.print(format_args!("\t{name}: no region\n"))?,
            }
        }
    }
    Ok(())
}

fn reset(run: &Run<'_>) -> Result<(), Failure> {
    let base = run.session.base()?;
    let listing = list(base);
    let mut outcome = Ok(());
    for (_, error) in &listing.unreadable {
        outcome = outcome.and(Err(failure::base(error)));
    }
    for entry in &listing.entries {
        let is_region = match &entry.info {
            Ok(_) => true,
            // A damaged one has a name as well.
            Err(RegionError::NotARegion { why, .. }) => {
                matches!(why, NotARegion::Empty | NotARegion::Ragged { .. })
            }
            Err(_) => false,
        };
        let Ok(name) = super::run::name(&entry.file_name) else { continue };
        if is_region && let Err(error) = unlink(base, &name, Some(entry.page_size)) {
            // The others go all the same.
            outcome = outcome.and(Err(failure::region(&error)));
        }
    }
    outcome
}
