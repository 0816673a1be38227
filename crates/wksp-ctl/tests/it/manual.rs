//! The pages of the manual.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use wksp_testkit::skip::skip;

use crate::bench::{Bench, Ran, tool};
use crate::help::{COMMANDS, HOST_COMMANDS};

fn page(command: &[&str]) -> String {
    let ran = Ran::of(tool().arg("man").args(command).output().unwrap());
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{command:?}");
    ran.text()
}

#[test]
fn there_is_a_page_for_each_command() {
    let bench = Bench::new();
    let directory = bench.path().join("made/man1");
    bench.ok(["man", "--all", directory.to_str().unwrap()]);
    let entries = fs::read_dir(&directory).unwrap();
    let found: BTreeSet<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let commands = COMMANDS.map(|command| format!("wksp-ctl-{command}.1"));
    let host = HOST_COMMANDS.map(|command| format!("wksp-ctl-host-{command}.1"));
    let expected = ["wksp-ctl.1".to_owned()].into_iter().chain(commands).chain(host).collect();
    assert_eq!(found, expected);
    let written = fs::read_to_string(directory.join("wksp-ctl-host-init.1")).unwrap();
    assert_eq!(written, page(&["host", "init"]));
}

#[test]
fn pages_have_what_one_looks_for() {
    let program = page(&[]);
    for section in ["NAME", "SYNOPSIS", "OPTIONS", "EXAMPLES", "ENVIRONMENT", "FILES", "SEE ALSO"] {
        let quoted = format!(".SH \"{section}\"");
        let is_there =
            program.lines().any(|line| line == format!(".SH {section}") || line == quoted);
        assert!(is_there, "{section}: {program}");
    }
    for page in [&program, &page(&["checkpt"])] {
        let (_, status) = page.split_once(".SH \"EXIT STATUS\"\n").unwrap();
        for code in (0..=7).chain([130]) {
            assert!(status.contains(&format!("\\fB{code}\\fR\n")), "{code}: {status}");
        }
        assert!(page.contains(".SH EXAMPLES\n.nf\nwksp\\-ctl "), "{page}");
    }
    assert!(page(&["diff"]).contains("\\fB1\\fR\nsomething differs\n"));
    let ran = Ran::of(tool().args(["man", "nonsense"]).output().unwrap());
    assert!(ran.code == Some(2) && ran.cause_and_remedy().0.contains("nonsense"), "{ran:?}");
}

#[test]
fn man_has_nothing_to_say_against_the_pages() {
    if Command::new("man").arg("--version").output().is_err() {
        return skip("man is not installed");
    }
    let bench = Bench::new();
    let directory = bench.path().join("man1");
    bench.ok(["man", "--all", directory.to_str().unwrap()]);
    let check = |file: &std::path::Path| {
        // As Debian checks the pages of packages.
        let mut man = Command::new("man");
        man.env("LC_ALL", "C.UTF-8").env("MANROFFSEQ", "").env("MANWIDTH", "80");
        man.args(["--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z"]).arg(file);
        man.output().unwrap()
    };
    let bad = bench.path().join("bad.1");
    fs::write(&bad, ".TH BAD 1\n.SH NAME\nbad \\- \\[nonsense]\n").unwrap();
    if check(&bad).stderr.is_empty() {
        return skip("man is a substitute that checks nothing, or lacks groff");
    }
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        let checked = check(&path);
        let said = String::from_utf8_lossy(&checked.stderr);
        assert!(checked.status.success() && said.is_empty(), "{}: {said}", path.display());
        assert!(checked.stdout.len() > 1000, "{}", path.display());
    }
}
