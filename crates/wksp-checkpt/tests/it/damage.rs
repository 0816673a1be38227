//! Damaged checkpoints: refused, or of the right content, and never anything worse.
//!
//! `WKSP_DAMAGES` sets how many random damages are tried for each style, instead of 2,000.

use wksp_checkpt::{
    Checkpoint, Problem, ReadError, RestoreError, RestoreOptions, Style, WriteOptions,
};
use wksp_core::{Solo, Tag, Workspace};
use wksp_testkit::golden::{Allocation, Flavour, available};
use wksp_testkit::rng::Rng;

use crate::heap::{Heap, STYLES, extracted, file, filled, options, stream, threads};

/// A workspace that holds something live, and what a checkpoint should hold.
struct Target {
    heap: Heap,
    before: Vec<u8>,
    expected: Vec<Allocation>,
}

impl Target {
    fn new(expected: Vec<Allocation>, geometry: wksp_core::Geometry) -> Self {
        let mut heap = Heap::new(geometry.footprint());
        let workspace = heap.format("target", geometry);
        let tag = Tag::new(1).unwrap();
        let gaddr = workspace.lock().unwrap().alloc(wksp_core::Align::BYTE, 9, tag).unwrap();
        workspace.copy_in(gaddr, b"live data").unwrap();
        let before = image(&mut heap);
        Self { heap, before, expected }
    }

    /// Restores a file, and says whether it was accepted and whether as protected.
    ///
    /// What is accepted as protected must be right, and everything else if `strict`.
    fn restore(&mut self, bytes: &[u8], streamed: bool, strict: bool) -> Option<bool> {
        let mut spool = Vec::new();
        let opened = if streamed {
            Checkpoint::spool(&mut &bytes[..], &mut spool, 10_000)
        } else {
            spool.extend_from_slice(bytes);
            Checkpoint::open_at_most(&spool, 10_000)
        };
        let Ok(checkpoint) = opened else { return None };
        let verified = checkpoint.verify(&threads(1));
        self.restore_into_empty(&checkpoint, verified.is_ok());
        let Ok(verified) = verified else { return None };
        let is_protected = verified.is_protected();
        let found = extracted(&checkpoint);
        let workspace = self.heap.join();
        let restored = verified.restore(&mut workspace.lock().unwrap(), &RestoreOptions::default());
        match restored {
            Ok(_) => {
                assert_eq!(self.heap.described(), found);
                let fresh = std::mem::take(&mut self.before);
                self.heap = Heap::of_image(&fresh);
                self.before = image(&mut self.heap);
                if is_protected || strict {
                    assert_eq!(found, self.expected, "wrong content accepted");
                }
                Some(is_protected)
            }
            Err(error) => {
                assert!(!matches!(error, wksp_checkpt::RestoreError::Source(_)), "{error}");
                assert_eq!(image(&mut self.heap), self.before, "{error}");
                None
            }
        }
    }
}

impl Target {
    /// An empty workspace takes what can be verified, and stays empty otherwise.
    fn restore_into_empty(&mut self, checkpoint: &Checkpoint<'_>, is_good: bool) {
        let geometry = *self.heap.join().geometry();
        let mut heap = Heap::new(geometry.footprint());
        let workspace = heap.format("target", geometry);
        let options = RestoreOptions::default();
        let done = checkpoint.restore_into_empty(&mut workspace.lock().unwrap(), &options);
        match done {
            Ok(_) => {
                assert!(is_good);
                assert_eq!(heap.described(), extracted(checkpoint));
            }
            Err(RestoreError::Misfit(_)) => assert!(heap.described().is_empty()),
            Err(_) => {
                assert!(!is_good);
                assert!(heap.described().is_empty());
            }
        }
    }
}

/// The image of a workspace with the lock free; the version counter may change.
fn image(heap: &mut Heap) -> Vec<u8> {
    let mut image = heap.image();
    image[104..112].copy_from_slice(&4_u64.to_le_bytes());
    image
}

fn protected_files(heap: &mut Heap) -> Vec<(Style, bool, Vec<u8>)> {
    let mut files = Vec::new();
    for style in STYLES {
        files.push((style, false, file(heap, &options(style))));
        files.push((style, true, stream(heap, &options(style))));
    }
    files
}

