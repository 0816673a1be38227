//! Checkpoints that are written, looked at and restored again.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use crate::bench::{Bench, Ran, noise};
use crate::listing::{Shown, show};

/// The styles, and how `inspect` calls them.
pub(crate) const STYLES: [&str; 4] = ["v1", "v2", "v3", "zstd"];

/// A base directory with a workspace called `demo` that has allocations of all kinds.
pub(crate) fn filled() -> Bench {
    let bench = Bench::with_demo("8MiB");
    for (size, tag, align) in [(1, "7", "1"), (65_536, "7", "64"), (3_000_000, "8", "4096")] {
        let put = ["put", "demo", "--tag", tag, "--align", align];
        assert_eq!(bench.pipe(put, &noise(size)).code, Some(0));
    }
    let text = "all work and no play ".repeat(20_000);
    assert_eq!(bench.pipe(["put", "demo"], text.as_bytes()).code, Some(0));
    // A hole between them.
    let hole = bench.ok(["alloc", "demo", "5000"]);
    assert_eq!(bench.pipe(["put", "demo", "--tag", "9"], b"behind the hole").code, Some(0));
    bench.ok(["free", hole.trim()]);
    bench
}

/// The allocations of a workspace with their bytes.
pub(crate) fn contents(bench: &Bench, name: &str) -> Vec<(Shown, Vec<u8>)> {
    let region = fs::read(bench.region(name)).unwrap();
    let place = |at: u64| usize::try_from(at).unwrap();
    let shown = show(bench, name).into_iter();
    shown.map(|one| (one, region[place(one.lo)..place(one.hi)].to_vec())).collect()
}

/// The path of a file in the base directory.
pub(crate) fn path(bench: &Bench, file: &str) -> String {
    bench.path().join(file).to_str().unwrap().to_owned()
}

/// Writes a checkpoint of `demo` and returns its path.
pub(crate) fn checkpt(bench: &Bench, style: &str) -> String {
    let file = path(bench, &format!("demo.{style}"));
    bench.ok(["checkpt", "demo", &file, "--style", style]);
    file
}

#[test]
fn every_style_comes_back_through_files_and_pipes() {
    let bench = filled();
    let expected = contents(&bench, "demo");
    for style in STYLES {
        let file = checkpt(&bench, style);
        let piped = bench.run(["checkpt", "demo", "-", "--style", style]);
        assert_eq!((piped.code, piped.stderr.as_str()), (Some(0), ""));
        for threads in ["1", "3"] {
            let restored = bench.json(["restore", "demo", &file, "--yes", "--threads", threads]);
            assert_eq!(restored["state"], "verified");
            assert_eq!(restored["allocation_count"], expected.len());
            assert!(contents(&bench, "demo") == expected, "{style}");
            assert_eq!(bench.json(["verify", "demo"])["clean"], true);
        }
        // What was piped can be restored from a file, and the other way round.
        let stored = path(&bench, "piped");
        fs::write(&stored, &piped.stdout).unwrap();
        bench.ok(["restore", "demo", &stored, "--yes"]);
        assert!(contents(&bench, "demo") == expected, "{style}");
        for bytes in [piped.stdout, fs::read(&file).unwrap()] {
            bench.ok(["reset", "demo", "--yes"]);
            let ran = bench.pipe(["restore", "demo", "-"], &bytes);
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
            assert!(contents(&bench, "demo") == expected, "{style}");
        }
    }
}

