//! Names, addresses, tags and other values: from what was typed, and into JSON.

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
