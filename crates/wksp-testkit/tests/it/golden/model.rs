//! The model agrees with the golden images.

use wksp_testkit::golden;
use wksp_testkit::image::{Lock, check};
use wksp_testkit::model::{Model, Wanted};

#[test]
fn gaps_and_ranges_equal_those_of_the_golden_images() {
    let golden = golden::require();
    for case in golden.at_rest() {
        let image = golden.image(case);
        let listing = check(&image, Lock::MustBeFree).unwrap();
        let mut model = Model::new(case.gaddr_lo..case.gaddr_hi);
        for used in &case.allocations {
            let wanted = Wanted { bytes: used.hi - used.lo, align: 1, tag: used.tag };
            model.insert(used.lo..used.hi, wanted, 0).unwrap();
        }
        model.compare(&listing).unwrap();
        assert_eq!(model, Model::of(&listing));

        let Some(first) = case.allocations.first() else { continue };
        model.set_tag(first.lo, 77);
        assert_eq!(model.compare(&listing).unwrap_err().len(), 2);
        model.remove(first.lo);
        assert!(!model.compare(&listing).unwrap_err().is_empty());
    }
}
