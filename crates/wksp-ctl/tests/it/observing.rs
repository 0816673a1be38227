//! Looking at workspaces that one may only read, or whose holder never ends.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::unistd::geteuid;
use serde_json::Value;
use wksp_testkit::skip::skip;

use crate::bench::{Bench, Ran};
use crate::holders::Victim;

const NOBODY: u32 = 65534;

/// What only looks, of a workspace with an allocation at that address.
fn looks(address: &str) -> Vec<Vec<&str>> {
    vec![
        vec!["usage", "demo"],
        vec!["show", "demo"],
        vec!["show", "demo", "--salvage"],
        vec!["ls"],
        vec!["owner", "demo", "--watch", "0.01"],
        vec!["verify", "demo"],
        vec!["get", address, "/dev/null"],
        vec!["tag", address],
        vec!["map", "demo"],
        vec!["top", "--once"],
    ]
}

fn with_allocation() -> (Bench, String) {
    let bench = Bench::with_demo("1M");
    let address = bench.ok(["alloc", "demo", "5000", "--tag", "7"]).trim().to_owned();
    (bench, address)
}

fn open_to_readers(bench: &Bench) {
    for directory in [bench.path(), &bench.path().join(".normal")] {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
    fs::set_permissions(bench.region("demo"), Permissions::from_mode(0o444)).unwrap();
}

fn changed(path: &Path) -> (Vec<u8>, std::time::SystemTime) {
    (fs::read(path).unwrap(), fs::metadata(path).unwrap().modified().unwrap())
}

#[test]
fn the_permission_to_read_is_enough_to_look() {
    if !geteuid().is_root() {
        return skip("only root can become another user");
    }
    let (bench, address) = with_allocation();
    open_to_readers(&bench);
    let before = changed(&bench.region("demo"));
    for look in looks(&address) {
        let root = bench.run(&look);
        let mut command = bench.command(&look);
        let output = match command.uid(NOBODY).gid(NOBODY).output() {
            Ok(output) => output,
            Err(error) => return skip(format_args!("nobody cannot run the tool: {error}")),
        };
        let ran = Ran::of(output);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{look:?}: {ran:?}");
        // What the system says of pages and processes may differ.
        if !["map", "top", "owner"].contains(&look[0]) {
            assert_eq!(ran.text(), root.text(), "{look:?}");
        }
    }
    assert!(changed(&bench.region("demo")) == before, "looking has changed something");
    let mut command = bench.command(["usage", "demo", "--lock", "--json"]);
    let (cause, _) = Ran::of(command.uid(NOBODY).gid(NOBODY).output().unwrap()).error(7);
    assert!(cause.contains("no permission"), "{cause}");
}

#[test]
fn a_holder_that_never_ends_keeps_nobody_from_looking() {
    let (bench, address) = with_allocation();
    let victim = Victim::start(&bench);
    let before = bench.bytes("demo");
    for look in looks(&address) {
        let began = Instant::now();
        let ran = bench.run(&look);
        assert_eq!(ran.code, Some(0), "{look:?}: {ran:?}");
        assert!(began.elapsed() < Duration::from_secs(8), "{look:?} took {:?}", began.elapsed());
        // These two say it in what they show.
        if !["ls", "owner", "top"].contains(&look[0]) {
            assert!(ran.stderr.starts_with("note: demo: it may be being changed"), "{ran:?}");
            let json = bench.run([&look[..], &["--json"]].concat());
            assert_eq!(json.document()["doubt"]["changed"], false, "{json:?}");
            let notice: Value = serde_json::from_str(json.stderr.trim()).unwrap();
            assert_eq!(notice["notice"]["kind"], "in_doubt");
        }
    }
    assert!(bench.bytes("demo") == before);
    let (cause, _) = bench.fails(&["usage", "demo", "--lock", "--wait", "0.1"], 6, "demo");
    assert!(cause.contains("0.1 s"), "{cause}");
    victim.kill();
}
