//! The janitor as an operator runs it.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::bench::{Bench, Ran};
use crate::damage::{overlap, truth, with_two};
use crate::holders::Victim;

const SINGLE: &str = "--single-pid-namespace";

fn start(command: &mut Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    (child, stdout)
}

/// Leaves the lock as a process does that dies, and the file as long as it is.
fn die_inside(bench: &Bench, name: &str) {
    let region = File::options().write(true).open(bench.region(name)).unwrap();
    region.write_all_at(&0x4000_0000_u64.to_le_bytes(), 112).unwrap();
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn it_logs_each_recovery_until_it_is_asked_to_end() {
    let bench = Bench::with_demo("64K");
    for (json, asks) in [(false, Signal::SIGTERM), (true, Signal::SIGINT)] {
        let mut command = bench.command(["janitor", "--interval", "0.02", SINGLE]);
        let (janitor, mut log) = start(command.args(json.then_some("--json")));
        for _ in 0..2 {
            let victim = Victim::start(&bench);
            let pid = victim.pid().as_raw();
            victim.kill();
            let mut line = String::new();
            log.read_line(&mut line).unwrap();
            if json {
                let line: Value = serde_json::from_str(&line).unwrap();
                assert_eq!((&line["schema"], &line["command"]), (&1.into(), &"janitor".into()));
                assert_eq!((&line["name"], &line["page_size"]), (&"demo".into(), &"normal".into()));
                assert_eq!(line["repair"]["dead_pid"], pid);
                assert!(line["time"].as_str().unwrap().ends_with('Z'), "{line}");
            } else {
                let what = format!("demo (normal pages): recovered from dead process {pid}");
                assert!(line.starts_with("20") && line.contains(&what), "{line}");
            }
            assert_eq!(bench.json(["owner", "demo"])["lock"]["state"], "free");
        }
        signal(&janitor, asks);
        let ran = Ran::of(janitor.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
        let mut rest = String::new();
        assert_eq!(log.read_line(&mut rest).unwrap(), 0, "{rest}");
    }
}

#[test]
fn it_takes_nothing_from_the_living() {
    let bench = Bench::with_demo("64K");
    let victim = Victim::start(&bench);
    assert_eq!(bench.ok(["janitor", "--once", SINGLE]), "");
    assert_eq!(bench.json(["owner", "demo"])["lock"]["pid"], victim.pid().as_raw());
    victim.kill();
    let line = bench.ok(["janitor", "--once", SINGLE]);
    assert!(line.contains("index sound") && line.lines().count() == 1, "{line}");
    assert_eq!(bench.ok(["janitor", "--once", SINGLE]), "");
}

#[test]
fn it_says_what_is_in_the_way_once_and_goes_on() {
    let (bench, _) = with_two();
    overlap(&bench);
    die_inside(&bench, "demo");
    fs::write(bench.region("empty"), "").unwrap();
    let damaged = truth(&bench);

    let once = bench.run(["janitor", "--once", SINGLE]);
    assert_eq!((once.code, once.text().as_str()), (Some(5), ""));
    assert!(once.stderr.contains("overlap") && once.stderr.contains("empty"), "{}", once.stderr);
    assert!(truth(&bench) == damaged);

    let mut command = bench.command(["janitor", "--interval", "0.01", SINGLE]);
    let (janitor, mut log) = start(&mut command);
    bench.ok(["new", "other", "--size", "64K"]);
    // Two recoveries are some rounds apart, and after the first round in any case.
    for _ in 0..2 {
        die_inside(&bench, "other");
        let mut line = String::new();
        log.read_line(&mut line).unwrap();
        let what = " other (normal pages): recovered from a process that the kernel has marked";
        assert!(line.contains(what), "{line}");
    }
    signal(&janitor, Signal::SIGTERM);
    let ran = Ran::of(janitor.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(0));
    let said: Vec<&str> = ran.stderr.lines().collect();
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("warning: ") && said[0].contains("overlap"), "{said:?}");
    assert!(said[1].starts_with("note: ") && said[1].contains("empty"), "{said:?}");
}
