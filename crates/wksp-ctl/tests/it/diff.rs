//! `diff` of workspaces and checkpoints.

use std::fs;

use serde_json::Value;

use crate::bench::{Bench, Ran, noise};
use crate::checkpt::path;

/// A workspace, a checkpoint of what it was, and all changes that there can be since.
struct Changed {
    bench: Bench,
    /// Where something was gone, added, stored, given another tag, made larger, left alone.
    gaddrs: [u64; 6],
}

fn gaddr(address: &str) -> u64 {
    address.trim().rsplit(':').next().unwrap().parse().unwrap()
}

impl Changed {
    fn new(style: &str) -> Self {
        let bench = Bench::with_demo("4MiB");
        let put = |bytes: &[u8], tag: &str| {
            let ran = bench.pipe(["put", "demo", "--tag", tag], bytes);
            assert_eq!(ran.code, Some(0), "{ran:?}");
            ran.text().trim().to_owned()
        };
        let bytes = noise(300_000);
        let addresses = ["1", "2", "3", "4", "5"].map(|tag| put(&bytes, tag));
        let [gone, stored, tagged, larger, same] = &addresses;
        bench.ok(["checkpt", "demo", &path(&bench, "before"), "--style", style]);
        bench.ok(["tag", tagged, "33"]);
        // Another allocation in the same place, with one byte more.
        bench.ok(["free", larger]);
        assert_eq!(bench.ok(["alloc", "demo", "300001", "--tag", "4"]).trim(), larger);
        bench.ok(["fill", larger, "0"]);
        // One that does not fit where something is gone.
        bench.ok(["free", gone]);
        let added = bench.ok(["alloc", "demo", "1M", "--tag", "6"]);
        let gaddrs = [gone, &added, stored, tagged, larger, same].map(|one| gaddr(one));
        let at = usize::try_from(gaddr(stored)).unwrap();
        let region = fs::read(bench.region("demo")).unwrap();
        let other = [!region[at], region[at + 1], !region[at + 2]];
        bench.patch("demo", at, &other);
        bench.ok(["checkpt", "demo", &path(&bench, "after"), "--style", style]);
        Self { bench, gaddrs }
    }
}

/// The difference at an address.
fn at(document: &Value, gaddr: u64) -> Option<&Value> {
    document["differences"].as_array().unwrap().iter().find(|one| one["gaddr_lo"] == gaddr)
}

fn check(document: &Value, gaddrs: [u64; 6]) {
    let [gone, added, stored, tagged, larger, same] = gaddrs;
    assert_eq!(document["same"], false);
    assert!(at(document, same).is_none(), "{document}");
    let one = at(document, stored).unwrap();
    assert_eq!((&one["change"], &one["differing_bytes"]), (&"changed".into(), &2.into()));
    assert_eq!((&one["a"], &one["a"]["bytes"]), (&one["b"], &300_000.into()));
    let one = at(document, tagged).unwrap();
    assert_eq!((&one["a"]["tag"], &one["b"]["tag"]), (&"3".into(), &"33".into()));
    assert_eq!((&one["change"], &one["differing_bytes"]), (&"changed".into(), &0.into()));
    for (gaddr, change, there, missing) in [(gone, "gone", "a", "b"), (added, "added", "b", "a")] {
        let one = at(document, gaddr).unwrap();
        assert_eq!(one["change"], change);
        assert!(one[there].is_object() && one[missing].is_null(), "{one}");
        assert!(one["differing_bytes"].is_null(), "{one}");
    }
    let count = |field: &str| document[field].as_u64().unwrap();
    let differences = document["differences"].as_array().unwrap().len() as u64;
    assert_eq!(count("added_count") + count("gone_count") + count("changed_count"), differences);
    assert_eq!(count("same_count"), 1);
    let one = at(document, larger).unwrap();
    assert_eq!((&one["a"]["bytes"], &one["b"]["bytes"]), (&300_000.into(), &300_001.into()));
    let differing = one["differing_bytes"].as_u64().unwrap();
    assert!((290_000..300_000).contains(&differing), "{one}");
}

