//! Several commands in one call.

use std::fs;

use serde_json::Value;

use crate::bench::{Bench, Ran};

/// Runs the words of a line that has no others than spaces between them.
fn line(bench: &Bench, line: &str) -> Ran {
    bench.run(line.split_whitespace())
}

/// The documents of a run, each in a line.
fn documents(ran: &Ran) -> Vec<Value> {
    ran.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The commands that documents are of.
fn commands(documents: &[Value]) -> Vec<&str> {
    documents.iter().map(|document| document["command"].as_str().unwrap()).collect()
}

#[test]
fn commands_run_one_after_the_other() {
    let bench = Bench::new();
    let file = bench.path().join("file");
    fs::write(&file, "hello").unwrap();
    let file = file.to_str().unwrap();
    let ran = line(&bench, &format!("new a --size 1MiB + put a {file} + usage a + show a"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let text = ran.text();
    let at = |what: &str| text.find(what).unwrap_or_else(|| panic!("{what}: {text}"));
    assert!(
        at("created a") < at("a:")
            && at("a:") < at("PARTITIONS")
            && at("PARTITIONS") < at("workspace a")
    );
    // Each writes what it writes alone.
    assert!(text.ends_with(&(bench.ok(["usage", "a"]) + &bench.ok(["show", "a"]))), "{text}");
}

#[test]
fn the_first_failure_stops_and_is_named() {
    let bench = Bench::with_demo("64K");
    let ran = line(&bench, "alloc demo 100 + free demo:1 + rm demo");
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert_eq!(ran.text().lines().count(), 1, "{ran:?}");
    let (cause, remedy) = ran.cause_and_remedy();
    assert!(cause.starts_with("command 2 of 3 (`free demo:1`): demo:1 is outside"), "{cause}");
    assert!(remedy.contains("show demo"), "{remedy}");
    assert!(bench.region("demo").exists());
    // A result that comes with a failure is written, and ends the chain as well.
    bench.patch("demo", 100, &[0xFF; 4]);
    let ran = line(&bench, "verify demo + rm demo");
    assert_eq!(ran.code, Some(5), "{ran:?}");
    assert!(ran.text().contains("damaged") && bench.region("demo").exists(), "{ran:?}");
    // Alone it has no number.
    let (cause, _) = line(&bench, "free demo:1").cause_and_remedy();
    assert!(cause.starts_with("demo:1 "), "{cause}");
    // What is typed is shown as one would type it again, and on one line.
    let ran = bench.run(["ls", "+", "get", "it's\n", "+", "ls"]);
    let (cause, _) = ran.cause_and_remedy();
    assert!(cause.starts_with(r"command 2 of 3 (`get 'it'\''s"), "{cause}");
}

#[test]
fn all_are_checked_before_the_first_one_runs() {
    let bench = Bench::with_demo("64K");
    for (wrong, code) in [
        ("free nonsense", 2),
        ("usage", 2),
        ("no-such-command", 2),
        ("alloc demo 100 --no-such-option", 2),
        ("alloc demo 100 --tag 0", 2),
        ("alloc demo 100 --wait forever", 2),
        ("--page-size tiny ls", 2),
        ("legacy fd_wksp_ctl help", 2),
        ("", 2),
    ] {
        for chain in [format!("rm demo + {wrong}"), format!("rm demo + {wrong} + ls")] {
            let ran = line(&bench, &chain);
            assert_eq!((ran.code, ran.text().as_str()), (Some(code), ""), "{chain}: {ran:?}");
            let (cause, _) = ran.cause_and_remedy();
            let count = chain.matches('+').count() + 1;
            assert!(cause.starts_with(&format!("command 2 of {count} (`{wrong}`): ")), "{cause}");
            assert!(bench.region("demo").exists(), "{chain}");
        }
    }
    for chain in ["+ rm demo", "+", "rm demo +"] {
        let (cause, remedy) = line(&bench, chain).cause_and_remedy();
        assert!(
            cause.contains(" of 2 (`") && cause.ends_with("`): there is no command"),
            "{cause}"
        );
        assert!(remedy.contains("./+"), "{remedy}");
    }
    // A help text is all there is then.
    let ran = line(&bench, "rm demo + ls --help");
    assert!(ran.code == Some(0) && ran.text().contains("Usage: wksp-ctl ls"), "{ran:?}");
    assert!(bench.region("demo").exists());
}

#[test]
fn options_before_the_first_command_hold_for_all() {
    let bench = Bench::new();
    let chain = "--json --wait 1 --quiet new a --size 64K + alloc a 100 --tag 7 + info + ls";
    let ran = line(&bench, &chain.replace("info", "usage a --tag 7"));
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    let documents = documents(&ran);
    assert_eq!(commands(&documents), ["new", "alloc", "usage", "ls"]);
    assert_eq!(documents[2]["tagged"]["bytes"], 100);
    assert!(documents.iter().all(|document| document["schema"] == 1));
    // Behind the name of a command, they hold for that alone.
    let ran = line(&bench, "usage a --json + usage a");
    let text = ran.text();
    assert!(text.starts_with('{') && text.lines().nth(1).unwrap().contains("PARTITIONS"), "{text}");
    // And there they count more than those before.
    let other = Bench::with_demo("64K");
    let ran = line(&bench, &format!("--json ls + ls --base {} + ls", other.path().display()));
    let documents = self::documents(&ran);
    let base = |at: usize| documents[at]["base"].as_str().unwrap();
    assert_eq!(
        (base(0), base(2)),
        (bench.path().to_str().unwrap(), bench.path().to_str().unwrap())
    );
    assert_eq!(base(1), other.path().to_str().unwrap());
}

#[test]
fn failures_are_documents_as_well() {
    let bench = Bench::with_demo("64K");
    let ran = line(&bench, "--json alloc demo 100 + free demo:1 + ls");
    assert_eq!(commands(&documents(&ran)), ["alloc"]);
    let (message, _) = ran.error(3);
    assert!(message.starts_with("command 2 of 3 (`free demo:1`): "), "{message}");
    let (message, _) = line(&bench, "--json rm demo + usage").error(2);
    assert!(message.starts_with("command 2 of 2 (`usage`): "), "{message}");
    let (message, _) = line(&bench, "--json rm demo +").error(2);
    assert!(message.starts_with("command 2 of 2 (``): "), "{message}");
    // Asked for by the one that is wrong.
    let (message, _) = line(&bench, "rm demo + usage --json").error(2);
    assert!(message.starts_with("command 2 of 2 "), "{message}");
}

#[test]
fn a_plus_can_be_an_argument() {
    let bench = Bench::with_demo("64K");
    fs::write(bench.path().join("+"), "plus").unwrap();
    let run =
        |words: &[&str]| Ran::of(bench.command(words).current_dir(bench.path()).output().unwrap());
    // Behind `--`, which is then the last command.
    let ran = run(&["ls", "+", "put", "demo", "--", "+"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let address = ran.text().lines().last().unwrap().to_owned();
    assert_eq!(bench.ok(["get", &address]), "plus");
    // As a path, or as what an option is set to.
    let ran = run(&[
        "put", "demo", "./+", "+", "checkpt", "demo", "file", "--info=+", "+", "inspect", "file",
    ]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.text().contains("info     +\n"), "{ran:?}");
    // More than the plus is no separator.
    let ran = run(&["tag", &address, "+1"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(!ran.stderr.contains("command 2"), "{ran:?}");
}

#[test]
fn several_commands_take_signals_and_locks_in_turn() {
    let bench = Bench::with_demo("1M");
    let files = ["a", "b"].map(|name| bench.path().join(name).to_str().unwrap().to_owned());
    let [a, b] = &files;
    let chain = format!(
        "alloc demo 100 + checkpt demo {a} + checkpt demo {b} --style v1 + restore demo {a} --yes \
         + restore demo {b} --yes + verify demo"
    );
    let ran = line(&bench, &chain);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
    assert!(ran.text().contains("demo: clean"), "{ran:?}");
}
