//! v2 with raw, LZ4 or zstd frames, read from its footer on.

use crate::examine;

/// Takes `data` for a checkpoint of v2, of the style that it names.
pub fn run(data: &[u8]) {
    if examine::is_v2(data) {
        examine::by_offset(data);
    }
}
