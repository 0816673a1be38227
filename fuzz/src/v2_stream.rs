//! v2 with raw, LZ4 or zstd frames, read from front to back: what is read so can be read by offset.

use crate::examine;

/// Takes `data` for a stream that begins with a checkpoint of v2.
pub fn run(data: &[u8]) {
    if examine::is_v2(data) {
        examine::stream(data);
    }
}