#[test]
fn workspaces_of_other_sizes_take_what_fits() {
    let bench = filled();
    let expected = contents(&bench, "demo");
    let part_max = bench.json(["show", "demo"])["workspace"]["part_max"].to_string();
    for (at, style) in STYLES.into_iter().enumerate() {
        let file = checkpt(&bench, style);
        let (larger, created) = (format!("larger-{at}"), format!("created-{at}"));
        bench.ok(["new", &larger, "--size", "9M", "--part-max", "100", "--seed", "5"]);
        bench.ok(["restore", &larger, &file]);
        assert!(contents(&bench, &larger) == expected, "{style}");
        assert_eq!(bench.json(["show", &larger])["workspace"]["seed"], 5);

        let restored = bench.json(["restore", &created, &file, "--create", "--mode", "0640"]);
        assert_eq!(restored["created"], true);
        assert!(contents(&bench, &created) == expected, "{style}");
        let shown = bench.json(["show", &created]);
        assert_eq!((&shown["mode"], &shown["bytes"]), (&"0640".into(), &(8 << 20).into()));
        assert_eq!(shown["workspace"]["part_max"].to_string(), part_max);
        assert_eq!(bench.json(["verify", &created])["clean"], true);

        let small = format!("small-{at}");
        let options = ["--create", "--size", "6M", "--part-max", "11", "--seed", "3"];
        bench.ok([&["restore", &small, &file][..], &options].concat());
        assert!(contents(&bench, &small) == expected, "{style}");
        let workspace = bench.json(["show", &small])["workspace"].clone();
        assert_eq!((&workspace["part_max"], &workspace["seed"]), (&11.into(), &3.into()));
    }
}

#[test]
fn what_does_not_fit_changes_nothing_and_is_not_created() {
    let bench = filled();
    let file = checkpt(&bench, "v3");
    bench.ok(["new", "tiny", "--size", "64K"]);
    bench.ok(["new", "few", "--size", "8M", "--part-max", "5"]);
    bench.ok(["alloc", "tiny", "100"]);
    for name in ["tiny", "few"] {
        let (cause, remedy) = bench.fails(&["restore", name, &file, "--yes"], 4, name);
        assert!(cause.contains(name) && remedy.contains("--create"), "{cause} {remedy}");
    }
    for options in [["--size", "64K"], ["--part-max", "2"], ["--part-max", "4000"]] {
        let arguments = [&["restore", "new", &file, "--create"][..], &options].concat();
        let ran = bench.run([&arguments[..], &["--json"]].concat());
        assert!(matches!(ran.code, Some(2 | 4)), "{ran:?}");
        assert!(!bench.region("new").exists());
    }
    let (cause, _) = bench.fails(&["restore", "demo", &file, "--create"], 1, "demo");
    assert!(cause.contains("is there already"), "{cause}");
    let (_, remedy) = bench.run(["restore", "none", &file]).cause_and_remedy();
    assert!(remedy.contains("--create"), "{remedy}");
}

