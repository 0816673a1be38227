//! Other processes: this program once more, playing a part that it is told in its environment.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, Uid, geteuid, setuid};
use wksp_core::{Align, Tag};
use wksp_shmem::{
    Access, BaseDir, LockOptions, NewRegion, PageSize, ReadOnlyMapping, Region, SharedWorkspace,
    look_for, unlink,
};

use crate::foreign::ForeignWord;
use crate::scene::{NOBODY, Scene, impatient, name, pages, sees_everyone, skip};
use crate::{fork, observe};

const PART: &str = "WKSP_SHMEM_TEST_PART";
const BASE: &str = "WKSP_SHMEM_TEST_BASE";
const NAME: &str = "WKSP_SHMEM_TEST_NAME";
const MARK: &str = "@@@";
/// For so long processes take turns.
pub(crate) const TURNS: Duration = Duration::from_secs(3);

/// A process that plays a part, killed when dropped.
pub(crate) struct Victim {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

/// A command that plays `part` on the region `text`.
pub(crate) fn command(scene: &Scene, text: &str, part: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", "victim::plays_its_part", "--nocapture", "--test-threads=1"])
        .env(PART, part)
        .env(BASE, scene.dir.path())
        .env(NAME, text)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

impl Victim {
    pub(crate) fn start(scene: &Scene, text: &str, part: &str) -> Self {
        Self::try_of(&mut command(scene, text, part)).unwrap()
    }

    /// Starts one that is the first process of a pid namespace of its own, if the machine allows it.
    ///
    /// In the caller's namespace it is called as [`pid`](Self::pid) says.
    pub(crate) fn start_in_new_namespace(scene: &Scene, text: &str, part: &str) -> Option<Self> {
        let mut command = command(scene, text, part);
        // The children of the thread that asks for a namespace are in it.
        let started = thread::scope(|scope| {
            let parent = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWPID)?;
                Ok::<_, Errno>(Self::try_of(&mut command).unwrap())
            });
            parent.join().unwrap()
        });
        let why = "this machine does not let this user make a pid namespace";
        started.map_err(|errno| skip(&format!("{why}: {errno}"))).ok()
    }

    pub(crate) fn try_of(command: &mut Command) -> std::io::Result<Self> {
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Ok(Self { child, stdin, stdout })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next thing that the victim says; waits for it.
    pub(crate) fn hear(&mut self) -> String {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.split_once(MARK) {
                return said.trim().to_owned();
            }
            line.clear();
        }
        panic!("the victim ended without a word: {:?}", self.child.wait());
    }

    /// Lets the victim go on from where it waits, for good.
    pub(crate) fn release(&mut self) {
        self.stdin = None;
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.pid()).unwrap()), signal).unwrap();
    }

    /// Kills the victim, and sees it buried.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Kills the victim and leaves it a zombie.
    pub(crate) fn kill_unburied(&mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(what: &str) {
    println!("{MARK}{what}");
    std::io::stdout().flush().unwrap();
}

/// Waits until the other end lets go.
fn wait_for_release() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

/// Holds the lock for a millisecond, again and again, and says how often it got it and how long
/// it waited for it at most.
fn take_turns(workspace: &SharedWorkspace) -> String {
    let began = Instant::now();
    let (mut count, mut longest) = (0, Duration::ZERO);
    while began.elapsed() < TURNS {
        let asked = Instant::now();
        let mut guard = match workspace.lock() {
            Ok(guard) => guard,
            Err(error) => return format!("failed after {:?}: {error:?}", asked.elapsed()),
        };
        let got = Instant::now();
        longest = longest.max(got.duration_since(asked));
        let gaddr = guard.alloc(Align::BYTE, 100, Tag::new(1).unwrap()).unwrap();
        guard.free(gaddr).unwrap();
        while got.elapsed() < Duration::from_millis(1) {
            std::hint::spin_loop();
        }
        drop(guard);
        count += 1;
    }
    format!("{count} times, after {longest:?} at most")
}

#[test]
fn plays_its_part() {
    let Ok(part) = env::var(PART) else { return };
    let base = BaseDir::resolve(Some(Path::new(&env::var_os(BASE).unwrap()))).unwrap();
    let text = env::var(NAME).unwrap();
    let attach = |lock| SharedWorkspace::attach(&base, &name(&text), None, lock);
    match part.as_str() {
        "join" => {
            let workspace = attach(LockOptions::default()).unwrap();
            say("joined");
            wait_for_release();
            drop(workspace);
        }
        "hold" => {
            let workspace = attach(LockOptions::default()).unwrap();
            let guard = workspace.lock().unwrap();
            say("locked");
            wait_for_release();
            drop(guard);
            say("released");
        }
        "hold in the first thread" | "hold in another thread" => {
            let ours = attach(LockOptions::default()).unwrap();
            // The harness runs this in a thread of its own, which is the child's first one.
            fork::in_child_until_we_die(|| {
                let theirs = attach(LockOptions::default()).unwrap();
                let hold = || {
                    let guard = theirs.lock().unwrap();
                    say("locked");
                    wait_for_release();
                    drop(guard);
                };
                if part.contains("first") {
                    hold();
                } else {
                    thread::scope(|scope| scope.spawn(hold).join().unwrap());
                }
            });
            drop(ours);
        }
        "hold without a first thread" => fork::in_headless_child(
            || attach(LockOptions::default()).unwrap(),
            |workspace| {
                let guard = workspace.lock().unwrap();
                say(&std::process::id().to_string());
                wait_for_release();
                drop(guard);
            },
        ),
        "map" => {
            let region = Region::open(&base, &name(&text), None, Access::ReadOnly).unwrap();
            let word = ForeignWord::of(region.path());
            drop(region);
            say("mapped");
            wait_for_release();
            drop(word);
        }
        "spin as a C program does" => {
            let region = Region::open(&base, &name(&text), None, Access::ReadOnly).unwrap();
            let foreign = ForeignWord::of(region.path());
            let (own, free) = (u64::from(std::process::id()), u64::MAX);
            drop(region);
            say("spinning");
            let word = foreign.word();
            while word.compare_exchange(free, own, Ordering::SeqCst, Ordering::SeqCst).is_err() {
                std::hint::spin_loop();
            }
            word.store(free, Ordering::SeqCst);
            say("got it");
        }
        "lock" => {
            let outcome = attach(impatient()).unwrap().lock().map(|guard| guard.repair());
            say(&format!("{outcome:?}"));
        }
        "lock in a child" => fork::in_child_until_we_die(|| {
            let outcome = attach(impatient()).unwrap().lock().map(|guard| guard.repair());
            say(&format!("process {}: {outcome:?}", std::process::id()));
        }),
        "lock in single namespace" => {
            let options = LockOptions::default().with_single_pid_namespace(true);
            let outcome = attach(options).unwrap().lock().map(|guard| guard.repair());
            say(&format!("{outcome:?}"));
        }
        "lock after a word" => {
            let options = LockOptions::default().with_patience(Duration::from_secs(1));
            let workspace = attach(options).unwrap();
            say("waiting");
            let outcome = workspace.lock().map(|guard| guard.repair());
            say(&format!("{outcome:?}"));
        }
        "lock after giving up root" | "lock in a hurry after giving up root" => {
            let options = if part.contains("hurry") { impatient() } else { LockOptions::default() };
            let options = options.with_single_pid_namespace(!sees_everyone());
            let workspace = attach(options).unwrap();
            setuid(Uid::from_raw(NOBODY)).unwrap();
            let outcome = workspace.lock().map(|guard| guard.repair());
            say(&format!("uid {}: {outcome:?}", geteuid()));
        }
        "look after giving up root" => {
            setuid(Uid::from_raw(NOBODY)).unwrap();
            let written = attach(LockOptions::default()).is_ok();
            let mapping = ReadOnlyMapping::open(&base, &name(&text), None).unwrap();
            let observer = mapping.observer().unwrap();
            let seen = observer.observe(observe::everything, look_for(Duration::ZERO));
            say(&format!("uid {}, may write {written}: {seen:?}", geteuid()));
        }
        "bear an odd name" => {
            std::fs::write("/proc/self/comm", b"caf\xc3").unwrap();
            say("named");
            wait_for_release();
        }
        "take turns" => {
            let options = LockOptions::default().with_patience(Duration::from_secs(2));
            let workspace = attach(options).unwrap();
            say("ready");
            wait_for_release();
            say(&take_turns(&workspace));
        }
        "attach" => say(&match attach(LockOptions::default()) {
            Ok(_) => "attached".to_owned(),
            Err(error) => format!("uid {}: {error:?}", geteuid()),
        }),
        "trespass" => {
            let directory = base.directory_path(PageSize::Normal);
            symlink(base.path().join("secret"), directory.join("planted")).unwrap();
            symlink(directory.join(&text), directory.join("another")).unwrap();
            let made = NewRegion::create(&base, &name("mine"), &pages(1)).map(NewRegion::publish);
            let made = made.unwrap().map(|region| region.info().uid);
            let unlinked = unlink(&base, &name(&text), None);
            say(&format!("made: {made:?}, unlink: {unlinked:?}"));
        }
        "create under umask" => {
            for (mask, mode) in [(0o077, 0o666), (0o000, 0o640), (0o777, 0o600)] {
                umask(Mode::from_bits_truncate(mask));
                let options = wksp_shmem::NewRegionOptions { mode, ..pages(1) };
                let name = name(&format!("mask-{mask:o}-mode-{mode:o}"));
                NewRegion::create(&base, &name, &options).unwrap().publish().unwrap();
                let info = wksp_shmem::info_of(&base, &name, Some(PageSize::Normal)).unwrap();
                say(&format!("{mode:o} {:o}", info.mode));
            }
        }
        part => panic!("there is no part {part:?}"),
    }
}
