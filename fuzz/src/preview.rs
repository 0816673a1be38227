//! The front of a checkpoint, in one piece and in many.

use wksp_checkpt::{Checkpoint, preview};

use crate::examine::{ALLOCATIONS_MAX, Trickle};

/// Takes `data` for the start of a checkpoint of any format.
pub fn run(mut data: &[u8]) {
    let whole = data;
    let at_once = preview(&mut data);
    let in_pieces = preview(&mut Trickle::new(whole));
    match (&at_once, &in_pieces) {
        (Ok(one), Ok(other)) => assert_eq!(one, other),
        (Err(one), Err(other)) => assert_eq!(one.to_string(), other.to_string()),
        _ => panic!("{at_once:?} at once, {in_pieces:?} in pieces"),
    }
    if let Ok(opened) = Checkpoint::open_at_most(&whole, ALLOCATIONS_MAX) {
        assert_eq!(Some(opened.preview()), at_once.as_ref().ok());
    }
}
