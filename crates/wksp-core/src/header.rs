//! The 128-byte header of a workspace.

use core::mem::{align_of, offset_of, size_of};
use core::sync::atomic::{Ordering, fence};

use wksp_treap::{Cell32, Cell64, GaddrRange, LinkCell};

use crate::lock::{Holder, LockWord};
use crate::name::{NAME_BYTES_MAX, Name, NameError};

/// The first eight bytes of a formatted workspace.
pub const MAGIC: u64 = 0xF17E_DA2C_3731_C591;

/// The smallest `cycle_tag` of a formatted workspace.
pub(crate) const CYCLE_TAG_MIN: u64 = 4;

/// The header; the bytes are those of docs/layout.md.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Header {
    pub(crate) magic: Cell64,
    pub(crate) part_max: Cell64,
    pub(crate) data_max: Cell64,
    pub(crate) gaddr_lo: Cell64,
    pub(crate) gaddr_hi: Cell64,
    name: [Cell64; 5],
    pub(crate) seed: Cell32,
    pub(crate) idle_top: LinkCell,
    pub(crate) part_head: LinkCell,
    pub(crate) part_tail: LinkCell,
    pub(crate) used_root: LinkCell,
    pub(crate) free_root: LinkCell,
    pub(crate) cycle_tag: Cell64,
    pub(crate) owner: LockWord,
    pub(crate) zero: Cell64,
}

const _: () = {
    assert!(cfg!(target_endian = "little"), "the layout is little endian");
    assert!(size_of::<Header>() == 128);
    assert!(align_of::<Header>() == 128);
    assert!(offset_of!(Header, magic) == 0);
    assert!(offset_of!(Header, part_max) == 8);
    assert!(offset_of!(Header, data_max) == 16);
    assert!(offset_of!(Header, gaddr_lo) == 24);
    assert!(offset_of!(Header, gaddr_hi) == 32);
    assert!(offset_of!(Header, name) == 40);
    assert!(offset_of!(Header, seed) == 80);
    assert!(offset_of!(Header, idle_top) == 84);
    assert!(offset_of!(Header, part_head) == 88);
    assert!(offset_of!(Header, part_tail) == 92);
    assert!(offset_of!(Header, used_root) == 96);
    assert!(offset_of!(Header, free_root) == 100);
    assert!(offset_of!(Header, cycle_tag) == 104);
    assert!(offset_of!(Header, owner) == 112);
    assert!(offset_of!(Header, zero) == 120);
};

impl Holder {
    /// Who holds the lock of the workspace that begins with these bytes, `None` if nobody does or
    /// there is no workspace.
    ///
    /// For a look at a region by reading its file, before it is decided whether to map it.
    #[must_use]
    pub fn in_header(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        if word(offset_of!(Header, magic))? != MAGIC {
            return None;
        }
        Self::of_word(word(offset_of!(Header, owner))?)
    }
}

impl Header {
    /// The name as stored.
    pub(crate) fn name(&self) -> Result<Name, NameError> {
        let mut padded = [0; NAME_BYTES_MAX + 1];
        for (bytes, cell) in padded.chunks_exact_mut(8).zip(&self.name) {
            bytes.copy_from_slice(&cell.get().to_ne_bytes());
        }
        Name::from_padded(padded)
    }

    /// Stores the name.
    pub(crate) fn set_name(&self, name: Name) {
        let padded = name.to_padded();
        let (words, _) = padded.as_chunks::<8>();
        for (cell, bytes) in self.name.iter().zip(words) {
            cell.set(u64::from_ne_bytes(*bytes));
        }
    }

    /// Tells lock-free readers that the index is about to change.
    pub(crate) fn raise_cycle_tag(&self) {
        // One that is not in range is damage: then it begins anew.
        let raised = self.cycle_tag.get().wrapping_add(1).max(CYCLE_TAG_MIN);
        // Whoever sees the new tag sees that the lock is held, if they look behind an Acquire fence.
        fence(Ordering::Release);
        self.cycle_tag.set(raised);
        // Whoever sees a later store sees this one, if they load the tag behind an Acquire fence.
        fence(Ordering::Release);
    }

    /// Stores what follows from the geometry.
    pub(crate) fn set_geometry(&self, part_max: u32, data: GaddrRange) {
        self.part_max.set(u64::from(part_max));
        self.data_max.set(data.bytes());
        self.gaddr_lo.set(data.lo().get());
        self.gaddr_hi.set(data.hi().get());
        self.zero.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_is_read_from_bytes_of_a_workspace_only() {
        let mut bytes = [0; 128];
        assert_eq!(Holder::in_header(&bytes), None);
        bytes[..8].copy_from_slice(&MAGIC.to_le_bytes());
        assert_eq!(Holder::in_header(&bytes), Some(Holder::Formatter));
        bytes[112..120].copy_from_slice(&77_u64.to_le_bytes());
        let holder = crate::OwnerId::new(77).map(Holder::Owner);
        assert_eq!(Holder::in_header(&bytes), holder);
        assert_eq!(Holder::in_header(&bytes[..119]), None);
        bytes[112..120].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Holder::in_header(&bytes), None);
        bytes[112..120].copy_from_slice(&77_u64.to_le_bytes());
        bytes[0] ^= 1;
        assert_eq!(Holder::in_header(&bytes), None);
        assert_eq!(Holder::in_header(&[]), None);
    }

    #[test]
    fn a_cycle_tag_is_raised_to_another_one_in_range() {
        let mut blocks = [crate::Block::new()];
        let memory = crate::Memory::of_blocks(&mut blocks);
        let header = memory.header().unwrap();
        for (from, to) in [(4, 5), (1 << 40, (1 << 40) + 1), (3, 4), (0, 4), (u64::MAX, 4)] {
            header.cycle_tag.set(from);
            header.raise_cycle_tag();
            assert_eq!(header.cycle_tag.get(), to);
        }
    }
}
