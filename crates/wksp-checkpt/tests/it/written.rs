//! Files of ours, read by the test kit's readers and by our own.

use wksp_checkpt::{
    Checkpoint, Protection, RestoreError, RestoreOptions, Style, WriteError, WriteOptions,
};
use wksp_core::{Geometry, Tag};
use wksp_testkit::golden::{Allocation, available};
use wksp_testkit::{naive_v1, naive_v2};

use crate::heap::{Heap, STYLES, extracted, file, filled, options, provenance, stream, threads};

/// Sizes around that of a chunk, and one of many chunks.
const SIZES: [u64; 8] = [1, 65_535, 65_536, 65_537, 10_000_000, 7, 131_072, 300];

fn heaps() -> Vec<Heap> {
    vec![
        filled(&[], 8, 1),
        filled(&[1], 8, 2),
        filled(&SIZES, 64, 3),
        filled(&[500; 3000], 8000, 4),
        filled(&[300_000; 30], 100, 5),
    ]
}

fn naive(style: Style, file: &[u8]) -> Vec<Allocation> {
    if style == Style::V1 {
        return naive_v1::read(file).unwrap().described().collect();
    }
    let by_offset = naive_v2::read_by_offset(file).unwrap();
    let streamed = naive_v2::read_stream(file).unwrap();
    assert_eq!(by_offset.checkpoint, streamed.checkpoint);
    by_offset.checkpoint.described().collect()
}

#[test]
fn independent_readers_find_what_was_allocated() {
    for mut heap in heaps() {
        let expected = heap.described();
        for style in [Style::V1, Style::Raw, Style::Lz4] {
            for digest in [false, true] {
                let options = WriteOptions { digest, ..options(style) };
                assert_eq!(naive(style, &file(&mut heap, &options)), expected);
                assert_eq!(naive(style, &stream(&mut heap, &options)), expected);
            }
        }
    }
}

#[test]
fn every_file_and_stream_comes_back() {
    for mut heap in heaps() {
        let expected = heap.described();
        for style in STYLES {
            for digest in [false, true] {
                let options = WriteOptions { digest, ..options(style) };
                for bytes in [file(&mut heap, &options), stream(&mut heap, &options)] {
                    let checkpoint = Checkpoint::open(&bytes).unwrap();
                    check(&checkpoint, style, digest, &expected);
                    let mut spool = Vec::new();
                    let piped = Checkpoint::spool(&mut &bytes[..], &mut spool, u64::MAX).unwrap();
                    check(&piped, style, digest, &expected);
                }
            }
        }
    }
}

fn check(checkpoint: &Checkpoint<'_>, style: Style, digest: bool, expected: &[Allocation]) {
    assert_eq!(checkpoint.preview().provenance.user_info, provenance().user_info);
    assert_eq!(matches!(checkpoint.protection(), Protection::Digest(_)), digest);
    let has_checksums = checkpoint.protection() == Protection::Chunks;
    assert_eq!(has_checksums, !digest && matches!(style, Style::Zstd { .. }));
    let verified = checkpoint.verify(&threads(2)).unwrap();
    assert_eq!(verified.is_protected(), digest);
    if expected.len() < 100 {
        assert_eq!(extracted(checkpoint), expected);
    }
    assert_eq!(checkpoint.inspect(&threads(2)).unwrap().len(), expected.len());
    let geometry = checkpoint.preview().geometry;
    let mut target = Heap::new(geometry.footprint());
    let workspace = target.format("target", geometry);
    let options = RestoreOptions { control: threads(2), ..RestoreOptions::default() };
    verified.restore(&mut workspace.lock().unwrap(), &options).unwrap();
    assert_eq!(target.described(), expected);

    let workspace = target.join();
    let into_full = checkpoint.restore_into_empty(&mut workspace.lock().unwrap(), &options);
    assert!(expected.is_empty() || matches!(into_full, Err(RestoreError::NotEmpty { .. })));
    let mut target = Heap::new(geometry.footprint());
    let workspace = target.format("target", geometry);
    let restored = checkpoint.restore_into_empty(&mut workspace.lock().unwrap(), &options);
    assert_eq!(restored.unwrap().is_protected, digest);
    assert_eq!(target.described(), expected);
}

#[test]
fn the_bytes_do_not_depend_on_the_number_of_threads() {
    for mut heap in heaps() {
        for style in STYLES.into_iter().chain([Style::Zstd { level: 9 }]) {
            for digest in [false, true] {
                let options = WriteOptions { digest, ..options(style) };
                let (one_file, one_stream) =
                    (file(&mut heap, &options), stream(&mut heap, &options));
                for count in [2, 3, 8] {
                    let options = WriteOptions { control: threads(count), ..options.clone() };
                    assert!(file(&mut heap, &options) == one_file, "{style:?} {count}");
                    assert!(stream(&mut heap, &options) == one_stream, "{style:?} {count}");
                }
            }
        }
    }
}

