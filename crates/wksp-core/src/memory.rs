//! The bytes of a region: the one place where raw memory becomes header, records and data.
//!
//! # Safety
//!
//! [`Memory::from_raw_parts`] is where the caller vouches for the memory, in three numbered
//! obligations that the comments below refer to.
//! Everything else follows from two facts: each access is checked against the length of the memory,
//! and each is atomic, so that it may race with other threads and processes.
//! No reference to the data bytes is ever made.
//!
//! One thing goes beyond what the language defines: bytes are copied in words, which may race with
//! accesses of another size, such as a second copy that begins elsewhere.
//! Atomic accesses of mixed size to the same bytes are not defined by the memory model of the
//! language, but are by every processor, as plain loads and stores that may be torn.
#![expect(unsafe_code, reason = "raw bytes to header and records; see the paragraph above")]

use core::marker::PhantomData;
use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use wksp_treap::{Gaddr, GaddrRange, PartitionRecord};

use crate::geometry::{HEADER_BYTES, WORKSPACE_ALIGN};
use crate::header::Header;

/// Memory that holds a workspace or is to hold one.
///
/// A copy is another view of the same memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'m> {
    base: NonNull<u8>,
    bytes: usize,
    lifetime: PhantomData<&'m [Block]>,
}

// SAFETY: a view is an address and a length, and every access through it is atomic.
unsafe impl Send for Memory<'_> {}
// SAFETY: as above.
unsafe impl Sync for Memory<'_> {}

/// 128 bytes at the alignment of a workspace, of which private memory for one can be made.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Block([AtomicU64; 16]);

impl Block {
    /// Makes a block of zeros.
    #[must_use]
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 16])
    }
}

/// Why memory is not fit for a workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a workspace must lie at a multiple of {WORKSPACE_ALIGN} bytes, but this address is {at:#x}"
)]
pub struct Misaligned {
    /// The address.
    pub at: usize,
}

/// An address or length that does not lie within the memory or the data of the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes from {gaddr} on do not lie within the data {data} of the workspace")]
pub struct OutsideData {
    /// The first address asked for.
    pub gaddr: Gaddr,
    /// The number of bytes asked for.
    pub bytes: u64,
    /// What there is.
    pub data: GaddrRange,
}

impl<'m> Memory<'m> {
    /// Views `bytes` bytes from `base` on.
    ///
    /// # Errors
    ///
    /// [`Misaligned`] if `base` is not a multiple of 128.
    ///
    /// # Safety
    ///
    /// 1. The bytes are mapped, readable and writable for all of `'m`.
    /// 2. They are initialised, as memory from the kernel is.
    /// 3. For all of `'m` nothing in this process reads or writes them but through atomics, or
    ///    through pointers to allocations whose users see to it that they do not race.
    ///    Other processes may do what they like.
    pub unsafe fn from_raw_parts(base: NonNull<u8>, bytes: usize) -> Result<Self, Misaligned> {
        if !base.cast::<Block>().is_aligned() {
            return Err(Misaligned { at: base.addr().get() });
        }
        Ok(Self { base, bytes, lifetime: PhantomData })
    }

    /// Views private memory of the process, for workspaces on the heap or in tests.
    #[must_use]
    pub fn of_blocks(blocks: &'m mut [Block]) -> Self {
        let bytes = size_of_val(blocks);
        Self { base: NonNull::from(blocks).cast(), bytes, lifetime: PhantomData }
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.bytes
    }

    /// The address of the first byte in this process.
    #[must_use]
    pub const fn base(self) -> NonNull<u8> {
        self.base
    }

