//! Questions on a terminal.

use std::fs::File;
use std::io::Write;

use nix::pty::openpty;

use crate::bench::{Bench, Ran};
use crate::listing::show;

/// Runs the tool on a terminal at which somebody types `answer`.
fn typing(bench: &Bench, arguments: &[&str], answer: &str) -> Ran {
    let terminal = openpty(None, None).unwrap();
    let mut keyboard = File::from(terminal.master);
    keyboard.write_all(answer.as_bytes()).unwrap();
    let ran = bench.command(arguments).stdin(terminal.slave).output().unwrap();
    Ran::of(ran)
}

#[test]
fn reset_asks_and_takes_only_yes_for_it() {
    let bench = Bench::with_demo("64K");
    bench.ok(["alloc", "demo", "100", "--align", "1"]);
    for answer in ["n\n", "\n", "yesterday\n", "\u{4}"] {
        let ran = typing(&bench, &["reset", "demo"], answer);
        assert_eq!(ran.code, Some(1), "{answer:?}: {ran:?}");
        assert!(ran.stderr.contains("free everything in demo? [y/N]"), "{ran:?}");
        assert_eq!(show(&bench, "demo").len(), 1);
    }
    assert_eq!(typing(&bench, &["reset", "demo"], "Y\n").code, Some(0));
    assert!(show(&bench, "demo").is_empty());
}

#[test]
fn rm_asks_unless_told_not_to() {
    let bench = Bench::with_demo("64K");
    assert_eq!(typing(&bench, &["rm", "demo"], "n\n").code, Some(1));
    assert!(bench.region("demo").exists());
    assert_eq!(typing(&bench, &["rm", "demo"], "yes\n").code, Some(0));
    assert!(!bench.region("demo").exists());
    bench.ok(["new", "demo", "--size", "64K"]);
    assert_eq!(typing(&bench, &["rm", "demo", "--yes"], "").code, Some(0));
    assert!(!bench.region("demo").exists());
}
