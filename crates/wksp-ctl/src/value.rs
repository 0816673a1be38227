//! Names, addresses, tags and other values: from what was typed, and into JSON.

use std::num::NonZeroUsize;
use std::thread;

use serde::{Serialize, Serializer};
use wksp_core::{Align, Name, Tag};
use wksp_shmem::WorkspaceAddress;

use crate::failure::Failure;
use crate::{number, size};

/// The tag of what is allocated without one being named, as of the tools in C.
pub(crate) const DEFAULT_TAG: &str = "1";
/// The alignment of what is allocated without one being named, as of the tools in C.
pub(crate) const DEFAULT_ALIGN: &str = "4096";

/// Reads the name of a workspace.
pub(crate) fn name(text: &str) -> Result<Name, Failure> {
    Name::new(text).map_err(|error| {
        Failure::usage(
            format_args!("{text:?} is no name of a workspace: {error}"),
            "a name has 1 to 39 letters, digits, '_', '.' and '-', the first a letter or digit",
        )
    })
}

/// Reads the address of a byte.
pub(crate) fn address(text: &str) -> Result<WorkspaceAddress, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(
            format_args!("{text:?} is no address: {error}"),
            "write NAME:GADDR, as `put` and `alloc` print it and `show` lists it",
        )
    })
}

/// Reads a tag.
pub(crate) fn tag(text: &str) -> Result<Tag, Failure> {
    let remedy = "a tag is a number from 1 to 18446744073709551615; 0 means free";
    let number = number::parse(text)
        .map_err(|error| Failure::usage(format_args!("{text:?} is no tag: {error}"), remedy))?;
    Tag::new(number).ok_or_else(|| Failure::usage("0 is no tag", remedy))
}

/// Reads an alignment, where 0 means the default.
pub(crate) fn align(text: &str) -> Result<Align, Failure> {
    let remedy = "an alignment is a power of two, such as 64 or 4K; 0 means 4096";
    let bytes = size::parse(text).map_err(|error| {
        Failure::usage(format_args!("{text:?} is no alignment: {error}"), remedy)
    })?;
    match bytes {
        0 => Ok(Align::PAGE),
        bytes => Align::new(bytes).map_err(|error| {
            Failure::usage(format_args!("{text:?} is no alignment: {error}"), remedy)
        }),
    }
}

/// Reads a size of at least one byte.
pub(crate) fn size(text: &str) -> Result<u64, Failure> {
    let remedy =
        "write bytes, or a number and K, M, G or T (KiB ... are the same, KB ... 1000-based)";
    match size::parse(text) {
        Ok(0) => Err(Failure::usage(
            format_args!("a size of {text:?} is none"),
            "ask for 1 byte or more",
        )),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(Failure::usage(format_args!("{text:?} is no size: {error}"), remedy)),
    }
}

/// Reads a whole number of at least 1 that is the value of an option.
pub(crate) fn count(option: &str, text: &str) -> Result<u64, Failure> {
    let remedy = "give a whole number of at least 1";
    match number::parse(text) {
        Ok(0) => Err(Failure::usage(format_args!("{option} 0 is none"), remedy)),
        Ok(count) => Ok(count),
        Err(error) => Err(Failure::usage(format_args!("{text:?} is no {option}: {error}"), remedy)),
    }
}

/// Reads permission bits.
pub(crate) fn mode(text: &str) -> Result<u32, Failure> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|&mode| mode <= 0o777);
    mode.filter(|_| !text.starts_with('+')).ok_or_else(|| {
        Failure::usage(
            format_args!("{text:?} is no --mode"),
            "give the nine permission bits in octal, from 0 to 777, such as 0600",
        )
    })
}

/// Reads the permission bits of a directory, which may have the sticky bit as well.
pub(crate) fn directory_mode(text: &str) -> Result<u32, Failure> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|&mode| mode <= 0o1777);
    mode.filter(|_| !text.starts_with('+')).ok_or_else(|| {
        Failure::usage(
            format_args!("{text:?} is no --mode of a directory"),
            "give permission bits in octal, from 0 to 1777, such as 0700 or 1777",
        )
    })
}

/// More threads than this help nobody.
const THREADS_MAX: u64 = 1024;

/// Reads a number of threads, as many as there are processors if none is given.
pub(crate) fn threads(text: Option<&str>) -> Result<NonZeroUsize, Failure> {
    let Some(text) = text else {
        return Ok(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    };
    let threads = Some(count("--threads", text)?).filter(|&count| count <= THREADS_MAX);
    let threads = threads.and_then(|count| usize::try_from(count).ok()).and_then(NonZeroUsize::new);
    threads.ok_or_else(|| {
        Failure::usage(
            format_args!("--threads {text} are too many"),
            format_args!("take {THREADS_MAX} at most; as many as processors are best"),
        )
    })
}

/// Reads a seed.
pub(crate) fn seed(text: &str) -> Result<u32, Failure> {
    let remedy = "a seed is any number from 0 to 4294967295";
    let wrong = |why: &dyn std::fmt::Display| {
        Failure::usage(format_args!("{text:?} is no seed: {why}"), remedy)
    };
    let number = number::parse(text).map_err(|error| wrong(&error))?;
    u32::try_from(number).map_err(|_| wrong(&"it has more than 32 bits"))
}

/// Writes a tag as text, since a JSON number may lose its lower bits.
pub(crate) fn serialize_tag<S: Serializer>(tag: &Tag, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(tag)
}

/// As [`serialize_tag`], with null for no tag.
pub(crate) fn serialize_tag_option<S: Serializer>(
    tag: &Option<Tag>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    tag.map(|tag| tag.to_string()).serialize(serializer)
}
