//! Whatever comes of placing pages, the calling thread's memory policy is what it was, and whatever
//! it is, the pages are placed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use wksp_shmem::{
    Binding, HwlocTopology, Joined, NewRegion, NodeIndex, NodeInfo, PageSize, Topology,
};

use crate::machine::{self, FreePages, turn};
use crate::scene::{Scene, name, on};
use crate::system_calls::ThreadPolicy;
use crate::whereabouts::nodes_of;

/// This machine, but whoever asks for a node panics.
#[derive(Debug)]
struct Panicking;

impl Topology for Panicking {
    fn nodes(&self) -> &[NodeInfo] {
        HwlocTopology::this_machine().unwrap().nodes()
    }

    fn distance(&self, _: NodeIndex, _: NodeIndex) -> Option<u64> {
        None
    }

    fn is_this_machine(&self) -> bool {
        true
    }

    fn node(&self, _: NodeIndex) -> Option<&NodeInfo> {
        panic!("as the test wants")
    }
}

fn policies(nodes: &[u32]) -> Vec<ThreadPolicy> {
    let mut policies = vec![ThreadPolicy::new(libc::MPOL_DEFAULT, None)];
    for node in nodes {
        for mode in [libc::MPOL_BIND, libc::MPOL_PREFERRED, libc::MPOL_INTERLEAVE] {
            policies.push(ThreadPolicy::new(mode, Some(*node)));
        }
    }
    policies
}

/// Does something in a thread of its own that has the policy, and checks that it has it still.
fn under(policy: &ThreadPolicy, work: impl FnOnce() + Send) {
    let outcome = thread::scope(|scope| {
        let thread = scope.spawn(|| {
            policy.set().unwrap();
            let before = ThreadPolicy::current().unwrap();
            assert_eq!(before.mode, policy.mode);
            work();
            assert_eq!(ThreadPolicy::current().unwrap(), before);
        });
        thread.join()
    });
    outcome.unwrap();
}

#[test]
fn the_thread_keeps_its_policy_and_the_region_gets_its_own() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let nodes = machine::nodes_with_memory();
    for page_size in [PageSize::Normal, PageSize::Huge] {
        let Some(_pages) = FreePages::on_each_node(page_size, 2) else { continue };
        let Some(scene) = Scene::new(page_size) else { continue };
        for policy in policies(&nodes) {
            for node in nodes.iter().copied() {
                under(&policy, || {
                    for binding in [Binding::Strict, Binding::BestEffort] {
                        let (region, report) =
                            scene.create("placed", &[on(node, 2)], binding).unwrap();
                        assert!(report.is_complete(), "{report:?}");
                        assert_eq!(nodes_of(&Joined::join(region).unwrap()), [node, node]);
                        wksp_shmem::unlink(&scene.base, &name("placed"), None).unwrap();
                    }
                });
            }
        }
    }
}

#[test]
fn the_thread_keeps_its_policy_when_placing_fails_or_panics() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let nodes = machine::nodes_with_memory();
    for page_size in [PageSize::Normal, PageSize::Huge] {
        let Some(_pages) = FreePages::on_each_node(page_size, 1) else { continue };
        let Some(scene) = Scene::new(page_size) else { continue };
        for policy in policies(&nodes) {
            under(&policy, || {
                let too_many = machine::memory_bytes(nodes[0]) / page_size.bytes();
                let outcome = scene.create("large", &[on(nodes[0], too_many)], Binding::Strict);
                assert!(outcome.is_err());
                let options = scene.options(&[on(nodes[0], 1)], Binding::Strict);
                let create =
                    || NewRegion::create_placed(&scene.base, &name("panic"), &options, &Panicking);
                assert!(catch_unwind(AssertUnwindSafe(create)).is_err());
            });
        }
        assert_eq!(scene.files(), [""; 0]);
    }
}
