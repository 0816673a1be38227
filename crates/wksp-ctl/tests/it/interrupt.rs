//! Ctrl-C at a real terminal, in each command that can take long.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use nix::pty::openpty;
use wksp_testkit::skip::skip;

use crate::bench::{Bench, noise};
use crate::checkpt::path;

/// The program that makes the terminal its own, so that Ctrl-C becomes a signal there.
const NEW_SESSION: &str = "setsid";

/// A command at a terminal of its own.
struct AtTerminal {
    child: Child,
    screen: File,
    seen: String,
}

impl AtTerminal {
    fn start(bench: &Bench, arguments: &[&str]) -> Self {
        let terminal = openpty(None, None).unwrap();
        let tool = bench.command(arguments);
        // Whoever runs the tests in the background may have told all to ignore Ctrl-C.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT", NEW_SESSION, "--ctty", "--wait"])
            .arg(tool.get_program())
            .args(tool.get_args());
        command.env_remove("FD_SHMEM_PATH").env_remove("WKSP_SINGLE_PID_NAMESPACE");
        command.stdin(terminal.slave.try_clone().unwrap()).stdout(Stdio::null());
        command.stderr(terminal.slave);
        let child = command.spawn().unwrap();
        Self { child, screen: File::from(terminal.master), seen: String::new() }
    }

    /// Waits until a bar with this title is on the terminal that has begun to fill; `false` if the
    /// command has ended without one.
    fn has_bar(&mut self, title: &str) -> bool {
        let mut some = [0; 4096];
        let is_there = |seen: &str| {
            seen.rsplit_once(title).is_some_and(|(_, bar)| bar.contains("[=") || bar.contains("[>"))
        };
        while !is_there(&self.seen) {
            let count = self.screen.read(&mut some).unwrap_or(0);
            if count == 0 {
                return false;
            }
            self.seen.push_str(&String::from_utf8_lossy(&some[..count]));
        }
        true
    }

    /// Presses Ctrl-C, and returns the exit code as a shell has it.
    fn ctrl_c(mut self) -> (i32, String) {
        // It may have ended by itself.
        let _ = self.screen.write_all(b"\x03");
        // The terminal ends with an error when nobody has it open any more.
        let mut rest = Vec::new();
        let _ = self.screen.read_to_end(&mut rest);
        self.seen.push_str(&String::from_utf8_lossy(&rest));
        let status = self.child.wait().unwrap();
        let code = status.code().or(status.signal().map(|signal| 128 + signal));
        (code.unwrap(), self.seen)
    }
}

/// Interrupts a command when its bar with this title is there.
///
/// A machine may be too fast for that; what the command has made then is undone by `undo`.
fn interrupt(bench: &Bench, title: &str, arguments: &[&str], undo: impl Fn()) {
    let interrupted = (0..5).find_map(|_| {
        let mut running = AtTerminal::start(bench, arguments);
        let has_bar = running.has_bar(title);
        let (code, seen) = running.ctrl_c();
        let is_late = !has_bar || !seen.contains("error: ");
        if is_late {
            assert!(code < 2, "{arguments:?}: {seen}");
            undo();
        }
        (!is_late).then_some((code, seen))
    });
    let Some((code, seen)) = interrupted else {
        return skip(format_args!("{arguments:?} has ended before anybody can press Ctrl-C"));
    };
    assert_eq!(code, 130, "{arguments:?}: {seen}");
    assert!(seen.contains("error: ") && seen.contains("interrupted"), "{arguments:?}: {seen}");
    let owner = bench.json(["owner", "demo"]);
    assert_eq!(owner["lock"]["state"], "free", "{arguments:?}: {owner}");
    // Nothing had to be recovered either: that would be said.
    let verified = bench.run(["verify", "demo", "--json"]);
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""), "{arguments:?}");
}

/// The names in the base directory and among its regions.
fn names(bench: &Bench) -> Vec<String> {
    let directories = [bench.path().to_owned(), bench.path().join(".normal")];
    let entries = directories.iter().flat_map(|directory| fs::read_dir(directory).unwrap());
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// A workspace and a checkpoint of it that take a while to go through.
fn large() -> Bench {
    let bench = Bench::with_demo("512MiB");
    for _ in 0..12 {
        assert_eq!(bench.pipe(["put", "demo", "--tag", "7"], &noise(32 << 20)).code, Some(0));
    }
    let file = path(&bench, "stored");
    bench.ok(["checkpt", "demo", &file, "--style", "zstd", "--level", "1"]);
    bench
}

#[test]
fn ctrl_c_ends_every_long_command_and_leaves_nothing_behind() {
    let bench = large();
    let [stored, new, directory] = ["stored", "new", "directory"].map(|name| path(&bench, name));
    let (stored, new, directory) = (stored.as_str(), new.as_str(), directory.as_str());
    let there = names(&bench);
    let before = bench.bytes("demo");
    for (title, arguments) in [
        ("writing", &["checkpt", "demo", new, "--style", "zstd", "--level", "22"][..]),
        ("writing", &["checkpt", "demo", stored, "--force", "--style", "zstd", "--level", "22"]),
        ("verifying", &["checkpt-verify", stored]),
        ("verifying", &["extract", stored, "--tag", "7", directory]),
        ("extracting", &["extract", stored, "--no-verify", "--tag", "7", directory]),
        ("verifying", &["restore", "demo", stored, "--yes"]),
        ("restoring", &["restore", "other", stored, "--create"]),
        ("verifying", &["diff", "demo", stored]),
        ("comparing", &["diff", "demo", stored, "--no-verify"]),
        ("reading", &["diff", stored, stored, "--no-verify"]),
        ("reading", &["inspect", stored]),
    ] {
        interrupt(&bench, title, &[arguments, &["--threads", "1"]].concat(), || {
            let _ = fs::remove_file(new);
            let _ = fs::remove_dir_all(directory);
            let _ = bench.run(["rm", "other", "--yes"]);
        });
        assert_eq!(names(&bench), there, "{arguments:?}");
        assert!(bench.bytes("demo") == before, "{arguments:?}");
    }
    assert_eq!(bench.json(["checkpt-verify", stored])["state"], "verified");
}

#[test]
fn ctrl_c_in_put_and_fill_leaves_a_sound_workspace() {
    let bench = Bench::with_demo("1GiB");
    let address = bench.ok(["alloc", "demo", "450M"]);
    let shown = bench.json(["show", "demo"])["partitions"].clone();
    interrupt(&bench, "filling", &["fill", address.trim(), "1"], || ());
    // A file that is long and has no bytes on the disk.
    let file = path(&bench, "long");
    File::create(&file).unwrap().set_len(450 << 20).unwrap();
    interrupt(&bench, "copying", &["put", "demo", &file, "--tag", "9"], || {
        bench.ok(["tag-free", "demo", "9"]);
    });
    assert_eq!(bench.json(["show", "demo"])["partitions"], shown);
}

#[test]
fn ctrl_c_at_a_question_is_no_answer() {
    let bench = Bench::with_demo("64K");
    bench.ok(["alloc", "demo", "100"]);
    let mut running = AtTerminal::start(&bench, &["reset", "demo"]);
    let mut some = [0; 4096];
    while !running.seen.contains("[y/N]") {
        let count = running.screen.read(&mut some).unwrap();
        running.seen.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    let (code, seen) = running.ctrl_c();
    assert_eq!(code, 130, "{seen}");
    assert_eq!(bench.json(["usage", "demo"])["used"]["count"], 1);
}
