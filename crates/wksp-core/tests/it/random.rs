//! Random operations against the model, verified after every one.

use proptest::prelude::*;
use wksp_testkit::rng::Rng;

use crate::heap::{Heap, assert_holds, empty_model, format};
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
