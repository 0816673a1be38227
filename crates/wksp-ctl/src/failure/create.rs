//! Failures to create a workspace.

use std::path::Path;

use wksp_core::{GeometryError, Name};
use wksp_shmem::{CreateError, CreateWorkspaceError, PageSize};

use super::base;
use super::{Failure, Kind, map, placement};

/// What is said of a workspace that was not created.
pub(crate) fn create(name: &Name, error: &CreateWorkspaceError) -> Failure {
    match error {
        CreateWorkspaceError::Create(error) => create_region(name, error),
        CreateWorkspaceError::Geometry(error) => geometry(name, error),
        CreateWorkspaceError::Map(error) => map(error),
        error => Failure::new(
            Kind::Failed,
            format_args!("cannot create {name}: {error}"),
            "nothing was left behind; try again",
        ),
    }
}

fn create_region(name: &Name, error: &CreateError) -> Failure {
    match error {
        CreateError::Exists { path } => Failure::new(
            Kind::Failed,
            format_args!("cannot create {name}: {} is there already", path.display()),
            format_args!("choose another name, or `wksp-ctl rm {name}` first if nobody needs it"),
        ),
        CreateError::BadSize { page_count, page_size } => Failure::usage(
            format_args!(
                "cannot create {name}: {page_count} {page_size} pages are no possible size"
            ),
            "ask for at least one page and less than 2^63 bytes",
        ),
        CreateError::BadMode { mode } => Failure::usage(
            format_args!("cannot create {name} with mode {mode:o}"),
            "give the nine permission bits in octal, from 0 to 777",
        ),
        CreateError::NoMemory { path, bytes, source } => Failure::new(
            Kind::NoRoom,
            format_args!("not enough memory for the {bytes} bytes of {}: {source}", path.display()),
            more_memory(path, *bytes),
        ),
        CreateError::NoSuchPages { path, page_size } => Failure::new(
            Kind::Failed,
            format_args!("{} does not have {page_size} pages", path.display()),
            format_args!("{}, or use normal pages", base::set_up(path, *page_size)),
        ),
        CreateError::Placement { source, .. } => placement(name, source),
        CreateError::Base(error) => base::base(error),
        CreateError::Io { path, source } => Failure::io(
            format_args!("cannot make {}", path.display()),
            source,
            "look at the directory with `ls -la`, or choose another one by --base",
        ),
        error => Failure::new(
            Kind::Failed,
            format_args!("cannot create {name}: {error}"),
            "nothing was left behind; try again",
        ),
    }
}

/// How there comes to be more memory for a region.
fn more_memory(path: &Path, bytes: u64) -> String {
    let is_of = |size: &PageSize| path.parent().is_some_and(|dir| dir.ends_with(size.directory()));
    match PageSize::ALL.into_iter().find(is_of) {
        Some(page_size @ (PageSize::Huge | PageSize::Gigantic)) => format!(
            "`wksp-ctl host status` shows how many {page_size} pages are free; as root `wksp-ctl \
             host reserve --page-size {page_size} --pages N` for {} more, or ask for less",
            bytes.div_ceil(page_size.bytes())
        ),
        _ => "see `df` and `free` for what there is, remove what nobody needs, or ask for less"
            .to_owned(),
    }
}

fn geometry(name: &Name, error: &GeometryError) -> Failure {
    match error {
        GeometryError::TooSmall { footprint, part_max, needed } => Failure::usage(
            format_args!(
                "cannot create {name}: {part_max} partition records need at least {needed} bytes, \
                 but the region has {footprint}"
            ),
            "ask for a larger --size or a smaller --part-max",
        ),
        GeometryError::PartMax { part_max } => Failure::usage(
            format_args!("cannot create {name} with {part_max} partition records"),
            "a workspace has 1 to 4294967295 of them",
        ),
        error => Failure::usage(
            format_args!("cannot create {name}: {error}"),
            "ask for another --size or --part-max",
        ),
    }
}
