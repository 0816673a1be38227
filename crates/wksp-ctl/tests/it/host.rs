//! Setting a machine up for regions, and back.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use nix::mount::{MsFlags, mount};
use nix::pty::openpty;
use nix::sys::statvfs::statvfs;
use nix::unistd::geteuid;
use serde_json::Value;
use wksp_testkit::skip::skip;

use crate::bench::{Bench, Ran, tool};
use crate::holders::Victim;
use crate::machine::{self, Pool, in_private_mounts, lack, turn};

const NOBODY: u32 = 65534;

/// A base directory that is not there yet, in a directory that is.
struct Stage {
    bench: Bench,
}

impl Stage {
    fn new() -> Self {
        Self { bench: Bench::new() }
    }

    fn base(&self) -> PathBuf {
        self.bench.path().join("base")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = tool();
        command.arg("--base").arg(self.base()).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs what must succeed and say nothing on standard error.
    fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["--json"]].concat());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}: {ran:?}");
        ran.document()
    }

    /// What must fail with `code`, in text and in JSON.
    fn fails(&self, arguments: &[&str], code: i32) -> (String, String) {
        let text = self.run(arguments);
        let error = self.run(&[arguments, &["--json"]].concat()).error(code);
        assert_eq!((text.code, text.cause_and_remedy().0), (Some(code), error.0.clone()));
        error
    }

    /// Runs the tool on a terminal at which somebody types `answer`.
    fn typing(&self, arguments: &[&str], answer: &str) -> Ran {
        let terminal = openpty(None, None).unwrap();
        let mut keyboard = File::from(terminal.master);
        keyboard.write_all(answer.as_bytes()).unwrap();
        Ran::of(self.command(arguments).stdin(terminal.slave).output().unwrap())
    }
}

/// The changes of directories, in the order of their page sizes.
fn changes(document: &Value) -> Vec<&str> {
    let directories = document["directories"].as_array().unwrap().iter();
    directories.map(|one| one["change"].as_str().unwrap()).collect()
}

/// The page sizes that the kernel has.
fn page_sizes() -> Vec<&'static str> {
    let has = |(_, kilobytes): &(&str, u64)| {
        let pool = format!("/sys/kernel/mm/hugepages/hugepages-{kilobytes}kB");
        *kilobytes == 4 || fs::exists(pool).unwrap()
    };
    let sizes = [("normal", 4), ("huge", 2048), ("gigantic", 1 << 20)];
    sizes.into_iter().filter(has).map(|(name, _)| name).collect()
}

#[test]
fn directories_are_mounted_changed_and_unmounted_and_again() {
    let stage = Stage::new();
    in_private_mounts(|| {
        let first = stage.json(&["host", "init"]);
        let count = page_sizes().len();
        assert_eq!(first["command"], "host init");
        assert_eq!(changes(&first), vec!["mounted"; count]);
        let sizes: Vec<_> =
            first["directories"].as_array().unwrap().iter().map(|d| &d["page_size"]).collect();
        assert_eq!(sizes, page_sizes());
        assert_eq!(changes(&stage.json(&["host", "init"])), vec!["unchanged"; count]);

        let others = stage.json(&["host", "init", "--mode", "0750", "--owner", "12:34"]);
        assert_eq!(changes(&others), vec!["adjusted"; count]);
        assert_eq!(
            (&others["mode"], &others["uid"], &others["gid"]),
            (&"0750".into(), &12.into(), &34.into())
        );
        for page_size in page_sizes() {
            let found = fs::metadata(stage.base().join(format!(".{page_size}"))).unwrap();
            assert_eq!((found.mode() & 0o7777, found.uid(), found.gid()), (0o750, 12, 34));
        }
        let everybody = stage.json(&["host", "init", "--mode", "1777", "--page-size", "normal"]);
        assert_eq!(changes(&everybody), ["adjusted"]);

        let status = stage.json(&["host", "status"]);
        let normal = &status["directories"][0];
        assert_eq!((&normal["state"], &normal["mode"]), (&"mounted".into(), &"1777".into()));
        let text = stage.run(&["host", "status"]).text();
        assert!(text.lines().any(|line| line.starts_with("normal    mounted  1777")), "{text}");

        let one = stage.json(&["host", "fini", "--page-size", "normal"]);
        assert_eq!(changes(&one), ["unmounted"]);
        let rest = stage.json(&["host", "fini"]);
        assert_eq!(changes(&rest)[0], "unchanged");
        assert_eq!(changes(&stage.json(&["host", "fini"])), ["unchanged"; 3]);
        assert!(!stage.base().exists());
    });
}

