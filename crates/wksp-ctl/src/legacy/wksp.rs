//! `fd_wksp_ctl`: workspaces and checkpoints.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use wksp_checkpt::Style;
use wksp_core::{Align, Gaddr, Name, Tag, Usage};
use wksp_shmem::{WorkspaceAddress, unlink};

use super::create::{self, mode};
use super::number::unsigned;
use super::run::{Run, file, name};
use super::words::Words;
use super::{preview, query};
use crate::command::{Plan, checkpt, restore};
use crate::destination::{self, Destination};
use crate::failure::{self, Failure, Kind};
use crate::plural::Plural;
use crate::source::SourceName;

const HELP: &str = "\
fd_wksp_ctl COMMAND ARGUMENT... COMMAND ARGUMENT... ...

Runs the commands one after the other, up to the first that fails; then it ends with 1.

  help                                         shows this
  tag VAL                                      sets the tag for what is allocated from here on, first 1
  supported-styles                             lists the styles of checkpoints
  new NAME PAGE_CNT PAGE_SZ CPU_SEQ MODE       creates a workspace in a new region
  delete NAME                                  removes a workspace
  alloc NAME ALIGN SZ                          allocates and shows the address
  info NAME TAG                                shows the lowest allocation that has a tag
  free NAME:GADDR                              frees an allocation
  tag-query NAME:GADDR                         shows the tag of an allocation, 0 if there is none
  tag-free NAME TAG                            frees every allocation that has a tag
  memset NAME:GADDR C                          sets all bytes of an allocation
  check NAME                                   attaches and locks, recovering what the dead left
  verify NAME                                  checks every invariant
  rebuild NAME SEED                            builds the index anew
  reset NAME                                   frees everything
  usage NAME TAG                               adds up what is used, free, and has a tag
  query NAME                                   lists all partitions
  checkpt NAME PATH MODE STYLE INFO            writes a checkpoint to a new file
  checkpt-query PATH VERBOSE                   shows what a checkpoint says of itself
  restore NAME PATH SEED                       makes the workspace what is in a checkpoint

PAGE_SZ is normal, huge, gigantic or a number of bytes; CPU_SEQ is like 0-4:2,10; MODE is octal.
An ALIGN of 0 is 4096. A SEED of - keeps the present one. A STYLE of 0 is 3.
";

/// Runs a command, with its arguments taken from `words`.
pub(super) fn command(run: &mut Run<'_>, command: &str, words: &mut Words) -> Result<(), Failure> {
    match command {
        "help" => run.print(format_args!("{HELP}")),
        "tag" => {
            let [tag] = words.take()?;
            run.tag = unsigned(tag.as_bytes());
            Ok(())
        }
        "supported-styles" => run.print(format_args!("0 1 2 3\n")),
        "new" => create::workspace(run, words.take()?),
        "delete" => delete(run, words.take()?),
        "alloc" => alloc(run, words.take()?),
        "info" => info(run, words.take()?),
        "free" => {
            let freed = free(run, words.take()?);
            run.logged(freed);
            Ok(())
        }
        "tag-query" => {
            let tag = tag_query(run, words.take()?);
            let tag = run.logged(tag).flatten().map_or(0, Tag::get);
            run.print(format_args!("{tag}\n"))
        }
        "tag-free" => {
            let freed = tag_free(run, words.take()?);
            run.logged(freed);
            Ok(())
        }
        "memset" => {
            let set = memset(run, words.take()?);
            run.logged(set);
            Ok(())
        }
        "check" => check(run, words.take()?),
        "verify" => verify(run, words.take()?),
        "rebuild" => rebuild(run, words.take()?),
        "reset" => reset(run, words.take()?),
        "usage" => usage(run, words.take()?),
        "query" => query::query(run, words.take()?),
        "checkpt" => checkpt(run, words.take()?),
        "checkpt-query" => preview::preview(run, words.take()?),
        "restore" => restore(run, words.take()?),
        _ => Err(run.unknown()),
    }
}

fn delete(run: &Run<'_>, [word]: [OsString; 1]) -> Result<(), Failure> {
    let name = name(&word)?;
    // What is no workspace stays; of several page sizes, the one that was looked at goes.
    let page_size = run.attach(&name)?.joined().page_size();
    let gone = unlink(run.session.base()?, &name, Some(page_size));
    gone.map(drop).map_err(|error| failure::region(&error))
}

