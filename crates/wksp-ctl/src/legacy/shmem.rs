//! `fd_shmem_ctl`: regions, and what the machine is made of.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use wksp_shmem::{
    BaseError, CpuIndex, NodeIndex, NotARegion, PageSize, RegionError, RegionInfo, Topology,
    info_of, unlink,
};

use super::create::{self, page_size};
use super::number::unsigned;
use super::run::{Run, name};
use super::words::Words;
use crate::failure::{self, Failure};
use crate::machine;

const HELP: &str = "\
fd_shmem_ctl COMMAND ARGUMENT... COMMAND ARGUMENT... ...

Runs the commands one after the other, up to the first that fails; then it ends with 1.

  help                                      shows this
  cpu-cnt                                   shows how many CPUs there are
  numa-cnt                                  shows how many nodes of memory there are
  cpu-idx NODE                              shows the lowest CPU of a node
  numa-idx CPU                              shows the node of a CPU
  create NAME PAGE_CNT PAGE_SZ CPU_SEQ MODE makes a region of zeros
  unlink NAME PAGE_SZ                       removes a region
  query NAME PAGE_SZ                        shows 0, number and size of the pages of a region, or
                                            why there is none: an errno, 0 and 0

PAGE_SZ is normal, huge, gigantic or a number of bytes, and where a region is looked for 0 for the
largest that has the name; CPU_SEQ is like 0-4:2,10; MODE is octal.
";

/// Runs a command, with its arguments taken from `words`.
pub(super) fn command(run: &mut Run<'_>, command: &str, words: &mut Words) -> Result<(), Failure> {
    match command {
        "help" => run.print(format_args!("{HELP}")),
        "cpu-cnt" => run.print(format_args!("{}\n", machine::this()?.cpu_count())),
        "numa-cnt" => run.print(format_args!("{}\n", machine::this()?.nodes().len())),
        "cpu-idx" => {
            let [node] = words.take()?;
            let node = index(&node).map(NodeIndex::new);
            let node = node.zip(Some(machine::this()?)).and_then(|(node, this)| this.node(node));
            // In ascending order.
            or_dash(run, node.and_then(|node| node.cpus.first()))
        }
        "numa-idx" => {
            let [cpu] = words.take()?;
            let cpu = index(&cpu).map(CpuIndex::new);
            let this = machine::this()?;
            or_dash(run, cpu.and_then(|cpu| this.node_of(cpu)))
        }
        "create" => create::region(run, words.take()?),
        "unlink" => {
            let [name_word, size] = words.take()?;
            let (name, size) = (name(&name_word)?, page_size(&size).ok());
            let gone = unlink(run.session.base()?, &name, size);
            gone.map(drop).map_err(|error| failure::region(&error))
        }
        "query" => {
            let [name_word, size] = words.take()?;
            match query(run, &name_word, page_size(&size).ok()) {
                Ok(info) => {
                    let bytes = info.page_size.bytes();
                    run.print(format_args!("0 {} {bytes}\n", info.page_count()))
                }
                Err(errno) => run.print(format_args!("{} 0 0\n", errno as i32)),
            }
        }
        _ => Err(run.unknown()),
    }
}

/// Reads the number of a CPU or node, `None` if there can be none of it.
fn index(word: &OsString) -> Option<u32> {
    u32::try_from(unsigned(word.as_bytes())).ok()
}

fn or_dash(run: &mut Run<'_>, found: Option<impl fmt::Display>) -> Result<(), Failure> {
    match found {
        Some(found) => run.print(format_args!("{found}\n")),
        None => run.print(format_args!("-\n")),
    }
}

/// Looks a region up; what is wrong becomes what the system calls would have said.
fn query(run: &Run<'_>, word: &OsString, size: Option<PageSize>) -> Result<RegionInfo, Errno> {
    let name = run.logged(name(word)).ok_or(Errno::EINVAL)?;
    let base = run.logged(run.session.base()).ok_or(Errno::ENOENT)?;
    info_of(base, &name, size).map_err(|error| {
        run.log(&failure::region(&error));
        errno(&error)
    })
}

fn errno(error: &RegionError) -> Errno {
    let of_io = |error: &std::io::Error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
    match error {
        RegionError::NotFound { .. } | RegionError::Base(BaseError::NotFound { .. }) => {
            Errno::ENOENT
        }
        RegionError::NotARegion { why: NotARegion::SymbolicLink, .. } => Errno::ELOOP,
        RegionError::NotARegion { why: NotARegion::Directory, .. } => Errno::EISDIR,
        RegionError::NotARegion { .. } => Errno::EINVAL,
        RegionError::Permission { .. } => Errno::EACCES,
        RegionError::Base(BaseError::NotADirectory { .. }) => Errno::ENOTDIR,
        RegionError::Base(BaseError::Io { source, .. }) | RegionError::Io { source, .. } => {
            of_io(source)
        }
        _ => Errno::EIO,
    }
}
