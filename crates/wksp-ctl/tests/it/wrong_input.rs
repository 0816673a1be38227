//! Wrong input gets a clear error and changes nothing.

use std::fs;

use crate::bench::{Bench, Ran, tool};

#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let bench = Bench::with_demo("1MiB");
    let address = bench.ok(["alloc", "demo", "100", "--tag", "5"]);
    let address = address.trim();
    let forty = "x".repeat(40);
    let forty_address = format!("{forty}:4096");
    // What is typed, the exit code, and what the message must mention.
    let cases: &[(&[&str], i32, &str)] = &[
        // Names.
        (&["new", "a/b", "--size", "1M"], 2, "a/b"),
        (&["new", "../b", "--size", "1M"], 2, "../b"),
        (&["new", &forty, "--size", "1M"], 2, &forty),
        (&["new", "", "--size", "1M"], 2, "\"\""),
        (&["new", "a b", "--size", "1M"], 2, "a b"),
        (&["new", ".hidden", "--size", "1M"], 2, ".hidden"),
        (&["show", "a/b"], 2, "a/b"),
        (&["rm", &forty], 2, &forty),
        (&["get", &forty_address], 2, &forty),
        (&["get", "a/b:4096"], 2, "a/b"),
        (&["put", "de\u{301}mo", "/etc/passwd"], 2, "byte 2"),
        // Sizes.
        (&["new", "other", "--size", "0"], 2, "\"0\""),
        (&["new", "other", "--pages", "0"], 2, "--pages 0"),
        (&["new", "other", "--size", "-1"], 2, "-1"),
        (&["new", "other", "--size", "1X"], 2, "1X"),
        (&["new", "other", "--size", "0.3K"], 2, "0.3K"),
        (&["new", "other", "--size", "18446744073709551615"], 2, "4503599627370496"),
        (&["new", "other", "--size", "18446744073709551616"], 2, "18446744073709551616"),
        (&["new", "other", "--size", "16E"], 2, "16E"),
        (&["new", "other", "--pages", "18446744073709551615"], 2, "18446744073709551615"),
        (&["new", "other", "--pages", "4503599627370496"], 2, "4503599627370496"),
        (&["new", "other", "--size", "1E"], 4, "1152921504606846976"),
        (&["new", "other", "--size", "4K", "--part-max", "1000"], 2, "1000"),
        (&["new", "other", "--size", "4K", "--part-max", "0"], 2, "--part-max 0"),
        (&["new", "other", "--size", "4K", "--part-max", "4294967296"], 2, "4294967296"),
        (&["new", "other"], 2, "--size"),
        (&["new", "other", "--size", "4K", "--pages", "1"], 2, "--pages"),
        (&["alloc", "demo", "0"], 2, "\"0\""),
        (&["alloc", "demo", "-1"], 2, "-1"),
        (&["alloc", "demo", "2M"], 4, "2097152"),
        (&["alloc", "demo", "2M", "--at-least"], 4, "2097152"),
        (&["alloc", "demo", "18446744073709551615"], 4, "18446744073709551615"),
        (&["alloc", "demo", "18446744073709551615", "--at-least"], 4, "18446744073709551"),
        (&["alloc", "demo", "0xfffffffffffffff0", "--align", "1"], 4, "18446744073709551600"),
        (&["alloc", "demo", "18446744073709551616"], 2, "18446744073709551616"),
        // Alignments.
        (&["alloc", "demo", "100", "--align", "3"], 2, "\"3\""),
        (&["alloc", "demo", "100", "--align", "4095"], 2, "4095"),
        (&["alloc", "demo", "100", "--align", "-8"], 2, "-8"),
        (&["alloc", "demo", "100", "--align", "0x8000000000000000"], 4, "9223372036854775808"),
        (&["put", "demo", "/etc/passwd", "--align", "12K"], 2, "12K"),
        // Tags.
        (&["alloc", "demo", "100", "--tag", "0"], 2, "0 is no tag"),
        (&["alloc", "demo", "100", "--tag", "-1"], 2, "-1"),
        (&["alloc", "demo", "100", "--tag", "18446744073709551616"], 2, "18446744073709551616"),
        (&["put", "demo", "/etc/passwd", "--tag", "0"], 2, "0 is no tag"),
        (&["tag", address, "0"], 2, "0 is no tag"),
        (&["tag-free", "demo", "5", "0"], 2, "0 is no tag"),
        (&["usage", "demo", "--tag", "five"], 2, "five"),
        // Addresses.
        (&["free", "demo"], 2, "demo"),
        (&["free", "demo:"], 2, "demo:"),
        (&["free", "demo:0"], 2, "demo:0"),
        (&["free", "demo:-1"], 2, "demo:-1"),
        (&["free", "demo:18446744073709551616"], 2, "demo:18446744073709551616"),
        (&["free", "demo:18446744073709551615"], 3, "demo:18446744073709551615"),
        (&["free", "demo:1"], 3, "demo:1"),
        (&["free", "demo:1048576"], 3, "demo:1048576"),
        (&["free", "demo:1000000"], 3, "demo:1000000"),
        (&["tag", "demo:1"], 3, "demo:1"),
        (&["tag", "demo:1000000", "7"], 3, "demo:1000000"),
        (&["fill", "demo:1000000", "1"], 3, "demo:1000000"),
        (&["fill", "demo:1", "1"], 3, "demo:1"),
        (&["get", "demo:1000000", "unused"], 3, "demo:1000000"),
        (&["fill", address, "256"], 2, "256"),
        (&["fill", address, "-1"], 2, "-1"),
        // What is not there.
        (&["show", "nope"], 3, "nope"),
        (&["show", "demo", "--page-size", "huge"], 3, "huge"),
        (&["alloc", "nope", "100"], 3, "nope"),
        (&["put", "nope", "/etc/passwd"], 3, "nope"),
        (&["check", "nope"], 3, "nope"),
        (&["rm", "nope", "--force"], 3, "nope"),
        // Everything else.
        (&["new", "demo", "--size", "1M"], 1, "demo"),
        (&["new", "other", "--size", "1M", "--mode", "999"], 2, "999"),
        (&["new", "other", "--size", "1M", "--mode", "7777"], 2, "7777"),
        (&["new", "other", "--size", "1M", "--seed", "4294967296"], 2, "4294967296"),
        (&["new", "other", "--size", "1M", "--page-size", "tiny"], 2, "tiny"),
        (&["show", "demo", "--wait", "-1"], 2, "-1"),
        (&["show", "demo", "--wait", "nan"], 2, "nan"),
        (&["show", "demo", "--wait", "1e300"], 2, "1e300"),
        (&["owner", "demo", "--yes"], 2, "--break"),
        (&["frobnicate"], 2, "frobnicate"),
        (&["show"], 2, "<NAME>"),
        (&["show", "demo", "--frob"], 2, "--frob"),
    ];
    for (arguments, code, mention) in cases {
        let (cause, remedy) = bench.fails(arguments, *code, "demo");
        assert!(cause.contains(mention), "{arguments:?}: {cause}");
        assert!(!remedy.is_empty() && !remedy.contains('\n'), "{arguments:?}: {remedy}");
    }
    let left: Vec<_> = fs::read_dir(bench.path().join(".normal"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["demo"]);
}

