//! The nodes of machines, and where pages go on them.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use serde_json::Value;
use wksp_testkit::skip::skip;

use crate::bench::{Bench, Ran, tool};
use crate::machine::{self, Pool, lack, turn};

/// Runs the tool without any base directory.
fn run(arguments: &[&str]) -> Ran {
    Ran::of(tool().args(arguments).output().unwrap())
}

fn json(arguments: &[&str]) -> Value {
    let ran = run(&[arguments, &["--json"]].concat());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    ran.document()
}

fn text(arguments: &[&str]) -> String {
    let ran = run(arguments);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    ran.text()
}

fn numbers(value: &Value) -> Vec<u64> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap()).collect()
}

/// One field of each object of an array.
fn column<'v>(array: &'v Value, field: &str) -> Vec<&'v Value> {
    array.as_array().unwrap().iter().map(|object| &object[field]).collect()
}

fn assert_fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn a_made_up_machine_is_shown() {
    let description = "numa:2(indexes=1,0 memory=8GiB) pu:6(indexes=0,2,4,6,8,10,1,3,5,7,9,11)";
    let shown = json(&["numa", "--synthetic", description]);
    assert_eq!((&shown["this_machine"], &shown["cpu_count"]), (&false.into(), &12.into()));
    let nodes = &shown["nodes"];
    assert_eq!(column(nodes, "node"), [0, 1]);
    assert_eq!(numbers(&nodes[0]["cpus"]), [1, 3, 5, 7, 9, 11]);
    assert_eq!(column(nodes, "cpu_list"), ["1-11:2", "0-10:2"]);
    assert_eq!(column(nodes, "memory_bytes"), [8_u64 << 30, 8 << 30]);
    assert!(nodes[0]["free_bytes"].is_null() && nodes[0]["pages"][0]["total"].is_null());
    assert!(shown["distances"][0][1].is_null());
    let text = text(&["numa", "--synthetic", description]);
    assert!(text.starts_with("a made-up machine: 2 nodes, 12 CPUs, 16 GiB of memory\n"), "{text}");
    assert!(text.contains("8 GiB") && text.contains("0-10:2"), "{text}");
    assert!(text.contains("Distances are not known."), "{text}");
}

#[test]
fn tables_fit_on_a_terminal() {
    for description in ["numa:64 core:8 pu:2", "numa:1000 pu:1", "numa:2(memory=900GB) pu:2048"] {
        assert_fits(&text(&["numa", "--synthetic", description]));
    }
    // Processors in no order at all, so that there are no ranges.
    let mut order: Vec<u64> = (0..256).collect();
    order.sort_by_key(|cpu| (cpu * cpu * 31 + cpu * 7) % 257);
    let order = order.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let scattered = text(&["numa", "--synthetic", &format!("numa:2 pu:128(indexes={order})")]);
    assert_fits(&scattered);
    assert!(scattered.lines().count() > 8, "{scattered}");
    assert_fits(&text(&[
        "plan",
        "--size",
        "1T",
        "--near",
        "0-511",
        "--synthetic",
        "numa:64(memory=1TB) pu:8",
    ]));
}

#[test]
fn this_machine_is_shown_as_the_kernel_has_it() {
    let _turn = turn();
    let shown = json(&["numa"]);
    let nodes = shown["nodes"].as_array().unwrap();
    let numbers_of_nodes: Vec<u64> = nodes.iter().map(|n| n["node"].as_u64().unwrap()).collect();
    if numbers_of_nodes != machine::nodes() {
        return skip("this process may not use all nodes");
    }
    assert_eq!(shown["this_machine"], true);
    for node in nodes {
        let number = node["node"].as_u64().unwrap();
        let cpus = numbers(&node["cpus"]);
        let theirs = machine::cpus(number);
        assert!(cpus.iter().all(|cpu| theirs.contains(cpu)), "{cpus:?} {theirs:?}");
        assert_eq!(node["memory_bytes"], machine::memory(number, "MemTotal"));
        assert!(node["free_bytes"].as_u64().unwrap() <= node["memory_bytes"].as_u64().unwrap());
        for (at, page_size) in [(0, "huge"), (1, "gigantic")] {
            assert_eq!(node["pages"][at]["page_size"], page_size);
            if let Some(pool) = Pool::of(number, page_size) {
                assert_eq!(node["pages"][at]["total"], pool.count("nr"));
                assert_eq!(node["pages"][at]["free"], pool.count("free"));
            }
        }
    }
    let text = text(&["numa"]);
    assert!(text.starts_with("this machine: ") && text.contains("GiB"), "{text}");
    assert_fits(&text);
}

