//! A terminal with somebody in front of it: what is on its screen, and keys.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;

use crate::bench::{Bench, program};

/// What is waited for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Terminal {
    child: Child,
    keyboard: File,
    /// Kept open, to ask it what it was set to.
    slave: OwnedFd,
    shown: Arc<(Mutex<vt100::Parser>, Condvar)>,
}

impl Terminal {
    /// Starts the tool on a terminal of so many columns and rows.
    pub(crate) fn start(bench: &Bench, arguments: &[&str], (columns, rows): (u16, u16)) -> Self {
        Self::start_with(bench, arguments, (columns, rows), &[])
    }

    /// The same with variables in the environment.
    pub(crate) fn start_with(
        bench: &Bench,
        arguments: &[&str],
        (columns, rows): (u16, u16),
        environment: &[(&str, &str)],
    ) -> Self {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None).unwrap();
        let stream = || pty.slave.try_clone().unwrap();
        // A session of its own, whose terminal it is.
        // Whoever runs the tests in the background may have told all to ignore Ctrl-C.
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT", "setsid", "--ctty"])
            .arg(program())
            .arg("--base")
            .arg(bench.path())
            .args(arguments);
        command.env_remove("FD_SHMEM_PATH").env_remove("NO_COLOR").env("TERM", "xterm-256color");
        command.envs(environment.iter().copied());
        let child = command.stdin(stream()).stdout(stream()).stderr(stream()).spawn().unwrap();
        let shown = Arc::new((
            Mutex::new(vt100::Parser::new(lines(rows), lines(columns), 0)),
            Condvar::new(),
        ));
        let mut output = File::from(pty.master.try_clone().unwrap());
        let painter = Arc::clone(&shown);
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                painter.0.lock().unwrap().process(&bytes[..count]);
                painter.1.notify_all();
            }
        });
        Self { child, keyboard: File::from(pty.master), slave: pty.slave, shown }
    }

    /// What the terminal is set to.
    pub(crate) fn settings(&self) -> Termios {
        tcgetattr(&self.slave).unwrap()
    }

    pub(crate) fn type_keys(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits until the screen is as it should be, and returns what is on it.
    #[track_caller]
    pub(crate) fn wait_for(&self, is_so: impl Fn(&vt100::Screen) -> bool) -> vt100::Screen {
        let deadline = Instant::now() + PATIENCE;
        let mut parser = self.shown.0.lock().unwrap();
        while !is_so(parser.screen()) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "it never came:\n{}", parser.screen().contents());
            parser = self.shown.1.wait_timeout(parser, left).unwrap().0;
        }
        parser.screen().clone()
    }

    /// Waits until a text is on the screen.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, text: &str) -> vt100::Screen {
        self.wait_for(|screen| screen.contents().contains(text))
    }

    /// Waits for the end, and returns the exit code and what is on the screen then.
    #[track_caller]
    pub(crate) fn end(&mut self) -> (Option<i32>, vt100::Screen) {
        let status = self.child.wait().unwrap();
        assert_eq!(status.signal(), None, "it was ended by a signal");
        // What it wrote last may be on its way; behind this mark there is nothing of it.
        let mut tty = File::from(self.slave.try_clone().unwrap());
        tty.write_all(b"END-OF-OUTPUT").unwrap();
        let screen = self.wait_for(|screen| screen.contents().contains("END-OF-OUTPUT"));
        (status.code(), screen)
    }
}

fn lines(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).unwrap()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
