//! Damaged workspaces: found, repaired, salvaged, reset.

use std::fs;

use crate::bench::Bench;
use crate::listing::show;

/// Offsets of the layout.
const FREE_ROOT: usize = 100;
const OWNER: usize = 112;
const RECORDS: usize = 128;
const RECORD_BYTES: usize = 64;

/// A lock word that no process can have.
const NO_PROCESS: u64 = 0x3FFF_FF00;

/// A workspace with two allocations of 64 bytes and their contents.
pub(crate) fn with_two() -> (Bench, [String; 2]) {
    let bench = Bench::new();
    bench.ok(["new", "demo", "--size", "64K", "--part-max", "10"]);
    let put = |byte: u8| {
        let put = bench.pipe(["put", "demo", "--align", "1"], &[byte; 64]);
        put.text().trim().to_owned()
    };
    let addresses = [put(b'a'), put(b'b')];
    (bench, addresses)
}

/// Makes the second allocation reach into the first one.
pub(crate) fn overlap(bench: &Bench) {
    let region = fs::read(bench.region("demo")).unwrap();
    let record = |at: usize| RECORDS + at * RECORD_BYTES;
    let lo = |at: usize| u64::from_le_bytes(region[record(at)..record(at) + 8].try_into().unwrap());
    let used: Vec<usize> =
        (0..10).filter(|&at| region[record(at) + 16..record(at) + 24] != [0; 8]).collect();
    let [first, second] = used[..] else { panic!("{used:?}") };
    let (below, above) = if lo(first) < lo(second) { (first, second) } else { (second, first) };
    bench.patch("demo", record(above), &(lo(below) + 1).to_le_bytes());
}

/// What must survive everything: range and tag of each record, and the data.
///
/// The rest of the records is an index over them, which an attempt to rebuild it may disturb.
pub(crate) fn truth(bench: &Bench) -> Vec<u8> {
    let region = fs::read(bench.region("demo")).unwrap();
    let (records, data) = region[RECORDS..].split_at(10 * RECORD_BYTES);
    let truths = records.chunks(RECORD_BYTES).map(|record| &record[..24]);
    truths.chain([data]).flatten().copied().collect()
}

#[test]
fn a_damaged_index_is_found_and_rebuilt() {
    let (bench, [first, _]) = with_two();
    let before = show(&bench, "demo");
    bench.patch("demo", FREE_ROOT, &[0xFF; 4]);
    let (cause, remedy) = bench.fails(&["verify", "demo"], 5, "demo");
    assert!(cause.contains("demo") && remedy.contains("rebuild"), "{cause} {remedy}");
    let verify = bench.run(["verify", "demo", "--json"]).document();
    assert_eq!((&verify["clean"], &verify["finding_count"]), (&false.into(), &1.into()));
    assert!(verify["findings"][0].as_str().unwrap().contains("free treap"), "{verify}");
    bench.ok(["rebuild", "demo"]);
    assert_eq!(bench.json(["verify", "demo"])["clean"], true);
    assert_eq!(show(&bench, "demo"), before);
    assert_eq!(bench.ok(["get", &first]), "a".repeat(64));
}

#[test]
fn damage_that_an_operation_meets_is_repaired_with_a_note() {
    let (bench, _) = with_two();
    bench.patch("demo", FREE_ROOT, &[0xFE; 4]);
    let ran = bench.run(["alloc", "demo", "64"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.starts_with("note: demo: the index was damaged"), "{ran:?}");
    assert_eq!(bench.json(["verify", "demo"])["clean"], true);
}

#[test]
fn a_dead_holder_is_taken_over_from_with_a_note() {
    let (bench, [first, _]) = with_two();
    bench.patch("demo", OWNER, &NO_PROCESS.to_le_bytes());
    // Neither looks nor verifying takes the lock away from the dead.
    let ls = bench.json(["ls"]);
    assert_eq!(ls["workspaces"][0]["workspace"]["lock"]["pid"], NO_PROCESS);
    let verify = bench.run(["verify", "demo"]);
    assert_eq!(verify.code, Some(0), "{verify:?}");
    assert!(verify.stderr.contains("check demo"), "{verify:?}");
    let owner = bench.ok(["owner", "demo"]);
    assert!(owner.contains(&NO_PROCESS.to_string()) && owner.contains("check demo"), "{owner}");

    // Nor is what is got withheld.
    let ran = bench.run(["get", &first]);
    assert_eq!((ran.code, ran.text()), (Some(0), "a".repeat(64)));
    assert_eq!(ran.stderr.matches("note: demo: it may be being changed").count(), 1, "{ran:?}");
    let ran = bench.run(["get", &first, "--lock"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let note = format!("note: demo: recovered from dead process {NO_PROCESS}: index sound\n");
    assert_eq!((ran.text(), ran.stderr), ("a".repeat(64), note));

    bench.patch("demo", OWNER, &NO_PROCESS.to_le_bytes());
    bench.patch("demo", FREE_ROOT, &[0xFF; 4]);
    let ran = bench.run(["check", "--json"]);
    let entry = &ran.document()["workspaces"][0];
    assert_eq!((ran.code, &entry["state"]), (Some(0), &"recovered".into()));
    assert_eq!(entry["repair"]["dead_pid"], NO_PROCESS);
    assert_eq!(entry["repair"]["rebuilt"], true);
    assert_eq!(bench.json(["verify", "demo"])["clean"], true);
}

#[test]
fn what_cannot_be_rebuilt_can_be_salvaged_and_reset() {
    let (bench, [first, second]) = with_two();
    overlap(&bench);
    bench.patch("demo", OWNER, &NO_PROCESS.to_le_bytes());
    let before = truth(&bench);
    for arguments in [
        vec!["alloc", "demo", "64"],
        vec!["get", &first, "unused", "--lock"],
        vec!["show", "demo", "--lock"],
        vec!["check", "demo"],
        vec!["verify", "demo"],
        vec!["owner", "demo", "--break", "--yes"],
        vec!["rebuild", "demo"],
    ] {
        let ran = bench.run([&["--json"], &arguments[..]].concat());
        let (cause, remedy) = ran.error(5);
        assert!(cause.contains("demo"), "{cause}");
        if arguments[0] != "verify" {
            assert!(cause.contains("overlap") && remedy.contains("--salvage"), "{cause} {remedy}");
        }
        assert!(truth(&bench) == before, "{arguments:?}");
        // It is still the dead one's, so that nobody takes it for sound.
        let owner = fs::read(bench.region("demo")).unwrap()[OWNER..OWNER + 8].to_vec();
        assert_eq!(owner, NO_PROCESS.to_le_bytes(), "{arguments:?}");
    }

    let shown = bench.run(["show", "demo", "--json"]);
    assert!(shown.error(5).0.contains("ends early"), "{shown:?}");
    let shown = bench.run(["show", "demo", "--salvage", "--json"]).document();
    assert_eq!(shown["doubt"]["holder_pid"], NO_PROCESS);
    assert_eq!(shown["partitions"].as_array().unwrap().len(), 2);
    let ran = bench.run(["get", &first, "--salvage"]);
    assert_eq!((ran.code, ran.text()), (Some(0), "a".repeat(64)));
    let ran = bench.run(["get", &second, "--salvage"]);
    assert!(ran.text().ends_with(&"b".repeat(64)), "{ran:?}");

    assert_eq!(bench.json(["reset", "demo", "--yes"])["freed_count"], 2);
    assert_eq!(bench.json(["verify", "demo"])["clean"], true);
}