#[test]
fn distances_are_those_of_the_kernel() {
    let shown = json(&["numa"]);
    let nodes = machine::nodes();
    if nodes.len() < 2 || shown["nodes"].as_array().unwrap().len() != nodes.len() {
        return lack("several nodes");
    }
    let rows: Vec<Vec<u64>> = shown["distances"].as_array().unwrap().iter().map(numbers).collect();
    assert_eq!(rows, nodes.iter().map(|node| machine::distances(*node)).collect::<Vec<_>>());
    let text = text(&["numa"]);
    for row in rows {
        let row: Vec<String> = row.iter().map(u64::to_string).collect();
        assert!(
            text.lines()
                .any(|line| { line.split_whitespace().skip(1).eq(row.iter().map(String::as_str)) }),
            "{row:?} {text}"
        );
    }
}

#[test]
fn what_describes_no_machine_is_refused_at_once() {
    let long = "numa:2 ".repeat(1000);
    let began = Instant::now();
    for description in [
        "",
        " ",
        "no machine",
        "numa:0 pu:1",
        "numa:-1 pu:1",
        "numa:99999999999999999999 pu:1",
        "numa:1 pu:1000000",
        "numa:65536 pu:65536",
        "numa:2(indexes=0,4294967295) pu:1",
        "numa:2(((",
        "\u{1b}[31mnuma:2",
        &long,
    ] {
        for command in [&["numa"][..], &["plan", "--pages", "1", "--near", "0"]] {
            let ran = run(&[command, &["--json", "--synthetic", description]].concat());
            let (cause, remedy) = ran.error(2);
            assert!(!cause.contains('\u{1b}') && cause.len() < 500, "{cause}");
            assert!(!remedy.is_empty(), "{description:?}");
        }
    }
    assert!(began.elapsed() < Duration::from_secs(60));
    let no_text = OsStr::from_bytes(b"numa:2\xff pu:1");
    for arguments in [["numa", "--synthetic"], ["where", "--base"], ["new", "--near"]] {
        let ran = Ran::of(tool().arg("--json").args(arguments).arg(no_text).output().unwrap());
        ran.error(2);
    }
}

#[test]
fn pages_are_dealt_as_evenly_as_possible() {
    let machine = "numa:4(memory=1GiB) core:2 pu:2";
    let planned = json(&[
        "plan",
        "--pages",
        "7",
        "--page-size",
        "huge",
        "--near",
        " 0-12:4 ",
        "--synthetic",
        machine,
    ]);
    let sub_regions = &planned["sub_regions"];
    assert_eq!(column(sub_regions, "cpu"), [0, 4, 8, 12]);
    assert_eq!(column(sub_regions, "node"), [0, 1, 2, 3]);
    assert_eq!(column(sub_regions, "page_lo"), [0, 2, 4, 6]);
    assert_eq!(column(sub_regions, "page_hi"), [2, 4, 6, 7]);
    assert_eq!(column(sub_regions, "page_count"), [2, 2, 2, 1]);
    assert_eq!(column(sub_regions, "bytes"), [4 << 20, 4 << 20, 4 << 20, 2 << 20]);
    assert_eq!((&planned["page_count"], &planned["bytes"]), (&7.into(), &(14 << 20).into()));
    assert_eq!((&planned["fits"], &planned["this_machine"]), (&true.into(), &false.into()));
    assert_eq!(column(&planned["nodes"], "wanted"), [2, 2, 2, 1]);
    assert_eq!(column(&planned["nodes"], "available"), [512, 512, 512, 512]);

    // Fewer pages than CPUs, a CPU twice, and nodes instead.
    let few = json(&["plan", "--pages", "2", "--near", "5,5,9", "--synthetic", machine]);
    assert_eq!(column(&few["sub_regions"], "cpu"), [5, 5]);
    assert_eq!(column(&few["nodes"], "wanted"), [2]);
    let nodes = json(&["plan", "--size", "20K", "--near-node", "3,0-1", "--synthetic", machine]);
    assert_eq!(column(&nodes["sub_regions"], "node"), [3, 0, 1]);
    assert_eq!(column(&nodes["sub_regions"], "page_count"), [2, 2, 1]);
    assert!(nodes["sub_regions"][0]["cpu"].is_null());
    let text = text(&["plan", "--pages", "4", "--near", "0,4", "--synthetic", machine]);
    assert!(
        text.starts_with("4 normal pages, 16384 bytes (16 KiB), on a made-up machine"),
        "{text}"
    );
    assert!(text.ends_with("\nit fits\n"), "{text}");
}

