//! Completion in the shells themselves.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use nix::pty::openpty;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use wksp_testkit::skip::skip;

use crate::bench::{Bench, program};

/// A base directory with workspaces, a file and the script of a shell.
struct Shell {
    bench: Bench,
    script: PathBuf,
}

impl Shell {
    /// `None` if the shell is not installed, which is said.
    fn new(name: &str, script: &str) -> Option<Self> {
        if Command::new(name).arg("--version").stdout(Stdio::null()).status().is_err() {
            skip(format_args!("{name} is not installed"));
            return None;
        }
        let bench = Bench::with_demo("64K");
        bench.ok(["new", "devel", "--size", "64K"]);
        fs::write(bench.path().join("stored.wksp"), "").unwrap();
        let text = bench.ok(["completions", name]);
        let script = bench.path().join(script);
        fs::write(&script, text).unwrap();
        Some(Self { bench, script })
    }

    /// A shell that finds the tool by its name.
    fn command(&self, shell: &str) -> Command {
        let mut command = Command::new(shell);
        let built = program();
        let path = format!("{}:/usr/bin:/bin", built.parent().unwrap().display());
        command.env("PATH", path).env("FD_SHMEM_PATH", self.bench.path());
        command.env("HOME", self.bench.path()).current_dir(self.bench.path());
        command.stdin(Stdio::null());
        command
    }
}

/// What is typed before Tab, and what then is offered.
const CASES: [(&str, &[&str]); 7] = [
    ("che", &["check", "checkpt", "checkpt-verify"]),
    ("show de", &["demo", "devel"]),
    ("--base . usage dem", &["demo"]),
    ("--base=elsewhere usage dem", &[]),
    ("new x --binding best", &["best-effort"]),
    ("host re", &["reserve", "release", "reset"]),
    ("inspect sto", &["stored.wksp"]),
];

#[test]
fn bash_completes() {
    let Some(shell) = Shell::new("bash", "completions") else { return };
    for (typed, offered) in CASES {
        // As bash itself does: the words, the one at the cursor, and the function that it looks up.
        let script = format!(
            "source ./completions
            function=$(complete -p wksp-ctl | sed 's/.* -F \\([^ ]*\\) .*/\\1/')
            COMP_WORDS=(wksp-ctl {typed}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMP_TYPE=9
            $function wksp-ctl \"${{COMP_WORDS[COMP_CWORD]}}\" x
            printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        let ran = shell.command("bash").args(["--norc", "-c", &script]).output().unwrap();
        let found = String::from_utf8(ran.stdout).unwrap();
        let found: Vec<&str> = found.lines().filter(|line| !line.is_empty()).collect();
        assert_eq!(found, offered, "{typed}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn fish_completes() {
    let Some(shell) = Shell::new("fish", "completions") else { return };
    for (typed, offered) in CASES {
        let script = format!("source ./completions; complete -C 'wksp-ctl {typed}'");
        let ran = shell.command("fish").args(["--no-config", "-c", &script]).output().unwrap();
        let found = String::from_utf8(ran.stdout).unwrap();
        let found: Vec<&str> = found.lines().filter_map(|line| line.split('\t').next()).collect();
        assert_eq!(found, offered, "{typed}: {}", String::from_utf8_lossy(&ran.stderr));
    }
}

#[test]
fn zsh_completes_with_the_script_where_it_looks_for_it() {
    let Some(shell) = Shell::new("zsh", "_wksp-ctl") else { return };
    assert!(fs::read_to_string(&shell.script).unwrap().starts_with("#compdef wksp-ctl\n"));
    for (typed, offered) in CASES {
        let Some((last, _)) = offered.split_last() else { continue };
        let terminal = openpty(None, None).unwrap();
        let mut screen = File::from(terminal.master);
        let mut command = shell.command("zsh");
        command.args(["-f", "-i"]).env("TERM", "dumb").env("PS1", "");
        command.stdin(terminal.slave.try_clone().unwrap());
        command.stdout(terminal.slave.try_clone().unwrap()).stderr(terminal.slave);
        let mut child = command.spawn().unwrap();
        drop(command);
        let watchdog = Watchdog::of(&child);
        let set_up = "fpath=($PWD $fpath); autoload -Uz compinit; compinit -u -d ./dump; \
                      setopt no_beep; echo ready to complete";
        writeln!(screen, "{set_up}").unwrap();
        let mut seen = String::new();
        // The echo of the line is not the output of it, which stands at the start of a line.
        read_until(&mut screen, &mut seen, |seen| seen.contains("\nready to complete"));
        let set_up_to = seen.len();
        // Once, if there is one candidate only: it is typed out by that.
        let tabs = if offered.len() == 1 { "\t" } else { "\t\t" };
        write!(screen, "wksp-ctl {typed}{tabs}").unwrap();
        read_until(&mut screen, &mut seen, |seen| {
            seen.get(set_up_to..).is_some_and(|seen| seen.contains(last))
        });
        drop(watchdog);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Ends a shell that does not show what it should: it would wait for more to be typed.
struct Watchdog {
    /// Closed when there is nothing to be watched any more.
    _watching: Sender<()>,
}

impl Watchdog {
    fn of(child: &Child) -> Self {
        let (watching, until) = channel();
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        thread::spawn(move || {
            if until.recv_timeout(Duration::from_secs(60)) == Err(RecvTimeoutError::Timeout) {
                let _ = kill(pid, Signal::SIGKILL);
            }
        });
        Self { _watching: watching }
    }
}

/// Reads from a terminal until something is on it.
fn read_until(screen: &mut File, seen: &mut String, is_there: impl Fn(&str) -> bool) {
    let mut some = [0; 4096];
    while !is_there(seen) {
        let count = screen.read(&mut some).unwrap_or_else(|error| panic!("{error}: {seen}"));
        assert!(count > 0, "{seen}");
        seen.push_str(&String::from_utf8_lossy(&some[..count]));
    }
}
