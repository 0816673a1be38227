//! An uncontended lock, and what is done under it, makes no system call, and neither that nor
//! attaching looks at what the machine is made of.
//!
//! # Safety
//!
//! The unsafe code hands the kernel a filter program: a pointer to a live array of instructions and
//! its length. The kernel copies it before the call returns.
#![expect(unsafe_code, reason = "prctl takes a pointer; see the paragraph above")]

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode};

use wksp_core::{Align, Gaddr, Name, Tag};
use wksp_shmem::{
    BaseDir, HwlocTopology, LockOptions, NewRegionOptions, PageSize, SharedWorkspace, unlink,
};

use crate::huge_pages::HugePages;

pub(crate) const ROLE: &str = "quiet";

/// The environment variables that name the child's base directory, and tell it to take huge pages.
const VARIABLE_DIR: &str = "WKSP_TEST_DIR";
const VARIABLE_HUGE: &str = "WKSP_TEST_HUGE";
/// The environment variable that makes the child do what it must not.
const VARIABLE_BREACH: &str = "WKSP_TEST_BREACH";
const SYSTEM_CALL: &str = "system call";
const TOPOLOGY: &str = "topology";
/// What the child ends with when a topology has been loaded.
const LOADED: i32 = 3;

/// Ends the process with SIGSYS at any system call of this thread but `exit_group`.
fn forbid_system_calls() {
    // Loads the number of the call; if it is exit_group allows it, or else kills.
    let filter = [
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(
            libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
            0,
            1,
            u32::try_from(libc::SYS_exit_group).unwrap(),
        ),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_ptr().cast_mut() };
    // SAFETY: takes numbers only.
    let no_new_privileges = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(no_new_privileges, 0);
    // SAFETY: the program lives until the call returns.
    let set =
        unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
}

fn instruction(code: u32, if_true: u8, if_false: u8, operand: u32) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: if_true, jf: if_false, k: operand }
}

/// The child: all that it sets up comes before the ban, and it ends by the one call allowed.
pub(crate) fn run() -> ExitCode {
    let base = BaseDir::resolve(Some(env::var_os(VARIABLE_DIR).unwrap().as_ref())).unwrap();
    let name = Name::new("quiet").unwrap();
    let page_size =
        if env::var_os(VARIABLE_HUGE).is_some() { PageSize::Huge } else { PageSize::Normal };
    let page_count = (1_u64 << 20).div_ceil(page_size.bytes());
    let region = NewRegionOptions { page_size, page_count, mode: 0o600 };
    drop(SharedWorkspace::create(&base, &name, &region, &Default::default()).unwrap());
    let workspace = SharedWorkspace::attach(&base, &name, None, LockOptions::default()).unwrap();
    unlink(&base, &name, Some(page_size)).unwrap();
    let breach = env::var(VARIABLE_BREACH).unwrap_or_default();
    if breach == TOPOLOGY {
        HwlocTopology::this_machine().unwrap();
    }

    forbid_system_calls();
    let mut live: [Option<Gaddr>; 64] = [None; 64];
    let tag = Tag::new(3).unwrap();
    for round in 0..100_000_usize {
        let slot = &mut live[round * 7 % 64];
        let mut guard = workspace.lock().unwrap();
        *slot = match slot.take() {
            Some(gaddr) => {
                guard.free(gaddr).unwrap();
                None
            }
            None => Some(guard.alloc(Align::CACHE_LINE, 100 + round as u64 % 900, tag).unwrap()),
        };
        drop(guard);
        assert!(workspace.lock().unwrap().tag(Gaddr::new(1).unwrap()).is_none());
    }
    if breach == SYSTEM_CALL {
        let _ = std::fs::metadata("/");
    }
    let code = if HwlocTopology::is_loaded() { LOADED } else { 0 };
    // SAFETY: ends the process at once, with no clean-up that could make other calls.
    unsafe { libc::_exit(code) }
}

pub(crate) fn an_uncontended_lock_is_quiet() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    std::fs::create_dir(dir.path().join(PageSize::Normal.directory())).unwrap();
    stay_quiet(Command::new(env::current_exe().unwrap()).env(VARIABLE_DIR, dir.path()));
}

pub(crate) fn an_uncontended_lock_on_huge_pages_is_quiet() {
    let dir = tempfile::tempdir_in("/dev/shm").unwrap();
    match HugePages::under(dir.path(), 1) {
        Ok(_page) => {
            let mut command = Command::new(env::current_exe().unwrap());
            stay_quiet(command.env(VARIABLE_DIR, dir.path()).env(VARIABLE_HUGE, "1"));
        }
        Err(why) => wksp_testkit::skip::skip(why),
    }
}

fn stay_quiet(command: &mut Command) {
    command.env(crate::ROLE, ROLE);
    let mut child = |breach: &str| command.env(VARIABLE_BREACH, breach).status().unwrap();
    let status = child("");
    assert!(status.success(), "the child made a system call, or loaded a topology: {status}");
    // The ban is a real one: whoever breaks it is killed. And a topology is seen when it is loaded.
    assert_eq!(child(SYSTEM_CALL).signal(), Some(libc::SIGSYS));
    assert_eq!(child(TOPOLOGY).code(), Some(LOADED));
}
