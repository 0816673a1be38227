//! What each command does when all is well.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::bench::{Bench, tool};
use crate::listing::{Shown, show};

#[test]
fn new_makes_what_was_asked_for() {
    let bench = Bench::new();
    let new = bench.json([
        "new",
        "demo",
        "--size",
        "1MiB",
        "--mode",
        "0640",
        "--part-max",
        "100",
        "--seed",
        "7",
    ]);
    assert_eq!(new["command"], "new");
    assert_eq!((&new["name"], &new["page_size"]), (&"demo".into(), &"normal".into()));
    assert_eq!((&new["bytes"], &new["page_count"]), (&(1 << 20).into(), &256.into()));
    assert_eq!(
        (&new["mode"], &new["path"]),
        (&"0640".into(), &bench.region("demo").to_str().into())
    );
    let workspace = &new["workspace"];
    assert_eq!((&workspace["part_max"], &workspace["seed"]), (&100.into(), &7.into()));
    assert_eq!(workspace["gaddr_lo"], 128 + 64 * 100);
    assert_eq!(workspace["lock"]["state"], "free");
    let metadata = fs::metadata(bench.region("demo")).unwrap();
    assert_eq!((metadata.len(), metadata.permissions().mode() & 0o7777), (1 << 20, 0o640));

    // Sizes are rounded up to pages.
    assert_eq!(bench.json(["new", "small", "--size", "5000"])["bytes"], 8192);
    assert_eq!(bench.json(["new", "pages", "--pages", "3"])["bytes"], 3 * 4096);
    let typical = bench.json(["new", "typical", "--size", "1M", "--typical", "64"]);
    assert_eq!(typical["workspace"]["part_max"], ((1 << 20) - 129) / 128);
    assert!(bench.ok(["new", "text", "--size", "64KiB"]).contains("65536 bytes (64 KiB)"));
}

#[test]
fn new_makes_the_directory_where_the_base_was_chosen() {
    let bench = Bench::new();
    fs::remove_dir(bench.path().join(".normal")).unwrap();
    let ran = bench.run(["new", "demo", "--size", "64K"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.starts_with("note: made the directory "), "{ran:?}");
    // The environment leads there as well, and the option wins over it.
    let other = Bench::new();
    let environment = ("FD_SHMEM_PATH", bench.path());
    let ls = tool().env(environment.0, environment.1).args(["ls"]).output().unwrap();
    assert!(String::from_utf8(ls.stdout).unwrap().contains("demo"));
    let ls = other.command(["ls"]).env(environment.0, environment.1).output().unwrap();
    assert!(String::from_utf8(ls.stdout).unwrap().contains("no workspaces"));
}

#[test]
fn ls_lists_what_there_is() {
    let bench = Bench::with_demo("64K");
    bench.ok(["new", "another", "--size", "128K"]);
    fs::write(bench.region("junk"), [0; 4096]).unwrap();
    fs::write(bench.region("ragged"), [0; 100]).unwrap();
    fs::write(bench.region("not a name"), [0; 4096]).unwrap();
    let ls = bench.json(["ls"]);
    assert_eq!(ls["base"], bench.path().to_str().unwrap());
    let entries = ls["workspaces"].as_array().unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["another", "demo", "junk", "not a name", "ragged"]);
    assert_eq!(entries[0]["region"]["bytes"], 128 << 10);
    assert_eq!(entries[1]["workspace"]["header_name"], "demo");
    assert!(entries[1]["error"].is_null());
    for (at, has_region) in [(2, true), (3, false), (4, false)] {
        assert!(entries[at]["workspace"].is_null());
        assert_eq!(entries[at]["region"].is_object(), has_region);
        assert!(entries[at]["error"]["message"].as_str().unwrap().contains(names[at]));
    }
    assert!(bench.json(["ls", "--page-size", "huge"])["workspaces"].as_array().unwrap().is_empty());
    let text = bench.ok(["ls"]);
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.lines().any(|line| line.starts_with("demo") && line.ends_with("ok")), "{text}");
}