    /// The header, `None` if the memory has no room for one.
    pub(crate) fn header(self) -> Option<&'m Header> {
        // SAFETY: obligations 1 and 2 cover these bytes, since there are enough of them; the
        // alignment was checked on construction; a header is made of atomics, so obligation 3 and
        // every bit pattern will do.
        (self.bytes as u64 >= HEADER_BYTES).then(|| unsafe { self.base.cast::<Header>().as_ref() })
    }

    /// The first `count` records, `None` if the memory has no room for them.
    pub(crate) fn records(self, count: u32) -> Option<&'m [PartitionRecord]> {
        let count = usize::try_from(count).ok()?;
        let needed = size_of::<PartitionRecord>().checked_mul(count)?;
        if self.bytes.checked_sub(size_of::<Header>())? < needed {
            return None;
        }
        // SAFETY: the records begin behind the header, which was just found to lie within.
        let first = unsafe { self.base.add(size_of::<Header>()) }.cast::<PartitionRecord>();
        // SAFETY: as for the header; 128 is a multiple of the alignment of records.
        Some(unsafe { slice::from_raw_parts(first.as_ptr(), count) })
    }

    /// The address in this process of the byte at `gaddr`, `None` outside the memory.
    pub(crate) fn pointer(self, gaddr: Gaddr) -> Option<NonNull<u8>> {
        let offset = usize::try_from(gaddr.get()).ok().filter(|&offset| offset < self.bytes)?;
        // SAFETY: the offset was just found to lie within the memory of obligation 1.
        Some(unsafe { self.base.add(offset) })
    }

    /// The bytes of a range: single ones, words, single ones. `None` if they do not lie within.
    fn atoms(self, offset: usize, bytes: usize) -> Option<Atoms<'m>> {
        if offset.checked_add(bytes)? > self.bytes {
            return None;
        }
        // SAFETY: the start was just found to lie within the memory or at its end.
        let start = unsafe { self.base.add(offset) }.cast::<AtomicU8>();
        // SAFETY: as many bytes lie within; obligations 1 to 3 make them atomic ones.
        let all = unsafe { slice::from_raw_parts(start.as_ptr(), bytes) };
        // SAFETY: eight atomic bytes at the alignment of a word make an atomic word.
        let (head, words, tail) = unsafe { all.align_to::<AtomicU64>() };
        Some(Atoms { head, words, tail })
    }

    /// Copies raw bytes out of the memory, header and records included, from `offset` on.
    ///
    /// `None` if they do not lie within; then `to` is unchanged.
    #[must_use]
    pub fn copy_out(self, offset: usize, to: &mut [u8]) -> Option<()> {
        let atoms = self.atoms(offset, to.len())?;
        let (to_head, rest) = to.split_at_mut_checked(atoms.head.len())?;
        let (to_words, to_tail) = rest.as_chunks_mut();
        for (to, word) in to_words.iter_mut().zip(atoms.words) {
            *to = word.load(Ordering::Relaxed).to_ne_bytes();
        }
        for (to, byte) in to_head.iter_mut().chain(to_tail).zip(atoms.head.iter().chain(atoms.tail))
        {
            *to = byte.load(Ordering::Relaxed);
        }
        Some(())
    }

    /// Copies raw bytes into the memory, over header and records if told so, from `offset` on.
    ///
    /// This is for images of whole workspaces; a workspace that is in use is damaged by it.
    /// `None` if they do not lie within; then nothing is changed.
    #[must_use]
    pub fn copy_in(self, offset: usize, from: &[u8]) -> Option<()> {
        let atoms = self.atoms(offset, from.len())?;
        let (from_head, rest) = from.split_at_checked(atoms.head.len())?;
        let (from_words, from_tail) = rest.as_chunks();
        for (from, word) in from_words.iter().zip(atoms.words) {
            word.store(u64::from_ne_bytes(*from), Ordering::Relaxed);
        }
        for (from, byte) in
            from_head.iter().chain(from_tail).zip(atoms.head.iter().chain(atoms.tail))
        {
            byte.store(*from, Ordering::Relaxed);
        }
        Some(())
    }

    /// Sets all bytes of a range to `value`, `None` if they do not lie within.
    pub(crate) fn fill(self, range: GaddrRange, value: u8) -> Option<()> {
        let offset = usize::try_from(range.lo().get()).ok()?;
        let atoms = self.atoms(offset, usize::try_from(range.bytes()).ok()?)?;
        for word in atoms.words {
            word.store(u64::from_ne_bytes([value; 8]), Ordering::Relaxed);
        }
        for byte in atoms.head.iter().chain(atoms.tail) {
            byte.store(value, Ordering::Relaxed);
        }
        Some(())
    }
}

/// Memory that holds a workspace and is only to be looked at; it may be mapped without the
/// permission to write.
///
/// A copy is another view of the same memory.
#[derive(Clone, Copy, Debug)]
pub struct ReadOnlyMemory<'m>(Memory<'m>);

