//! Where system calls are forbidden, as in many containers, or unknown, as to old kernels.

use libc::c_long;
use wksp_shmem::{
    Binding, CreateError, HwlocTopology, NewRegion, Omission, PageSize, PlacementError,
};

use crate::machine::{self, FreePages, turn};
use crate::partner::{Told, hear};
use crate::scene::{Scene, on};
use crate::system_calls::forbid;

/// Another process: forbids itself what it is told, creates a region, and says what came of it.
pub(crate) fn place(told: &Told) -> String {
    let mut words = told.part.split(' ').skip(1);
    let (what, binding) = (words.next().unwrap(), words.next().unwrap());
    let topology = HwlocTopology::this_machine().unwrap();
    let policies: [c_long; 3] = [libc::SYS_mbind, libc::SYS_set_mempolicy, libc::SYS_get_mempolicy];
    match what {
        "nothing" => {}
        "binding" => forbid(&policies, libc::EPERM, None),
        "asking-together" => forbid(&[libc::SYS_move_pages], libc::EPERM, None),
        "asking" => {
            forbid(&[libc::SYS_move_pages, libc::SYS_get_mempolicy], libc::EPERM, None);
        }
        "both" => {
            let all = [&policies[..], &[libc::SYS_move_pages]].concat();
            forbid(&all, libc::ENOSYS, None);
        }
        "populating" => forbid(&[], libc::EPERM, Some(libc::MADV_POPULATE_WRITE)),
        "any-populating" => {
            forbid(&[], libc::EPERM, Some(libc::MADV_POPULATE_READ));
            forbid(&[], libc::EPERM, Some(libc::MADV_POPULATE_WRITE));
        }
        what => panic!("cannot forbid {what:?}"),
    }
    let binding = match binding {
        "strict" => Binding::Strict,
        "best-effort" => Binding::BestEffort,
        "off" => Binding::Off,
        binding => panic!("there is no {binding:?}"),
    };
    let node = *machine::nodes_with_memory().last().unwrap();
    let placement = wksp_shmem::Placement { sub_regions: vec![on(node, 1), on(node, 1)] };
    let page_size = told.page_size;
    let options = wksp_shmem::PlacedRegionOptions { page_size, mode: 0o600, placement, binding };
    match NewRegion::create_placed(&told.base, &told.name, &options, topology) {
        Ok((_, report)) => {
            let omissions = report.omissions.iter().map(|omission| match omission {
                Omission::Off => "off ".to_owned(),
                Omission::NotBound { pages, .. } => format!("not bound {pages:?} "),
                Omission::NotChecked { .. } => "not checked ".to_owned(),
                omission => panic!("{omission:?}"),
            });
            let omissions: String = omissions.collect();
            let found = report.ranges.iter().map(|range| &range.residence);
            assert!(found.clone().all(|residence| residence.unknown == 0), "{report:?}");
            format!("made {omissions}{} misplaced", report.misplaced())
        }
        Err(CreateError::Placement { source, .. }) => match *source {
            PlacementError::Forbidden { call, .. } => format!("refused {call}"),
            error => format!("{error:?}"),
        },
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn what_is_forbidden_is_an_error_or_said_as_the_caller_chose() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let scene = Scene::new(PageSize::Normal).unwrap();
    for (what, said) in [
        ("nothing strict", "made 0 misplaced"),
        ("nothing best-effort", "made 0 misplaced"),
        ("nothing off", "made off 0 misplaced"),
        ("binding strict", "refused mbind(2)"),
        ("binding best-effort", "made not bound 0..1 not bound 1..2 "),
        ("binding off", "made off 0 misplaced"),
        ("asking-together strict", "made 0 misplaced"),
        ("asking strict", "refused move_pages(2) or else get_mempolicy(2)"),
        ("asking best-effort", "made not checked 0 misplaced"),
        ("both strict", "refused mbind(2)"),
        ("both best-effort", "made not bound 0..1 not bound 1..2 not checked 0 misplaced"),
        ("both off", "made off 0 misplaced"),
        // Normal pages need no populating to be placed, nor to be asked for.
        ("populating strict", "made 0 misplaced"),
        ("any-populating strict", "made 0 misplaced"),
    ] {
        let heard = hear(&scene, "region", &format!("place {what}"), None).unwrap();
        assert!(heard.starts_with(said), "{what}: {heard}");
        assert_eq!(scene.files(), [""; 0]);
    }
}

#[test]
fn huge_pages_are_not_placed_by_kernels_that_cannot_populate() {
    let _turn = turn();
    if !machine::can_place() {
        return;
    }
    let Some(_pages) = FreePages::on_each_node(PageSize::Huge, 2) else { return };
    let Some(scene) = Scene::new(PageSize::Huge) else { return };
    let before = machine::counts();
    for (what, said) in [
        ("nothing strict", "made 0 misplaced"),
        ("asking-together strict", "made 0 misplaced"),
        ("populating strict", "refused madvise(2) with MADV_POPULATE_WRITE"),
        ("populating best-effort", "made not bound 0..1 not bound 1..2 "),
        ("any-populating best-effort", "made not bound 0..1 not bound 1..2 "),
        ("both best-effort", "made not bound 0..1 not bound 1..2 not checked 0 misplaced"),
    ] {
        let heard = hear(&scene, "region", &format!("place {what}"), None).unwrap();
        assert!(heard.starts_with(said), "{what}: {heard}");
        assert_eq!(scene.files(), [""; 0]);
        assert_eq!(machine::counts(), before);
    }
}