#[test]
fn owners_are_users_and_groups_by_name_or_number() {
    let stage = Stage::new();
    in_private_mounts(|| {
        let init = |owner| stage.json(&["host", "init", "--page-size", "normal", "--owner", owner]);
        for (owner, uid, gid) in [
            ("root", 0, 0),
            ("0:7", 0, 7),
            ("root:0", 0, 0),
            ("4000000000:1", 4_000_000_000_u32, 1),
        ] {
            let made = init(owner);
            assert_eq!((&made["uid"], &made["gid"]), (&uid.into(), &gid.into()), "{owner}");
            assert_eq!(fs::metadata(stage.base().join(".normal")).unwrap().uid(), uid);
        }
    });
    let cases = [
        ("", 2, "--owner root:root"),
        (":", 2, "--owner root:root"),
        ("root:", 2, "--owner root:root"),
        ("no such user", 3, "getent passwd"),
        ("root:no such group", 3, "getent group"),
        ("-1:-1", 3, "getent passwd"),
        ("4294967295:0", 3, "getent passwd"),
        ("4000000000", 2, "--owner 4000000000:4000000000"),
    ];
    let stage = Stage::new();
    for (owner, code, remedy_has) in cases {
        let owner = format!("--owner={owner}");
        let (_, remedy) = stage.fails(&["host", "init", &owner], code);
        assert!(remedy.contains(remedy_has), "{owner}: {remedy}");
    }
    assert!(!stage.base().exists());
}

#[test]
fn wrong_input_is_refused_and_changes_nothing() {
    let _turn = turn();
    let stage = Stage::new();
    let cases: &[(&[&str], i32, &str, &str)] = &[
        (&["init", "--mode", "0777"], 2, "0777", "--mode 1777"),
        (&["init", "--mode", "702"], 2, "0702", "--mode 1777"),
        (&["init", "--mode", "2777"], 2, "2777", "1777"),
        (&["init", "--mode", "-1"], 2, "-1", "octal"),
        (&["init", "--mode", ""], 2, "\"\"", "octal"),
        (&["init", "--mode", "99999999999999999999999"], 2, "999", "octal"),
        (&["init", "--normal-max", "0"], 2, "\"0\"", "1 byte"),
        (&["init", "--normal-max", "x"], 2, "\"x\"", "bytes"),
        (&["init", "--page-size", "tiny"], 2, "tiny", "gigantic"),
        (&["reserve", "--pages", "1"], 2, "which pages", "--page-size huge"),
        (
            &["reserve", "--pages", "1", "--page-size", "normal"],
            2,
            "normal pages",
            "--page-size huge",
        ),
        (&["reserve", "--page-size", "huge"], 2, "--pages", "usage is"),
        (&["reserve", "--page-size", "huge", "--pages", "0"], 2, "--pages 0", "at least 1"),
        (&["reserve", "--page-size", "huge", "--pages", "-1"], 2, "-1", "at least 1"),
        (&["reserve", "--page-size", "huge", "--pages", ""], 2, "\"\"", "at least 1"),
        (
            &["reserve", "--page-size", "huge", "--pages", "1", "--node", "x"],
            2,
            "--node",
            "--node 0-4",
        ),
        (
            &["reserve", "--page-size", "huge", "--pages", "1", "--node", "-1"],
            2,
            "--node",
            "--node 0-4",
        ),
        (
            &["reserve", "--page-size", "huge", "--pages", "1", "--node", "0,99999"],
            3,
            "node 99999",
            "host status",
        ),
        (&["release", "--page-size", "huge", "--pages", "x"], 2, "\"x\"", "whole number"),
        (&["release", "--page-size", "normal"], 2, "normal pages", "--page-size huge"),
        (&["release", "--page-size", "huge", "--node", "99999"], 3, "node 99999", "host status"),
        (&["frobnicate"], 2, "frobnicate", "usage is"),
        (&[], 2, "requires a subcommand", "host"),
    ];
    let pools = || stage.json(&["host", "status"])["pools"].clone();
    let before = pools();
    for (arguments, code, cause_has, remedy_has) in cases {
        let (cause, remedy) = stage.fails(&[&["host"], *arguments].concat(), *code);
        assert!(cause.contains(cause_has), "{arguments:?}: {cause}");
        assert!(remedy.contains(remedy_has), "{arguments:?}: {remedy}");
    }
    assert_eq!(pools(), before);
    assert!(!stage.base().exists());
}