#[test]
fn only_the_wanted_tags_are_written() {
    let mut heap = filled(&[1000; 50], 200, 9);
    let all = heap.described();
    let tags = [Tag::new(2).unwrap(), Tag::new(4).unwrap(), Tag::new(99).unwrap()];
    let expected: Vec<_> = all.into_iter().filter(|one| [2, 4].contains(&one.tag)).collect();
    assert!(!expected.is_empty());
    for style in STYLES {
        let bytes = file(&mut heap, &WriteOptions { tags: Some(&tags), ..options(style) });
        assert_eq!(extracted(&Checkpoint::open(&bytes).unwrap()), expected);
    }
}

#[test]
fn a_workspace_of_another_shape_takes_what_fits() {
    let mut heap = filled(&[1000; 50], 200, 10);
    let expected = heap.described();
    let bytes = file(&mut heap, &options(Style::Lz4));
    let checkpoint = Checkpoint::open(&bytes).unwrap();
    let verified = checkpoint.verify(&threads(1)).unwrap();
    let restore = |part_max, data_max| {
        let geometry = Geometry::new(part_max, data_max).unwrap();
        let mut target = Heap::new(geometry.footprint());
        let workspace = target.format("target", geometry);
        let tag = Tag::new(1).unwrap();
        let gaddr = workspace.lock().unwrap().alloc(wksp_core::Align::BYTE, 9, tag).unwrap();
        workspace.copy_in(gaddr, b"live data").unwrap();
        let before = workspace_bytes(&mut target);
        let workspace = target.join();
        let done = verified
            .restore(&mut workspace.lock().unwrap(), &RestoreOptions::default())
            .map_err(|error| error.to_string());
        if done.is_err() {
            assert_eq!(workspace_bytes(&mut target), before);
        } else {
            assert_eq!(target.described(), expected);
        }
        done
    };
    restore(190, 1 << 20).unwrap();
    restore(200, 1 << 20).unwrap();
    assert!(restore(201, 1 << 20).unwrap_err().contains("does not fit into the data"));
    assert!(restore(200, 1 << 14).unwrap_err().contains("does not fit into the data"));
    assert!(restore(41, 1 << 20).unwrap_err().contains("records"));
}

/// All bytes but the version counter and the lock, which change whenever someone looks.
fn workspace_bytes(heap: &mut Heap) -> Vec<u8> {
    let mut image = heap.image();
    image[104..120].fill(0);
    image
}

#[test]
fn golden_images_go_through_every_style() {
    let Some(golden) = available() else { return };
    for case in golden.at_rest() {
        let mut heap = Heap::of_image(&golden.image(case));
        for style in STYLES {
            let bytes = stream(&mut heap, &options(style));
            let mut spool = Vec::new();
            let checkpoint = Checkpoint::spool(&mut &bytes[..], &mut spool, 10_000).unwrap();
            assert!(checkpoint.verify(&threads(1)).unwrap().is_protected());
            if style != (Style::Zstd { level: 3 }) {
                case.compare_allocations(naive(style, &bytes)).unwrap();
            }
        }
    }
}

#[test]
fn what_cannot_be_written_is_said() {
    let mut heap = filled(&[10], 8, 1);
    let workspace = heap.join();
    let guard = workspace.lock().unwrap();
    let mut sink = Vec::new();
    let mut wrong = options(Style::V1);
    wrong.provenance.app = "x".repeat(40).into();
    assert!(matches!(
        wksp_checkpt::write(&guard, &mut sink, &wrong),
        Err(WriteError::TooLong { bytes: 40, max: 39, .. })
    ));
    wrong.provenance.app = "a\0b".into();
    assert!(matches!(
        wksp_checkpt::write(&guard, &mut sink, &wrong),
        Err(WriteError::HasNul { .. })
    ));
    let wrong = options(Style::Zstd { level: 23 });
    assert!(matches!(
        wksp_checkpt::write(&guard, &mut sink, &wrong),
        Err(WriteError::Level { level: 23 })
    ));
    let mut wrong = options(Style::Lz4);
    for end in ["01234567:wksp-digest]", "0123456x:wksp-digest]"] {
        wrong.provenance.user_info = format!("mine [wksp-digest crc32:{end}").as_str().into();
        let refused = wksp_checkpt::write(&guard, &mut sink, &wrong);
        assert!(matches!(refused, Err(WriteError::LooksLikeDigest)), "{refused:?}");
    }
    assert!(sink.is_empty());
}
