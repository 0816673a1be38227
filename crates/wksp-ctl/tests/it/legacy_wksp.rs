//! Every row of `fd_wksp_ctl`, right and wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::bench::Bench;
use crate::legacy::Legacy;
use crate::machine::near;

/// A workspace called `demo`, of 1024 pages.
fn demo() -> (Bench, Legacy) {
    let bench = Bench::new();
    let wksp = Legacy::wksp(&bench);
    wksp.ok(&format!("new demo 1024 normal {} 0600", near().1));
    (bench, wksp)
}

#[test]
fn new_makes_workspaces_and_refuses_all_that_is_wrong() {
    let (bench, wksp) = demo();
    let cpu = near().1;
    let mode = |name: &str| fs::metadata(bench.region(name)).unwrap().permissions().mode() & 0o7777;
    let bytes = |name: &str| fs::metadata(bench.region(name)).unwrap().len();
    assert_eq!((mode("demo"), bytes("demo")), (0o600, 1024 * 4096));
    // Numbers and modes as C reads them.
    for (name, arguments, expected) in [
        ("octal", format!("020 NorMal {cpu} 640"), (0o640, 16 * 4096)),
        ("hex", format!("0x10 4096 {cpu},{cpu} 0666"), (0o666, 16 * 4096)),
        ("rest", format!("16pages 0x1000 {cpu}-{cpu}:2 0600rw"), (0o600, 16 * 4096)),
        ("bits", format!("16 normal {cpu} 01755"), (0o755, 16 * 4096)),
        ("none", format!("16 normal {cpu} rw"), (0, 16 * 4096)),
    ] {
        assert_eq!(wksp.ok(&format!("new {name} {arguments}")), "");
        assert_eq!((mode(name), bytes(name)), expected, "{name}");
        assert_eq!(wksp.ok(&format!("verify {name} check {name}")), "");
    }
    let before = fs::read_dir(bench.path().join(".normal")).unwrap().count();
    for arguments in [
        format!("demo 64 normal {cpu} 0600"),
        format!("-bad 64 normal {cpu} 0600"),
        format!("{} 64 normal {cpu} 0600", "n".repeat(40)),
        format!("x/y 64 normal {cpu} 0600"),
        format!("a 0 normal {cpu} 0600"),
        format!("a pages normal {cpu} 0600"),
        format!("a -1 normal {cpu} 0600"),
        format!("a 99999999999999999999 normal {cpu} 0600"),
        format!("a 1000000000 normal {cpu} 0600"),
        format!("a 64 tiny {cpu} 0600"),
        format!("a 64 0 {cpu} 0600"),
        format!("a 64 8192 {cpu} 0600"),
        "a 64 normal x 0600".to_owned(),
        "a 64 normal 1-0 0600".to_owned(),
        "a 64 normal 0- 0600".to_owned(),
        "a 64 normal 65535 0600".to_owned(),
        // Although no page would go there.
        format!("a 1 normal {cpu},65535 0600"),
        format!("a 64 normal {cpu} 40000000000"),
        format!("a 64 normal {cpu} -1"),
        // There are none reserved, or there is not even a directory for them.
        format!("a 1000000 gigantic {cpu} 0600"),
        format!("a 64 normal {cpu}"),
        String::new(),
    ] {
        wksp.fails(&format!("new {arguments}"));
    }
    assert_eq!(fs::read_dir(bench.path().join(".normal")).unwrap().count(), before);
}

#[test]
fn a_new_workspace_is_shared_out_as_it_always_was() {
    let (bench, wksp) = demo();
    let cpu = near().1;
    for (pages, records) in [(256_u64, 15), (1024, 63), (4096, 1023 / 4)] {
        wksp.ok(&format!("new sized {pages} normal {cpu} 0600"));
        let workspace = &bench.json(["show", "sized"])["workspace"];
        assert_eq!(workspace["part_max"], records, "{pages}");
        assert_eq!(workspace["data_max"], pages * 4096 - 1 - 128 - 64 * records);
        wksp.ok("delete sized");
    }
    // Smaller ones were refused; they are of use here.
    wksp.ok(&format!("new sized 4 normal {cpu} 0600 alloc sized 1 1 alloc sized 1 1"));
}

