//! Checkpoints of shared-memory workspaces, written and read in parallel, and validated before
//! anything is touched.
//!
//! [`write()`] writes what is allocated in a locked workspace to a [`Sink`].
//! [`Checkpoint::open`] reads it from a source by offset, [`Checkpoint::spool`] from a stream;
//! [`Checkpoint::verify`] reads every byte, and what has been verified can be restored.
//!
//! ```
//! use wksp_checkpt::{Checkpoint, Control, RestoreOptions, WriteOptions, write};
//! use wksp_core::{Align, Block, Format, Geometry, Memory, Name, Solo, Tag, Workspace};
//!
//! let geometry = Geometry::with_part_max(64 * 128, 16)?;
//! let format = Format { name: Name::new("scratch")?, seed: 0, geometry };
//!
//! let mut blocks = [const { Block::new() }; 64];
//! let workspace = Workspace::format(Memory::of_blocks(&mut blocks), Solo, format)?;
//! let tag = Tag::new(42).expect("not 0");
//! let gaddr = workspace.lock()?.alloc(Align::CACHE_LINE, 1000, tag)?;
//! workspace.copy_in(gaddr, b"to be kept")?;
//!
//! let mut stored = Vec::new();
//! let written = write(&workspace.lock()?, &mut stored, &WriteOptions::default())?;
//! assert_eq!((written.allocations, written.data_bytes), (1, 1000));
//!
//! let mut blocks = [const { Block::new() }; 64];
//! let other = Workspace::format(Memory::of_blocks(&mut blocks), Solo, format)?;
//! let checkpoint = Checkpoint::open(&stored)?;
//! let verified = checkpoint.verify(&Control::default())?;
//! assert!(verified.is_protected());
//! verified.restore(&mut other.lock()?, &RestoreOptions::default())?;
//!
//! let mut found = [0; 10];
//! other.copy_out(gaddr, &mut found)?;
//! assert_eq!(&found, b"to be kept");
//! assert_eq!(other.lock()?.tag(gaddr), Some(tag));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Formats
//!
//! v1, v2 with raw frames and v2 with LZ4 frames ("v3") are those of the C implementation, which
//! reads what is written here, and whose files are read here.
//! v2 with zstd frames is of this library alone.
//! A digest lies where existing readers ignore it, see [`Protection`].
//!
//! # What it does not do
//!
//! It names no region, maps no memory and opens no file by itself, [`publish`] excepted, which is
//! told a directory and a name.
//! It never logs or prints.
//! It trusts nothing it reads: a checkpoint that is damaged or was made to do harm is refused before
//! a byte of the workspace is touched, and costs no more memory than an honest one of its
//! allocations.
//! A digest tells damage, not malice: it is no signature.

mod checkpoint;
mod content;
mod control;
mod digest;
mod encode;
mod error;
mod frame;
mod head;
mod index;
mod input;
mod layout;
mod lz4;
mod output;
mod parallel;
mod pass;
mod provenance;
pub mod publish;
mod restore;
mod scan;
mod shared;
mod sink;
mod source;
mod style;
mod svw;
mod verify;
mod write;
mod zstd;

pub use checkpoint::{Checkpoint, Stored};
pub use control::{Control, Progress};
pub use digest::Protection;
pub use error::{Problem, ReadError, WriteError};
pub use head::{Format, Preview, preview};
pub use provenance::{Provenance, Text};
pub use restore::{RestoreError, RestoreOptions, Restored};
pub use shared::{SharedBytes, SharedSpace};
pub use sink::{Append, MemoryFile, Sink, WriteAt, Writer};
pub use source::{FromStart, ReadAt};
pub use style::{FrameStyle, Style};
pub use verify::Verified;
pub use write::{WriteOptions, Written, write};
