//! Failures of what is done under the lock.

use wksp_core::{
    AllocError, EditError, FreeError, Gaddr, Geometry, Name, NotAllocated, OutsideData,
};

use super::{Failure, Kind, not_rebuildable, stranger};

/// What is said when nothing was allocated.
pub(crate) fn alloc(name: &Name, error: &AllocError) -> Failure {
    match error {
        AllocError::ZeroSize => Failure::usage(
            format_args!("cannot allocate 0 bytes in {name}"),
            "an allocation has at least 1 byte",
        ),
        AllocError::NoSpace { bytes, align, largest_free_bytes } => Failure::new(
            Kind::NoRoom,
            format_args!(
                "no room in {name} for {bytes} bytes at a multiple of {align}: the largest free \
                 partition has {largest_free_bytes} bytes"
            ),
            format_args!(
                "`wksp-ctl show {name}` lists what is there; free something, ask for less, or \
                 create a larger workspace"
            ),
        ),
        AllocError::NoRecords { bytes, needed, idle } => Failure::new(
            Kind::NoRoom,
            format_args!(
                "{name} has room for {bytes} bytes, but {needed} idle partition records are needed \
                 and there are {idle}"
            ),
            "free something, try a smaller --align, or create a workspace with a larger --part-max",
        ),
        AllocError::Corrupt(error) => not_rebuildable(name, error),
        error => Failure::new(
            Kind::Failed,
            format_args!("cannot allocate in {name}: {error}"),
            format_args!("`wksp-ctl show {name}` lists what is there"),
        ),
    }
}

/// What is said of an address that belongs to no allocation.
fn not_allocated(name: &Name, error: &NotAllocated) -> Failure {
    let remedy = format!("`wksp-ctl show {name}` lists the allocations");
    match *error {
        NotAllocated::Outside { gaddr, data } => Failure::new(
            Kind::NotFound,
            format_args!("{name}:{gaddr} is outside the data {data} of the workspace"),
            remedy,
        ),
        NotAllocated::Free { gaddr } => Failure::new(
            Kind::NotFound,
            format_args!("{name}:{gaddr} belongs to no allocation: it is free, or was freed"),
            remedy,
        ),
        error => Failure::new(
            Kind::NotFound,
            format_args!("no such allocation in {name}: {error}"),
            remedy,
        ),
    }
}

/// What is said of an address for which nothing was found.
pub(crate) fn no_allocation(name: &Name, gaddr: Gaddr, geometry: &Geometry) -> Failure {
    let data = geometry.data();
    let error = if data.contains(gaddr) {
        NotAllocated::Free { gaddr }
    } else {
        NotAllocated::Outside { gaddr, data }
    };
    not_allocated(name, &error)
}

/// What is said of an allocation that was made and is not there.
pub(crate) fn vanished(name: &Name, gaddr: Gaddr) -> Failure {
    Failure::new(
        Kind::Corrupt,
        format_args!("{name}:{gaddr} was allocated and is gone: somebody writes without the lock"),
        format_args!("`wksp-ctl verify {name}` shows in which state it is"),
    )
}

/// What is said when something was not freed.
pub(crate) fn free(name: &Name, error: &FreeError) -> Failure {
    match error {
        FreeError::NotAllocated(error) => not_allocated(name, error),
        FreeError::Corrupt(error) => not_rebuildable(name, error),
        error => Failure::new(
            Kind::Failed,
            format_args!("cannot free in {name}: {error}"),
            format_args!("`wksp-ctl verify {name}` shows in which state it is"),
        ),
    }
}

/// What is said when something was not changed.
pub(crate) fn edit(name: &Name, error: &EditError) -> Failure {
    match error {
        EditError::NotAllocated(error) => not_allocated(name, error),
        EditError::Stranger(error) => stranger(name, *error),
        error => Failure::new(
            Kind::Failed,
            format_args!("cannot change an allocation of {name}: {error}"),
            format_args!("`wksp-ctl verify {name}` shows in which state it is"),
        ),
    }
}

/// What is said of bytes that cannot be copied.
pub(crate) fn copy(name: &Name, error: &OutsideData) -> Failure {
    Failure::new(
        Kind::Failed,
        format_args!("cannot copy bytes of {name}: {error}"),
        format_args!("`wksp-ctl verify {name}` shows in which state it is"),
    )
}
