//! Checkpoints by way of `fd_wksp_ctl`.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use wksp_testkit::checkpoint::{Checkpoint, Metadata};
use wksp_testkit::golden::{Flavour, available};
use wksp_testkit::naive_v1;
use wksp_testkit::naive_v2::{FrameStyle, read_by_offset};

use crate::bench::{Bench, noise};
use crate::legacy::Legacy;
use crate::machine::near;

/// What a report has beyond a level of verbosity, and so at which level each line appears first.
type Lines = Vec<(i32, String)>;

fn line(name: &str, value: impl ToString) -> String {
    format!("\t{name:<22}{:>20}\n", value.to_string())
}

/// The report of a checkpoint that the naive reader has read, but for the date.
fn lines(read: &Checkpoint, frames: Option<FrameStyle>) -> Lines {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let Metadata { wall_clock_ns, tid, .. } = read.metadata;
    let of = &read.metadata;
    let mut lines = vec![
        (0, line("style", if frames.is_some() { 2 } else { 1 })),
        (0, line("name", &read.name)),
        (0, line("seed", read.seed)),
        (0, line("part_max", read.part_max)),
        (0, line("data_max", read.data_max)),
        (1, line("magic", "0xf17eda2c3731c591")),
        (1, format!("\twallclock             {wall_clock_ns:>20} (DATE)\n")),
    ];
    for (name, id, words) in [
        ("app", of.app_id, &of.app),
        ("thread", of.thread_id, &of.thread),
        ("host", of.host_id, &of.host),
        ("cpu", of.cpu_id, &of.cpu),
        ("group", of.group_id, &of.group),
        ("user", of.user_id, &of.user),
    ] {
        lines.push((1, format!("\t{name:<22}{id:>20} ({})\n", text(words))));
    }
    lines.push((1, line("tid", tid)));
    if let Some(frames) = frames {
        let number = if frames == FrameStyle::Raw { 1 } else { 2 };
        lines.push((1, line("frame_style_compressed", number)));
        lines.push((2, line("mode", format!("{:04o}", of.mode.unwrap()))));
        lines.push((2, line("path", text(of.path.as_ref().unwrap()))));
    }
    for (name, words) in [("binfo", &of.build_info), ("uinfo", &of.user_info)] {
        lines.push((2, format!("\t{name}\n")));
        lines.extend(text(words).lines().map(|line| (2, format!("\t\t{line}\n"))));
    }
    if frames.is_none() {
        let bytes: u64 = read.allocations.iter().map(|one| one.hi - one.lo).sum();
        lines.push((3, line("blocks", read.allocations.len())));
        lines.push((3, line("bytes", bytes)));
        for one in &read.allocations {
            let bytes = one.hi - one.lo;
            lines.push((
                4,
                format!(
                    "\tpartition [{:#018x},{:#018x}) sz {bytes:>20} tag {:>20}\n",
                    one.lo, one.hi, one.tag
                ),
            ));
        }
    }
    lines
}

/// Puts a word in the place of the date, which has a form of its own.
fn without_date(report: &str) -> String {
    let Some((before, rest)) = report.split_once("\twallclock") else { return report.to_owned() };
    let (value, rest) = rest.split_once(" (").unwrap();
    let (date, rest) = rest.split_once(')').unwrap();
    let form = date.replace(|c: char| c.is_ascii_digit(), "0");
    assert_eq!(form, "0000-00-00T00:00:00Z");
    format!("{before}\twallclock{value} (DATE){rest}")
}

#[test]
fn golden_checkpoints_are_shown_at_every_verbosity() {
    let Some(golden) = available() else { return };
    let bench = Bench::new();
    let wksp = Legacy::wksp(&bench);
    for case in golden.at_rest() {
        for (flavour, extension) in [(Flavour::V1, "v1"), (Flavour::V2, "v2"), (Flavour::V3, "v3")]
        {
            let bytes = golden.checkpoint(case, flavour);
            let lines = match flavour {
                Flavour::V1 => lines(&naive_v1::read(&bytes).unwrap(), None),
                _ => {
                    let read = read_by_offset(&bytes).unwrap();
                    lines(&read.checkpoint, Some(read.frame_style))
                }
            };
            let path = golden.path(case, extension).to_str().unwrap().to_owned();
            // More than 4 and what wraps to something negative are levels as well.
            for (typed, level) in
                [("0", 0), ("1", 1), ("02", 2), ("3", 3), ("0x4", 4), ("9", 9), ("-1", -1)]
            {
                let shown = wksp.ok(&format!("checkpt-query {path} {typed}"));
                let expected: String = lines
                    .iter()
                    .filter(|(first, _)| *first <= level)
                    .map(|(_, line)| line.as_str())
                    .collect();
                let header = format!("checkpt {path} (verbose {level})\n");
                assert_eq!(without_date(&shown), header + &expected, "{path} {typed}");
            }
        }
    }
}

