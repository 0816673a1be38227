//! A program without std that formats a workspace, allocates and frees: proof that wksp-core and
//! wksp-treap need neither std nor an allocator.
//!
//! If either linked std, there would be two panic handlers; if either used `alloc`, the global
//! allocator would be missing. Both are errors of the linker or the compiler.
//! The C library is here for what starts a program, and for `memcpy` and its like.
//!
//! # Safety
//!
//! The only unsafe code is two names, which nothing else in this program has.

#![no_std]
#![no_main]

use core::ffi::{c_char, c_int};
use core::panic::PanicInfo;

use wksp_core::{Align, Block, Format, Geometry, Memory, Name, Solo, Tag, Workspace};
use wksp_treap::{FreeTreap, GaddrRange, LinkCell, PartitionRecord, Table};

#[link(name = "c")]
unsafe extern "C" {}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// What the precompiled `core` calls to unwind, which this program never does.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Uses both crates, `None` if anything is not as it should be.
fn prove() -> Option<()> {
    let mut blocks = [const { Block::new() }; 256];
    let memory = Memory::of_blocks(&mut blocks);
    let format = Format {
        name: Name::new("proof").ok()?,
        seed: 1,
        geometry: Geometry::for_footprint(memory.bytes() as u64, 256).ok()?,
    };
    let workspace = Workspace::format(memory, Solo, format).ok()?;
    let tag = Tag::new(42)?;
    let first = workspace.lock().ok()?.alloc(Align::CACHE_LINE, 1000, tag).ok()?;
    let second = workspace.lock().ok()?.alloc(Align::PAGE, 100, tag).ok()?;
    workspace.copy_in(first, b"no std, no allocator").ok()?;
    workspace.lock().ok()?.free(first).ok()?;
    let mut guard = workspace.lock().ok()?;
    guard.rebuild(None).ok()?;
    (guard.tag(first).is_none() && guard.tag(second) == Some(tag)).then_some(())?;
    guard.verify().is_clean().then_some(())?;

    let records: [PartitionRecord; 2] = Default::default();
    let (table, root) = (Table::new(&records), LinkCell::default());
    let by_size = FreeTreap::new(table, &root);
    for index in table.indices() {
        table.get(index).ok()?.set_range(GaddrRange::new(4096, 8192)?);
        by_size.insert(index, None).ok()?;
    }
    by_size.smallest_at_least(4096, None).ok()?.map(|_| ())
}

#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    if prove().is_some() { 0 } else { 1 }
}
