//! A base directory of a test's own, on the file systems that it needs.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use wksp_core::Name;
use wksp_shmem::{
    BaseDir, Binding, CreateError, HwlocTopology, MountOptions, Near, NewRegion, NodeIndex,
    PageSize, PlacedRegionOptions, Placement, PlacementReport, Region, SubRegion, mount, unmount,
};

use crate::machine;

/// A base directory, with nothing left of it when dropped.
pub(crate) struct Scene {
    pub(crate) base: BaseDir,
    pub(crate) page_size: PageSize,
    mounted: Option<PageSize>,
    dir: TempDir,
}

pub(crate) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// Pages on a node.
pub(crate) fn on(node: u32, page_count: u64) -> SubRegion {
    SubRegion { page_count, near: Near::Node(NodeIndex::new(node)) }
}

impl Scene {
    /// A base directory for regions of a page size, mounted if these are not normal ones; says so if
    /// that cannot be.
    pub(crate) fn new(page_size: PageSize) -> Option<Self> {
        let dir = tempfile::Builder::new().prefix("wksp-numa-").tempdir_in("/dev/shm").unwrap();
        let root = dir.path().join("base");
        let mounted = (page_size != PageSize::Normal).then_some(page_size);
        fs::create_dir(&root).unwrap();
        if mounted.is_none() {
            fs::create_dir(root.join(page_size.directory())).unwrap();
        } else if !machine::is_root("mount a hugetlbfs") {
            return None;
        } else if let Err(error) = mount(&root, page_size, &MountOptions::default()) {
            machine::lack(&error.to_string());
            return None;
        }
        let base = BaseDir::resolve(Some(&root)).unwrap();
        Some(Self { base, page_size, mounted, dir })
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    /// The directory that regions are in.
    pub(crate) fn directory(&self) -> PathBuf {
        self.base.directory_path(self.page_size)
    }

    pub(crate) fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    pub(crate) fn options(
        &self,
        sub_regions: &[SubRegion],
        binding: Binding,
    ) -> PlacedRegionOptions {
        let placement = Placement { sub_regions: sub_regions.to_vec() };
        PlacedRegionOptions { page_size: self.page_size, mode: 0o600, placement, binding }
    }

    pub(crate) fn create(
        &self,
        text: &str,
        sub_regions: &[SubRegion],
        binding: Binding,
    ) -> Result<(Region, PlacementReport), CreateError> {
        let machine = HwlocTopology::this_machine().unwrap();
        let options = self.options(sub_regions, binding);
        let (new, report) = NewRegion::create_placed(&self.base, &name(text), &options, machine)?;
        Ok((new.publish()?, report))
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if let Some(page_size) = self.mounted {
            let unmounted = unmount(&self.root(), page_size, true);
            assert!(unmounted.is_ok() || std::thread::panicking(), "{unmounted:?}");
        }
    }
}