#[test]
fn delete_removes_workspaces_and_nothing_else() {
    let (bench, wksp) = demo();
    fs::write(bench.region("zeros"), [0; 4096]).unwrap();
    for arguments in ["", "nope", "-", "zeros"] {
        wksp.fails(&format!("delete {arguments}"));
    }
    assert_eq!(wksp.ok("delete demo"), "");
    assert!(!bench.region("demo").exists() && bench.region("zeros").exists());
    wksp.fails("delete demo");
}

#[test]
fn alloc_says_where_and_refuses_all_that_is_wrong() {
    let (bench, wksp) = demo();
    let gaddr = |line: &str| {
        let said = wksp.ok(line);
        said.trim()
            .strip_prefix("demo:")
            .unwrap_or_else(|| panic!("{said}"))
            .parse::<u64>()
            .unwrap()
    };
    assert_eq!(gaddr("alloc demo 0 100") % 4096, 0);
    assert_eq!(gaddr("alloc demo 0x100 010") % 256, 0);
    assert_eq!(gaddr("alloc demo 128 12abc") % 128, 0);
    let before = wksp.ok("usage demo 1");
    for arguments in [
        "nope 0 100",
        "n/a 0 100",
        "demo 3 100",
        "demo -1 100",
        "demo 0 0",
        "demo 0 many",
        "demo 0 10000000",
        "demo 0 -1",
        "demo 0x80000000 1",
        "demo 0",
        "demo",
        "",
    ] {
        wksp.fails(&format!("alloc {arguments}"));
    }
    // The tag is one for all the rest of the chain, and need not be one until it is used.
    wksp.says("tag 0 supported-styles alloc demo 1 1", 1, "0 1 2 3\n");
    wksp.says("tag nonsense alloc demo 1 1", 1, "");
    wksp.fails("tag");
    assert_eq!(wksp.ok("usage demo 1"), before);
    let said =
        wksp.ok("alloc demo 1 1 tag 0x7 alloc demo 1 2 alloc demo 1 3 tag -1 alloc demo 1 4");
    let query = |at: usize| wksp.ok(&format!("tag-query {}", said.lines().nth(at).unwrap()));
    assert_eq!([0, 1, 2, 3].map(query), ["1\n", "7\n", "7\n", "18446744073709551615\n"]);
    assert_eq!(bench.json(["verify", "demo"])["clean"], true);
}

#[test]
fn info_tag_query_and_usage_never_fail() {
    let (_bench, wksp) = demo();
    let said = wksp.ok("tag 5 alloc demo 1 10 alloc demo 4096 20 tag 6 alloc demo 4096 30");
    let [first, second, third] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert_eq!(wksp.ok("info demo 5 info demo 06 info demo 7 info demo 0 info demo x"), {
        let found = format!("{first} 10\n{third} 30\n");
        found + "- 0\n- 0\n- 0\n"
    });
    wksp.shrugs("info nope 5", "");
    wksp.shrugs("info n/a 5", "");
    wksp.fails("info demo");
    wksp.fails("info");

    let inside = |address: &str, by: u64| {
        let gaddr: u64 = address.strip_prefix("demo:").unwrap().parse().unwrap();
        format!("demo:{:#x}", gaddr + by)
    };
    let lines = format!("tag-query {second} tag-query {} tag-query {third}junk", inside(first, 9));
    assert_eq!(wksp.ok(&lines), "5\n5\n6\n");
    assert_eq!(wksp.ok("tag-query demo:1 tag-query demo:-1"), "0\n0\n");
    for address in ["demo:", "demo:0", "demo", ":5", "n/a:5", "nope:5", "a:demo:5"] {
        wksp.shrugs(&format!("tag-query {address}"), "0\n");
    }
    wksp.fails("tag-query");

    let usage = |tag: &str, tagged: &str| {
        let part_max = wksp_part_max(&wksp);
        let data = wksp_data_max(&wksp);
        let shown = format!(
            "wksp demo\n\t{data:>20} bytes max        (6 blocks, {part_max} blocks max)\n\
             \t{:>20} bytes used       (3 blocks)\n\t{:>20} bytes avail      (3 blocks)\n\t{tagged}\n",
            60,
            data - 60
        );
        assert_eq!(wksp.ok(&format!("usage demo {tag}")), shown);
    };
    usage("5", "                  30 bytes w/tag    5 (2 blocks)");
    usage("0x6", "                  30 bytes w/tag    6 (1 blocks)");
    usage("77777", "                   0 bytes w/tag 77777 (0 blocks)");
    usage("none", "                   0 bytes w/tag    0 (0 blocks)");
    wksp.shrugs("usage nope 5", "-\n");
    wksp.shrugs("usage n/a 5", "-\n");
    wksp.fails("usage demo");
}

