//! Workspaces that the C implementation wrote, as regions.

use std::fs;

use serde_json::Value;
use wksp_testkit::golden::{Allocation, Case, Golden, available};

use crate::bench::Bench;
use crate::listing::{Shown, allocations};

/// So many allocations are got one by one; of more, the bytes of the region are looked at.
const GOT_MAX: usize = 300;

/// A base directory with the image of a case as a region.
fn bench_of(golden: &Golden, case: &Case) -> Bench {
    let bench = Bench::new();
    fs::write(bench.region(&case.name), golden.image(case)).unwrap();
    bench
}

/// Compares what `show` and `ls` say with the manifest.
fn compare(bench: &Bench, case: &Case) {
    let shown = bench.json(["show", &case.name]);
    let ls = bench.json(["ls"]);
    assert_eq!(ls["workspaces"].as_array().unwrap().len(), 1);
    for workspace in [&shown["workspace"], &ls["workspaces"][0]["workspace"]] {
        let field = |name: &str| workspace[name].as_u64();
        assert_eq!(workspace["header_name"], case.name.as_str());
        assert_eq!(field("seed"), Some(u64::from(case.seed)), "{}", case.case);
        assert_eq!(field("part_max"), Some(case.part_max));
        assert_eq!(field("data_max"), Some(case.data_max));
        assert_eq!(field("gaddr_lo"), Some(case.gaddr_lo));
        assert_eq!(field("gaddr_hi"), Some(case.gaddr_hi));
        assert_eq!(workspace["lock"]["state"], "free");
    }
    case.compare_allocations(contents(bench, case, &shown))
        .unwrap_or_else(|differences| panic!("{}: {differences}", case.case));
}

/// The allocations of a document of `show`, with checksums of their bytes.
fn contents(bench: &Bench, case: &Case, shown: &Value) -> Vec<Allocation> {
    let region = fs::read(bench.region(&case.name)).unwrap();
    let allocations = allocations(shown);
    let get_all = allocations.len() <= GOT_MAX;
    let checked = allocations.into_iter().map(|Shown { lo, hi, tag }| {
        let (from, to) = (usize::try_from(lo).unwrap(), usize::try_from(hi).unwrap());
        let bytes = if get_all {
            let got = bench.run(["get", &format!("{}:{lo}", case.name)]);
            assert_eq!(got.code, Some(0), "{got:?}");
            got.stdout
        } else {
            region[from..to].to_vec()
        };
        Allocation { tag, lo, hi, crc32: crc32fast::hash(&bytes) }
    });
    checked.collect()
}

#[test]
fn golden_images_list_exactly_what_the_manifest_says() {
    let Some(golden) = available() else { return };
    for case in golden.at_rest() {
        let bench = bench_of(&golden, case);
        let before = bench.bytes(&case.name);
        compare(&bench, case);
        assert_eq!(bench.json(["verify", &case.name])["clean"], true, "{}", case.case);
        assert!(bench.bytes(&case.name) == before, "{} was changed by looks", case.case);
    }
}

#[test]
fn torn_golden_images_are_recovered_by_check() {
    let Some(golden) = available() else { return };
    for case in golden.torn() {
        let bench = bench_of(&golden, case);
        let check = bench.json(["check"]);
        let entry = &check["workspaces"][0];
        assert_eq!(
            (&entry["name"], &entry["state"]),
            (&case.name.as_str().into(), &"recovered".into())
        );
        assert_eq!(entry["repair"]["dead_pid"].as_u64(), Some(case.owner));
        assert_eq!(entry["repair"]["rebuilt"], true, "{}", case.case);
        assert_eq!(bench.json(["verify", &case.name])["clean"], true, "{}", case.case);
        compare(&bench, case);
        assert_eq!(bench.json(["check"])["workspaces"][0]["state"], "ok");
    }
}
