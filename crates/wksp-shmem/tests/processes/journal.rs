//! What a worker has done, in a file that survives it.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// An allocation of a worker; no two have the same tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) gaddr: u64,
    pub(crate) bytes: u64,
}

/// An entry: written before an operation as an intent, and after it as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    WillAlloc {
        tag: u64,
        bytes: u64,
    },
    Allocated {
        tag: u64,
        gaddr: u64,
        bytes: u64,
    },
    /// There was no room.
    Refused {
        tag: u64,
    },
    WillFree {
        tag: u64,
    },
    Freed {
        tag: u64,
    },
    /// The lock was a dead process's; stands anywhere among the others.
    TookOver {
        rebuilt: bool,
    },
}

impl Entry {
    const BYTES: usize = 32;

    fn encode(self) -> [u8; Self::BYTES] {
        let words = match self {
            Self::WillAlloc { tag, bytes } => [1, tag, 0, bytes],
            Self::Allocated { tag, gaddr, bytes } => [2, tag, gaddr, bytes],
            Self::Refused { tag } => [3, tag, 0, 0],
            Self::WillFree { tag } => [4, tag, 0, 0],
            Self::Freed { tag } => [5, tag, 0, 0],
            Self::TookOver { rebuilt } => [6, 0, 0, u64::from(rebuilt)],
        };
        let mut encoded = [0; Self::BYTES];
        for (bytes, word) in encoded.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&u64::to_le_bytes(word));
        }
        encoded
    }

    fn decode(encoded: &[u8]) -> Self {
        let word = |at: usize| u64::from_le_bytes(*encoded[8 * at..].first_chunk().unwrap());
        let (tag, gaddr, bytes) = (word(1), word(2), word(3));
        match word(0) {
            1 => Self::WillAlloc { tag, bytes },
            2 => Self::Allocated { tag, gaddr, bytes },
            3 => Self::Refused { tag },
            4 => Self::WillFree { tag },
            5 => Self::Freed { tag },
            6 => Self::TookOver { rebuilt: bytes != 0 },
            kind => panic!("a journal has an entry of kind {kind}"),
        }
    }
}

/// What a journal adds up to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    /// What is allocated, by tag.
    pub(crate) live: BTreeMap<u64, Live>,
    /// The intent that the worker did not come to call done.
    pub(crate) open: Option<Entry>,
    /// How many operations are done.
    pub(crate) done: u64,
    /// The highest tag that was ever meant to be used.
    pub(crate) last_tag: u64,
    /// How often the worker has taken the lock over from a dead one.
    pub(crate) taken_over: u64,
    /// How often it had to rebuild the index then.
    pub(crate) rebuilt: u64,
}

/// Adds up a journal; an entry of which a kill left only part was not written.
pub(crate) fn replay(path: &Path) -> Replay {
    let bytes = std::fs::read(path).unwrap();
    let mut replay = Replay::default();
    for encoded in bytes.chunks_exact(Entry::BYTES) {
        let entry = Entry::decode(encoded);
        if let Entry::TookOver { rebuilt } = entry {
            replay.taken_over += 1;
            replay.rebuilt += u64::from(rebuilt);
            continue;
        }
        let is_intent = matches!(entry, Entry::WillAlloc { .. } | Entry::WillFree { .. });
        assert_eq!(replay.open.is_none(), is_intent, "{entry:?} after {:?}", replay.open);
        match entry {
            Entry::WillAlloc { tag, .. } => replay.last_tag = replay.last_tag.max(tag),
            Entry::Allocated { tag, gaddr, bytes } => {
                assert_eq!(replay.live.insert(tag, Live { gaddr, bytes }), None);
            }
            Entry::Freed { tag } => assert!(replay.live.remove(&tag).is_some()),
            Entry::WillFree { tag } => assert!(replay.live.contains_key(&tag)),
            Entry::Refused { .. } | Entry::TookOver { .. } => {}
        }
        replay.open = is_intent.then_some(entry);
        replay.done += u64::from(!is_intent);
    }
    replay
}

/// A journal being written.
#[derive(Debug)]
pub(crate) struct Journal(File);

impl Journal {
    /// Opens a journal to append to, cutting off an entry that a kill left incomplete.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        let length = file.metadata()?.len();
        file.set_len(length - length % Entry::BYTES as u64)?;
        Ok(Self(file))
    }

    pub(crate) fn write(&mut self, entry: Entry) {
        self.0.write_all(&entry.encode()).unwrap();
    }
}
