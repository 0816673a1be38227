//! Workspaces that the C implementation left, at rest and torn.

use wksp_core::{Format, Gaddr, Geometry, Name, Repair, Workspace};
use wksp_testkit::golden::{self, Allocation, Case};
use wksp_testkit::image::{self, Lock};
use wksp_testkit::model::Model;
use wksp_testkit::rng::Rng;

use crate::heap::{Heap, Heir, assert_holds, snapshot};
use crate::operations::{Operation, apply};

/// The allocations as the crate lists them, with the checksum of their bytes.
fn list(workspace: &Workspace<'_, Heir>) -> Vec<Allocation> {
    let guard = workspace.lock().unwrap();
    let used = guard.partitions().map(Result::unwrap).filter_map(|partition| {
        let tag = partition.tag?.get();
        let mut bytes = vec![0; partition.range.bytes() as usize];
        workspace.copy_out(partition.range.lo(), &mut bytes).unwrap();
        let (lo, hi) = (partition.range.lo().get(), partition.range.hi().get());
        Some(Allocation { tag, lo, hi, crc32: crc32fast::hash(&bytes) })
    });
    used.collect()
}

fn assert_static_fields(workspace: &Workspace<'_, Heir>, case: &Case) {
    let geometry = workspace.geometry();
    assert_eq!(workspace.name().unwrap().as_str(), case.name);
    assert_eq!(workspace.seed(), case.seed);
    assert_eq!(u64::from(geometry.part_max()), case.part_max);
    assert_eq!(geometry.data_max(), case.data_max);
    assert_eq!(geometry.data().lo().get(), case.gaddr_lo);
    assert_eq!(geometry.data().hi().get(), case.gaddr_hi);
}

#[test]
fn images_at_rest_list_exactly_their_manifest() {
    let Some(golden) = golden::available() else {
        return;
    };
    let mut count = 0;
    for case in golden.at_rest() {
        let image = golden.image(case);
        let mut heap = Heap::of_image(&image);
        let memory = heap.memory();
        let workspace = Workspace::join(memory, Heir).unwrap();
        assert_static_fields(&workspace, case);
        assert_eq!(list(&workspace), case.allocations, "{}", case.case);
        let guard = workspace.lock().unwrap();
        assert_eq!(guard.repair(), None);
        assert!(guard.verify().is_clean(), "{:?}", guard.verify());
        for allocation in &case.allocations {
            let last = Gaddr::new(allocation.hi - 1).unwrap();
            assert_eq!(guard.tag(last).unwrap().get(), allocation.tag);
        }
        drop(guard);
        assert_eq!(snapshot(memory), image, "{}: looking has changed something", case.case);
        count += 1;
    }
    assert_eq!(count, 5);
}

#[test]
fn torn_images_are_recovered_by_locking_them() {
    let Some(golden) = golden::available() else {
        return;
    };
    let mut count = 0;
    for case in golden.torn() {
        let mut heap = Heap::of_image(&golden.image(case));
        let memory = heap.memory();
        let workspace = Workspace::join(memory, Heir).unwrap();
        assert_static_fields(&workspace, case);
        let guard = workspace.lock().unwrap();
        let rebuilt = matches!(guard.repair(), Some(Repair::TakenOver { rebuilt: true, .. }));
        assert!(rebuilt, "{}: {:?}", case.case, guard.repair());
        drop(guard);
        assert_eq!(list(&workspace), case.allocations, "{}", case.case);
        assert_eq!(workspace.holder(), None);

        let recovered = snapshot(memory);
        let listing = image::check(&recovered, Lock::MustBeFree).unwrap();
        let mut model = Model::of(&listing);
        let mut rng = Rng::new(count);
        for step in 0..10_000 {
            let mut guard = workspace.lock().unwrap();
            apply(&mut guard, &mut model, Operation::random(&mut rng, 2000));
            assert!(guard.verify().is_clean());
            drop(guard);
            if step % 100 == 0 {
                assert_holds(memory, &model);
            }
        }
        count += 1;
    }
    assert_eq!(count, 8);
}

#[test]
fn formatting_gives_the_bytes_of_the_golden_empty_workspace() {
    let Some(golden) = golden::available() else {
        return;
    };
    let case = golden.case("empty");
    let mut expected = golden.image(case);
    let mut heap = Heap::zeroed(expected.len());
    let memory = heap.memory();
    let format = Format {
        name: Name::new(&case.name).unwrap(),
        seed: case.seed,
        geometry: Geometry::with_part_max(expected.len() as u64, case.part_max).unwrap(),
    };
    let workspace = Workspace::format(memory, Heir, format).unwrap();
    assert_static_fields(&workspace, case);
    let mut found = snapshot(memory);
    image::check(&found, Lock::MustBeFree).unwrap();
    // The heap priority and the two scratch fields of each record may be anything.
    for image in [&mut expected, &mut found] {
        for record in 0..3 {
            let at = 128 + 64 * record;
            image[at + 24..at + 28].fill(0);
            image[at + 52..at + 64].fill(0);
        }
    }
    assert_eq!(found[..320], expected[..320]);
    assert_eq!(found[320..], expected[320..]);
}
