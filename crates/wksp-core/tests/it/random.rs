//! Random operations against the model, verified after every one.

use proptest::prelude::*;
use wksp_core::Workspace;
use wksp_testkit::rng::Rng;

use crate::heap::{Heap, Heir, assert_holds, empty_model, format, hint_words};
use crate::operations::{Operation, apply};

proptest! {
    #[test]
    fn any_operations_keep_to_the_model(
        part_max in 1_u64..60,
        data_max in 1_u64..20_000,
        operations in prop::collection::vec(Operation::strategy(4000), 1..150),
    ) {
        let mut heap = Heap::zeroed(64 * 60 + 128 * 200);
        let memory = heap.memory();
        let workspace = format(memory, part_max, data_max);
        let mut model = empty_model(&workspace);
        for operation in operations {
            let mut guard = workspace.lock().unwrap();
            apply(&mut guard, &mut model, operation);
            let report = guard.verify();
            prop_assert!(report.is_clean(), "{:?}", report);
            prop_assert_eq!(guard.repair(), None);
            drop(guard);
            assert_holds(memory, &model);
        }
    }
}

proptest! {
    /// What one handle does makes the hints of the others stale, and some are wrong to begin with.
    #[test]
    fn hints_change_nothing_but_the_time_it_takes(
        part_max in 1_u64..60,
        data_max in 1_u64..20_000,
        seed in any::<u64>(),
        operations in prop::collection::vec((0_usize..4, Operation::strategy(4000)), 1..150),
    ) {
        let mut heap = Heap::zeroed(64 * 60 + 128 * 200);
        let memory = heap.memory();
        let without = format(memory, part_max, data_max);
        let mut rng = Rng::new(seed);
        let nothing = hint_words(&without, || 0);
        let garbage = hint_words(&without, || rng.next_u64());
        // Records that there are, in places where others should be.
        let plausible = hint_words(&without, || rng.next_u64() & !0xFFFF_FFFF | rng.below(part_max + 1));
        let join = |words| Workspace::join(memory, Heir).unwrap().with_hints(words);
        let handles = [join(&nothing), join(&garbage), join(&plausible), without];
        let mut model = empty_model(&handles[0]);
        for (handle, operation) in operations {
            let mut guard = handles[handle].lock().unwrap();
            apply(&mut guard, &mut model, operation);
            let report = guard.verify();
            prop_assert!(report.is_clean(), "{:?}", report);
            prop_assert_eq!(guard.repair(), None);
            drop(guard);
            assert_holds(memory, &model);
        }
    }
}

#[test]
fn a_long_run_with_hints_keeps_to_the_model() {
    let mut heap = Heap::zeroed(1 << 20);
    let memory = heap.memory();
    let plain = format(memory, 2000, 900_000);
    let (first, second) = (hint_words(&plain, || 0), hint_words(&plain, || 0));
    let join = |words| Workspace::join(memory, Heir).unwrap().with_hints(words);
    let handles = [join(&first), join(&second)];
    let mut model = empty_model(&plain);
    let mut rng = Rng::new(18);
    for step in 0..50_000 {
        // For a while one of them has the workspace to itself.
        let mut guard = handles[step / 1000 % 2].lock().unwrap();
        apply(&mut guard, &mut model, Operation::random(&mut rng, 3000));
        assert_eq!(guard.repair(), None);
        if step % 500 == 0 {
            assert!(guard.verify().is_clean());
            drop(guard);
            assert_holds(memory, &model);
        }
    }
}

#[test]
fn a_long_run_in_a_large_workspace_keeps_to_the_model() {
    let mut heap = Heap::zeroed(1 << 20);
    let memory = heap.memory();
    let workspace = format(memory, 2000, 900_000);
    let mut model = empty_model(&workspace);
    let mut rng = Rng::new(17);
    for step in 0..50_000 {
        let mut guard = workspace.lock().unwrap();
        // Rather smaller than the room, so that many are alive at once.
        apply(&mut guard, &mut model, Operation::random(&mut rng, 3000));
        if step % 500 == 0 {
            assert!(guard.verify().is_clean());
            drop(guard);
            assert_holds(memory, &model);
        }
    }
}
