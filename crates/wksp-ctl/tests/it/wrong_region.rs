//! What is in the place of a workspace and is none.

use std::fs::{self, OpenOptions, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::geteuid;
use wksp_testkit::skip::skip;

use crate::bench::{Bench, Ran, noise};

/// The user that owns nothing.
const NOBODY: u32 = 65534;

/// All commands on a workspace called `x`, none of which may work.
const ATTEMPTS: [&[&str]; 13] = [
    &["show", "x"],
    &["usage", "x"],
    &["alloc", "x", "100"],
    &["free", "x:4096"],
    &["tag-free", "x", "1"],
    &["put", "x", "/etc/passwd"],
    &["get", "x:4096", "unused"],
    &["owner", "x"],
    &["check", "x"],
    &["verify", "x"],
    &["reset", "x", "--yes"],
    &["checkpt", "x", "unused"],
    &["restore", "x", "unused", "--yes"],
];

fn refused(bench: &Bench, mention: &str) {
    for arguments in ATTEMPTS {
        let (cause, _) = bench.fails(arguments, 5, "x");
        assert!(cause.contains('x') && cause.contains(mention), "{arguments:?}: {cause}");
    }
}

#[test]
fn files_that_are_no_workspace_are_refused() {
    let bench = Bench::new();
    for (content, mention) in [
        (noise(8192), "is no workspace"),
        (vec![0; 8192], "is no workspace"),
        (noise(5000), "5000 bytes"),
        (Vec::new(), "empty"),
    ] {
        fs::write(bench.region("x"), content).unwrap();
        refused(&bench, mention);
    }
}

#[test]
fn truncated_workspaces_and_overstated_headers_are_refused() {
    let bench = Bench::new();
    bench.ok(["new", "x", "--size", "64K", "--part-max", "10"]);
    let whole = fs::read(bench.region("x")).unwrap();
    let cut =
        |bytes| OpenOptions::new().write(true).open(bench.region("x")).unwrap().set_len(bytes);
    cut(8192).unwrap();
    refused(&bench, "65536 bytes");
    cut(8191).unwrap();
    refused(&bench, "8191 bytes");

    // Offsets of the header as the layout has them: part_max 8, data_max 16, gaddr_hi 32.
    let data_max = 64_768 + (1_u64 << 40);
    for patches in [
        vec![(16, data_max), (32, 768 + data_max)],
        vec![(16, data_max)],
        vec![(8, u64::from(u32::MAX))],
        vec![(8, 0)],
        vec![(8, u64::MAX)],
        vec![(16, u64::MAX)],
        vec![(16, 0)],
    ] {
        fs::write(bench.region("x"), &whole).unwrap();
        for (at, number) in &patches {
            bench.patch("x", *at, &number.to_le_bytes());
        }
        refused(&bench, "header");
    }
}

#[test]
fn a_link_in_place_of_a_region_is_not_followed() {
    let bench = Bench::with_demo("64K");
    symlink(bench.region("demo"), bench.region("x")).unwrap();
    refused(&bench, "symbolic link");
    let (cause, remedy) = bench.fails(&["rm", "x"], 5, "demo");
    assert!(cause.contains("symbolic link") && remedy.contains("--force"), "{cause} {remedy}");
    bench.fails(&["new", "x", "--size", "64K"], 1, "demo");
    bench.ok(["rm", "x", "--force"]);
    assert!(bench.region("x").symlink_metadata().is_err() && bench.region("demo").exists());
}

#[test]
fn pipes_and_directories_are_refused_without_waiting() {
    let bench = Bench::with_demo("64K");
    assert!(Command::new("mkfifo").arg(bench.region("pipe")).status().unwrap().success());
    fs::create_dir(bench.region("directory")).unwrap();
    for (name, mention) in [("pipe", "pipe"), ("directory", "directory")] {
        for command in ["show", "check", "owner"] {
            let (cause, _) = bench.fails(&[command, name], 5, "demo");
            assert!(cause.contains(mention), "{cause}");
        }
    }
    bench.fails(&["rm", "directory", "--force"], 5, "demo");
    bench.ok(["rm", "pipe", "--force"]);
    assert!(bench.region("directory").is_dir());
}

/// Opens a base directory, but not the regions in it, to everybody.
fn open_to_all(bench: &Bench) {
    for directory in [bench.path(), &bench.path().join(".normal")] {
        fs::set_permissions(directory, Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn a_region_of_somebody_else_is_refused() {
    if !geteuid().is_root() {
        return skip("only root can make regions of somebody else");
    }
    let bench = Bench::with_demo("64K");
    open_to_all(&bench);
    let before = bench.bytes("demo");
    for arguments in [
        vec!["show", "demo"],
        vec!["alloc", "demo", "100"],
        vec!["check", "demo"],
        vec!["rm", "demo"],
        vec!["rm", "demo", "--force"],
        vec!["new", "other", "--size", "64K"],
    ] {
        let mut command = bench.command(&arguments);
        let output = match command.arg("--json").uid(NOBODY).gid(NOBODY).output() {
            Ok(output) => output,
            Err(error) => return skip(format_args!("nobody cannot run the tool: {error}")),
        };
        let (cause, _) = Ran::of(output).error(7);
        assert!(cause.contains(arguments[1]), "{arguments:?}: {cause}");
    }
    assert!(bench.bytes("demo") == before);
    let output = bench.command(["ls"]).arg("--json").uid(NOBODY).gid(NOBODY).output().unwrap();
    let ls = Ran::of(output).document();
    assert_eq!(ls["workspaces"][0]["error"]["kind"], "permission");
    assert_eq!(ls["workspaces"][0]["region"]["mode"], "0600");
}

/// A file system on a directory, until dropped.
struct Mounted<'p>(&'p Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        umount2(self.0, MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn a_full_file_system_is_no_room_and_leaves_nothing_behind() {
    let bench = Bench::new();
    let directory = bench.path().join(".normal");
    let options = Some("size=1m");
    if let Err(error) = mount(Some("tmpfs"), &directory, Some("tmpfs"), MsFlags::empty(), options) {
        return skip(format_args!("cannot mount a small file system: {error}"));
    }
    let _mounted = Mounted(&directory);
    let free = || nix::sys::statvfs::statvfs(&directory).unwrap().blocks_free();
    bench.ok(["new", "demo", "--size", "512K"]);
    let before = free();
    let (cause, remedy) = bench.fails(&["new", "other", "--size", "1M"], 4, "demo");
    assert!(cause.contains("1048576 bytes") && cause.contains("other"), "{cause}");
    assert!(remedy.contains("df"), "{remedy}");
    assert_eq!((free(), fs::read_dir(&directory).unwrap().count()), (before, 1));
    bench.ok(["new", "other", "--size", "512K"]);
}
