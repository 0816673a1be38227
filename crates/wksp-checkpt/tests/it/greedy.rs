//! Files that name the same bytes again and again: refused before that costs anything.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use wksp_checkpt::{Checkpoint, Problem, ReadAt, ReadError, Style, WriteOptions};
use wksp_core::MAGIC;

use crate::heap::{file, filled, options, stream, threads};

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
        let allocation_count = groups.iter().map(|group| group.1).sum::<u64>();
        let volume_count = groups.len().div_ceil(GROUPS_PER_VOLUME) as u64;
        self.finish_with(last, [allocation_count, groups.len() as u64, volume_count])
    }

    /// Ends the file behind the last appendix, with the numbers of allocations, groups and volumes.
    fn finish_with(mut self, last_appendix: u64, counts: [u64; 3]) -> Counted {
        let volumes_at = self.add(&bytes_of([0, u64::MAX, last_appendix]));
        let total = (self.bytes.len() + FOOTER_BYTES) as u64;
        self.footer[..24].copy_from_slice(&bytes_of(counts));
        self.footer[24..40].copy_from_slice(&bytes_of([volumes_at, total]));
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

#[track_caller]
fn problem_of<T: std::fmt::Debug>(done: Result<T, ReadError>) -> (u64, Problem) {
    match done {
        Err(ReadError::Malformed { offset, problem }) => (offset, problem),
        done => panic!("{done:?}"),
    }
}

#[test]
fn bytes_of_an_allocation_end_before_the_next_frame() {
    for (bytes, found) in
        [(24, None), (25, Some(true)), (24 + 48, Some(true)), (1 << 30, Some(false))]
    {
        let mut forged = Forged::new(Style::Raw);
        let one = allocation(0, bytes).into_iter().chain(DATA).chain([1, 2, 3]);
        let two = allocation(1, 8).into_iter().chain(DATA).chain([4]);
        let groups = [forged.add(&bytes_of(one)), forged.add(&bytes_of(two))];
        let source = forged.finish(&groups.map(|at| (at, 1)));
        let footer_at = (source.bytes.len() - FOOTER_BYTES) as u64;
        match (Checkpoint::open(&source).map(drop), found) {
            (Ok(()), None) => {}
            (done, Some(true)) => {
                assert_eq!(problem_of(done), (groups[1], Problem::FrameOverlap));
            }
            (Err(ReadError::Truncated { offset }), Some(false)) => assert_eq!(offset, footer_at),
            (done, _) => panic!("{done:?} of {bytes} bytes"),
        }
    }
}

#[test]
fn an_appendix_that_reaches_into_the_volumes_frame_is_refused() {
    let mut forged = Forged::new(Style::Raw);
    let group = forged.add(&bytes_of(DATA));
    // The last word, the count of the group, is the first of the volumes frame: 0, as it should be.
    let appendix = forged.add(&bytes_of([0, 1, 0, group]));
    let volumes_at = appendix + 32;
    let source = forged.finish_with(appendix, [0, 1, 1]);
    let checkpoint = Checkpoint::open(&source).unwrap();
    let found = problem_of(checkpoint.verify(&threads(1)));
    assert_eq!(found, (volumes_at, Problem::FrameOverlap));
}

#[test]
fn an_appendix_names_one_that_lies_before_it() {
    for ahead in [0, 8, u64::MAX - 10_000] {
        let mut forged = Forged::new(Style::Raw);
        let group = forged.add(&bytes_of(DATA));
        let named = group + 24 + ahead;
        let appendix = forged.add(&bytes_of([0, 1, named, group, 0]));
        let source = forged.finish_with(appendix, [0, 1, 1]);
        let found = problem_of(Checkpoint::open(&source).map(drop));
        assert_eq!(found, (appendix, Problem::Offset { found: named }));
    }
    // Nor does anything lie in the header.
    let forged = Forged::new(Style::Raw);
    let volumes_at = forged.bytes.len() as u64;
    let source = forged.finish_with(40, [0, 0, 1]);
    let found = problem_of(Checkpoint::open(&source).map(drop));
    assert_eq!(found, (volumes_at, Problem::Offset { found: 40 }));
}

#[test]
fn a_stream_ends_with_the_appendix_that_it_names() {
    let mut heap = filled(&[100; 3], 8, 1);
    let options = WriteOptions { digest: false, ..options(Style::Raw) };
    let bytes = stream(&mut heap, &options);
    let volumes_at = word(&bytes, bytes.len() - FOOTER_BYTES + 24) as usize;
    for wrong in [0_u64, 1] {
        let mut other = bytes.clone();
        other[volumes_at + 16..volumes_at + 24].copy_from_slice(&wrong.to_le_bytes());
        let spooled = Checkpoint::spool(&mut &other[..], &mut Vec::new(), u64::MAX).map(drop);
        let command = Problem::Command { words: [0, u64::MAX, wrong] };
        assert_eq!(problem_of(spooled), (volumes_at as u64, command));
    }
}

#[test]
fn a_file_that_lost_the_mark_of_its_digest_is_refused() {
    let mut heap = filled(&[100; 3], 8, 1);
    let mut bytes = file(&mut heap, &options(Style::Raw));
    let preview = Checkpoint::open(&bytes).unwrap().preview().clone();
    let text = preview.provenance.user_info.as_bytes().to_vec();
    let at = bytes.windows(text.len()).position(|part| part == text).unwrap() + text.len();
    // The mark is text behind the user info; now it is some other text.
    let end = at + bytes[at..].iter().position(|byte| *byte == 0).unwrap();
    assert!(end > at);
    bytes[at..end].fill(b'x');
    assert_eq!(problem_of(Checkpoint::open(&bytes).map(drop)).1, Problem::DigestMark);
}

#[test]
fn bytes_between_frames_are_refused_where_no_digest_reaches() {
    let mut heap = filled(&[100; 3], 8, 1);
    for style in [Style::Raw, Style::Lz4] {
        for digest in [false, true] {
            let mut bytes = stream(&mut heap, &WriteOptions { digest, ..options(style) });
            let footer_at = bytes.len() - FOOTER_BYTES;
            let total = bytes.len() as u64 + 8;
            bytes[footer_at + 32..footer_at + 40].copy_from_slice(&total.to_le_bytes());
            bytes.splice(footer_at..footer_at, [7; 8]);
            let checkpoint = Checkpoint::open(&bytes).unwrap();
            let verified = checkpoint.verify(&threads(1));
            if digest {
                assert_eq!(problem_of(verified), (footer_at as u64, Problem::FrameGap));
            } else {
                assert!(!verified.unwrap().is_protected());
            }
        }
    }
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