#[test]
fn a_limit_holds_and_one_that_cannot_be_changed_is_warned_of() {
    let stage = Stage::new();
    in_private_mounts(|| {
        let arguments = ["host", "init", "--page-size", "normal", "--normal-max"];
        let init = |size| stage.run(&[&arguments[..], &[size]].concat());
        assert_eq!((init("64K").code, init("64K").stderr), (Some(0), String::new()));
        let found = statvfs(&stage.base().join(".normal")).unwrap();
        assert_eq!(found.blocks() * found.fragment_size(), 64 << 10);
        let (cause, _) = stage.fails(&["new", "demo", "--size", "68K"], 4);
        assert!(cause.contains("69632 bytes"), "{cause}");

        let warned = init("1M");
        assert_eq!(warned.code, Some(0));
        assert!(
            warned.stderr.starts_with("warning: ") && warned.stderr.contains("65536 bytes"),
            "{warned:?}"
        );
        // What it says changes the limit.
        let command = warned.stderr.split('`').nth(1).unwrap();
        assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
        assert_eq!(init("1M").stderr, "");
    });
}

#[test]
fn regions_are_not_removed_without_a_question() {
    let _turn = turn();
    let pools = all_pools();
    let stage = Stage::new();
    in_private_mounts(|| {
        for command in [["host", "fini"], ["host", "reset"]] {
            if command[1] == "reset" && pools.is_none() {
                return;
            }
            stage.json(&["host", "init", "--page-size", "normal"]);
            stage.run(&["new", "demo", "--size", "64K"]);
            let region = stage.base().join(".normal/demo");
            let (_, remedy) = stage.fails(&command, 2);
            assert!(remedy.contains("--yes"), "{remedy}");
            for answer in ["n\n", "\n", "\u{4}"] {
                let ran = stage.typing(&command, answer);
                assert_eq!(ran.code, Some(1), "{ran:?}");
                let question = format!(
                    "remove all regions in {} (1 file)",
                    stage.base().join(".normal").display()
                );
                assert!(ran.stderr.contains(&question), "{ran:?}");
            }
            assert!(region.exists());
            assert_eq!(stage.typing(&command, "y\n").code, Some(0));
            assert!(!stage.base().exists());

            // Nor are those that somebody uses, whatever is said.
            stage.json(&["host", "init", "--page-size", "normal"]);
            stage.run(&["new", "demo", "--size", "64K"]);
            let victim = Victim::start_in(&stage.base());
            let (cause, remedy) = stage.fails(&[&command[..], &["--yes"]].concat(), 6);
            assert!(cause.contains(".normal") && remedy.contains("fuser"), "{cause}");
            assert!(region.exists());
            victim.kill();
            assert_eq!(changes(&stage.json(&[&command[..], &["--yes"]].concat()))[0], "unmounted");
            assert!(!stage.base().exists());
        }
    });
}

/// All huge and gigantic pages, if nobody else has any to lose; says so if not.
fn all_pools() -> Option<Vec<Pool>> {
    let nodes = machine::nodes().into_iter();
    let all = nodes.flat_map(|node| ["huge", "gigantic"].map(|page_size| (node, page_size)));
    let pools: Option<Vec<Pool>> = all.map(|(node, page_size)| Pool::of(node, page_size)).collect();
    let pools = pools?;
    if machine::is_made_for_tests() || pools.iter().all(|pool| pool.before() == 0) {
        return Some(pools);
    }
    skip("others have reserved pages here");
    None
}

#[test]
fn what_is_in_the_way_is_left_alone() {
    let stage = Stage::new();
    in_private_mounts(|| {
        let huge = stage.base().join(".huge");
        fs::create_dir_all(&huge).unwrap();
        let none: Option<&str> = None;
        mount(none, &huge, Some("tmpfs"), MsFlags::empty(), none).unwrap();
        for command in ["init", "fini"] {
            let (cause, remedy) = stage.fails(&["host", command, "--page-size", "huge"], 1);
            assert!(cause.contains(".huge") && remedy.contains("umount "), "{cause}");
        }
        // What was done before the failure is said as well.
        let ran = stage.run(&["host", "init", "--json"]);
        ran.error(1);
        assert_eq!(changes(&ran.document()), ["mounted"]);
        let status = stage.json(&["host", "status"]);
        assert_eq!(status["directories"][1]["state"], "foreign");
        assert!(status["directories"][1]["reason"].is_string());

        // Nor is what lies in a directory hidden by mounting something on it.
        let plain = Bench::with_demo("64K");
        let (cause, remedy) = plain.fails(&["host", "init"], 1, "demo");
        assert!(cause.contains("its 1 file any more") && remedy.contains("--page-size"), "{cause}");
        plain.ok(["show", "demo"]);

        let open = Stage::new();
        fs::create_dir(open.base()).unwrap();
        fs::set_permissions(open.base(), fs::Permissions::from_mode(0o777)).unwrap();
        let (cause, remedy) = open.fails(&["host", "init"], 7);
        assert!(cause.contains("0777") && remedy.contains("chmod o-w"), "{cause}");
        let nowhere = open.bench.path().join("a/b");
        let ran = Ran::of(
            tool().arg("--base").arg(&nowhere).args(["host", "init", "--json"]).output().unwrap(),
        );
        assert!(ran.error(3).1.contains("mkdir -p"), "{ran:?}");
    });
}

