//! Files that name the same bytes again and again: refused before that costs anything.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use wksp_checkpt::{Checkpoint, Problem, ReadAt, ReadError, Style, WriteOptions};
use wksp_core::MAGIC;

use crate::heap::{file, filled, options, threads};

const HEADER_BYTES: usize = 80;
const FOOTER_BYTES: usize = 120;
const GROUPS_PER_VOLUME: usize = 1024;

/// A file that counts the bytes that are read from it.
struct Counted {
    bytes: Vec<u8>,
    read: AtomicU64,
}

impl ReadAt for Counted {
    fn bytes(&self) -> io::Result<u64> {
        self.bytes.bytes()
    }

    fn read_at(&self, offset: u64, to: &mut [u8]) -> io::Result<()> {
        self.read.fetch_add(to.len() as u64, Ordering::Relaxed);
        self.bytes.read_at(offset, to)
    }
}

/// A file under way, of which any frames can be listed as groups.
struct Forged {
    style: Style,
    bytes: Vec<u8>,
    footer: Vec<u8>,
}

impl Forged {
    /// Begins with header and info frame of a workspace with very much of everything.
    fn new(style: Style) -> Self {
        let whole = file(&mut filled(&[], 4, 1), &WriteOptions { digest: false, ..options(style) });
        // Behind the info frame there are a volumes frame of one command, and the footer.
        let footer_at = whole.len() - FOOTER_BYTES;
        let volumes_at = word(&whole, footer_at + 24) as usize;
        assert_eq!(word(&whole, whole.len() - 8), !MAGIC);
        let (mut bytes, mut footer) = (whole[..volumes_at].to_vec(), whole[footer_at..].to_vec());
        let (part_max, data_max) = (1_u64 << 31, 1_u64 << 50);
        bytes[HEADER_BYTES - 16..HEADER_BYTES - 8].copy_from_slice(&part_max.to_le_bytes());
        bytes[HEADER_BYTES - 8..HEADER_BYTES].copy_from_slice(&data_max.to_le_bytes());
        footer[40..48].copy_from_slice(&data_max.to_le_bytes());
        footer[48..56].copy_from_slice(&part_max.to_le_bytes());
        Self { style, bytes, footer }
    }

    /// Adds bytes, as a chunk where there are such, and returns where they begin.
    fn add(&mut self, content: &[u8]) -> u64 {
        let at = self.bytes.len() as u64;
        if self.style == Style::Raw {
            self.bytes.extend_from_slice(content);
            return at;
        }
        let mut context = zstd_safe::CCtx::create();
        context.set_parameter(zstd_safe::CParameter::ChecksumFlag(true)).unwrap();
        let mut frame = Vec::with_capacity(zstd_safe::compress_bound(content.len()));
        context.compress2(&mut frame, content).unwrap();
        for size in [content.len(), frame.len()] {
            self.bytes.extend_from_slice(&(size as u32).to_le_bytes());
        }
        self.bytes.extend_from_slice(&frame);
        at
    }

