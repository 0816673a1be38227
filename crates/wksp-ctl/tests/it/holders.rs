//! Processes that hold or have joined a workspace while the tool is at work.

use std::env;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use wksp_core::Name;
use wksp_shmem::{BaseDir, LockOptions, SharedWorkspace};

use crate::bench::Bench;

/// Tells this test binary to be a process that holds the lock of `demo` in that base directory.
const VICTIM: &str = "WKSP_CTL_TEST_VICTIM";

/// A process that holds the lock of `demo` and is stopped.
pub(crate) struct Victim(Child);

impl Victim {
    pub(crate) fn start(bench: &Bench) -> Self {
        Self::start_in(bench.path())
    }

    /// The same in any base directory.
    pub(crate) fn start_in(base: &Path) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "holders::a_victim_holds_the_lock", "--nocapture"])
            .env(VICTIM, base)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut victim = Self(child);
        let stdout = BufReader::new(victim.0.stdout.as_mut().unwrap());
        assert!(
            stdout.lines().any(|line| line.unwrap().ends_with("held")),
            "it never got the lock"
        );
        let stopped = waitpid(victim.pid(), Some(WaitPidFlag::WUNTRACED)).unwrap();
        assert!(matches!(stopped, WaitStatus::Stopped(_, Signal::SIGSTOP)), "{stopped:?}");
        victim
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    pub(crate) fn kill(mut self) {
        kill(self.pid(), Signal::SIGKILL).unwrap();
        self.0.wait().unwrap();
    }
}

/// What a victim does; without its environment variable there is none to be.
#[test]
fn a_victim_holds_the_lock() {
    let Some(base) = env::var_os(VICTIM).map(PathBuf::from) else { return };
    let base = BaseDir::resolve(Some(&base)).unwrap();
    let name = Name::new("demo").unwrap();
    let shared = SharedWorkspace::attach(&base, &name, None, LockOptions::default()).unwrap();
    let _guard = shared.lock().unwrap();
    println!("held");
    raise(Signal::SIGSTOP).unwrap();
}

#[test]
fn a_stopped_holder_is_shown_waited_for_and_broken() {
    let bench = Bench::with_demo("64K");
    let victim = Victim::start(&bench);
    let pid = victim.pid().as_raw();

    let owner = bench.json(["owner", "demo", "--watch", "0.05"]);
    assert_eq!((&owner["lock"]["state"], &owner["lock"]["pid"]), (&"held".into(), &pid.into()));
    let holder = &owner["holder"];
    assert_eq!((&holder["pid"], &holder["state"]), (&pid.into(), &"T".into()));
    assert!(holder["command"].as_str().unwrap().starts_with("it"), "{holder}");
    assert_eq!((&holder["maps_region"], &owner["holder_idle"]), (&true.into(), &true.into()));
    assert!(holder["started"].as_str().unwrap().starts_with("20"), "{holder}");
    assert!(owner["held_ms"].as_u64().unwrap() >= 50);
    assert_eq!(owner["processes"][0]["pid"], pid);
    assert_eq!(owner["processes"].as_array().unwrap().len(), 1);
    let text = bench.ok(["owner", "demo"]);
    assert!(text.contains("stopped") && text.contains(&format!("kill -CONT {pid}")), "{text}");

    let (cause, remedy) = bench.fails(&["alloc", "demo", "100", "--wait", "0.1"], 6, "demo");
    assert!(cause.contains(&format!("process {pid} (it")) && cause.contains("0.1 s"), "{cause}");
    assert!(cause.contains("stopped"), "{cause}");
    assert!(remedy.contains("owner demo"), "{remedy}");
    let (cause, _) = bench.fails(&["check", "--wait", "0.1"], 6, "demo");
    assert!(cause.contains("demo"), "{cause}");

    bench.fails(&["owner", "demo", "--break"], 2, "demo");
    let broken = bench.json(["owner", "demo", "--break", "--yes"]);
    assert_eq!(broken["broken"]["pid"], pid);
    assert_eq!(broken["broken"]["rebuilt"], false);
    bench.ok(["alloc", "demo", "100", "--align", "64"]);
    assert_eq!(bench.json(["owner", "demo"])["lock"]["state"], "free");
    victim.kill();
}

#[test]
fn a_killed_holder_is_recovered_from() {
    let bench = Bench::with_demo("64K");
    let victim = Victim::start(&bench);
    let pid = victim.pid().as_raw();
    victim.kill();
    let check = bench.json(["check", "demo", "--single-pid-namespace"]);
    let entry = &check["workspaces"][0];
    assert_eq!((&entry["state"], &entry["repair"]["dead_pid"]), (&"recovered".into(), &pid.into()));
    assert_eq!(bench.json(["verify", "demo"])["clean"], true);
}

#[test]
fn rm_refuses_as_long_as_somebody_has_joined() {
    let bench = Bench::with_demo("64K");
    let victim = Victim::start(&bench);
    let pid = victim.pid().as_raw().to_string();
    let (cause, remedy) = bench.fails(&["rm", "demo"], 6, "demo");
    assert!(
        cause.contains(&format!("{pid} (it")) && remedy.contains("--force"),
        "{cause} {remedy}"
    );
    bench.fails(&["rm", "demo", "--yes"], 6, "demo");
    victim.kill();
    bench.ok(["rm", "demo"]);

    bench.ok(["new", "demo", "--size", "64K"]);
    let victim = Victim::start(&bench);
    bench.ok(["rm", "demo", "--force"]);
    assert!(!bench.region("demo").exists());
    victim.kill();
}
