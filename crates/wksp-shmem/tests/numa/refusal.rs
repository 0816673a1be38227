//! What cannot be placed: an error that says why, and nothing left behind.

use std::fs::File;
use std::sync::Barrier;
use std::thread;

use wksp_shmem::{
    Binding, CpuIndex, CreateError, HwlocTopology, Joined, Near, NewRegion, NodeIndex, PageSize,
    PlacementError, PlanError, Shortfall, SubRegion,
};

use crate::machine::{self, FreePages, turn};
use crate::scene::{Scene, name, on};
use crate::system_calls::Promise;
use crate::whereabouts::nodes_of;

/// Why pages were not placed.
pub(crate) fn reason<T: std::fmt::Debug>(outcome: Result<T, CreateError>) -> PlacementError {
    match outcome {
        Err(CreateError::Placement { source, .. }) => *source,
        outcome => panic!("{outcome:?}"),
    }
}

fn too_few_pages(page_size: PageSize) {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let Some(_pages) = FreePages::on_each_node(page_size, 2) else { return };
    let Some(scene) = Scene::new(page_size) else { return };
    let nodes = machine::nodes_with_memory();
    for node in nodes.iter().copied() {
        let free = machine::free(node, page_size);
        let before = machine::counts();
        // Elsewhere there may be enough: that is no excuse.
        let sub_regions = [on(node, 1), on(nodes[0], 1), on(node, free + 4)];
        let error = reason(scene.create("large", &sub_regions, Binding::Strict));
        let PlacementError::TooFewPages { page_size: of, shortfalls } = &error else {
            panic!("{error:?}");
        };
        let also = u64::from(node == nodes[0]);
        let short = shortfalls
            .iter()
            .map(|Shortfall { node, wanted, available, .. }| (node.get(), *wanted, *available));
        assert_eq!(*of, page_size);
        assert_eq!(short.collect::<Vec<_>>(), [(node, free + 5 + also, free)]);
        let text = error.to_string();
        let lacks = format!("node {node} lacks {} {page_size} pages", 5 + also);
        assert!(text.contains(&lacks), "{text}");
        assert_eq!(scene.files(), [""; 0]);
        assert_eq!(machine::counts(), before);
    }
}

#[test]
fn too_few_huge_pages_are_an_error_that_names_the_node() {
    too_few_pages(PageSize::Huge);
}

#[test]
fn too_few_gigantic_pages_are_an_error_that_names_the_node() {
    too_few_pages(PageSize::Gigantic);
}

#[test]
fn too_little_memory_for_normal_pages_is_an_error_that_names_the_node() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let scene = Scene::new(PageSize::Normal).unwrap();
    for node in machine::nodes_with_memory() {
        let wanted = machine::memory_bytes(node) / 4096;
        let error = reason(scene.create("large", &[on(node, wanted)], Binding::Strict));
        let PlacementError::TooFewPages { shortfalls, .. } = &error else { panic!("{error:?}") };
        assert_eq!((shortfalls[0].node.get(), shortfalls[0].wanted), (node, wanted));
        assert!(shortfalls[0].available < wanted);
        assert_eq!(scene.files(), [""; 0]);
    }
}

#[test]
fn of_two_that_want_the_same_pages_at_most_one_gets_them() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let Some(_pages) = FreePages::on_each_node(PageSize::Huge, 8) else { return };
    let Some(scene) = Scene::new(PageSize::Huge) else { return };
    let node = *machine::nodes_with_memory().last().unwrap();
    let free = machine::free(node, PageSize::Huge);
    let before = machine::counts();
    let wanted = free / 2 + 1;
    for _ in 0..20 {
        let barrier = Barrier::new(2);
        let outcomes = thread::scope(|scope| {
            let create = |text| {
                let (barrier, scene) = (&barrier, &scene);
                scope.spawn(move || {
                    let options = scene.options(&[on(node, wanted)], Binding::Strict);
                    let machine = HwlocTopology::this_machine().unwrap();
                    barrier.wait();
                    let created =
                        NewRegion::create_placed(&scene.base, &name(text), &options, machine);
                    barrier.wait();
                    created.map(drop)
                })
            };
            [create("first"), create("second")].map(|thread| thread.join().unwrap())
        });
        let failed: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        assert!(!failed.is_empty(), "both have got more than half of the pages");
        for error in failed {
            match error {
                CreateError::Placement { source, .. } => match *source {
                    PlacementError::TooFewPages { shortfalls, .. } => {
                        assert_eq!(shortfalls[0].node.get(), node);
                    }
                    PlacementError::Refused { node: of, wanted: lacking, .. } => {
                        assert_eq!((of.get(), lacking), (node, wanted));
                    }
                    error => panic!("{error:?}"),
                },
                // On a machine of one node the kernel itself knows beforehand.
                CreateError::NoMemory { .. } => {}
                error => panic!("{error:?}"),
            }
        }
        assert_eq!(machine::counts(), before);
        assert_eq!(scene.files(), [""; 0]);
    }
}

