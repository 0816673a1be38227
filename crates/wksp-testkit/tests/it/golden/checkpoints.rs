//! Every golden checkpoint holds what its manifest says, and variations are judged as they should.

use wksp_testkit::checkpoint::{Checkpoint, Problem};
use wksp_testkit::golden::{self, Case, Flavour};
use wksp_testkit::naive_v1;
use wksp_testkit::naive_v2::{FrameKind, FrameStyle, V2, read_by_offset, read_stream};
use wksp_testkit::rng::Rng;

fn compare(case: &Case, checkpoint: &Checkpoint) {
    case.compare_allocations(checkpoint.described()).unwrap();
    assert_eq!(checkpoint.name, case.name);
    assert_eq!(checkpoint.seed, case.seed);
    assert_eq!(checkpoint.part_max, case.part_max);
    assert_eq!(checkpoint.data_max, case.data_max);
    assert_eq!(checkpoint.metadata.app, b"[app]");
    assert_eq!(checkpoint.metadata.host, b"vm");
    assert_eq!(checkpoint.metadata.user, b"[user]");
    assert_eq!(checkpoint.metadata.build_info, b"golden reference build\n");
    assert_eq!(checkpoint.metadata.user_info, b"golden case");
    assert!(checkpoint.metadata.wall_clock_ns > 1_700_000_000_000_000_000);
}

#[test]
fn v1_files_equal_the_manifest() {
    let golden = golden::require();
    for case in golden.at_rest() {
        let file = golden.checkpoint(case, Flavour::V1);
        let checkpoint = naive_v1::read(&file).unwrap();
        compare(case, &checkpoint);
        assert_eq!(checkpoint.end, file.len());
    }
}

#[test]
fn v2_files_equal_the_manifest_both_ways() {
    let golden = golden::require();
    for case in golden.at_rest() {
        for (flavour, style) in [(Flavour::V2, FrameStyle::Raw), (Flavour::V3, FrameStyle::Lz4)] {
            let file = golden.checkpoint(case, flavour);
            let by_offset = read_by_offset(&file).unwrap();
            compare(case, &by_offset.checkpoint);
            assert_eq!(by_offset.frame_style, style);
            assert_eq!(by_offset.checkpoint.metadata.mode, Some(0o644));
            assert_eq!(read_stream(&file).unwrap(), by_offset);
            let total: usize = by_offset.frames.iter().map(|frame| frame.size_bytes).sum();
            assert_eq!(total, file.len(), "frames without gaps");
            println!("{} {style:?}: {:?}", case.case, by_offset.frames);
        }
    }
}

fn small(flavour: Flavour) -> (Vec<u8>, V2) {
    let golden = golden::require();
    let file = golden.checkpoint(golden.case("small"), flavour);
    let read = read_by_offset(&file).unwrap();
    (file, read)
}

fn set64(file: &mut [u8], at: usize, word: u64) {
    file[at..at + 8].copy_from_slice(&word.to_le_bytes());
}

#[test]
fn bytes_behind_the_end_belong_to_nobody() {
    let golden = golden::require();
    let mut v1 = golden.checkpoint(golden.case("small"), Flavour::V1);
    let length = v1.len();
    v1.extend(b"digest");
    assert_eq!(naive_v1::read(&v1).unwrap().end, length);

    let (mut v2, read) = small(Flavour::V2);
    v2.extend(b"digest");
    assert_eq!(read_stream(&v2).unwrap(), read);
    assert!(read_by_offset(&v2).is_err());
}

#[test]
fn a_gap_between_frames_is_for_readers_by_offset_only() {
    for flavour in [Flavour::V2, Flavour::V3] {
        let (mut file, read) = small(flavour);
        let footer = file.len() - 120;
        file.splice(footer..footer, [0; 7]);
        let (at, size) = (footer + 7 + 32, file.len() as u64);
        set64(&mut file, at, size);
        assert_eq!(
            read_by_offset(&file).unwrap().checkpoint.allocations,
            read.checkpoint.allocations
        );
        assert!(read_stream(&file).is_err());
    }
}