#[test]
fn pages_are_reserved_used_and_released() {
    let _turn = turn();
    let (node, cpu) = machine::near();
    let Some(pool) = Pool::of(node, "huge") else { return };
    let (node_text, cpu_text) = (node.to_string(), cpu.to_string());
    let stage = Stage::new();
    in_private_mounts(|| {
        stage.json(&["host", "init", "--page-size", "huge"]);
        // Of those that are there some may be in use, and none free.
        let wanted = pool.before() + 4;
        let huge = ["--page-size", "huge", "--node", &node_text];
        let reserve = |count: u64| {
            stage.run(
                &[&["host", "reserve", "--json", "--pages", &count.to_string()], &huge[..]]
                    .concat(),
            )
        };
        let ran = reserve(wanted);
        if ran.code == Some(4) {
            return lack(&ran.error(4).0);
        }
        let change = &ran.document()["pools"][0];
        let [before, after] = [pool.before(), wanted].map(Value::from);
        assert_eq!((&change["before"], &change["after"]), (&before, &after), "{change}");
        assert_eq!((&change["wanted"], &change["granted"]), (&after, &true.into()));
        assert_eq!(pool.count("nr"), wanted);
        assert_eq!(reserve(wanted).document()["pools"][0]["before"], after);
        // Fewer take none away.
        assert_eq!(reserve(1).document()["pools"][0]["after"], after);

        let free = pool.count("free");
        let created = stage.json(&[
            "new",
            "demo",
            "--pages",
            "3",
            "--page-size",
            "huge",
            "--near",
            &cpu_text,
        ]);
        assert_eq!(created["placement"]["complete"], true);
        assert_eq!(stage.json(&["where", "demo"])["residence"]["on_node"][0]["page_count"], 3);
        // What is free and what is not are told apart wherever pages are shown.
        let [total, free_now] = ["nr", "free"].map(|what| Value::from(pool.count(what)));
        let of_node = |document: &Value, field: &str| {
            let mut found = document[field].as_array().unwrap().iter();
            found.find(|one| one["node"] == node).unwrap().clone()
        };
        let shown = &of_node(&stage.json(&["numa"]), "nodes")["pages"][0];
        assert_eq!((&shown["total"], &shown["free"]), (&total, &free_now));
        let shown = of_node(&stage.json(&["host", "status", "--page-size", "huge"]), "pools");
        assert_eq!((&shown["total"], &shown["free"]), (&total, &free_now));
        assert_eq!(shown["used"], pool.count("nr") - pool.count("free"));
        let doctor = stage.json(&["doctor"])["checks"][4].clone();
        let found = format!("node {node} has {total}, {free_now} of them free");
        assert!(doctor["found"].as_str().unwrap().contains(&found), "{doctor}");
        let plan = |pages: u64| {
            let near = ["--near", &cpu_text, "--json"];
            stage.run(
                &[&["plan", "--page-size", "huge", "--pages", &pages.to_string()], &near[..]]
                    .concat(),
            )
        };
        assert_eq!(plan(free - 3).code, Some(0));
        let ran = plan(free - 2);
        let (cause, remedy) = ran.error(4);
        let command = format!("host reserve --page-size huge --pages {} --node {node}", wanted + 1);
        assert!(
            cause.contains("lacks 1 huge page") && remedy.contains(&command),
            "{cause} {remedy}"
        );
        let pages = (free - 2).to_string();
        let new = ["new", "other", "--page-size", "huge", "--pages", &pages, "--near", &cpu_text];
        let (cause, remedy) = stage.fails(&new, 4);
        assert!(
            cause.contains("lacks 1 huge page") && remedy.contains(&command),
            "{cause} {remedy}"
        );

        // Pages in use stay.
        let release = [&["host", "release", "--json"], &huge[..]].concat();
        let used = pool.count("nr") - pool.count("free");
        let ran = stage.run(&release);
        let (cause, _) = ran.error(6);
        assert!(cause.contains("in use"), "{cause}");
        let change = &ran.document()["pools"][0];
        assert_eq!((&change["after"], &change["granted"]), (&used.into(), &false.into()));
        assert_eq!(pool.count("nr"), used);
        stage.json(&["rm", "demo"]);
        assert!(pool.reserve_free(pool.before() + 2));
        let keep = pool.before().to_string();
        let released = stage.json(&[&["host", "release", "--keep", &keep], &huge[..]].concat());
        assert_eq!(released["pools"][0]["after"], pool.before());
        assert_eq!(pool.count("nr"), pool.before());
        let again = stage.json(&[&["host", "release", "--pages", &keep], &huge[..]].concat());
        assert_eq!(again["pools"][0]["before"], pool.before());
        stage.json(&["host", "fini"]);
    });
}

