//! The checks of a machine, and the commands that mend what they find.

use std::env;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use nix::unistd::geteuid;
use serde_json::Value;
use wksp_testkit::skip::skip;

use crate::bench::{Bench, Ran, program, tool};
use crate::holders::Victim;

const NOBODY: u32 = 65534;
/// A process id that there is not: less than any limit, and more than any in use here.
const NO_PID: &str = "4194302";

const CHECKS: [&str; 18] = [
    "base-directory",
    "normal-directory",
    "huge-directory",
    "gigantic-directory",
    "huge-pages",
    "gigantic-pages",
    "memory-lock",
    "cap-ipc-lock",
    "cap-sys-admin",
    "cap-sys-nice",
    "mbind",
    "move-pages",
    "populate",
    "hwloc",
    "proc",
    "transparent-huge-pages",
    "locks",
    "leftovers",
];

/// What a check has found, of a report in JSON.
fn check<'d>(document: &'d Value, name: &str) -> &'d Value {
    let checks = document["checks"].as_array().unwrap();
    checks.iter().find(|check| check["check"] == name).unwrap_or_else(|| panic!("{document}"))
}

fn state(document: &Value, name: &str) -> String {
    check(document, name)["state"].as_str().unwrap().to_owned()
}

/// Types the command that a check says.
fn mend(document: &Value, name: &str) {
    let command = check(document, name)["command"].as_str().unwrap();
    let directory = program().parent().unwrap().to_owned();
    let path = env::var_os("PATH").unwrap();
    let path = env::join_paths([directory].into_iter().chain(env::split_paths(&path)));
    let done =
        Command::new("sh").args(["-c", command]).env("PATH", path.unwrap()).output().unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
}

