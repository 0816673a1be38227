//! Checkpoints that are damaged, and disks that are full.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::geteuid;
use wksp_testkit::skip::skip;

use crate::bench::{Bench, Ran};
use crate::checkpt::{STYLES, checkpt, filled, path};
use crate::holders::Victim;

#[test]
fn damaged_checkpoints_are_refused_and_change_nothing() {
    let bench = filled();
    for style in STYLES {
        let good = fs::read(checkpt(&bench, style)).unwrap();
        let bad = path(&bench, "bad");
        let before = bench.bytes("demo");
        let mut damages: Vec<Vec<u8>> = vec![Vec::new(), b"no checkpoint at all".to_vec()];
        damages.push(good[..good.len() / 2].to_vec());
        damages.push(good[..good.len() - 1].to_vec());
        for part in 1..8 {
            let mut flipped = good.clone();
            flipped[good.len() * part / 8] ^= 4;
            damages.push(flipped);
        }
        for damage in damages {
            fs::write(&bad, &damage).unwrap();
            for arguments in [
                &["restore", "demo", &bad, "--yes"][..],
                &["restore", "new", &bad, "--create"],
                &["checkpt-verify", &bad],
                &["extract", &bad, "unused", "--tag", "9"],
            ] {
                let (cause, _) = bench.fails(arguments, 5, "demo");
                assert!(cause.contains(&bad), "{cause}");
            }
            let piped = bench.pipe(["restore", "demo", "-", "--yes", "--json"], &damage);
            assert!(piped.error(5).0.contains("standard input"), "{piped:?}");
            let piped = bench.pipe(["restore", "new", "-", "--create"], &damage);
            assert_eq!(piped.code, Some(5), "{piped:?}");
            assert!(bench.bytes("demo") == before, "{style}");
            assert!(!bench.region("new").exists() && !Path::new("unused").exists());
        }
    }
}

/// A small file system of a test's own.
struct Disk<'b>(&'b Path);

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}

#[test]
fn a_full_disk_leaves_no_file() {
    if !geteuid().is_root() {
        skip("a file system that is full needs root to mount it");
        return;
    }
    let bench = filled();
    let before = bench.bytes("demo");
    let directory = bench.path().join("disk");
    fs::create_dir(&directory).unwrap();
    if let Err(error) =
        mount(Some("none"), &directory, Some("tmpfs"), MsFlags::empty(), Some("size=256k"))
    {
        skip(format_args!("cannot mount a tmpfs: {error}"));
        return;
    }
    let _disk = Disk(&directory);
    let file = directory.join("file").to_str().unwrap().to_owned();
    for style in STYLES {
        for force in [&[][..], &["--force"]] {
            let arguments = [&["checkpt", "demo", &file, "--style", style][..], force].concat();
            let (cause, remedy) = bench.fails(&arguments, 4, "demo");
            assert!(cause.contains(&file) && remedy.contains("make room"), "{cause} {remedy}");
            assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        }
    }
    let source = checkpt(&bench, "v3");
    bench.fails(&["extract", &source, &file, "--tag", "8"], 4, "demo");
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
    // What was there stays.
    fs::write(&file, "old").unwrap();
    bench.fails(&["checkpt", "demo", &file, "--force"], 4, "demo");
    assert_eq!(fs::read_to_string(&file).unwrap(), "old");
    // A stream needs room to be kept in.
    let mut command = bench.command(["restore", "demo", "-", "--yes"]);
    let mut pipe = Command::new("cat").arg(&source).stdout(Stdio::piped()).spawn().unwrap();
    command.env("TMPDIR", &directory).stdin(pipe.stdout.take().unwrap());
    let ran = Ran::of(command.output().unwrap());
    drop(command);
    pipe.wait().unwrap();
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.cause_and_remedy().1.contains("TMPDIR"), "{ran:?}");
    assert!(bench.bytes("demo") == before);
}

#[test]
fn nothing_happens_to_a_workspace_that_is_locked() {
    let bench = Bench::with_demo("64K");
    let file = checkpt(&bench, "v3");
    let victim = Victim::start(&bench);
    let out = path(&bench, "out");
    for arguments in [&["restore", "demo", &file, "--yes"][..], &["checkpt", "demo", &out]] {
        let (cause, remedy) = bench.fails(&[arguments, &["--wait", "0.1"]].concat(), 6, "demo");
        assert!(cause.contains("is locked by process"), "{cause}");
        assert!(remedy.contains("owner demo"), "{remedy}");
    }
    assert!(!bench.path().join("out").exists());
    victim.kill();
    let ran = bench.run(["restore", "demo", &file, "--single-pid-namespace", "--yes"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.starts_with("note: demo: recovered from dead process"), "{ran:?}");
}