fn differ(bench: &Bench, a: &str, b: &str) -> Value {
    let ran = bench.run(["diff", a, b, "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(1), ""), "{ran:?}");
    ran.document()
}

#[test]
fn each_kind_of_change_is_found_whatever_is_compared_with_what() {
    for style in ["v1", "v2", "v3", "zstd"] {
        let Changed { bench, gaddrs } = Changed::new(style);
        let (before, after) = (path(&bench, "before"), path(&bench, "after"));
        bench.ok(["restore", "old", &before, "--create"]);
        let mut found = Vec::new();
        for (a, b) in [
            (before.as_str(), "demo"),
            (before.as_str(), after.as_str()),
            ("old", "demo"),
            ("old", after.as_str()),
        ] {
            let document = differ(&bench, a, b);
            check(&document, gaddrs);
            found.push(document["differences"].clone());
            // The other way round, what was added is gone.
            let back = differ(&bench, b, a);
            assert_eq!(back["differing_bytes"], document["differing_bytes"]);
            assert_eq!(back["added_count"], document["gone_count"]);
        }
        assert!(found.windows(2).all(|two| two[0] == two[1]), "{style}: {found:?}");
        for (a, b) in [("demo", after.as_str()), ("old", before.as_str()), ("demo", "demo")] {
            assert_eq!(bench.ok(["diff", a, b]), "");
            assert_eq!(bench.json(["diff", a, b])["same"], true);
        }
        assert_eq!(bench.json(["owner", "demo"])["lock"]["state"], "free");
    }
}

#[test]
fn bytes_are_counted_as_far_as_both_have_them() {
    let bench = Bench::with_demo("1MiB");
    let long = bench.pipe(["put", "demo", "--tag", "7"], &[1; 1000]).text();
    let file = path(&bench, "stored");
    bench.ok(["checkpt", "demo", &file]);
    bench.ok(["free", long.trim()]);
    let short = bench.pipe(["put", "demo", "--tag", "7"], &[2; 300]).text();
    assert_eq!(short, long);
    let document = differ(&bench, &file, "demo");
    let one = at(&document, gaddr(&long)).unwrap();
    assert_eq!((&one["a"]["bytes"], &one["b"]["bytes"]), (&1000.into(), &300.into()));
    assert_eq!(one["differing_bytes"], 300);
    let ran = bench.run(["diff", &file, "demo"]);
    assert!(ran.text().contains("1000 bytes, now 300 bytes, tag 7; 300 bytes differ"), "{ran:?}");
}

#[test]
fn a_word_is_a_workspace_or_else_a_file() {
    let bench = Bench::with_demo("64K");
    bench.ok(["checkpt", "demo", &path(&bench, "demo")]);
    bench.ok(["checkpt", "demo", &path(&bench, "stored.wksp")]);
    let kinds = |a: &str, b: &str| {
        let ran = bench.command(["diff", a, b, "--json"]).current_dir(bench.path()).output();
        let document = Ran::of(ran.unwrap()).document();
        [&document["a"]["kind"], &document["b"]["kind"]]
            .map(|kind| kind.as_str().unwrap().to_owned())
    };
    assert_eq!(kinds("demo", "./demo"), ["workspace", "checkpoint"]);
    assert_eq!(kinds("stored.wksp", "demo"), ["checkpoint", "workspace"]);
    let piped = bench.run(["checkpt", "demo", "-"]).stdout;
    let ran = bench.pipe(["diff", "-", "demo"], &piped);
    assert_eq!((ran.code, ran.text().as_str()), (Some(0), ""), "{ran:?}");
}

#[test]
fn no_trouble_is_taken_for_a_difference() {
    let bench = Bench::with_demo("64K");
    bench.ok(["alloc", "demo", "1000"]);
    let file = path(&bench, "stored");
    bench.ok(["checkpt", "demo", &file]);
    let mut damaged = fs::read(&file).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    fs::write(path(&bench, "damaged"), damaged).unwrap();
    fs::write(path(&bench, "short"), &fs::read(&file).unwrap()[..middle]).unwrap();
    let directory = bench.path().to_str().unwrap();
    for (other, code) in [
        (path(&bench, "damaged").as_str(), 5),
        (path(&bench, "short").as_str(), 5),
        ("/dev/null", 5),
        ("nothing-like-that", 3),
    ] {
        let (cause, _) = bench.fails(&["diff", "demo", other], code, "demo");
        assert!(cause.contains(other) || code == 5, "{cause}");
        assert_eq!(bench.run(["diff", other, "demo"]).code, Some(code));
    }
    // What would be 1 elsewhere.
    let ran = bench.run(["diff", "demo", directory]);
    assert!(ran.code == Some(2) && ran.cause_and_remedy().0.contains(directory), "{ran:?}");
    bench.fails(&["diff", "-", "-"], 2, "demo");
    assert_eq!(bench.json(["owner", "demo"])["lock"]["state"], "free");
}