#[test]
fn what_is_there_is_replaced_only_after_a_word() {
    let bench = filled();
    let file = checkpt(&bench, "v3");
    let (_, remedy) = bench.fails(&["restore", "demo", &file], 2, "demo");
    assert!(remedy.contains("--yes"), "{remedy}");
    let piped = bench.pipe(["restore", "demo", "-"], &fs::read(&file).unwrap());
    assert_eq!(piped.code, Some(2), "{piped:?}");
    bench.ok(["reset", "demo", "--yes"]);
    bench.ok(["restore", "demo", &file]);

    let before = fs::read(&file).unwrap();
    let (cause, remedy) = bench.fails(&["checkpt", "demo", &file], 1, "demo");
    assert!(cause.contains(&file) && remedy.contains("--force"), "{cause} {remedy}");
    assert!(fs::read(&file).unwrap() == before);
    bench.ok(["checkpt", "demo", &file, "--force", "--mode", "0644", "--style", "v1"]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(bench.json(["inspect", &file])["format"], "v1");
    let base = bench.path().to_str().unwrap();
    bench.fails(&["checkpt", "demo", base, "--force"], 1, "demo");
}

#[test]
fn inspect_lists_what_show_shows() {
    let bench = filled();
    let expected = show(&bench, "demo");
    for style in STYLES {
        let file = path(&bench, style);
        let written =
            bench.json(["checkpt", "demo", &file, "--style", style, "--info", "before the move"]);
        assert_eq!(written["checkpoint_bytes"], fs::metadata(&file).unwrap().len());
        let inspected = bench.json(["inspect", &file]);
        let content = &inspected["content"];
        assert_eq!(
            (&inspected["format"], &inspected["origin"]["name"]),
            (&style.into(), &"demo".into())
        );
        assert_eq!(inspected["provenance"]["user_info"], "before the move");
        assert_eq!(listed(content), expected);
        for field in ["allocation_count", "data_bytes", "checkpoint_bytes", "protection"] {
            assert_eq!(written[field], content[field], "{style} {field}");
        }
        let compressed = ["v3", "zstd"].contains(&style);
        let text = content["allocations"].as_array().unwrap().iter().find(|one| one["tag"] == "1");
        let text = text.unwrap();
        let shrunk = text["stored_bytes"].as_u64().unwrap() * 10 < text["bytes"].as_u64().unwrap();
        assert_eq!(shrunk, compressed, "{style}: {text}");

        let piped = bench.pipe(["inspect", "-", "--json"], &fs::read(&file).unwrap()).document();
        assert_eq!(&piped["content"], content);
        assert!(bench.json(["inspect", &file, "--brief"])["content"].is_null());
        let text = bench.ok(["inspect", &file]);
        assert!(text.contains("before the move") && text.contains("5 allocations"), "{text}");
    }
    // No workspace is needed, nor a place where one could be.
    let file = path(&bench, "v3");
    let ran =
        Ran::of(crate::bench::tool().args(["inspect", &file, "--base", "/none"]).output().unwrap());
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

fn listed(content: &Value) -> Vec<Shown> {
    let listed = content["allocations"].as_array().unwrap().iter().map(|one| Shown {
        lo: one["gaddr_lo"].as_u64().unwrap(),
        hi: one["gaddr_hi"].as_u64().unwrap(),
        tag: one["tag"].as_str().unwrap().parse().unwrap(),
    });
    listed.collect()
}

#[test]
fn only_the_wanted_tags_go_into_a_checkpoint() {
    let bench = filled();
    let file = path(&bench, "some");
    bench.ok(["checkpt", "demo", &file, "--tag", "8", "--tag", "9"]);
    let mut expected = contents(&bench, "demo");
    expected.retain(|(one, _)| [8, 9].contains(&one.tag));
    bench.ok(["restore", "other", &file, "--create"]);
    assert!(contents(&bench, "other") == expected);
}

#[test]
fn extract_needs_no_workspace() {
    let bench = filled();
    let all = contents(&bench, "demo");
    for style in STYLES {
        let file = checkpt(&bench, style);
        for (one, bytes) in &all {
            // The last byte is as good as the first.
            let gaddr = (one.hi - 1).to_string();
            let ran = bench.run(["extract", &file, "--gaddr", &gaddr]);
            assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
            assert!(ran.stdout == *bytes, "{style} {gaddr}");
        }
        let single = path(&bench, &format!("single-{style}"));
        bench.ok(["extract", &file, "--tag", "9", &single]);
        assert_eq!(fs::read_to_string(&single).unwrap(), "behind the hole");
        let again = ["extract", &file, "--tag", "9", &single];
        bench.fails(&again, 1, "demo");
        bench.ok([&again[..], &["--force"]].concat());

        let directory = path(&bench, &format!("several-{style}"));
        let extracted = bench.json(["extract", &file, "--tag", "7", &directory]);
        assert_eq!(extracted["extracted"].as_array().unwrap().len(), 2);
        for (one, bytes) in all.iter().filter(|(one, _)| one.tag == 7) {
            assert!(fs::read(format!("{directory}/{}", one.lo)).unwrap() == *bytes);
        }
        bench.fails(&["extract", &file, "--tag", "7", &directory], 1, "demo");
        let (cause, _) = bench.fails(&["extract", &file, "--tag", "77", "unused"], 3, "demo");
        assert!(cause.contains("77"), "{cause}");
        assert_eq!(bench.run(["extract", &file, "--tag", "7"]).code, Some(2));
    }
}

#[test]
fn many_allocations_are_extracted_in_one_go() {
    let bench = Bench::with_demo("4MiB");
    let sizes: Vec<usize> = (1..40).map(|at| at * 997).collect();
    for (size, tag) in sizes.iter().zip(["5", "6", "6"].into_iter().cycle()) {
        let put = bench.pipe(["put", "demo", "--align", "1", "--tag", tag], &noise(*size));
        assert_eq!(put.code, Some(0), "{put:?}");
    }
    let all = contents(&bench, "demo");
    for style in STYLES {
        let file = checkpt(&bench, style);
        let directory = path(&bench, style);
        bench.ok(["extract", &file, "--tag", "6", &directory]);
        let wanted: Vec<_> = all.iter().filter(|(one, _)| one.tag == 6).collect();
        assert_eq!(fs::read_dir(&directory).unwrap().count(), wanted.len());
        for (one, bytes) in wanted {
            assert!(fs::read(format!("{directory}/{}", one.lo)).unwrap() == *bytes, "{style}");
        }
    }
}

#[test]
fn without_a_digest_a_checkpoint_is_called_unverified() {
    let bench = filled();
    for style in STYLES {
        let file = path(&bench, style);
        let written = bench.json(["checkpt", "demo", &file, "--style", style, "--no-digest"]);
        // Those of zstd say that each chunk is whole, not that it is the right one.
        let kind = if style == "zstd" { "checksums" } else { "none" };
        assert_eq!(written["protection"]["kind"], kind);
        let verify = bench.json(["checkpt-verify", &file]);
        assert_eq!(verify["state"], "unverified");
        let text = bench.ok(["checkpt-verify", &file]);
        assert!(text.contains("unverified") && !text.contains(": verified"), "{text}");
        let ran = bench.run(["restore", "demo", &file, "--yes"]);
        let note = format!("note: {file}: unverified: the file carries no digest\n");
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), note.as_str()));
        assert!(ran.text().contains("unverified") && !ran.text().contains(" verified"), "{ran:?}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let bench = filled();
    let file = checkpt(&bench, "v3");
    let out = path(&bench, "out");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["checkpt", "demo", &out, "--style", "v4"], 2, "v4"),
        (&["checkpt", "demo", &out, "--level", "3"], 2, "--style v3"),
        (&["checkpt", "demo", &out, "--style", "zstd", "--level", "0"], 2, "\"0\""),
        (&["checkpt", "demo", &out, "--style", "zstd", "--level", "23"], 2, "23"),
        (&["checkpt", "demo", &out, "--threads", "0"], 2, "--threads 0"),
        (&["checkpt", "demo", &out, "--threads", "99999"], 2, "99999"),
        (&["checkpt", "demo", &out, "--tag", "0"], 2, "0 is no tag"),
        (&["checkpt", "demo", &out, "--mode", "888"], 2, "888"),
        (&["checkpt", "none", &out], 3, "none"),
        (&["restore", "demo", &file, "--size", "1M"], 2, "--create"),
        (&["restore", "demo", &out, "--yes"], 3, "out"),
        (&["restore", "demo", "/dev", "--yes"], 1, "/dev"),
        (&["inspect", &out], 3, "out"),
        (&["checkpt-verify", &out], 3, "out"),
        (&["extract", &file, &out], 2, "--gaddr"),
        (&["extract", &file, &out, "--gaddr", "1", "--tag", "1"], 2, "--tag"),
        (&["extract", &file, &out, "--gaddr", "0"], 2, "0 is no address"),
    ];
    for (arguments, code, mention) in cases {
        let (cause, remedy) = bench.fails(arguments, *code, "demo");
        assert!(format!("{cause} {remedy}").contains(mention), "{arguments:?}: {cause}");
        assert!(!bench.path().join("out").exists());
    }
    assert_eq!(bench.run(["checkpt", "demo", "-", "--json"]).code, Some(2));
}