#[test]
fn what_does_not_fit_is_shown_and_is_a_failure() {
    let plan = |pages: &str| {
        run(&[
            "plan",
            "--pages",
            pages,
            "--page-size",
            "huge",
            "--near",
            "0,2",
            "--json",
            "--synthetic",
            "numa:2(memory=1GiB) pu:2",
        ])
    };
    assert_eq!(plan("1024").code, Some(0));
    let ran = plan("1025");
    let (cause, remedy) = ran.error(4);
    assert!(cause.contains("node 0 lacks 1 huge page: 513 are wanted, 512 free"), "{cause}");
    assert!(remedy.contains("wksp-ctl numa --synthetic 'numa:2(memory=1GiB) pu:2'"), "{remedy}");
    let planned = ran.document();
    assert_eq!(planned["fits"], false);
    assert_eq!(column(&planned["nodes"], "lacking"), [1, 0]);
    let ran = run(&[
        "plan",
        "--size",
        "1E",
        "--near",
        "0-63",
        "--synthetic",
        "numa:64(memory=1GiB) pu:1",
    ]);
    let (cause, _) = ran.cause_and_remedy();
    assert!(ran.code == Some(4) && cause.len() < 500 && cause.contains("60 more nodes"), "{cause}");
    assert!(ran.text().ends_with("\nit does not fit\n"), "{ran:?}");
}

#[test]
fn what_cannot_be_planned_is_refused() {
    let machine = "numa:2(memory=1GiB) pu:2";
    // What is typed, the exit code, and what the message and the remedy must mention.
    let cases: &[(&[&str], i32, &str, &str)] = &[
        (&["--pages", "4"], 2, "near", "--near 0"),
        (&["--near", "0"], 2, "--size", "usage is"),
        (&["--pages", "4", "--size", "4K", "--near", "0"], 2, "--pages", "usage is"),
        (&["--pages", "4", "--near", "0", "--near-node", "0"], 2, "--near-node", "usage is"),
        (&["--pages", "0", "--near", "0"], 2, "--pages 0", "at least 1"),
        (&["--pages", "-1", "--near", "0"], 2, "-1", "at least 1"),
        (&["--pages", "", "--near", "0"], 2, "\"\"", "at least 1"),
        (&["--pages", "18446744073709551615", "--near", "0"], 2, "18446744073709551615", "2^63"),
        (&["--pages", "18446744073709551616", "--near", "0"], 2, "18446744073709551616", "number"),
        (&["--size", "8E", "--near", "0,1"], 2, "2251799813685248", "2^63"),
        (&["--pages", "4", "--near", ""], 2, "at byte 0 is no number", "--near 0-4:2"),
        (&["--pages", "4", "--near", "-1"], 2, "at byte 0 is no number", "--near 0-4:2"),
        (&["--pages", "4", "--near", "0,"], 2, "at byte 2 is no number", "--near 0-4:2"),
        (&["--pages", "4", "--near", "0 1"], 2, "at byte 2", "--near 0-4:2"),
        (&["--pages", "4", "--near", "2-1"], 2, "2-1 ends before", "--near 1-2"),
        (&["--pages", "4", "--near", "0-1:0"], 2, "stride", "--near 0-8:2"),
        (&["--pages", "4", "--near", "0-512"], 2, "512 entries", "every n-th"),
        (&["--pages", "4", "--near", "0-4294967295"], 2, "512 entries", "every n-th"),
        (&["--pages", "4", "--near", "4294967296"], 2, "too large", "4294967296"),
        (&["--pages", "4", "--near-node", "x"], 2, "--near-node", "--near-node 0-4:2"),
        (&["--pages", "4", "--near", "4"], 3, "no CPU 4", "numa --synthetic"),
        (&["--pages", "4", "--near-node", "2"], 3, "no node 2", "numa --synthetic"),
        (&["--pages", "4", "--near", "0", "--page-size", "tiny"], 2, "tiny", "gigantic"),
    ];
    for (arguments, code, cause_has, remedy_has) in cases {
        let all = [&["plan", "--synthetic", machine], *arguments].concat();
        let (cause, remedy) = run(&[&["--json"], &all[..]].concat()).error(*code);
        assert!(cause.contains(cause_has), "{arguments:?}: {cause}");
        assert!(remedy.contains(remedy_has), "{arguments:?}: {remedy}");
        let text = run(&all);
        assert_eq!((text.code, text.cause_and_remedy().0), (Some(*code), cause));
    }
}

