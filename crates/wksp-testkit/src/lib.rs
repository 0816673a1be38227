//! Judges the other wksp crates by what the specifications say, without using a line of them.
//!
//! ```
//! use wksp_testkit::model::{Model, Wanted};
//!
//! let mut model = Model::new(4096..8192);
//! let wanted = Wanted { bytes: 100, align: 64, tag: 7 };
//! model.insert(4096..4196, wanted, 1)?;
//! assert_eq!(model.tag_at(4195), Some(7));
//! assert_eq!(model.gaps(), [4196..8192]);
//! # Ok::<(), wksp_testkit::model::Rejection>(())
//! ```
//!
//! Everything here is simple and slow, allocates freely and works on plain byte slices: nothing maps
//! memory, or takes the lock of a workspace or writes to it.
//! No input whatever makes it panic or hang, except where a function says so.

pub mod checkpoint;
mod cursor;
pub mod golden;
pub mod image;
pub mod lz4_block;
pub mod model;
pub mod naive_v1;
pub mod naive_v2;
pub mod pattern;
pub mod rng;
pub mod skip;
pub mod turn;
