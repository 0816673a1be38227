//! What is put is got again, byte by byte.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use crate::bench::{Bench, Ran, noise};

const SIZES: [usize; 5] = [1, 4095, 4096, 4097, 3_000_000];

#[test]
fn files_come_back_through_files() {
    let bench = Bench::with_demo("8MiB");
    for size in SIZES {
        let (from, to) = (bench.path().join("from"), bench.path().join(format!("to-{size}")));
        fs::write(&from, noise(size)).unwrap();
        let address = bench.ok(["put", "demo", from.to_str().unwrap()]);
        let told = bench.ok(["get", address.trim(), to.to_str().unwrap()]);
        assert!(told.starts_with(&format!("{}: {size} byte", address.trim())), "{told}");
        assert!(fs::read(&to).unwrap() == noise(size), "{size} bytes");
    }
    let left: Vec<_> =
        fs::read_dir(bench.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2 + SIZES.len(), "temporary files: {left:?}");
}

#[test]
fn pipes_carry_the_same_bytes() {
    let bench = Bench::with_demo("8MiB");
    for size in SIZES {
        for arguments in [vec!["put", "demo"], vec!["put", "demo", "-"]] {
            let put = bench.pipe(arguments, &noise(size));
            assert_eq!(put.code, Some(0), "{put:?}");
            let address = put.text();
            for to in [vec![], vec!["-"]] {
                let got = bench.run([vec!["get", address.trim()], to].concat());
                assert_eq!((got.code, got.stderr.as_str()), (Some(0), ""));
                assert!(got.stdout == noise(size), "{size} bytes");
            }
            bench.ok(["free", address.trim()]);
        }
    }
    // Through the path of a pipe, too.
    let put = bench.pipe(["put", "demo", "/dev/stdin"], b"hello");
    assert_eq!(bench.ok(["get", put.text().trim()]), "hello");
}

#[test]
fn any_byte_of_an_allocation_gets_all_of_it() {
    let bench = Bench::with_demo("1MiB");
    let put = bench.pipe(["put", "demo", "--json", "--tag", "7", "--align", "64"], b"0123456789");
    let put = put.document();
    let (lo, hi) = (put["gaddr_lo"].as_u64().unwrap(), put["gaddr_hi"].as_u64().unwrap());
    assert_eq!((hi - lo, put["bytes"].as_u64()), (10, Some(10)));
    assert_eq!((put["tag"].as_str(), lo % 64), (Some("7"), 0));
    for gaddr in lo..hi {
        assert_eq!(bench.ok(["get", &format!("demo:{gaddr}")]), "0123456789");
        assert_eq!(bench.ok(["get", &format!("demo:{gaddr:#x}")]), "0123456789");
    }
    bench.fails(&["get", &format!("demo:{hi}"), "unused"], 3, "demo");
}

#[test]
fn a_file_is_replaced_only_by_force_and_pipes_are_just_written_to() {
    let bench = Bench::with_demo("1MiB");
    let address = bench.pipe(["put", "demo"], b"new").text();
    let to = bench.path().join("to");
    fs::write(&to, "old and longer").unwrap();
    let get = ["get", address.trim(), to.to_str().unwrap()];
    let (cause, remedy) = bench.fails(&get, 1, "demo");
    assert!(cause.contains(to.to_str().unwrap()) && remedy.contains("--force"), "{cause} {remedy}");
    assert_eq!(fs::read_to_string(&to).unwrap(), "old and longer");
    bench.ok([&get[..], &["--force"]].concat());
    assert_eq!(fs::read_to_string(&to).unwrap(), "new");
    // As any other new file, the umask has its say.
    let mode = fs::metadata(&to).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & 0o600, 0o600, "{mode:o}");

    bench.ok(["get", address.trim(), "/dev/null"]);
    assert!(bench.ok(["get", address.trim(), "/dev/stdout"]).starts_with("new"));
}

#[test]
fn nothing_is_left_in_the_workspace_of_what_cannot_be_put() {
    let bench = Bench::with_demo("1MiB");
    let empty = bench.path().join("empty");
    fs::write(&empty, "").unwrap();
    let missing = bench.path().join("missing");
    let base = bench.path().to_str().unwrap().to_owned();
    for (file, code) in
        [(empty.to_str().unwrap(), 1), (missing.to_str().unwrap(), 3), (base.as_str(), 1)]
    {
        let (cause, _) = bench.fails(&["put", "demo", file], code, "demo");
        assert!(cause.contains(file), "{cause}");
    }
    let (cause, _) = bench.fails(&["put", "demo"], 1, "demo");
    assert!(cause.contains("standard input"), "{cause}");
    let ran = bench.pipe(["put", "demo", "--json"], &noise(2 << 20));
    assert!(ran.error(4).0.contains("standard input has more than"), "{ran:?}");
    let large = bench.path().join("large");
    fs::write(&large, noise(2 << 20)).unwrap();
    let (cause, _) = bench.fails(&["put", "demo", large.to_str().unwrap()], 4, "demo");
    assert!(cause.contains("2097152 bytes"), "{cause}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let bench = Bench::with_demo("8MiB");
    let address = bench.pipe(["put", "demo"], &noise(3_000_000)).text();
    for arguments in [vec!["get", address.trim()], vec!["show", "demo"], vec!["ls", "--json"]] {
        let mut command = bench.command(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let ran = Ran::of(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_written_is_said() {
    let bench = Bench::with_demo("1MiB");
    let address = bench.pipe(["put", "demo"], b"hello").text();
    let to = bench.path().join("no-such-directory/file");
    let (cause, _) = bench.fails(&["get", address.trim(), to.to_str().unwrap()], 3, "demo");
    assert!(cause.contains(to.to_str().unwrap()), "{cause}");
    let (cause, _) = bench.fails(&["get", address.trim(), "/dev/full"], 4, "demo");
    assert!(cause.contains("/dev/full"), "{cause}");
}
