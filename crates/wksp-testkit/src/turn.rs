//! Taking turns with the huge and gigantic pages of the machine.

use std::fs::File;

/// A directory that is there anyway, and that everybody may open.
const NODES: &str = "/sys/devices/system/node";

/// The only test at the moment that reserves, takes or counts pages, of all threads and processes
/// that ask for a turn.
///
/// It ends when this is dropped, and with the process.
#[derive(Debug)]
#[must_use = "it ends when it is dropped"]
pub struct Turn {
    _machine: File,
}

/// Waits until it is the caller's turn.
///
/// # Panics
///
/// If the kernel does not say what nodes there are: then nobody knows of pages either.
pub fn turn() -> Turn {
    // The lock belongs to the open file, so threads of one process exclude each other as well.
    match File::open(NODES).and_then(|nodes| nodes.lock().map(|()| nodes)) {
        Ok(nodes) => Turn { _machine: nodes },
        Err(error) => panic!("cannot take a turn by {NODES}: {error}"),
    }
}