fn field(wksp: &Legacy, name: &str) -> u64 {
    let query = wksp.ok("query demo");
    let line =
        query.lines().find(|line| line.starts_with(&format!("\t{name} "))).unwrap().to_owned();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn wksp_part_max(wksp: &Legacy) -> u64 {
    field(wksp, "part_max")
}

fn wksp_data_max(wksp: &Legacy) -> u64 {
    field(wksp, "data_max")
}

#[test]
fn free_tag_free_and_memset_log_what_is_wrong() {
    let (bench, wksp) = demo();
    let said = wksp.ok("tag 5 alloc demo 64 10 alloc demo 64 20 tag 6 alloc demo 64 30");
    let [first, second, third] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
    let gaddr = |address: &str| -> usize { address["demo:".len()..].parse().unwrap() };
    let filled = |address: &str, count: usize| {
        let region = fs::read(bench.region("demo")).unwrap();
        region[gaddr(address)..gaddr(address) + count].to_vec()
    };
    // A byte of the int that C makes of it.
    for (typed, byte) in [("0x41", 0x41), ("-1", 0xFF), ("0x1ff", 0xFF), ("256", 0), ("x", 0)] {
        assert_eq!(wksp.ok(&format!("memset {third} {typed}")), "");
        assert_eq!(filled(third, 30), [byte; 30], "{typed}");
    }
    assert_eq!(wksp.ok(&format!("memset {second} 9 memset demo:{} 7", gaddr(first) + 9)), "");
    assert_eq!((filled(first, 10), filled(second, 20)), (vec![7; 10], vec![9; 20]));

    let before = bench.bytes("demo");
    let wrong = ["demo:1", "demo:-1", "demo:", "demo:0", "demo", "nope:5", "n/a:5", ":", "x"];
    for address in wrong {
        wksp.shrugs(&format!("free {address}"), "");
        wksp.shrugs(&format!("memset {address} 1"), "");
    }
    wksp.shrugs("tag-free nope 5", "");
    wksp.shrugs("tag-free demo 0", "");
    assert_eq!(wksp.ok("tag-free demo 7"), "");
    for line in ["free", "memset", "memset demo:1", "tag-free", "tag-free demo"] {
        wksp.fails(line);
    }
    assert!(bench.bytes("demo") == before, "what is wrong has changed something");

    assert_eq!(wksp.ok(&format!("free {second} tag-query {second} tag-query {first}")), "0\n5\n");
    wksp.shrugs(&format!("free {second}"), "");
    assert_eq!(wksp.ok("tag-free demo 5 info demo 5 info demo 6"), format!("- 0\n{third} 30\n"));
    assert_eq!(bench.json(["verify", "demo"])["clean"], true);
}

#[test]
fn rebuild_reset_check_and_verify_keep_their_arguments_apart() {
    let (bench, wksp) = demo();
    let address = wksp.ok("tag 5 alloc demo 64 10");
    let seed = || bench.json(["show", "demo"])["workspace"]["seed"].as_u64().unwrap();
    for (typed, expected) in [
        ("0x10", 16),
        ("-", 16),
        ("010", 8),
        ("junk", 0),
        ("-1", u64::from(u32::MAX)),
        ("-", u64::from(u32::MAX)),
        ("0x100000007", 7),
    ] {
        assert_eq!(wksp.ok(&format!("rebuild demo {typed}")), "");
        assert_eq!(seed(), expected, "{typed}");
    }
    assert_eq!(wksp.ok(&format!("check demo verify demo tag-query {address}")), "5\n");
    for line in [
        "rebuild",
        "rebuild demo",
        "rebuild nope -",
        "reset",
        "reset nope",
        "check",
        "check nope",
        "check n/a",
        "verify",
        "verify nope",
    ] {
        wksp.fails(line);
    }
    // Nobody is asked.
    assert_eq!(wksp.ok("reset demo info demo 5"), "- 0\n");
    assert_eq!(seed(), 7);
}

#[test]
fn query_lists_everything() {
    let (bench, wksp) = demo();
    wksp.ok("rebuild demo 9 tag 5 alloc demo 64 10 tag -1 alloc demo 4096 3");
    let show = bench.json(["show", "demo"]);
    let workspace = &show["workspace"];
    let number = |of: &serde_json::Value, name: &str| of[name].as_u64().unwrap();
    let (lo, hi) = (number(workspace, "gaddr_lo"), number(workspace, "gaddr_hi"));
    let mut expected = format!(
        "wksp demo\n\tmagic     0xf17eda2c3731c591\n\tseed      9\n\tpart_max  {}\n\tdata_max  {}\n\
         \tgaddr     [{lo:#018x},{hi:#018x})\n",
        workspace["part_max"],
        hi - lo
    );
    let partitions = show["partitions"].as_array().unwrap();
    for one in partitions {
        expected += &format!(
            "\tpartition [{:#018x},{:#018x}) sz {:>20} tag {:>20} idx {}\n",
            number(one, "gaddr_lo"),
            number(one, "gaddr_hi"),
            number(one, "bytes"),
            one["tag"].as_str().unwrap_or("0"),
            one["record"]
        );
    }
    let sum = |what: &str| {
        let sum = &show["totals"][what];
        let [bytes, count, largest] =
            ["bytes", "count", "largest_bytes"].map(|name| number(sum, name));
        format!("\t{bytes:>20} bytes {what} ({count:>20} blocks, largest {largest:>20} bytes)\n")
    };
    expected += &(sum("used") + &sum("free") + "\t                   0 errors detected\n");
    assert!(partitions.len() >= 4 && expected.contains("tag 18446744073709551615 idx"));
    assert_eq!(wksp.ok("query demo"), expected);
    wksp.fails("query");
    wksp.fails("query nope");
    wksp.says("query demo query nope", 1, &expected);
}

#[test]
fn a_holder_that_is_at_work_is_waited_for_beyond_every_bound() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    use wksp_core::Name;
    use wksp_shmem::{BaseDir, LockOptions, SharedWorkspace};

    let (bench, wksp) = demo();
    let base = BaseDir::resolve(Some(bench.path())).unwrap();
    let name = Name::new("demo").unwrap();
    let shared = SharedWorkspace::attach(&base, &name, None, LockOptions::default()).unwrap();
    let guard = shared.lock().unwrap();
    let mut command = wksp.command(&["check", "demo", "supported-styles"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It says so when the time is over that our own commands wait.
    let mut logged = String::new();
    BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut logged).unwrap();
    assert!(logged.contains("waiting for it"), "{logged}");
    assert!(child.try_wait().unwrap().is_none(), "it did not wait");
    drop(guard);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stdout), (Some(0), b"0 1 2 3\n".to_vec()));
}
