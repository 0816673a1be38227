//! What a machine must be like that others are to run in.

use std::env::consts::ARCH;
use std::fs;

use anyhow::{Result, bail};

/// What the others are.
const GUEST_ARCH: &str = "x86_64";

/// The memory that the largest of the others comes to use: eight gigantic pages, and some more.
const MEMORY_GIB: u64 = 11;

/// Fails if this machine cannot have others in it, whatever is installed.
pub(super) fn check() -> Result<()> {
    if ARCH != GUEST_ARCH {
        bail!("they run programs for {GUEST_ARCH}, and here these are for {ARCH}");
    }
    let available = fs::read_to_string("/proc/meminfo").ok();
    match available.and_then(|text| available_gib(&text)) {
        Some(gib) if gib < MEMORY_GIB => {
            bail!("they take {MEMORY_GIB} GiB of memory, and of this machine's {gib} are available")
        }
        _ => Ok(()),
    }
}

/// Returns how much memory is available by the text of /proc/meminfo.
fn available_gib(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_found_among_the_rest() {
        let text = "MemTotal:       24689540 kB\nMemAvailable:   12582911 kB\n";
        assert_eq!(available_gib(text), Some(11));
        assert_eq!(available_gib("MemTotal: 1 kB\n"), None);
    }
}
