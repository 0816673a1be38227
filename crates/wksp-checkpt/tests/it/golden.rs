//! The files of the C implementation.

use wksp_checkpt::{
    Checkpoint, Format, FrameStyle, FromStart, Protection, Provenance, RestoreOptions, Style,
    WriteOptions, preview,
};
use wksp_core::Geometry;
use wksp_testkit::golden::{Case, Flavour, require};

use crate::heap::{self, Heap, extracted, threads};

fn format(flavour: Flavour) -> Format {
    match flavour {
        Flavour::V1 => Format::V1,
        Flavour::V2 => Format::V2(FrameStyle::Raw),
        Flavour::V3 => Format::V2(FrameStyle::Lz4),
    }
}

/// All checkpoints of all cases, by offset and through a pipe.
fn for_each(mut check: impl FnMut(&Case, Flavour, &Checkpoint<'_>)) {
    let golden = require();
    for case in golden.at_rest() {
        for flavour in Flavour::ALL {
            let file = golden.checkpoint(case, flavour);
            check(case, flavour, &Checkpoint::open(&file).unwrap());
            let mut spool = Vec::new();
            let piped = Checkpoint::spool(&mut &file[..], &mut spool, u64::MAX).unwrap();
            check(case, flavour, &piped);
            drop(piped);
            assert_eq!(spool, file);
        }
    }
}

#[test]
fn every_checkpoint_is_listed_and_extracted_as_the_manifest_says() {
    for_each(|case, flavour, checkpoint| {
        let preview = checkpoint.preview();
        assert_eq!(preview.format, format(flavour));
        assert_eq!((preview.name.as_str(), preview.seed), (case.name.as_str(), case.seed));
        assert_eq!(preview.geometry, Geometry::new(case.part_max, case.data_max).unwrap());
        assert_eq!(preview.provenance.user_info.as_bytes(), b"golden case");
        assert_eq!(checkpoint.protection(), Protection::None);
        if checkpoint.allocations().len() < 500 {
            case.compare_allocations(extracted(checkpoint)).unwrap();
        }
        let stored = checkpoint.inspect(&threads(2)).unwrap();
        assert_eq!(stored.len(), case.allocations.len());
        let bytes: u64 = stored.iter().map(|one| one.stored_bytes).sum();
        assert!(bytes < checkpoint.bytes());
        if flavour != Flavour::V3 {
            assert_eq!(bytes, checkpoint.data_bytes());
        }
    });
}

#[test]
fn a_preview_is_read_from_the_front() {
    let golden = require();
    for case in golden.at_rest() {
        for flavour in Flavour::ALL {
            let file = golden.checkpoint(case, flavour);
            let front = preview(&mut FromStart::new(&file)).unwrap();
            assert_eq!(&front, Checkpoint::open(&file).unwrap().preview());
        }
    }
}

#[test]
fn every_checkpoint_restores_to_exactly_the_manifest() {
    for_each(|case, _, checkpoint| {
        for count in [1, 3] {
            let control = threads(count);
            let verified = checkpoint.verify(&control).unwrap();
            assert!(!verified.is_protected());
            let geometry = checkpoint.preview().geometry;
            let mut heap = Heap::new(geometry.footprint());
            let workspace = heap.format(&case.name, geometry);
            // Something that must be gone afterwards.
            let tag = wksp_core::Tag::new(77).unwrap();
            workspace.lock().unwrap().alloc(wksp_core::Align::BYTE, 100, tag).unwrap();
            let options = RestoreOptions { seed: Some(case.seed), control };
            let restored = verified.restore(&mut workspace.lock().unwrap(), &options).unwrap();
            assert_eq!(restored.allocations, case.allocations.len() as u64);
            let image = heap.image();
            let lock = wksp_testkit::image::Lock::MustBeFree;
            case.compare(&wksp_testkit::image::check(&image, lock).unwrap()).unwrap();
        }
    });
}

/// The provenance of a golden file, found by the test kit's reader.
fn provenance(found: &wksp_testkit::checkpoint::Metadata) -> Provenance {
    Provenance {
        mode: found.mode.unwrap_or_default(),
        wall_clock_ns: found.wall_clock_ns,
        app_id: found.app_id,
        thread_id: found.thread_id,
        host_id: found.host_id,
        cpu_id: found.cpu_id,
        group_id: found.group_id,
        tid: found.tid,
        user_id: found.user_id,
        app: found.app.clone().into(),
        thread: found.thread.clone().into(),
        host: found.host.clone().into(),
        cpu: found.cpu.clone().into(),
        group: found.group.clone().into(),
        user: found.user.clone().into(),
        path: found.path.clone().unwrap_or_default().into(),
        build_info: found.build_info.clone().into(),
        user_info: found.user_info.clone().into(),
    }
}

#[test]
fn v1_of_a_golden_image_equals_the_golden_file() {
    let golden = require();
    for case in golden.at_rest() {
        let file = golden.checkpoint(case, Flavour::V1);
        let found = wksp_testkit::naive_v1::read(&file).unwrap();
        let provenance = provenance(&found.metadata);
        assert_eq!(Checkpoint::open(&file).unwrap().preview().provenance, provenance);
        let mut heap = Heap::of_image(&golden.image(case));
        for count in [1, 4] {
            let options = WriteOptions {
                style: Style::V1,
                provenance: provenance.clone(),
                digest: false,
                control: threads(count),
                ..WriteOptions::default()
            };
            assert!(heap::file(&mut heap, &options) == file, "{}", case.case);
            assert!(heap::stream(&mut heap, &options) == file, "{}", case.case);
        }
    }
}

/// The empty workspace has no groups to be cut differently; its v2 files have one shape only.
#[test]
fn v2_of_the_empty_golden_image_equals_the_golden_file() {
    let golden = require();
    let case = golden.case("empty");
    let file = golden.checkpoint(case, Flavour::V2);
    let found = wksp_testkit::naive_v2::read_by_offset(&file).unwrap();
    let options = WriteOptions {
        style: Style::Raw,
        provenance: provenance(&found.checkpoint.metadata),
        digest: false,
        ..WriteOptions::default()
    };
    let mut heap = Heap::of_image(&golden.image(case));
    assert_eq!(heap::file(&mut heap, &options), file);
}
