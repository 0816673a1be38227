//! The shadow model accepts what a right allocator does and nothing else.

use wksp_testkit::model::{Difference, Model, Rejection, Wanted, fill_pattern};

const WANTED: Wanted = Wanted { bytes: 100, align: 4, tag: 7 };

fn model() -> Model {
    let mut model = Model::new(1000..2000);
    model.insert(1100..1200, WANTED, 1).unwrap();
    model.insert(1200..1300, Wanted { tag: 8, ..WANTED }, 2).unwrap();
    model
}

#[test]
fn wrong_answers_are_rejected() {
    let mut model = model();
    let before = model.clone();
    let mut insert = |range, wanted| model.insert(range, wanted, 0).unwrap_err();
    assert!(matches!(insert(1299..1399, Wanted { align: 1, ..WANTED }), Rejection::Overlap(_)));
    assert!(matches!(insert(1004..1104, WANTED), Rejection::Overlap(_)));
    assert!(matches!(
        insert(1150..1160, Wanted { bytes: 10, align: 2, tag: 1 }),
        Rejection::Overlap(_)
    ));
    assert!(matches!(insert(1302..1402, WANTED), Rejection::Misaligned { at: 1302, align: 4 }));
    assert!(matches!(
        insert(1304..1404, Wanted { align: 0, ..WANTED }),
        Rejection::Misaligned { align: 4096, .. }
    ));
    assert!(matches!(insert(1304..1403, WANTED), Rejection::Size { wanted: 100, found: 99 }));
    assert!(matches!(insert(1304..1405, WANTED), Rejection::Size { wanted: 100, found: 101 }));
    assert!(matches!(insert(1904..2004, WANTED), Rejection::OutOfRegion { .. }));
    assert!(matches!(insert(900..1000, WANTED), Rejection::OutOfRegion { .. }));
    assert!(matches!(insert(1304..1404, Wanted { tag: 0, ..WANTED }), Rejection::Request(_)));
    assert!(matches!(insert(1304..1404, Wanted { align: 3, ..WANTED }), Rejection::Request(_)));
    let reserved = |at, range| before.clone().insert_reserved(at, range, WANTED, 0);
    assert!(matches!(reserved(1304, 1308..1500), Err(Rejection::Size { .. })));
    assert!(matches!(reserved(1404, 1308..1500), Err(Rejection::Size { .. })));
    assert!(reserved(1400, 1300..1500).is_ok());
    assert_eq!(model, before);
}

#[test]
fn any_address_of_an_allocation_names_it() {
    let mut model = model();
    assert_eq!(model.tag_at(1099), None);
    assert_eq!(model.tag_at(1100), Some(7));
    assert_eq!(model.tag_at(1199), Some(7));
    assert_eq!(model.tag_at(1200), Some(8));
    assert_eq!(model.tag_at(1300), None);
    assert_eq!(model.set_tag(1250, 9), Some(8));
    assert_eq!(model.gaps(), [1000..1100, 1300..2000]);
    assert_eq!(model.best_fit(100), Some(100));
    assert_eq!(model.best_fit(101), Some(700));
    assert_eq!(model.best_fit(701), None);
    assert_eq!(model.remove(1300), None);
    assert_eq!(model.remove(1150).unwrap().lo, 1100);
    assert_eq!(model.gaps(), [1000..1200, 1300..2000]);
    assert_eq!(model.tag_free(&[7]).len(), 0);
    assert_eq!(model.tag_free(&[1, 9]).len(), 1);
    assert!(model.is_empty());
    assert_eq!(model.gaps().len(), 1);
}

#[test]
fn contents_are_compared() {
    let model = model();
    let mut image = vec![0; 2000];
    for allocation in model.iter() {
        let (lo, hi) = (allocation.lo as usize, allocation.hi as usize);
        fill_pattern(allocation.seed, &mut image[lo..hi]);
    }
    model.compare_contents(&image).unwrap();
    image[1299] ^= 1;
    let differences = model.compare_contents(&image).unwrap_err();
    assert!(matches!(differences[..], [Difference::Content(_, mismatch)] if mismatch.offset == 99));
}