fn alloc(run: &mut Run<'_>, [name_word, align, bytes]: [OsString; 3]) -> Result<(), Failure> {
    let name = name(&name_word)?;
    let align = match unsigned(align.as_bytes()) {
        0 => Align::PAGE,
        bytes => Align::new(bytes).map_err(|error| {
            Failure::usage(error, "give a power of two, or 0, which means 4096")
        })?,
    };
    let bytes = unsigned(bytes.as_bytes());
    let tag = Tag::new(run.tag)
        .ok_or_else(|| Failure::usage("nothing can have tag 0", "set another one by `tag`"))?;
    let shared = run.attach(&name)?;
    let gaddr = run.locked(&shared, |guard| {
        guard.alloc(align, bytes, tag).map_err(|error| failure::alloc(&name, &error))
    })?;
    run.print(format_args!("{}\n", WorkspaceAddress { name, gaddr }))
}

fn info(run: &mut Run<'_>, [name_word, tag]: [OsString; 2]) -> Result<(), Failure> {
    let tag = Tag::new(unsigned(tag.as_bytes()));
    let found = (|| {
        let name = name(&name_word)?;
        let shared = run.attach(&name)?;
        let lowest =
            run.locked(&shared, |guard| Ok(tag.and_then(|tag| guard.lowest_tagged(tag))))?;
        Ok((name, lowest))
    })();
    match run.logged(found) {
        None => Ok(()),
        Some((_, None)) => run.print(format_args!("- 0\n")),
        Some((name, Some(allocation))) => {
            let address = WorkspaceAddress { name, gaddr: allocation.range.lo() };
            run.print(format_args!("{address} {}\n", allocation.range.bytes()))
        }
    }
}

fn free(run: &Run<'_>, [word]: [OsString; 1]) -> Result<(), Failure> {
    let WorkspaceAddress { name, gaddr } = address(&word)?;
    let shared = run.attach(&name)?;
    run.locked(&shared, |guard| {
        guard.free(gaddr).map(drop).map_err(|error| failure::free(&name, &error))
    })
}

fn tag_query(run: &Run<'_>, [word]: [OsString; 1]) -> Result<Option<Tag>, Failure> {
    let WorkspaceAddress { name, gaddr } = address(&word)?;
    let shared = run.attach(&name)?;
    run.locked(&shared, |guard| Ok(guard.tag(gaddr)))
}

fn tag_free(run: &Run<'_>, [name_word, tag]: [OsString; 2]) -> Result<(), Failure> {
    let name = name(&name_word)?;
    let tag = Tag::new(unsigned(tag.as_bytes()))
        .ok_or_else(|| Failure::usage("nothing has tag 0", "name another tag"))?;
    let shared = run.attach(&name)?;
    run.locked(&shared, |guard| {
        let freed = guard.free_tagged(tag);
        freed.map(drop).map_err(|error| failure::not_rebuildable(&name, &error))
    })
}

fn memset(run: &Run<'_>, [word, byte]: [OsString; 2]) -> Result<(), Failure> {
    let WorkspaceAddress { name, gaddr } = address(&word)?;
    // As a C program stores an int in a byte.
    let [byte, ..] = unsigned(byte.as_bytes()).to_le_bytes();
    let shared = run.attach(&name)?;
    run.locked(&shared, |guard| {
        guard.fill(gaddr, byte).map(drop).map_err(|error| failure::edit(&name, &error))
    })
}

fn check(run: &Run<'_>, [word]: [OsString; 1]) -> Result<(), Failure> {
    let shared = run.attach(&name(&word)?)?;
    run.locked(&shared, |_| Ok(()))
}

fn verify(run: &Run<'_>, [word]: [OsString; 1]) -> Result<(), Failure> {
    let name = name(&word)?;
    let shared = run.attach(&name)?;
    let report = run.patiently(&shared, || Ok(run.session.salvage(&shared)?.verify()))?;
    let Some(first) = report.findings().next() else { return Ok(()) };
    Err(Failure::new(
        Kind::Corrupt,
        format_args!(
            "{name} is damaged: {}, the first: {first}",
            Plural(report.count(), "finding")
        ),
        format_args!("`rebuild {name} -` builds the index anew; no allocation is lost by it"),
    ))
}

