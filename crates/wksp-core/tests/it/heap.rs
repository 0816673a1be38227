//! Workspaces on the heap, and parties whose members die on command.

use std::sync::atomic::AtomicU64;

use wksp_core::{
    Block, Format, Geometry, Memory, Name, OwnerId, Party, Sighting, Stranger, Verdict, Workspace,
};
use wksp_testkit::image::{self, Lock};
use wksp_testkit::model::Model;

/// Memory for one workspace.
pub(crate) struct Heap {
    blocks: Vec<Block>,
}

impl Heap {
    pub(crate) fn zeroed(bytes: usize) -> Self {
        assert!(bytes.is_multiple_of(128));
        Self { blocks: (0..bytes / 128).map(|_| Block::new()).collect() }
    }

    pub(crate) fn of_image(image: &[u8]) -> Self {
        let mut heap = Self::zeroed(image.len().next_multiple_of(128));
        heap.memory().copy_in(0, image).unwrap();
        heap
    }

    pub(crate) fn memory(&mut self) -> Memory<'_> {
        Memory::of_blocks(&mut self.blocks)
    }
}

/// All bytes of a memory.
pub(crate) fn snapshot(memory: Memory<'_>) -> Vec<u8> {
    let mut image = vec![0; memory.bytes()];
    memory.copy_out(0, &mut image).unwrap();
    image
}

/// A second holder, to whom every other one is dead.
#[derive(Debug)]
pub(crate) struct Heir;

impl Party for Heir {
    type Patience = ();

    fn enter(&self) -> Result<OwnerId, Stranger> {
        OwnerId::new(2).ok_or(Stranger)
    }

    fn is_inside(&self, id: OwnerId) -> bool {
        id.get() == 2
    }

    fn leave(&self) {}

    fn judge(&self, _: Sighting, (): &mut ()) -> Verdict {
        Verdict::TakeOver
    }
}

/// Formats a workspace with this many records and bytes of data.
pub(crate) fn format(memory: Memory<'_>, part_max: u64, data_max: u64) -> Workspace<'_, Heir> {
    let format = Format {
        name: Name::new("heap").unwrap(),
        seed: 1,
        geometry: Geometry::new(part_max, data_max).unwrap(),
    };
    Workspace::format(memory, Heir, format).unwrap()
}

/// Words of hints for a handle: zeros, or anything.
pub(crate) fn hint_words<P: Party>(
    workspace: &Workspace<'_, P>,
    mut fill: impl FnMut() -> u64,
) -> Vec<AtomicU64> {
    (0..workspace.hint_words()).map(|_| AtomicU64::new(fill())).collect()
}

/// Asserts that a memory holds exactly what a model says, by the independent checker.
#[track_caller]
pub(crate) fn assert_holds(memory: Memory<'_>, model: &Model) {
    let image = snapshot(memory);
    let listing = image::check(&image, Lock::AnyOwner)
        .unwrap_or_else(|violations| panic!("the layout is violated: {violations:?}"));
    model.compare(&listing).unwrap_or_else(|differences| panic!("{differences:?}"));
}

/// A model of a workspace that holds nothing.
pub(crate) fn empty_model<P: Party>(workspace: &Workspace<'_, P>) -> Model {
    let data = workspace.geometry().data();
    Model::new(data.lo().get()..data.hi().get())
}