/// Replaces volumes frame and footer of a raw file by `volumes` with these allocation-less groups.
fn with_empty_volumes(file: &[u8], read: &V2, volumes: &[usize]) -> Vec<u8> {
    let offset_of = |kind| read.frames.iter().find(|frame| frame.kind == kind).unwrap().offset;
    let mut previous = offset_of(FrameKind::Appendix) as u64;
    let mut out = file[..offset_of(FrameKind::Volumes)].to_vec();
    let push = |out: &mut Vec<u8>, words: &[u64]| {
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    };
    for &groups in volumes {
        let mut offsets = Vec::new();
        for _ in 0..groups {
            offsets.push(out.len() as u64);
            push(&mut out, &[0, u64::MAX, u64::MAX]);
        }
        let appendix = out.len() as u64;
        push(&mut out, &[0, groups as u64, previous]);
        push(&mut out, &offsets);
        push(&mut out, &vec![0; groups]);
        previous = appendix;
    }
    let volumes_offset = out.len() as u64;
    push(&mut out, &[0, u64::MAX, previous]);
    let footer = out.len();
    out.extend(&file[file.len() - 120..]);
    let old_groups = read.frames.iter();
    let old_groups =
        old_groups.filter(|frame| matches!(frame.kind, FrameKind::CheckptGroup(_))).count();
    let new_groups: usize = volumes.iter().sum();
    set64(&mut out, footer + 8, (old_groups + new_groups) as u64);
    set64(&mut out, footer + 16, 1 + volumes.len() as u64);
    set64(&mut out, footer + 24, volumes_offset);
    let size = out.len() as u64;
    set64(&mut out, footer + 32, size);
    out
}

#[test]
fn volumes_without_allocations_are_legal() {
    let (file, read) = small(Flavour::V2);
    assert_eq!(with_empty_volumes(&file, &read, &[]), file);
    let extended = with_empty_volumes(&file, &read, &[1, 0, 0, 1, 1]);
    let by_offset = read_by_offset(&extended).unwrap();
    assert_eq!(by_offset, read_stream(&extended).unwrap());
    assert_eq!(by_offset.checkpoint.allocations, read.checkpoint.allocations);
    assert_eq!(by_offset.count(FrameKind::Appendix), 6);
    assert_eq!(by_offset.count(FrameKind::CheckptGroup(0)), 3);
}

#[test]
fn a_volume_has_at_most_1024_groups() {
    let (file, read) = small(Flavour::V2);
    let most = with_empty_volumes(&file, &read, &[1024]);
    assert_eq!(read_by_offset(&most).unwrap(), read_stream(&most).unwrap());
    let too_many = with_empty_volumes(&file, &read, &[1025]);
    for result in [read_by_offset(&too_many), read_stream(&too_many)] {
        assert_eq!(result.unwrap_err().problem, Problem::TooManyGroups(1025));
    }
}

#[test]
fn unknown_styles_are_refused_by_their_number() {
    let (mut file, _) = small(Flavour::V2);
    file[12] = 3;
    for result in [read_by_offset(&file), read_stream(&file)] {
        assert_eq!(result.unwrap_err().problem, Problem::FrameStyle(3));
    }
    file[8] = 3;
    for result in [read_by_offset(&file), read_stream(&file)] {
        assert_eq!(result.unwrap_err().problem, Problem::Style(3));
    }
}

#[test]
fn every_footer_field_counts() {
    let (file, _) = small(Flavour::V3);
    for at in file.len() - 120..file.len() {
        let mut file = file.clone();
        file[at] ^= 1;
        assert!(read_by_offset(&file).is_err(), "footer byte {at}");
        assert!(read_stream(&file).is_err(), "footer byte {at}");
    }
}

#[test]
fn every_prefix_is_refused() {
    let golden = golden::require();
    let case = golden.case("small");
    for flavour in Flavour::ALL {
        let file = golden.checkpoint(case, flavour);
        for length in 0..file.len() {
            let prefix = &file[..length];
            match flavour {
                Flavour::V1 => assert!(naive_v1::read(prefix).is_err()),
                Flavour::V2 | Flavour::V3 => {
                    assert!(read_by_offset(prefix).is_err());
                    assert!(read_stream(prefix).is_err());
                }
            }
        }
    }
}

#[test]
fn damaged_files_never_panic() {
    let golden = golden::require();
    let mut rng = Rng::new(3);
    for case in golden.at_rest().filter(|case| case.case != "large") {
        for flavour in Flavour::ALL {
            let original = golden.checkpoint(case, flavour);
            for _ in 0..150 {
                let mut file = original.clone();
                let at = rng.index(file.len());
                file[at] ^= rng.byte();
                let _ = naive_v1::read(&file);
                let _ = read_by_offset(&file);
                let _ = read_stream(&file);
            }
        }
    }
}

#[test]
fn noise_never_panics() {
    let golden = golden::require();
    let mut rng = Rng::new(4);
    for flavour in Flavour::ALL {
        let original = golden.checkpoint(golden.case("empty"), flavour);
        for _ in 0..2000 {
            let mut file = original.clone();
            for _ in 0..=rng.below(6) {
                let at = rng.index(file.len());
                file[at] = rng.byte();
            }
            let _ = naive_v1::read(&file);
            let _ = read_by_offset(&file);
            let _ = read_stream(&file);
            rng.fill(&mut file);
            assert!(naive_v1::read(&file).is_err());
            assert!(read_by_offset(&file).is_err());
            assert!(read_stream(&file).is_err());
        }
    }
}
