//! Every golden image is judged the way its manifest says.

use wksp_testkit::golden;
use wksp_testkit::image::{self, Lock, OWNER_FREE, Violation, check, field, truth};
use wksp_testkit::rng::Rng;

#[test]
fn images_at_rest_break_no_rule_and_equal_the_manifest() {
    let golden = golden::require();
    assert_eq!(golden.at_rest().count(), 5);
    for case in golden.at_rest() {
        let image = golden.image(case);
        let listing = check(&image, Lock::MustBeFree).unwrap();
        case.compare(&listing).unwrap();
        assert_eq!(case.owner, OWNER_FREE);
        assert_eq!(listing.owner, OWNER_FREE);
        case.compare_used(&truth(&image).unwrap(), &image).unwrap();
        assert_eq!(truth(&image).unwrap(), listing.used());
    }
}

#[test]
fn torn_images_hold_the_truth_of_the_manifest() {
    let golden = golden::require();
    assert_eq!(golden.torn().count(), 8);
    for case in golden.torn() {
        let image = golden.image(case);
        case.compare_used(&truth(&image).unwrap(), &image).unwrap();
        assert_eq!(image::Header::read(&image).unwrap().owner, case.owner);
    }
}

/// All eight: the owner of `torn0` too died between clearing a tag and unlinking the record.
#[test]
fn torn_images_break_more_rules_than_that_of_the_lock() {
    let golden = golden::require();
    for case in golden.torn() {
        let image = golden.image(case);
        let held = Violation::Owner { found: case.owner };
        let strict = check(&image, Lock::MustBeFree).unwrap_err();
        assert!(strict.contains(&held), "{}", case.case);
        let index = check(&image, Lock::AnyOwner).unwrap_err();
        assert!(!index.contains(&held), "{}", case.case);
        assert_eq!(strict.len(), index.len() + 1, "{}", case.case);
    }
}

#[test]
fn the_lock_is_the_only_rule_that_an_image_at_rest_breaks_once_it_is_taken() {
    let golden = golden::require();
    for case in golden.at_rest() {
        let mut image = golden.image(case);
        let owner = field::HEADER_OWNER;
        image[owner..owner + 8].copy_from_slice(&4711_u64.to_le_bytes());
        let violations = check(&image, Lock::MustBeFree).unwrap_err();
        assert_eq!(violations, [Violation::Owner { found: 4711 }]);
        case.compare(&check(&image, Lock::AnyOwner).unwrap()).unwrap();
    }
}

#[test]
fn comparison_with_another_workspace_fails() {
    let golden = golden::require();
    let small = golden.case("small");
    let image = golden.image(golden.case("mixed"));
    let listing = check(&image, Lock::MustBeFree).unwrap();
    assert!(small.compare(&listing).is_err());

    let mut image = golden.image(small);
    let at = usize::try_from(small.allocations[3].lo).unwrap();
    image[at] ^= 1;
    let listing = check(&image, Lock::MustBeFree).unwrap();
    let differences = small.compare(&listing).unwrap_err();
    assert_eq!(differences.0.len(), 1, "{differences}");
}

#[test]
fn damaged_images_never_panic() {
    let golden = golden::require();
    let mut rng = Rng::new(1);
    for name in ["small", "torn3", "mixed"] {
        let original = golden.image(golden.case(name));
        let records_end = usize::try_from(golden.case(name).gaddr_lo).unwrap();
        for _ in 0..300 {
            let mut image = original.clone();
            for _ in 0..=rng.below(3) {
                let at = rng.index(records_end);
                image[at] = rng.byte();
            }
            let _ = check(&image, Lock::AnyOwner);
            let _ = truth(&image);
        }
    }
    for length in 0..300 {
        let mut image = vec![0; length];
        rng.fill(&mut image);
        assert!(check(&image, Lock::AnyOwner).is_err());
        assert!(truth(&image).is_err());
    }
}

#[test]
fn random_record_tables_never_panic() {
    let golden = golden::require();
    let case = golden.case("small");
    let original = golden.image(case);
    let mut rng = Rng::new(2);
    for _ in 0..300 {
        let mut image = original.clone();
        // Small indices, so that walks meet cycles rather than the end of the table.
        for at in (84..104).chain(128..128 + 64 * 40).step_by(4) {
            let word = if rng.one_in(2) { rng.below(40) } else { u64::from(u32::MAX) };
            image[at..at + 4].copy_from_slice(&u32::try_from(word).unwrap().to_le_bytes());
        }
        assert!(check(&image, Lock::AnyOwner).is_err());
        let _ = truth(&image);
    }
}