#[test]
fn golden_checkpoints_restore() {
    let Some(golden) = available() else { return };
    for case in golden.at_rest() {
        let bench = Bench::new();
        let wksp = Legacy::wksp(&bench);
        let pages = case.gaddr_hi.div_ceil(4096).to_string();
        bench.ok(["new", &case.name, "--pages", &pages, "--part-max", &case.part_max.to_string()]);
        for extension in ["v1", "v2", "v3"] {
            let path = golden.path(case, extension).to_str().unwrap().to_owned();
            let ran = wksp.line(&format!("restore {} {path} 5 verify {0}", case.name));
            assert_eq!((ran.code, ran.text().as_str()), (Some(0), ""), "{path}: {ran:?}");
            assert!(ran.stderr.contains("unverified"), "{ran:?}");
            let query = wksp.ok(&format!("query {}", case.name));
            assert!(query.contains("\tseed      5\n"), "{query}");
            let shown = query.lines().filter(|line| {
                line.starts_with("\tpartition") && !line.contains(" tag                    0 ")
            });
            let expected = case.allocations.iter().map(|one| {
                format!(
                    "\tpartition [{:#018x},{:#018x}) sz {:>20} tag {:>20}",
                    one.lo,
                    one.hi,
                    one.hi - one.lo,
                    one.tag
                )
            });
            let shown: Vec<String> =
                shown.map(|line| line.split(" idx").next().unwrap().to_owned()).collect();
            assert_eq!(shown, expected.collect::<Vec<_>>(), "{path}");
        }
    }
}

/// A workspace with something in it, and where checkpoints of it are to be.
fn filled() -> (Bench, Legacy) {
    let bench = Bench::new();
    let wksp = Legacy::wksp(&bench);
    wksp.ok(&format!("new demo 1024 normal {} 0600", near().1));
    let put = bench.pipe(["put", "demo", "--tag", "5"], &noise(10_000));
    assert_eq!(put.code, Some(0), "{put:?}");
    (bench, wksp)
}

#[test]
fn every_style_is_written_and_comes_back() {
    let (bench, wksp) = filled();
    let before = wksp.ok("info demo 5 usage demo 5");
    let data = bench.bytes("demo");
    assert_eq!(wksp.ok("supported-styles"), "0 1 2 3\n");
    // The number of the format and of the frames in the file, as the naive readers see them.
    for (style, frames) in [
        ("0", Some(FrameStyle::Lz4)),
        ("1", None),
        ("2", Some(FrameStyle::Raw)),
        ("03", Some(FrameStyle::Lz4)),
        ("default", Some(FrameStyle::Lz4)),
    ] {
        let path = bench.path().join(format!("style-{style}"));
        let path = path.to_str().unwrap();
        let words = ["checkpt", "demo", path, "0640", style, "two words\nand a line"];
        let ran = wksp.run(&words);
        assert_eq!((ran.code, ran.text(), ran.stderr), (Some(0), String::new(), String::new()));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o640);
        let bytes = fs::read(path).unwrap();
        let read = match frames {
            None => naive_v1::read(&bytes).unwrap(),
            Some(frames) => {
                let read = read_by_offset(&bytes).unwrap();
                assert_eq!(read.frame_style, frames, "{style}");
                read.checkpoint
            }
        };
        assert!(read.metadata.user_info.starts_with(b"two words\nand a line"));
        assert_eq!(read.allocations.len(), 1);
        let shown = wksp.ok(&format!("checkpt-query {path} 2"));
        assert!(shown.ends_with("\tuinfo\n\t\ttwo words\n\t\tand a line\n"), "{shown}");
        // Into a workspace that has something else, with the seed kept and without.
        wksp.ok("reset demo alloc demo 0 100");
        assert_eq!(wksp.ok(&format!("restore demo {path} - info demo 5 usage demo 5")), before);
        wksp.ok(&format!("restore demo {path} 0 verify demo"));
        let gaddr: usize = before.split([':', ' ']).nth(1).unwrap().parse().unwrap();
        assert!(bench.bytes("demo")[gaddr..gaddr + 10_000] == data[gaddr..gaddr + 10_000]);
    }
}

