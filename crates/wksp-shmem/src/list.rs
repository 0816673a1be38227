//! Listing the regions under a base directory.

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;

use nix::dir::Dir;
use wksp_core::Name;

use crate::base::{BaseDir, BaseError};
use crate::page_size::PageSize;
use crate::region::{NotARegion, RegionError, RegionInfo, info_in};

/// One thing found under a base directory.
#[derive(Debug)]
pub struct ListEntry {
    /// The name of the file.
    pub file_name: OsString,
    /// The page size that its directory stands for.
    pub page_size: PageSize,
    /// What it is, or why it is no region.
    pub info: Result<RegionInfo, RegionError>,
}

/// What was found under a base directory.
#[derive(Debug)]
pub struct Listing {
    /// All entries, in ascending order of name and then of page size.
    pub entries: Vec<ListEntry>,
    /// The directories that are there but could not be read.
    pub unreadable: Vec<(PageSize, BaseError)>,
}

/// Lists what there is under a base directory, of all page sizes.
///
/// Nothing is opened, so no permission on a region is needed. Files whose name begins with a dot
/// are left out, since regions that are being made may have such names.
/// An entry that vanishes meanwhile is left out as well.
#[must_use]
pub fn list(base: &BaseDir) -> Listing {
    let mut listing = Listing { entries: Vec::new(), unreadable: Vec::new() };
    for page_size in PageSize::ALL {
        match list_directory(base, page_size, &mut listing.entries) {
            Ok(()) | Err(BaseError::NotFound { .. }) => {}
            Err(error) => listing.unreadable.push((page_size, error)),
        }
    }
    listing.entries.sort_by(|a, b| (&a.file_name, a.page_size).cmp(&(&b.file_name, b.page_size)));
    listing
}

fn list_directory(
    base: &BaseDir,
    page_size: PageSize,
    entries: &mut Vec<ListEntry>,
) -> Result<(), BaseError> {
    let unreadable = |errno: nix::Error| BaseError::Io {
        path: base.directory_path(page_size),
        source: errno.into(),
    };
    let mut directory =
        Dir::from_fd(base.open_directory_to_list(page_size)?).map_err(unreadable)?;
    let found = directory.iter();
    let names = found.map(|entry| Ok(entry.map_err(unreadable)?.file_name().to_owned()));
    for name in names.collect::<Result<Vec<_>, BaseError>>()? {
        let bytes = name.into_bytes();
        if bytes.starts_with(b".") {
            continue;
        }
        let file_name = OsString::from_vec(bytes);
        let name = file_name.to_str().and_then(|text| Name::new(text).ok());
        let info = match name {
            Some(name) => info_in(directory.as_fd(), base, &name, page_size),
            None => Err(RegionError::NotARegion {
                path: base.directory_path(page_size).join(&file_name),
                why: NotARegion::Misnamed,
            }),
        };
        if !matches!(info, Err(RegionError::NotFound { .. })) {
            entries.push(ListEntry { file_name, page_size, info });
        }
    }
    Ok(())
}