fn rebuild(run: &Run<'_>, [name_word, seed_word]: [OsString; 2]) -> Result<(), Failure> {
    let name = name(&name_word)?;
    let shared = run.attach(&name)?;
    let salvage = run.patiently(&shared, || run.session.salvage(&shared))?;
    let rebuilt = salvage.rebuild(seed(&seed_word));
    rebuilt.map(drop).map_err(|(_, error)| failure::not_rebuildable(&name, &error))
}

fn reset(run: &Run<'_>, [word]: [OsString; 1]) -> Result<(), Failure> {
    let name = name(&word)?;
    let shared = run.attach(&name)?;
    let salvage = run.patiently(&shared, || run.session.salvage(&shared))?;
    salvage.reset(None).map(drop).map_err(|error| failure::not_rebuildable(&name, &error))
}

fn usage(run: &mut Run<'_>, [name_word, tag_word]: [OsString; 2]) -> Result<(), Failure> {
    let tag = unsigned(tag_word.as_bytes());
    let found = (|| {
        let name = name(&name_word)?;
        let shared = run.attach(&name)?;
        Ok((name, run.locked(&shared, |guard| Ok(guard.usage(Tag::new(tag))))?))
    })();
    match run.logged(found) {
        None => run.print(format_args!("-\n")),
        Some((name, usage)) => write_usage(run, &name, tag, &usage),
    }
}

fn write_usage(run: &mut Run<'_>, name: &Name, tag: u64, usage: &Usage) -> Result<(), Failure> {
    let Usage { part_max, data_max, used, free, tagged } = usage;
    let all = used.count.saturating_add(free.count);
    run.print(format_args!(
        "wksp {name}\n\
         \t{data_max:20} bytes max        ({all} blocks, {part_max} blocks max)\n\
         \t{:20} bytes used       ({} blocks)\n\
         \t{:20} bytes avail      ({} blocks)\n\
         \t{:20} bytes w/tag {tag:4} ({} blocks)\n",
        used.bytes, used.count, free.bytes, free.count, tagged.bytes, tagged.count
    ))
}

fn checkpt(run: &Run<'_>, words: [OsString; 5]) -> Result<(), Failure> {
    let [name_word, path, mode_word, style, info] = words;
    let name = name(&name_word)?;
    let path = file(path);
    // A pipe or device is there as well.
    if path.symlink_metadata().is_ok() {
        return Err(destination::exists(&path));
    }
    let mode = mode(&mode_word)?;
    let style = match unsigned(style.as_bytes()) {
        0 | 3 => Style::Lz4,
        1 => Style::V1,
        2 => Style::Raw,
        style => {
            return Err(Failure::usage(
                format_args!("there is no style {style}"),
                "`supported-styles` lists them",
            ));
        }
    };
    settle(run, &name)?;
    let info = info.into_vec().into();
    let plan = checkpt::Plan::of_all(name, Destination::new(path, false), style, info, mode)?;
    plan.run(&run.session).map(drop)
}

fn restore(run: &Run<'_>, [name_word, path, seed_word]: [OsString; 3]) -> Result<(), Failure> {
    let name = name(&name_word)?;
    settle(run, &name)?;
    let from = SourceName::new(file(path));
    let plan = restore::Plan::over(name, from, seed(&seed_word))?;
    plan.run(&run.session).map(drop)
}

/// Waits until a lock can be had, and recovers it if need be, before something long begins.
fn settle(run: &Run<'_>, name: &Name) -> Result<(), Failure> {
    let shared = run.attach(name)?;
    run.locked(&shared, |_| Ok(()))
}

/// Reads a seed, `None` for the present one; of a number its lower 32 bits count.
fn seed(word: &OsString) -> Option<u32> {
    let [a, b, c, d, ..] = unsigned(word.as_bytes()).to_le_bytes();
    (word != "-").then_some(u32::from_le_bytes([a, b, c, d]))
}

/// Reads an address, of which the last colon separates name and number.
fn address(word: &OsString) -> Result<WorkspaceAddress, Failure> {
    let text = word.to_string_lossy();
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::usage(format_args!("{text:?} is no address: {why}"), "write NAME:GADDR")
    };
    let (name, number) = text.rsplit_once(':').ok_or_else(|| wrong(&"it has no colon"))?;
    let name = Name::new(name).map_err(|error| wrong(&error))?;
    let gaddr = Gaddr::new(unsigned(number.as_bytes())).ok_or_else(|| wrong(&"it is 0"))?;
    Ok(WorkspaceAddress { name, gaddr })
}
