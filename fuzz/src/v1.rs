//! The v1 stream, read by offset and from front to back: both say the same.

use crate::examine;

/// Takes `data` for a checkpoint of v1.
pub fn run(data: &[u8]) {
    if examine::is_v2(data) {
        return;
    }
    let by_offset = examine::by_offset(data);
    let streamed = examine::stream(data);
    assert_eq!(by_offset, streamed.is_some(), "only one of two ways to read it works");
}