#[test]
fn a_workspace_is_placed_and_found_where_it_was_placed() {
    let bench = Bench::new();
    let (node, cpu) = machine::near();
    let near = format!("{cpu},{cpu}");
    let created = bench.run(["new", "demo", "--pages", "101", "--near", &near, "--json"]);
    if created.code == Some(7) {
        return lack(&created.error(7).0);
    }
    assert_eq!((created.code, created.stderr.as_str()), (Some(0), ""), "{created:?}");
    let placement = &created.document()["placement"];
    assert_eq!((&placement["binding"], &placement["complete"]), (&"strict".into(), &true.into()));
    assert_eq!(column(&placement["ranges"], "page_count"), [51, 50]);
    assert_eq!(column(&placement["ranges"], "node"), [node, node]);
    assert_eq!(placement["ranges"][1]["residence"]["on_node"][0]["page_count"], 50);
    assert_eq!(
        (&placement["misplaced"], &placement["omissions"]),
        (&0.into(), &serde_json::json!([]))
    );

    let found = bench.json(["where", "demo"]);
    assert_eq!((&found["page_count"], &found["bytes"]), (&101.into(), &(101 * 4096).into()));
    let expected = serde_json::json!({
        "on_node": [{"node": node, "page_count": 101}], "absent": 0, "swapped": 0, "unknown": 0
    });
    assert_eq!(found["residence"], expected);
    let text = bench.ok(["where", "demo"]);
    assert!(text.starts_with("demo in ") && text.contains("101 normal pages"), "{text}");

    let node = node.to_string();
    let text =
        bench.ok(["new", "b", "--size", "64K", "--near-node", &node, "--binding", "best-effort"]);
    assert!(text.ends_with(&format!("placement  16 on node {node}, as planned\n")), "{text}");
    let off = bench.json(["new", "c", "--size", "64K", "--near-node", &node, "--binding", "off"]);
    assert_eq!(off["placement"]["omissions"][0]["kind"], "off");
    assert_eq!(off["placement"]["complete"], false);
    assert!(bench.json(["new", "d", "--size", "64K"])["placement"].is_null());
}

#[test]
fn what_cannot_be_placed_leaves_nothing_behind() {
    let bench = Bench::with_demo("64K");
    let (node, cpu) = machine::near();
    let (node_text, cpu_text) = (node.to_string(), cpu.to_string());
    let (node_text, cpu_text) = (node_text.as_str(), cpu_text.as_str());
    let cases: &[(&[&str], i32, &str, &str)] = &[
        (&["--pages", "1", "--near", "99999"], 3, "no CPU 99999", "wksp-ctl numa"),
        (&["--pages", "1", "--near-node", "99999"], 3, "no node 99999", "wksp-ctl numa"),
        (&["--pages", "1", "--near", "x"], 2, "no number", "--near 0-4:2"),
        (&["--pages", "1", "--binding", "off"], 2, "--near", "usage is"),
        (&["--pages", "1", "--near", cpu_text, "--near-node", node_text], 2, "--near", "usage is"),
        (&["--pages", "1", "--near", cpu_text, "--binding", "x"], 2, "best-effort", "--help"),
        (&["--pages", "18446744073709551615", "--near", "0,0"], 2, "18446744073709551615", "2^63"),
        (&["--size", "1P", "--near", cpu_text], 4, "lacks", "--near-node"),
        (&["--size", "1P", "--page-size", "huge", "--near", cpu_text], 3, ".huge", "host init"),
    ];
    for (arguments, code, cause_has, remedy_has) in cases {
        let all = [&["new", "other"], *arguments].concat();
        let ran = bench.run(&all);
        if ran.code == Some(7) {
            return lack(&ran.cause_and_remedy().0);
        }
        let (cause, remedy) = bench.fails(&all, *code, "demo");
        assert!(cause.contains(cause_has), "{arguments:?}: {cause}");
        assert!(remedy.contains(remedy_has), "{arguments:?}: {remedy}");
    }
    let left = fs::read_dir(bench.path().join(".normal")).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn misplaced_pages_are_warned_of() {
    let _turn = turn();
    let nodes = machine::nodes();
    let with_memory = nodes.iter().filter(|node| machine::memory(**node, "MemTotal") > 0);
    let &[first, second, ..] = &with_memory.copied().collect::<Vec<_>>()[..] else {
        return lack("several nodes with memory");
    };
    let (Some(few), Some(many)) = (Pool::of(first, "huge"), Pool::of(second, "huge")) else {
        return;
    };
    if !few.reserve_free(2) || !many.reserve_free(4) {
        return;
    }
    let bench = Bench::new();
    crate::machine::in_private_mounts(|| {
        bench.ok(["host", "init", "--page-size", "huge"]);
        let pages = (few.count("free") + 2).to_string();
        let near = first.to_string();
        let arguments =
            ["new", "demo", "--pages", &pages, "--page-size", "huge", "--near-node", &near];
        let strict = bench.run(arguments);
        let (cause, remedy) = strict.cause_and_remedy();
        assert!(cause.contains(&format!("node {first} lacks 2 huge pages")), "{cause}");
        assert!(strict.code == Some(4) && remedy.contains("host reserve"), "{remedy}");
        let ran = Ran::of(
            bench.command(arguments).args(["--binding", "best-effort", "--json"]).output().unwrap(),
        );
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let notice: Value = serde_json::from_str(ran.stderr.trim()).unwrap();
        assert_eq!(notice["notice"]["kind"], "misplaced", "{notice}");
        let placement = &ran.document()["placement"];
        assert_eq!((&placement["misplaced"], &placement["complete"]), (&2.into(), &false.into()));
        bench.ok(["rm", "demo"]);
        let ran =
            Ran::of(bench.command(arguments).args(["--binding", "best-effort"]).output().unwrap());
        assert!(
            ran.stderr.starts_with("warning: 2 pages are not on the node planned; "),
            "{ran:?}"
        );
    });
}

#[test]
fn pages_without_memory_are_absent() {
    let bench = Bench::with_demo("64K");
    let file = fs::File::create(bench.region("sparse")).unwrap();
    file.set_len(10 * 4096).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"x", 3 * 4096).unwrap();
    let ran = bench.run(["where", "sparse", "--json"]);
    if ran.code == Some(7) {
        return lack(&ran.error(7).0);
    }
    assert_eq!(ran.document()["residence"]["absent"], 9);
    for (arguments, code, mention) in [
        (&["where", "nope"][..], 3, "nope"),
        (&["where", ""], 2, "\"\""),
        (&["where", "a/b"], 2, "a/b"),
        (&["where"], 2, "<NAME>"),
        (&["where", "demo", "--page-size", "huge"], 3, "huge"),
    ] {
        let (cause, _) = bench.fails(arguments, code, "demo");
        assert!(cause.contains(mention), "{cause}");
    }
}