#[test]
fn checkpt_refuses_all_that_is_wrong() {
    let (bench, wksp) = filled();
    let there = bench.path().join("there");
    fs::write(&there, "precious").unwrap();
    let path = bench.path().join("none");
    let (path, there) = (path.to_str().unwrap(), there.to_str().unwrap());
    let files = || fs::read_dir(bench.path()).unwrap().count();
    let before = files();
    for arguments in [
        format!("nope {path} 0600 0 info"),
        format!("n/a {path} 0600 0 info"),
        format!("demo {there} 0600 0 info"),
        "demo /dev/null 0600 0 info".to_owned(),
        format!("demo {} 0600 0 info", bench.path().display()),
        format!("demo {path}/x/y 0600 0 info"),
        format!("demo {path} 40000000000 0 info"),
        format!("demo {path} -1 0 info"),
        format!("demo {path} 0600 4 info"),
        format!("demo {path} 0600 -1 info"),
        format!("demo {path} 0600 0 {}", "i".repeat(20_000)),
        format!("demo {path} 0600 0"),
        String::new(),
    ] {
        wksp.fails(&format!("checkpt {arguments}"));
    }
    assert_eq!((files(), fs::read_to_string(there).unwrap().as_str()), (before, "precious"));
    // A file called `-` is a file here.
    let mut command =
        wksp.command(&["checkpt", "demo", "-", "0600", "0", "x", "checkpt-query", "-", "0"]);
    let output = command.current_dir(bench.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stdout.starts_with(b"checkpt - (verbose 0)\n\tstyle"), "{output:?}");
    assert!(bench.path().join("-").exists());
}

#[test]
fn restore_refuses_all_that_is_wrong_and_changes_nothing() {
    let (bench, wksp) = filled();
    let path = bench.path().join("file");
    let path = path.to_str().unwrap();
    wksp.ok(&format!("checkpt demo {path} 0600 3 info"));
    let whole = fs::read(path).unwrap();
    let before = bench.bytes("demo");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() - 1], &whole[..100], b"", &flipped] {
        fs::write(path, damaged).unwrap();
        wksp.fails(&format!("restore demo {path} -"));
    }
    fs::write(path, &whole).unwrap();
    for arguments in [
        format!("nope {path} -"),
        "demo /nowhere/at/all -".to_owned(),
        format!("demo {} -", bench.path().display()),
        format!("demo {path}"),
        String::new(),
    ] {
        wksp.fails(&format!("restore {arguments}"));
    }
    assert!(bench.bytes("demo") == before, "a restore that failed has changed something");
}

#[test]
fn what_is_no_checkpoint_is_shown_as_such() {
    let (bench, wksp) = filled();
    let path = bench.path().join("file");
    let path = path.to_str().unwrap();
    let invalid =
        |level: i32| format!("checkpt {path} (verbose {level})\n\tinvalid or unsupported\n");
    wksp.shrugs(&format!("checkpt-query {path} 1"), &invalid(1));
    for content in [&b""[..], b"hello", &[0xFF; 1000], &noise(5000)] {
        fs::write(path, content).unwrap();
        wksp.shrugs(&format!("checkpt-query {path} 4"), &invalid(4));
    }
    wksp.shrugs(&format!("checkpt-query {path} 0 supported-styles"), &(invalid(0) + "0 1 2 3\n"));
    fs::remove_file(path).unwrap();
    wksp.ok(&format!("checkpt demo {path} 0600 1 info"));
    let whole = fs::read(path).unwrap();
    let shown = wksp.ok(&format!("checkpt-query {path} 3"));
    assert!(shown.contains("\tblocks                                   1\n"), "{shown}");
    // Of one that is cut, the front is shown as far as it needs no more.
    fs::write(path, &whole[..whole.len() - 100]).unwrap();
    let shown = wksp.line(&format!("checkpt-query {path} 3")).text();
    assert!(shown.ends_with("\t\tinfo\n\tinvalid or unsupported\n"), "{shown}");
    for line in ["checkpt-query", "checkpt-query x"] {
        wksp.fails(line);
    }
}