#[test]
fn no_single_bit_of_a_protected_file_can_flip_unnoticed() {
    let mut heap = filled(&[1, 300, 7], 16, 11);
    let expected = heap.described();
    let geometry = *heap.join().geometry();
    let mut target = Target::new(expected, geometry);
    for (style, is_stream, mut bytes) in protected_files(&mut heap) {
        assert_eq!(target.restore(&bytes, false, true), Some(true));
        assert_eq!(target.restore(&bytes, true, true), Some(true));
        for bit in 0..8 * bytes.len() {
            bytes[bit / 8] ^= 1 << (bit % 8);
            for streamed in [false, true] {
                let outcome = target.restore(&bytes, streamed, true);
                // Compressed bytes that a digest or checksum does not reach may say the same in
                // another way. That the content is right has been checked.
                let may_pass =
                    matches!(style, Style::Zstd { .. }) || style == Style::Lz4 && is_stream;
                assert!(
                    outcome.is_none() || may_pass,
                    "{style:?} stream {is_stream} read as stream {streamed} bit {bit}: {outcome:?}"
                );
            }
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

fn damages() -> usize {
    std::env::var("WKSP_DAMAGES").ok().and_then(|count| count.parse().ok()).unwrap_or(2000)
}

/// One random damage.
fn damage(rng: &mut Rng, bytes: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let at = rng.index(bytes.len());
    let run = (1 + rng.index(40)).min(bytes.len() - at);
    match rng.below(8) {
        0 => bytes[at] ^= 1 << rng.below(8),
        1 => bytes.truncate(at),
        2 => {
            let mut more = vec![0; run];
            rng.fill(&mut more);
            bytes.splice(at..at, more);
        }
        3 => {
            bytes.drain(at..at + run);
        }
        4 => {
            let other = rng.index(bytes.len() - run + 1);
            for offset in 0..run {
                bytes.swap(at + offset, other + offset);
            }
        }
        5 | 6 => {
            const NUMBERS: [u64; 10] = [
                0,
                1,
                u64::MAX,
                u64::MAX - 1,
                1 << 63,
                1 << 32,
                u32::MAX as u64,
                1 << 20,
                1 << 40,
                2,
            ];
            let at = at.min(bytes.len().saturating_sub(8));
            let number = *rng.pick(&NUMBERS).unwrap();
            let field = bytes.get_mut(at..at + 8);
            if let Some(field) = field {
                field.copy_from_slice(&number.to_le_bytes());
            }
        }
        _ => rng.fill(&mut bytes[at..at + run]),
    }
}

#[test]
fn random_damage_of_protected_files_is_never_accepted_with_wrong_content() {
    let mut heap = filled(&[3000, 70_000, 1, 64, 500, 500, 500, 9999, 12, 13], 64, 12);
    let expected = heap.described();
    let geometry = *heap.join().geometry();
    let mut target = Target::new(expected, geometry);
    for (at, (_, is_stream, bytes)) in protected_files(&mut heap).into_iter().enumerate() {
        let mut rng = Rng::new(1000 + at as u64);
        for _ in 0..damages() / 2 {
            let mut damaged = bytes.clone();
            damage(&mut rng, &mut damaged);
            // A second damage may take the digest away that would show the first one: then the
            // content is unverified, and said to be.
            let strict = !rng.one_in(4);
            if !strict {
                damage(&mut rng, &mut damaged);
            }
            target.restore(&damaged, is_stream ^ rng.one_in(4), strict);
        }
    }
}

/// Without a digest wrong content cannot be told, but nothing else may go wrong.
#[test]
fn random_damage_of_unprotected_files_does_no_harm() {
    let Some(golden) = available() else { return };
    let mut files = Vec::new();
    for case in ["small", "mixed"] {
        let case = golden.case(case);
        let geometry = wksp_core::Geometry::new(case.part_max, case.data_max).unwrap();
        for flavour in Flavour::ALL {
            files.push((golden.checkpoint(case, flavour), geometry));
        }
    }
    let mut heap = filled(&[3000, 70_000, 1, 64, 500], 64, 12);
    let geometry = *heap.join().geometry();
    for style in STYLES {
        let options = WriteOptions { digest: false, ..options(style) };
        files.push((file(&mut heap, &options), geometry));
    }
    for (at, (bytes, geometry)) in files.into_iter().enumerate() {
        let mut target = Target::new(Vec::new(), geometry);
        let mut rng = Rng::new(2000 + at as u64);
        for _ in 0..damages() / 10 {
            let mut damaged = bytes.clone();
            // Most of them where the structure is.
            if rng.one_in(2) {
                let start = damaged.len().min(600);
                let mut front = damaged.drain(..start).collect();
                damage(&mut rng, &mut front);
                front.append(&mut damaged);
                damaged = front;
            } else {
                damage(&mut rng, &mut damaged);
            }
            harmless(&mut target, &damaged, rng.one_in(2));
        }
    }
}

fn harmless(target: &mut Target, bytes: &[u8], streamed: bool) {
    let mut spool = Vec::new();
    let opened = if streamed {
        Checkpoint::spool(&mut &bytes[..], &mut spool, 10_000)
    } else {
        spool.extend_from_slice(bytes);
        Checkpoint::open_at_most(&spool, 10_000)
    };
    let Ok(checkpoint) = opened else { return };
    let _ = checkpoint.inspect(&threads(2));
    let Ok(verified) = checkpoint.verify(&threads(1)) else { return };
    let workspace: Workspace<'_, Solo> = target.heap.join();
    let done = verified.restore(&mut workspace.lock().unwrap(), &RestoreOptions::default());
    match done {
        Ok(_) => {
            target.heap.described();
            let fresh = target.before.clone();
            target.heap = Heap::of_image(&fresh);
        }
        Err(error) => {
            assert!(!matches!(error, wksp_checkpt::RestoreError::Source(_)), "{error}");
            assert_eq!(image(&mut target.heap), target.before);
        }
    }
}

#[test]
fn random_bytes_are_refused() {
    let mut rng = Rng::new(3);
    for _ in 0..damages() {
        let mut bytes = vec![0; rng.index(2000)];
        rng.fill(&mut bytes);
        if rng.one_in(2) && bytes.len() > 20 {
            bytes[..8].copy_from_slice(&wksp_core::MAGIC.to_le_bytes());
            bytes[8..12].copy_from_slice(&2_u32.to_le_bytes());
            bytes[12..16].copy_from_slice(&(1 + rng.below(3) as u32).to_le_bytes());
        }
        assert!(Checkpoint::open(&bytes).is_err());
        let mut spool = Vec::new();
        let streamed = Checkpoint::spool(&mut &bytes[..], &mut spool, u64::MAX);
        assert!(streamed.is_err());
    }
}

#[test]
fn endless_streams_end() {
    struct Endless(Vec<u8>, usize);
    impl std::io::Read for Endless {
        fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
            for byte in to.iter_mut() {
                *byte = *self.0.get(self.1).unwrap_or(&0);
                self.1 += 1;
            }
            Ok(to.len())
        }
    }
    let mut heap = filled(&[10; 10], 16, 1);
    for style in STYLES {
        let bytes = stream(&mut heap, &options(style));
        // Cut off at the first allocation, the stream goes on with zeros for ever.
        let mut spool = Vec::new();
        let mut endless = Endless(bytes[..bytes.len() / 3].to_vec(), 0);
        let found = Checkpoint::spool(&mut endless, &mut spool, u64::MAX);
        assert!(matches!(found, Err(ReadError::Malformed { .. })), "{style:?} {found:?}");
    }
}

#[test]
fn whole_chunks_of_zstd_cannot_change_places_unnoticed() {
    // Random bytes do not compress, so that chunks of a size take as many bytes.
    let mut heap = Heap::new(1 << 20);
    let geometry = wksp_core::Geometry::with_part_max(1 << 20, 16).unwrap();
    let workspace = heap.format("random", geometry);
    let tag = Tag::new(1).unwrap();
    let gaddr = workspace.lock().unwrap().alloc(wksp_core::Align::BYTE, 900_000, tag).unwrap();
    let mut content = vec![0; 900_000];
    Rng::new(43).fill(&mut content);
    workspace.copy_in(gaddr, &content).unwrap();
    let style = Style::Zstd { level: 3 };
    for digest in [true, false] {
        let mut bytes = file(&mut heap, &WriteOptions { digest, ..options(style) });
        let word = |bytes: &[u8], at: usize| {
            u32::from_le_bytes(*bytes[at..].first_chunk().unwrap()) as usize
        };
        let start = (0..bytes.len() - 8)
            .find(|&at| word(&bytes, at) == 64 * 1024 && word(&bytes, at + 4) >> 10 == 64)
            .unwrap();
        let length = 8 + word(&bytes, start + 4);
        assert_eq!(bytes[start..start + 8], bytes[start + length..start + length + 8]);
        let (first, second) = bytes[start..start + 2 * length].split_at_mut(length);
        first.swap_with_slice(second);
        let checkpoint = Checkpoint::open(&bytes).unwrap();
        match checkpoint.verify(&threads(2)) {
            Err(error) => assert!(digest && matches!(error, ReadError::Digest { .. }), "{error}"),
            Ok(verified) => assert!(!digest && !verified.is_protected()),
        }
    }
}

#[test]
fn a_chunk_that_is_larger_than_any_can_be_is_refused_by_its_size() {
    let mut heap = filled(&[3000, 70_000], 8, 61);
    let options = WriteOptions { digest: false, ..options(Style::Lz4) };
    let bytes = file(&mut heap, &options);
    // The largest block of a chunk of 64 KiB, and one byte more, and the most that can be said.
    let mut refused = [0_u32; 3];
    for (size, count) in
        [65_536 + 257 + 16, 65_537 + 257 + 16, 0xFF_FFFF_u32].iter().zip(&mut refused)
    {
        for at in 0..bytes.len() - 3 {
            // Where something stands that may be a size.
            if u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0]) > 66_000 {
                continue;
            }
            let mut damaged = bytes.clone();
            damaged[at..at + 3].copy_from_slice(&size.to_le_bytes()[..3]);
            let found = Checkpoint::open_at_most(&damaged, 10_000)
                .and_then(|checkpoint| checkpoint.verify(&threads(1)).map(drop));
            if let Err(ReadError::Malformed {
                problem: Problem::ChunkSize { compressed, .. },
                ..
            }) = found
            {
                *count += u32::from(compressed == u64::from(*size));
            }
        }
    }
    // Three chunks have a size, of which one holds 64 KiB.
    assert_eq!(refused[2] - refused[1], 0, "{refused:?}");
    assert_eq!(refused[1] - refused[0], 1, "{refused:?}");
}