#[test]
fn a_freed_address_is_refused() {
    let bench = Bench::with_demo("1MiB");
    let address = bench.ok(["alloc", "demo", "100"]);
    let address = address.trim();
    bench.ok(["free", address]);
    for arguments in [vec!["free", address], vec!["tag", address], vec!["get", address, "unused"]] {
        let (cause, _) = bench.fails(&arguments, 3, "demo");
        assert!(cause.contains(address) && cause.contains("freed"), "{cause}");
    }
}

#[test]
fn a_workspace_can_run_out_of_records_before_bytes() {
    let bench = Bench::new();
    bench.ok(["new", "demo", "--size", "64K", "--part-max", "2"]);
    bench.ok(["alloc", "demo", "100", "--align", "1"]);
    let (cause, remedy) = bench.fails(&["alloc", "demo", "100", "--align", "1"], 4, "demo");
    assert!(cause.contains("idle partition records"), "{cause}");
    assert!(remedy.contains("--part-max"), "{remedy}");
}

#[test]
fn no_command_and_no_base_are_refused() {
    let ran = Ran::of(tool().output().unwrap());
    assert_eq!(ran.code, Some(2));
    ran.cause_and_remedy();
    let ran = Ran::of(tool().arg("--json").output().unwrap());
    ran.error(2);
    let missing = Bench::new().path().join("missing");
    let ran = Ran::of(tool().arg("--json").arg("--base").arg(&missing).arg("ls").output().unwrap());
    assert!(ran.error(3).0.contains(missing.to_str().unwrap()), "{ran:?}");
}