#[test]
fn what_is_allocated_is_shown_and_freed() {
    let bench = Bench::with_demo("1MiB");
    let first = bench.json(["alloc", "demo", "1000", "--tag", "7", "--align", "64"]);
    let lo = first["gaddr"].as_u64().unwrap();
    assert_eq!((lo % 64, &first["gaddr_lo"], &first["bytes"]), (0, &lo.into(), &1000.into()));
    assert_eq!(first["address"], format!("demo:{lo}"));
    let second = bench.ok(["alloc", "demo", "4K", "--tag", "0xffffffffffffffff"]);
    let gaddr: u64 = second.trim().strip_prefix("demo:").unwrap().parse().unwrap();
    assert_eq!(gaddr % 4096, 0);
    let expected =
        [Shown { lo, hi: lo + 1000, tag: 7 }, Shown { lo: gaddr, hi: gaddr + 4096, tag: u64::MAX }];
    let mut shown = show(&bench, "demo");
    shown.sort_by_key(|allocation| allocation.tag);
    assert_eq!(shown, expected);

    assert_eq!(bench.ok(["tag", second.trim()]), "18446744073709551615\n");
    let tag = bench.json(["tag", &format!("demo:{}", gaddr + 4095), "9"]);
    assert_eq!((&tag["tag"], &tag["old_tag"]), (&"9".into(), &"18446744073709551615".into()));
    assert_eq!(bench.ok(["tag", second.trim()]), "9\n");

    bench.ok(["fill", second.trim(), "0xa5"]);
    assert!(bench.run(["get", second.trim()]).stdout == [0xA5; 4096]);

    let usage = bench.json(["usage", "demo", "--tag", "7"]);
    assert_eq!((&usage["used"]["count"], &usage["used"]["bytes"]), (&2.into(), &5096.into()));
    assert_eq!((&usage["tagged"]["count"], &usage["tagged"]["bytes"]), (&1.into(), &1000.into()));
    let sum = usage["used"]["bytes"].as_u64().unwrap() + usage["free"]["bytes"].as_u64().unwrap();
    assert_eq!(Some(sum), usage["data_max"].as_u64());
    assert!(bench.json(["usage", "demo"])["tagged"].is_null());

    let freed = bench.json(["free", &format!("demo:{}", lo + 999), second.trim()]);
    assert_eq!(freed["allocations"].as_array().unwrap().len(), 2);
    assert!(show(&bench, "demo").is_empty());
}

#[test]
fn at_least_says_what_it_became() {
    let bench = Bench::with_demo("1MiB");
    let text = bench.ok(["alloc", "demo", "1000", "--at-least"]);
    let (address, bytes) = text.trim().split_once(' ').unwrap();
    let json = bench.json(["alloc", "demo", "1000", "--at-least"]);
    assert!(json["bytes"].as_u64().unwrap() >= 1000);
    assert_eq!(json["bytes"].as_u64(), bytes.parse().ok());
    let range = show(&bench, "demo")[0];
    assert_eq!(
        (format!("demo:{}", range.lo), range.hi - range.lo),
        (address.to_owned(), bytes.parse().unwrap())
    );
}

#[test]
fn tags_are_freed_together() {
    let bench = Bench::with_demo("1MiB");
    for tag in ["1", "2", "2", "3"] {
        bench.ok(["alloc", "demo", "100", "--tag", tag]);
    }
    let freed = bench.json(["tag-free", "demo", "2", "3", "4"]);
    let freed = freed["freed"].as_array().unwrap();
    let counts: Vec<_> = freed.iter().map(|f| (f["tag"].as_str(), f["count"].as_u64())).collect();
    assert_eq!(counts, [(Some("2"), Some(2)), (Some("3"), Some(1)), (Some("4"), Some(0))]);
    assert_eq!(freed[0]["bytes"], 200);
    assert_eq!(show(&bench, "demo").len(), 1);
}

#[test]
fn a_free_with_one_wrong_address_frees_nothing() {
    let bench = Bench::with_demo("1MiB");
    let good = bench.ok(["alloc", "demo", "100"]);
    let (cause, _) = bench.fails(&["free", good.trim(), "demo:1000000"], 3, "demo");
    assert!(cause.contains("demo:1000000"), "{cause}");
    bench.fails(&["free", good.trim(), "nope:1000000"], 3, "demo");
    bench.fails(&["free", good.trim(), good.trim()], 2, "demo");
    assert_eq!(show(&bench, "demo").len(), 1);
}

