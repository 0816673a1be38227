//! Checkpoints that the C implementation wrote.

use std::fs;

use wksp_testkit::golden::{Allocation, Case, Flavour, Golden, available};

use crate::bench::Bench;
use crate::listing::{Shown, allocations};

const FLAVOURS: [(Flavour, &str); 3] =
    [(Flavour::V1, "v1"), (Flavour::V2, "v2"), (Flavour::V3, "v3")];

/// Compares what `show` says of a restored workspace with the manifest.
fn compare(bench: &Bench, case: &Case, name: &str) {
    let shown = bench.json(["show", name]);
    let field = |field: &str| shown["workspace"][field].as_u64();
    assert_eq!(field("seed"), Some(u64::from(case.seed)), "{}", case.case);
    assert_eq!(field("part_max"), Some(case.part_max), "{}", case.case);
    assert_eq!(field("gaddr_lo"), Some(case.gaddr_lo));
    assert!(field("gaddr_hi") >= Some(case.gaddr_hi), "{}", case.case);
    let region = fs::read(bench.region(name)).unwrap();
    let found = allocations(&shown).into_iter().map(|Shown { lo, hi, tag }| {
        let bytes = &region[usize::try_from(lo).unwrap()..usize::try_from(hi).unwrap()];
        Allocation { tag, lo, hi, crc32: crc32fast::hash(bytes) }
    });
    case.compare_allocations(found)
        .unwrap_or_else(|differences| panic!("{}: {differences}", case.case));
    assert_eq!(bench.json(["verify", name])["clean"], true, "{}", case.case);
}

/// Runs `each` on every golden checkpoint.
fn each(golden: &Golden, each: impl Fn(&Case, &str, &str)) {
    for case in golden.at_rest() {
        for (flavour, extension) in FLAVOURS {
            let path = golden.path(case, extension);
            assert!(!golden.checkpoint(case, flavour).is_empty());
            each(case, extension, path.to_str().unwrap());
        }
    }
}

#[test]
fn golden_checkpoints_restore_to_the_manifest() {
    let Some(golden) = available() else { return };
    each(&golden, |case, _, path| {
        let bench = Bench::new();
        let ran = bench.run(["restore", "restored", path, "--create", "--json"]);
        assert_eq!((ran.code, &ran.document()["state"]), (Some(0), &"unverified".into()));
        assert!(ran.stderr.contains("\"kind\":\"unverified\""), "{ran:?}");
        compare(&bench, case, "restored");
        let piped = bench.pipe(["restore", "piped", "-", "--create"], &fs::read(path).unwrap());
        assert_eq!(piped.code, Some(0), "{piped:?}");
        compare(&bench, case, "piped");
        // Over what is there, and as a checkpoint of our own.
        let file = bench.path().join("file").to_str().unwrap().to_owned();
        bench.ok(["checkpt", "piped", &file]);
        bench.ok(["restore", "restored", &file, "--yes"]);
        compare(&bench, case, "restored");
    });
}

#[test]
fn golden_checkpoints_are_inspected_exactly() {
    let Some(golden) = available() else { return };
    let bench = Bench::new();
    each(&golden, |case, format, path| {
        let inspected = bench.json(["inspect", path]);
        assert_eq!(inspected["format"], format);
        let origin = &inspected["origin"];
        assert_eq!(
            (&origin["name"], &origin["seed"]),
            (&case.name.as_str().into(), &case.seed.into())
        );
        assert_eq!(origin["part_max"], case.part_max);
        assert_eq!(origin["data_max"], case.data_max);
        let listed = inspected["content"]["allocations"].as_array().unwrap();
        let number = |value: &serde_json::Value| value.as_u64().unwrap();
        let found: Vec<_> = listed
            .iter()
            .map(|one| {
                let tag: u64 = one["tag"].as_str().unwrap().parse().unwrap();
                (number(&one["gaddr_lo"]), number(&one["gaddr_hi"]), tag)
            })
            .collect();
        let expected: Vec<_> =
            case.allocations.iter().map(|one| (one.lo, one.hi, one.tag)).collect();
        assert_eq!(found, expected, "{path}");
        assert_eq!(bench.json(["checkpt-verify", path])["state"], "unverified");
    });
}