impl<'m> ReadOnlyMemory<'m> {
    /// Views `bytes` bytes from `base` on.
    ///
    /// # Errors
    ///
    /// [`Misaligned`] if `base` is not a multiple of 128.
    ///
    /// # Safety
    ///
    /// As of [`Memory::from_raw_parts`], but the bytes need not be writable.
    // Nothing of the crate stores to what the methods below lend, and nobody else is lent it. They
    // load with Relaxed order only, which is defined for memory that cannot be written, too.
    pub unsafe fn from_raw_parts(base: NonNull<u8>, bytes: usize) -> Result<Self, Misaligned> {
        // SAFETY: obligations 1 to 3 are the caller's, except that nothing is written through this.
        unsafe { Memory::from_raw_parts(base, bytes) }.map(Self)
    }

    /// The number of bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0.bytes
    }

    /// The header, never to be stored to.
    pub(crate) fn header(self) -> Option<&'m Header> {
        self.0.header()
    }

    /// The first `count` records, never to be stored to.
    pub(crate) fn records(self, count: u32) -> Option<&'m [PartitionRecord]> {
        self.0.records(count)
    }

    /// Copies raw bytes out of the memory, header and records included, from `offset` on.
    ///
    /// `None` if they do not lie within; then `to` is unchanged.
    #[must_use]
    pub fn copy_out(self, offset: usize, to: &mut [u8]) -> Option<()> {
        self.0.copy_out(offset, to)
    }
}

impl<'m> From<Memory<'m>> for ReadOnlyMemory<'m> {
    fn from(memory: Memory<'m>) -> Self {
        Self(memory)
    }
}

/// A run of bytes as atomics, as many as possible of them in words.
struct Atoms<'m> {
    head: &'m [AtomicU8],
    words: &'m [AtomicU64],
    tail: &'m [AtomicU8],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_beyond_the_memory() {
        let mut blocks = [const { Block::new() }; 3];
        let memory = Memory::of_blocks(&mut blocks);
        assert_eq!(memory.bytes(), 384);
        assert_eq!(memory.records(4).map(<[_]>::len), Some(4));
        assert!(memory.records(0).is_some_and(<[_]>::is_empty));
        assert!(memory.records(5).is_none() && memory.records(u32::MAX).is_none());
        let pointer = |gaddr| memory.pointer(Gaddr::new(gaddr).unwrap());
        assert_eq!(
            pointer(383).map(|byte| byte.addr().get() - memory.base().addr().get()),
            Some(383)
        );
        assert!(pointer(384).is_none() && pointer(u64::MAX - 1).is_none());
        for (offset, bytes, is_within) in
            [(0, 384, true), (384, 0, true), (383, 1, true), (383, 2, false), (385, 0, false)]
        {
            assert_eq!(memory.copy_out(offset, &mut [0; 384][..bytes]).is_some(), is_within);
            assert_eq!(memory.copy_in(offset, &[0; 384][..bytes]).is_some(), is_within);
        }
        assert!(memory.copy_out(usize::MAX, &mut [0; 2]).is_none());

        let mut one = [const { Block::new() }];
        let memory = Memory::of_blocks(&mut one);
        assert!(memory.header().is_some() && memory.records(0).is_some());
        assert!(memory.records(1).is_none());
        let memory = Memory::of_blocks(&mut []);
        assert!(memory.header().is_none() && memory.records(0).is_none());
    }

    #[test]
    fn bytes_come_out_as_they_were_put_in_at_any_alignment() {
        let mut blocks = [const { Block::new() }];
        let memory = Memory::of_blocks(&mut blocks);
        let mut expected = [0; 128];
        for (lo, bytes) in (0..20).flat_map(|lo| (1..40).map(move |bytes| (lo, bytes))) {
            let value = u8::try_from(bytes).unwrap();
            let mut from = [value; 40];
            (0..).zip(&mut from).for_each(|(at, byte)| *byte = byte.wrapping_mul(at) ^ 0x5A);
            memory.copy_in(lo, &from[..bytes]).unwrap();
            expected[lo..lo + bytes].copy_from_slice(&from[..bytes]);
            let mut found = [0; 40];
            memory.copy_out(lo, &mut found[..bytes]).unwrap();
            assert_eq!(found[..bytes], from[..bytes]);

            let range = GaddrRange::new(60 + lo as u64, (60 + lo + bytes) as u64).unwrap();
            memory.fill(range, value).unwrap();
            expected[60 + lo..60 + lo + bytes].fill(value);
            let mut all = [0; 128];
            memory.copy_out(0, &mut all).unwrap();
            assert_eq!(all, expected);
        }
        assert!(memory.fill(GaddrRange::new(100, 129).unwrap(), 1).is_none());
        memory.fill(GaddrRange::new(100, 128).unwrap(), 1).unwrap();
    }
}