    /// Lists groups of these offsets and counts in appendices, and ends the file.
    fn finish(mut self, groups: &[(u64, u64)]) -> Counted {
        let mut last = 0;
        for groups in groups.chunks(GROUPS_PER_VOLUME) {
            let offsets = groups.iter().map(|group| group.0);
            let counts = groups.iter().map(|group| group.1);
            let words = [0, groups.len() as u64, last].into_iter().chain(offsets).chain(counts);
            last = self.add(&bytes_of(words));
        }
        let volumes_at = self.add(&bytes_of([0, u64::MAX, last]));
        let allocation_count = groups.iter().map(|group| group.1).sum::<u64>();
        let volume_count = groups.len().div_ceil(GROUPS_PER_VOLUME) as u64;
        let total = (self.bytes.len() + FOOTER_BYTES) as u64;
        let counts = [allocation_count, groups.len() as u64, volume_count, volumes_at, total];
        self.footer[..40].copy_from_slice(&bytes_of(counts));
        self.bytes.extend_from_slice(&self.footer);
        Counted { bytes: self.bytes, read: AtomicU64::new(0) }
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn bytes_of(words: impl IntoIterator<Item = u64>) -> Vec<u8> {
    words.into_iter().flat_map(u64::to_le_bytes).collect()
}

const DATA: [u64; 3] = [0, u64::MAX, u64::MAX];

/// The description of an allocation of these bytes, far from that of any other `number`.
fn allocation(number: u64, bytes: u64) -> [u64; 3] {
    let lo = (1 << 40) + (number << 32);
    [1, lo, lo + bytes]
}

fn is_overlap<T>(done: &Result<T, ReadError>) -> bool {
    matches!(done, Err(ReadError::Malformed { problem: Problem::FrameOverlap, .. }))
}

#[track_caller]
fn assert_refused_cheaply(source: &Counted) {
    let opened = Checkpoint::open(source).map(drop);
    assert!(is_overlap(&opened), "{opened:?}");
    assert_cheap(source);
}

#[track_caller]
fn assert_cheap(source: &Counted) {
    let (read, bytes) = (source.read.load(Ordering::Relaxed), source.bytes.len() as u64);
    assert!(read <= 64 * 1024 + 8 * bytes, "{read} bytes were read of {bytes}");
}

#[test]
fn groups_that_end_with_the_same_allocations_are_refused() {
    const COUNT: u64 = 2000;
    let mut forged = Forged::new(Style::Raw);
    let groups: Vec<(u64, u64)> = (0..COUNT)
        .map(|number| (forged.add(&bytes_of(allocation(number, 1))), COUNT - number))
        .collect();
    forged.add(&bytes_of(DATA));
    forged.add(&[7; COUNT as usize]);
    assert_refused_cheaply(&forged.finish(&groups));
}

#[test]
fn a_group_that_is_listed_again_and_again_is_refused() {
    let mut forged = Forged::new(Style::Zstd { level: 3 });
    let mut content = bytes_of(DATA);
    content.resize(2 * 1024 * 1024, 0);
    let at = forged.add(&content);
    // Each would be 2 MiB to decompress.
    assert_refused_cheaply(&forged.finish(&[(at, 0); 20_000]));
}

#[test]
fn groups_that_end_with_the_same_chunks_are_refused() {
    const COUNT: u64 = 200;
    const CHUNKS: u64 = 100;
    const CHUNK_BYTES: u64 = 2 * 1024 * 1024;
    let mut forged = Forged::new(Style::Zstd { level: 3 });
    let groups: Vec<(u64, u64)> = (0..COUNT)
        .map(|number| {
            // The first chunks of the groups behind it are data of this one.
            let bytes = 48 * (COUNT - 1 - number) + CHUNKS * CHUNK_BYTES;
            let words = allocation(number, bytes).into_iter().chain(DATA);
            (forged.add(&bytes_of(words)), 1)
        })
        .collect();
    for _ in 0..CHUNKS {
        forged.add(&[0; CHUNK_BYTES as usize]);
    }
    let source = forged.finish(&groups);
    let checkpoint = Checkpoint::open(&source).unwrap();
    assert!(is_overlap(&checkpoint.inspect(&threads(2))));
    assert!(is_overlap(&checkpoint.extract(|_| true, &mut Vec::new(), &threads(1))));
    assert!(is_overlap(&checkpoint.verify(&threads(1))));
    assert_cheap(&source);
}

#[test]
fn a_forged_file_that_names_nothing_twice_is_read() {
    for style in [Style::Raw, Style::Zstd { level: 3 }] {
        let mut forged = Forged::new(style);
        let groups: Vec<(u64, u64)> = (0..3)
            .map(|number| {
                let words = allocation(number, 24).into_iter().chain(DATA).chain([1, 2, 3]);
                (forged.add(&bytes_of(words)), 1)
            })
            .collect();
        let source = forged.finish(&groups);
        let checkpoint = Checkpoint::open(&source).unwrap();
        assert_eq!(checkpoint.allocations().len(), 3);
        checkpoint.verify(&threads(1)).unwrap();
    }
}