fn doctor(bench: &Bench) -> Value {
    let ran = bench.run(["doctor", "--json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    ran.document()
}

#[test]
fn every_check_says_what_was_found_and_why_it_matters() {
    let bench = Bench::with_demo("64K");
    let before = bench.bytes("demo");
    let report = doctor(&bench);
    let checks = report["checks"].as_array().unwrap();
    let names: Vec<_> = checks.iter().map(|check| check["check"].as_str().unwrap()).collect();
    assert_eq!(names, CHECKS);
    for check in checks {
        assert!(!check["found"].as_str().unwrap().is_empty(), "{check}");
        assert!(check["why"].as_str().unwrap().ends_with('.'), "{check}");
        let state = check["state"].as_str().unwrap();
        assert!(["ok", "warning", "unknown"].contains(&state), "{check}");
        assert!(state != "ok" || check["command"].is_null(), "{check}");
    }
    let sum = ["ok_count", "warning_count", "bad_count", "unknown_count"]
        .map(|field| report[field].as_u64().unwrap());
    assert_eq!((sum.iter().sum::<u64>(), sum[2]), (18, 0));
    for name in ["base-directory", "normal-directory", "hwloc", "locks", "leftovers"] {
        assert_eq!(state(&report, name), "ok", "{report}");
    }
    assert_eq!(state(&report, "huge-directory"), "warning");

    let text = bench.ok(["doctor"]);
    for line in text.lines().filter(|line| !line.trim_start().starts_with("$ ")) {
        // A path can be a longer word than fits.
        let is_path = line.split_whitespace().any(|word| word.chars().count() > 60);
        assert!(is_path || line.chars().count() <= 80, "{line}");
    }
    let commands = checks.iter().filter(|check| check["command"].is_string()).count();
    assert_eq!(text.lines().filter(|line| line.starts_with("         $ ")).count(), commands);
    assert!(text.lines().last().unwrap().starts_with("18 checks: "), "{text}");
    assert!(bench.bytes("demo") == before);
    assert_eq!(fs::read_dir(bench.path()).unwrap().count(), 1);
}

#[test]
fn what_is_not_safe_is_bad_and_mended() {
    let bench = Bench::with_demo("64K");
    let normal = bench.path().join(".normal");
    for (path, name) in [(bench.path(), "base-directory"), (&normal, "normal-directory")] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
        let ran = bench.run(["doctor", "--json"]);
        let (cause, remedy) = ran.error(7);
        assert!(cause.starts_with(&format!("{name}: ")) && cause.contains("0777"), "{cause}");
        assert!(remedy.contains("chmod o-w "), "{remedy}");
        let report = ran.document();
        assert_eq!((state(&report, name).as_str(), &report["bad_count"]), ("bad", &1.into()));
        let text = bench.run(["doctor"]);
        assert!(
            text.code == Some(7) && text.text().contains(&format!("\nBAD      {name}: "))
                || text.text().starts_with("BAD"),
            "{text:?}"
        );
        if geteuid().is_root() {
            mend(&report, name);
            assert_eq!(state(&doctor(&bench), name), "ok");
        }
        // Where nobody can replace what is another's, all may write.
        fs::set_permissions(path, Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(state(&doctor(&bench), name), "ok");
    }
    // Both: their number, and the code of the first.
    for path in [bench.path(), &normal] {
        fs::set_permissions(path, Permissions::from_mode(0o777)).unwrap();
    }
    let (cause, _) = bench.run(["doctor", "--json"]).error(7);
    assert!(cause.starts_with("2 of 18 checks are bad; the first: base-directory: "), "{cause}");
}

#[test]
fn a_base_that_is_missing_or_no_directory_is_bad() {
    let bench = Bench::new();
    for (name, code) in [("it's missing", 3), ("file", 5)] {
        let base = bench.path().join(name);
        if code == 5 {
            fs::write(&base, "x").unwrap();
        }
        let run = || {
            Ran::of(tool().arg("--base").arg(&base).args(["doctor", "--json"]).output().unwrap())
        };
        let ran = run();
        let (cause, _) = ran.error(code);
        assert!(cause.contains(name), "{cause}");
        assert_eq!(base.is_file(), code == 5);
        mend(&ran.document(), "base-directory");
        if code == 3 {
            assert_eq!(run().code, Some(0), "{:?}", run());
        } else {
            assert!(!base.exists());
        }
    }
}

#[test]
fn a_lock_of_the_dead_is_found_and_mended() {
    let bench = Bench::with_demo("64K");
    bench.ok(["new", "other", "--size", "64K"]);
    let victim = Victim::start(&bench);
    let began = Instant::now();
    let report = doctor(&bench);
    assert!(began.elapsed() < Duration::from_secs(5), "it waited");
    assert_eq!(state(&report, "locks"), "ok", "{report}");
    assert_eq!(bench.json(["owner", "demo", "--watch", "0"])["lock"]["state"], "held");
    victim.kill();
    let report = doctor(&bench);
    let found = check(&report, "locks")["found"].as_str().unwrap();
    assert_eq!(state(&report, "locks"), "warning", "{report}");
    assert!(
        found.starts_with("of 2 regions, one is locked") && found.contains("demo (normal)"),
        "{found}"
    );
    // Looking has not recovered it.
    assert_eq!(bench.json(["owner", "demo", "--watch", "0"])["lock"]["state"], "held");
    mend(&report, "locks");
    assert_eq!(state(&doctor(&bench), "locks"), "ok");
    assert_eq!(bench.json(["owner", "demo", "--watch", "0"])["lock"]["state"], "free");
}

#[test]
fn a_workspace_that_nobody_formats_any_more_is_found() {
    let bench = Bench::with_demo("64K");
    bench.patch("demo", 112, &0_u64.to_le_bytes());
    let report = doctor(&bench);
    assert_eq!(state(&report, "locks"), "warning", "{report}");
    // What is no workspace has no lock.
    bench.patch("demo", 0, &[0; 8]);
    assert_eq!(state(&doctor(&bench), "locks"), "ok");
    fs::write(bench.region("short"), [0; 4096]).unwrap();
    fs::write(bench.region("ragged"), [0; 10]).unwrap();
    assert_eq!(state(&doctor(&bench), "locks"), "ok");
}

#[test]
fn files_of_the_dead_are_found_and_removed() {
    let bench = Bench::with_demo("64K");
    let old = SystemTime::now() - Duration::from_secs(3600);
    let make = |name: &str, modified| {
        let file = File::create(bench.region(name)).unwrap();
        file.set_len(8192).unwrap();
        file.set_modified(modified).unwrap();
    };
    let dead = format!(".new-{NO_PID}-0");
    // Those of the living, of somebody who has just been at work, and of nobody like us.
    make(&format!(".new-{}-0", std::process::id()), old);
    make(&format!(".new-{NO_PID}-1"), SystemTime::now());
    make(".new-", old);
    make(".new-x", old);
    make(".new-../../x".replace('/', "_").as_str(), old);
    assert_eq!(state(&doctor(&bench), "leftovers"), "ok");
    make(&dead, old);
    let report = doctor(&bench);
    let found = check(&report, "leftovers")["found"].as_str().unwrap();
    assert!(found.starts_with("1 file of 8192 bytes"), "{report}");
    mend(&report, "leftovers");
    assert!(!bench.region(&dead).exists());
    assert_eq!(state(&doctor(&bench), "leftovers"), "ok");
    assert_eq!(fs::read_dir(bench.path().join(".normal")).unwrap().count(), 6);
}

#[test]
fn a_machine_that_the_environment_makes_up_is_bad() {
    let bench = Bench::new();
    let with = |name: &str, value: &str| {
        let mut command = bench.command(["doctor", "--json"]);
        Ran::of(command.env(name, value).output().unwrap())
    };
    let made_up = with("HWLOC_SYNTHETIC", "numa:2 pu:2");
    assert!(made_up.error(1).1.contains("unset HWLOC_SYNTHETIC"), "{made_up:?}");
    assert_eq!(state(&made_up.document(), "hwloc"), "bad");
    let broken = with("HWLOC_XMLFILE", "/dev/null");
    broken.error(1);
    assert_eq!(state(&broken.document(), "hwloc"), "bad");
}

#[test]
fn without_privilege_all_checks_are_made() {
    if !geteuid().is_root() {
        return skip("only root can become somebody else");
    }
    let bench = Bench::with_demo("64K");
    let run = || {
        let mut command = bench.command(["doctor", "--json"]);
        command.uid(NOBODY).gid(NOBODY).output().map(Ran::of)
    };
    // Of a base that may not be looked into nothing is known.
    fs::set_permissions(bench.path(), Permissions::from_mode(0o700)).unwrap();
    let ran = match run() {
        Ok(ran) => ran,
        Err(error) => return skip(format_args!("nobody cannot run the tool: {error}")),
    };
    assert_eq!(state(&ran.document(), "normal-directory"), "unknown", "{ran:?}");
    assert_eq!(ran.document()["checks"].as_array().unwrap().len(), 18);
    for path in [bench.path(), &bench.path().join(".normal")] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let ran = run().unwrap();
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let report = ran.document();
    assert_eq!(state(&report, "normal-directory"), "warning");
    let command = check(&report, "normal-directory")["command"].as_str().unwrap().to_owned();
    assert!(
        command.starts_with("sudo wksp-ctl --base ") && command.ends_with("--owner 65534:65534"),
        "{command}"
    );
    assert_eq!(state(&report, "locks"), "unknown");
    assert_eq!(state(&report, "cap-sys-admin"), "warning");
    assert_eq!(state(&report, "memory-lock"), "warning");
}

#[test]
fn the_directory_of_a_user_is_not_made() {
    let private = Path::new("/dev/shm/wksp-65534");
    if !geteuid().is_root() || Path::new("/mnt/.fd").exists() || private.exists() {
        return skip("only root can become somebody who has no directory");
    }
    let mut command = tool();
    let output = match command.args(["doctor", "--json"]).uid(NOBODY).gid(NOBODY).output() {
        Ok(output) => output,
        Err(error) => return skip(format_args!("nobody cannot run the tool: {error}")),
    };
    let report = Ran::of(output).document();
    assert_eq!(report["base"], "/dev/shm/wksp-65534");
    assert_eq!(state(&report, "base-directory"), "ok", "{report}");
    assert!(!private.exists());
}