#[test]
fn rebuild_keeps_what_is_there_and_reset_does_not() {
    let bench = Bench::with_demo("1MiB");
    bench.ok(["alloc", "demo", "100", "--tag", "5"]);
    let before = show(&bench, "demo");
    let rebuilt = bench.json(["rebuild", "demo", "--seed", "0xffffffff"]);
    assert_eq!((&rebuilt["seed"], &rebuilt["used"]["count"]), (&u32::MAX.into(), &1.into()));
    assert_eq!(show(&bench, "demo"), before);
    assert_eq!(bench.json(["rebuild", "demo"])["seed"], u32::MAX);

    let (_, remedy) = bench.fails(&["reset", "demo"], 2, "demo");
    assert!(remedy.contains("--yes"), "{remedy}");
    let reset = bench.json(["reset", "demo", "--yes"]);
    assert_eq!((&reset["freed_count"], &reset["freed_bytes"]), (&1.into(), &100.into()));
    assert!(show(&bench, "demo").is_empty());
    assert_eq!(bench.json(["verify", "demo"])["clean"], true);
}

#[test]
fn check_and_verify_say_that_all_is_well() {
    let bench = Bench::with_demo("1MiB");
    bench.ok(["new", "other", "--size", "64K"]);
    fs::write(bench.region("junk"), [0; 4096]).unwrap();
    let check = bench.json(["check"]);
    let states: Vec<_> = check["workspaces"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| (entry["name"].as_str().unwrap(), entry["state"].as_str().unwrap()))
        .collect();
    assert_eq!(states, [("demo", "ok"), ("junk", "no_workspace"), ("other", "ok")]);
    let verify = bench.json(["verify", "demo"]);
    assert_eq!((&verify["clean"], &verify["finding_count"]), (&true.into(), &0.into()));
    assert_eq!((&verify["free_count"], &verify["idle_count"]), (&1.into(), &1023.into()));
    assert!(bench.ok(["verify", "demo"]).contains("demo: clean"));

    // A file that nothing can be called is nothing of ours; one that is cut off is.
    fs::write(bench.region("not a name"), [0; 4096]).unwrap();
    assert_eq!(bench.json(["check"])["workspaces"][2]["state"], "no_workspace");
    fs::write(bench.region("cut"), [0; 100]).unwrap();
    let ran = bench.run(["check", "--json"]);
    assert!(ran.error(5).0.contains("cut"), "{ran:?}");
    assert_eq!(ran.document()["workspaces"].as_array().unwrap().len(), 5);

    // One that is named has to be a workspace.
    let ran = bench.run(["check", "demo", "junk", "--json"]);
    assert!(ran.error(5).0.contains("junk"), "{ran:?}");
    let entries = &ran.document()["workspaces"];
    assert_eq!((&entries[0]["state"], &entries[1]["state"]), (&"ok".into(), &"failed".into()));
    assert_eq!(entries[1]["error"]["exit_code"], 5);
}

#[test]
fn a_lock_that_nobody_has_is_shown_as_free() {
    let bench = Bench::with_demo("64K");
    for arguments in [vec!["owner", "demo"], vec!["owner", "demo", "--watch", "0"]] {
        let owner = bench.json(arguments);
        assert_eq!(owner["lock"]["state"], "free");
        assert!(owner["holder"].is_null() && owner["processes"].as_array().unwrap().is_empty());
    }
    let ran = bench.run(["owner", "demo", "--break", "--yes"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), "note: nobody holds the lock of demo\n"));
}

#[test]
fn rm_removes_and_says_what() {
    let bench = Bench::with_demo("64K");
    let removed = bench.json(["rm", "demo"]);
    assert_eq!((&removed["name"], &removed["page_size"]), (&"demo".into(), &"normal".into()));
    assert!(!bench.region("demo").exists());
    let ran = bench.run(["rm", "demo", "--json"]);
    assert!(ran.error(3).0.contains("demo"));
}