#[test]
fn the_machine_is_looked_at_only_by_those_who_need_it() {
    let bench = Bench::new();
    let blind = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        Ran::of(command.arg("--json").env("HWLOC_XMLFILE", "/dev/null").output().unwrap())
    };
    for arguments in [
        &["new", "demo", "--size", "64K"][..],
        &["alloc", "demo", "100"],
        &["show", "demo"],
        &["ls"],
        &["check"],
        &["where", "demo"],
        &["numa", "--synthetic", "numa:2 pu:1"],
        &["plan", "--pages", "1", "--near", "0", "--synthetic", "numa:2 pu:1"],
        &["host", "status"],
    ] {
        let ran = blind(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}: {ran:?}");
    }
    for arguments in [&["numa"][..], &["new", "other", "--size", "64K", "--near", "0"]] {
        let (cause, remedy) = blind(arguments).error(1);
        assert!(cause.contains("hwloc") && remedy.contains("unset HWLOC_XMLFILE"), "{cause}");
    }
}

#[test]
fn a_machine_that_the_environment_makes_up_is_planned_on_but_not_bound_to() {
    let bench = Bench::new();
    let dreaming = |arguments: &[&str]| {
        let mut command = bench.command(arguments);
        Ran::of(command.arg("--json").env("HWLOC_SYNTHETIC", "numa:2 pu:2").output().unwrap())
    };
    let numa = dreaming(&["numa"]).document();
    assert_eq!((&numa["this_machine"], &numa["cpu_count"]), (&false.into(), &4.into()));
    assert!(numa["nodes"][0]["free_bytes"].is_null());
    let plan = dreaming(&["plan", "--pages", "4", "--near", "0,3"]).document();
    assert_eq!((&plan["fits"], &plan["this_machine"]), (&true.into(), &false.into()));
    let ran = dreaming(&["new", "demo", "--pages", "4", "--near", "0,3"]);
    let (cause, remedy) = ran.error(1);
    assert!(
        cause.contains("another machine") && remedy.contains("unset HWLOC_SYNTHETIC"),
        "{cause}"
    );
    assert_eq!(fs::read_dir(bench.path().join(".normal")).unwrap().count(), 0);
}