#[test]
fn a_machine_is_not_left_without_memory() {
    let _turn = turn();
    let (node, _) = machine::near();
    for page_size in ["huge", "gigantic"] {
        let Some(pool) = Pool::of(node, page_size) else { return };
        for pages in ["18446744073709551615", "9223372036854775808", "1000000"] {
            let arguments =
                ["host", "reserve", "--page-size", page_size, "--pages", pages, "--json"];
            let (cause, remedy) = Stage::new().run(&arguments).error(4);
            assert!(cause.contains("nothing was reserved") && !remedy.is_empty(), "{cause}");
            assert_eq!(pool.count("nr"), pool.before());
        }
    }
}

#[test]
fn everything_is_set_back() {
    let _turn = turn();
    let Some(pools) = all_pools() else { return };
    let stage = Stage::new();
    let reserved = || pools.iter().map(|pool| pool.count("nr")).sum::<u64>();
    in_private_mounts(|| {
        if reserved() == 0 {
            // Nothing to lose is nothing to ask about.
            assert_eq!(changes(&stage.json(&["host", "reset"])), ["unchanged"; 3]);
        }
        if !pools[0].reserve_free(2) {
            return;
        }
        let (_, remedy) = stage.fails(&["host", "reset"], 2);
        assert!(remedy.contains("--yes"), "{remedy}");
        let before = reserved();
        let ran = stage.typing(&["host", "reset"], "n\n");
        let question = format!("release all {before} huge and gigantic pages");
        assert!(ran.stderr.contains(&question) && reserved() == before, "{ran:?}");
        stage.json(&["host", "init"]);
        let reset = stage.json(&["host", "reset", "--yes"]);
        assert_eq!(changes(&reset)[0], "unmounted");
        let counts = |field| {
            let pools = reset["pools"].as_array().unwrap().iter();
            pools.map(|pool| pool[field].as_u64().unwrap()).sum::<u64>()
        };
        assert_eq!((counts("before"), counts("after"), reserved()), (before, 0, 0));
        assert_eq!(changes(&stage.json(&["host", "reset"])), ["unchanged"; 3]);
    });
}

#[test]
fn without_privilege_all_is_seen_and_nothing_changed() {
    let _turn = turn();
    if !geteuid().is_root() {
        return skip("only root can become somebody else");
    }
    let stage = Stage::new();
    fs::set_permissions(stage.bench.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = stage.command(arguments);
        command.arg("--json").uid(NOBODY).gid(NOBODY).output().map(Ran::of)
    };
    let status = match run(&["host", "status"]) {
        Ok(ran) => ran,
        Err(error) => return skip(format_args!("nobody cannot run the tool: {error}")),
    };
    assert_eq!((status.code, status.stderr.as_str()), (Some(0), ""), "{status:?}");
    let status = status.document();
    assert_eq!(status["directories"].as_array().unwrap().len(), 3);
    assert_eq!(status["numa_calls"].as_array().unwrap().len(), 3);
    let (_, remedy) = run(&["host", "init", "--page-size", "normal"]).unwrap().error(7);
    assert!(remedy.contains("sudo"), "{remedy}");
    let (node, _) = machine::near();
    let Some(pool) = Pool::of(node, "huge") else { return };
    let pages = (pool.before() + 1).to_string();
    let (cause, remedy) =
        run(&["host", "reserve", "--page-size", "huge", "--pages", &pages]).unwrap().error(7);
    assert!(cause.contains("nr_hugepages") && remedy.contains("sudo"), "{cause}");
    assert!(!stage.base().exists() && pool.count("nr") == pool.before());
}
