//! Workspaces on the heap, and a party to which every other holder of a lock is dead.

use wksp_core::{
    Block, Format, Geometry, Memory, Name, OwnerId, Party, Sighting, Stranger, Verdict, Workspace,
};

/// Memory for one workspace.
pub(crate) struct Heap(Vec<Block>);

impl Heap {
    /// Zeros, as many bytes as make whole blocks.
    pub(crate) fn zeroed(bytes: u64) -> Self {
        Self((0..bytes.div_ceil(128)).map(|_| Block::new()).collect())
    }

    pub(crate) fn memory(&mut self) -> Memory<'_> {
        Memory::of_blocks(&mut self.0)
    }

    /// Formats a workspace of which this is the memory.
    pub(crate) fn format(&mut self, geometry: Geometry) -> Workspace<'_, Heir> {
        let name = Name::new("fuzz").expect("it is one");
        let format = Format { name, seed: 1, geometry };
        Workspace::format(self.memory(), Heir, format).expect("zeros with room enough")
    }
}

/// All bytes of a memory.
pub(crate) fn snapshot(memory: Memory<'_>) -> Vec<u8> {
    let mut image = vec![0; memory.bytes()];
    memory.copy_out(0, &mut image).expect("all within");
    image
}

/// A party that takes over from whoever holds a lock.
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