#[test]
fn pages_that_are_promised_to_others_are_not_taken() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let Some(_pages) = FreePages::on_each_node(PageSize::Huge, 2) else { return };
    let Some(scene) = Scene::new(PageSize::Huge) else { return };
    let nodes = machine::nodes_with_memory();
    let all: u64 = nodes.iter().map(|node| machine::free(*node, PageSize::Huge)).sum();
    let bytes = machine::bytes(PageSize::Huge, all);
    let file = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(scene.directory().join("promised"))
        .unwrap();
    file.set_len(bytes.get() as u64).unwrap();
    let promise = Promise::new(&file, bytes).unwrap();
    let before = machine::counts();
    for node in nodes {
        for binding in [Binding::Strict, Binding::BestEffort] {
            let error = scene.create("late", &[on(node, 1)], binding).unwrap_err();
            assert!(matches!(error, CreateError::NoMemory { .. }), "{error:?}");
        }
    }
    assert_eq!(machine::counts(), before);
    assert_eq!(scene.files(), ["promised"]);
    drop(promise);
}

#[test]
fn best_effort_goes_elsewhere_and_says_how_many_and_where() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let Some(_pages) = FreePages::on_each_node(PageSize::Huge, 4) else { return };
    let Some(scene) = Scene::new(PageSize::Huge) else { return };
    let nodes = machine::nodes_with_memory();
    let node = *nodes.last().unwrap();
    let (free, before) = (machine::free(node, PageSize::Huge), machine::counts());
    if nodes.len() < 2 {
        machine::lack("a second node");
        // There is nowhere else to go.
        let error = scene.create("more", &[on(node, free + 3)], Binding::BestEffort).unwrap_err();
        assert!(matches!(error, CreateError::NoMemory { .. }), "{error:?}");
        assert_eq!(machine::counts(), before);
        return;
    }
    let (region, report) =
        scene.create("more", &[on(node, free + 3)], Binding::BestEffort).unwrap();
    assert!(!report.is_complete() && report.omissions.is_empty());
    assert_eq!(report.misplaced(), 3);
    let residence = &report.ranges[0].residence;
    assert_eq!(residence.on_node.get(&NodeIndex::new(node)), Some(&free));
    let found = nodes_of(&Joined::join(region).unwrap());
    for (at, count) in &residence.on_node {
        assert_eq!(found.iter().filter(|found| **found == at.get()).count() as u64, *count);
    }
    wksp_shmem::unlink(&scene.base, &name("more"), None).unwrap();
    assert_eq!(machine::counts(), before);
}

#[test]
fn what_this_machine_does_not_have_cannot_be_named() {
    let scene = Scene::new(PageSize::Normal).unwrap();
    let create = |near, binding| {
        let sub_region = SubRegion { page_count: 1, near };
        reason(scene.create("odd", &[sub_region], binding))
    };
    for binding in [Binding::Strict, Binding::BestEffort, Binding::Off] {
        let node = NodeIndex::new(999);
        let error = create(Near::Node(node), binding);
        assert!(
            matches!(error, PlacementError::Plan(PlanError::NoSuchNode { node: n }) if n == node)
        );
        let cpu = CpuIndex::new(99_999);
        let error = create(Near::Cpu(cpu), binding);
        assert!(matches!(error, PlacementError::Plan(PlanError::NoSuchCpu { cpu: c }) if c == cpu));
    }
    for node in machine::nodes().into_iter().filter(|node| machine::memory_bytes(*node) == 0) {
        let error = create(Near::Node(NodeIndex::new(node)), Binding::Strict);
        assert!(matches!(error, PlacementError::Plan(PlanError::NoMemory { .. })), "{error:?}");
    }
    assert_eq!(scene.files(), [""; 0]);
}

#[test]
fn nothing_is_bound_by_a_machine_that_is_made_up() {
    let scene = Scene::new(PageSize::Normal).unwrap();
    let made_up = HwlocTopology::synthetic("numa:4 pu:2").unwrap();
    let create = |binding| {
        let options = scene.options(&[on(3, 2)], binding);
        NewRegion::create_placed(&scene.base, &name("planned"), &options, &made_up)
    };
    for binding in [Binding::Strict, Binding::BestEffort] {
        assert!(matches!(reason(create(binding)), PlacementError::NotThisMachine));
    }
    // Where nothing is bound, it does not matter.
    create(Binding::Off).unwrap();
    assert_eq!(scene.files(), [""; 0]);
}
