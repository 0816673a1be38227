//! The existing tools as their scripts have them, and what is common to the chains of all three.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::bench::{Bench, Ran, program, tool};

/// One of the tools, on a base directory.
pub(crate) struct Legacy {
    name: &'static str,
    base: PathBuf,
}

impl Legacy {
    pub(crate) fn wksp(bench: &Bench) -> Self {
        Self::wksp_at(bench.path())
    }

    pub(crate) fn shmem(bench: &Bench) -> Self {
        Self::shmem_at(bench.path())
    }

    pub(crate) fn wksp_at(base: &Path) -> Self {
        Self { name: "fd_wksp_ctl", base: base.to_owned() }
    }

    pub(crate) fn shmem_at(base: &Path) -> Self {
        Self { name: "fd_shmem_ctl", base: base.to_owned() }
    }

    pub(crate) fn cfg(base: &Path) -> Self {
        Self { name: "fd_shmem_cfg", base: base.to_owned() }
    }

    /// The program, called by the name of the tool.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: &[S]) -> Command {
        let mut command = Command::new(program());
        command.arg0(self.name).args(words).env("FD_SHMEM_PATH", &self.base);
        command.env_remove("WKSP_SINGLE_PID_NAMESPACE").stdin(std::process::Stdio::null());
        command
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, words: &[S]) -> Ran {
        Ran::of(self.command(words).output().unwrap())
    }

    /// The words of a line that has no others than spaces between them.
    pub(crate) fn line(&self, line: &str) -> Ran {
        self.run(&line.split_whitespace().collect::<Vec<_>>())
    }

    /// Runs what succeeds and logs nothing, and returns its results.
    pub(crate) fn ok(&self, line: &str) -> String {
        let ran = self.line(line);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{line}: {ran:?}");
        ran.text()
    }

    /// Runs what writes exactly `stdout`, and ends with 0, or with 1 and a line that says why.
    pub(crate) fn says(&self, line: &str, code: i32, stdout: &str) {
        let ran = self.line(line);
        assert_eq!((ran.code, ran.text().as_str()), (Some(code), stdout), "{line}: {ran:?}");
        assert!(code == 0 || !ran.stderr.is_empty(), "{line}: {ran:?}");
        for logged in ran.stderr.lines() {
            let is_ours = logged.starts_with(&format!("{}: ", self.name));
            assert!(is_ours || logged.starts_with("note: "), "{line}: {ran:?}");
        }
    }

    /// Runs what results in nothing but failure.
    pub(crate) fn fails(&self, line: &str) {
        self.says(line, 1, "");
    }

    /// Runs what is wrong, is logged, and is no failure.
    pub(crate) fn shrugs(&self, line: &str, stdout: &str) {
        self.says(line, 0, stdout);
        assert!(!self.line(line).stderr.is_empty(), "{line} was not logged");
    }
}

#[test]
fn a_chain_ends_at_its_first_failure_with_the_results_before_it() {
    let bench = Bench::new();
    let wksp = Legacy::wksp(&bench);
    let one = wksp.ok("new demo 1024 normal 0 0600 tag 7 alloc demo 64 100");
    assert!(one.starts_with("demo:"), "{one}");
    wksp.says(
        "supported-styles info demo 7 delete nope supported-styles delete demo",
        1,
        &format!("0 1 2 3\n{} 100\n", one.trim()),
    );
    assert!(bench.region("demo").exists());
    // Neither a missing argument nor an unknown command keeps what comes before from being done.
    wksp.says("free demo:1 supported-styles alloc demo 64", 1, "0 1 2 3\n");
    wksp.says("delete demo nonsense", 1, "");
    assert!(!bench.region("demo").exists());
}

#[test]
fn no_command_is_success_but_for_the_one_tool() {
    let bench = Bench::new();
    for words in [&[][..], &["--log-path", "x"], &["--log-path"]] {
        for tool in [Legacy::wksp(&bench), Legacy::shmem(&bench)] {
            let ran = tool.run(words);
            assert_eq!((ran.code, ran.text(), ran.stderr), (Some(0), String::new(), String::new()));
        }
        let ran = Legacy::cfg(bench.path()).run(words);
        assert_eq!((ran.code, ran.text()), (Some(1), String::new()), "{ran:?}");
    }
}

#[test]
fn options_are_ignored_wherever_they_stand() {
    let bench = Bench::new();
    let wksp = Legacy::wksp(&bench);
    wksp.ok("--log-path /nowhere/x new --any-option new demo --tag 3 1024 normal 0 0600 --last");
    let address = wksp.ok("tag 9 alloc --log-path alloc demo 0 --log-path 1 100");
    wksp.says("--a 1 tag-query --b 2 --c 3 ".trim(), 1, "");
    assert_eq!(wksp.ok(&format!("tag-query --b -2 {}", address.trim())), "9\n");
    // What only looks like an option is a command, and there is none of that name.
    for word in ["--", "-x", "--log-path=x", "-"] {
        wksp.fails(word);
    }
}

#[test]
fn help_is_about_the_tool_that_is_asked() {
    let bench = Bench::new();
    for (tool, commands) in [
        (
            Legacy::wksp(&bench),
            "help tag supported-styles new delete alloc info free tag-query tag-free memset check \
             verify rebuild reset usage query checkpt checkpt-query restore",
        ),
        (Legacy::shmem(&bench), "help cpu-cnt numa-cnt cpu-idx numa-idx create unlink query"),
        (Legacy::cfg(bench.path()), "help init fini alloc free query reset"),
    ] {
        let text = tool.ok("help");
        assert!(text.starts_with(tool.name), "{text}");
        for command in commands.split(' ') {
            assert!(
                text.lines().any(|line| line.starts_with(&format!("  {command} "))),
                "{command}"
            );
        }
        assert_eq!(tool.ok("help help"), text.repeat(2));
        // Of the options of ours it has none.
        assert_eq!(tool.ok("--help help help"), text);
    }
}

#[test]
fn the_tools_are_called_by_command_as_well() {
    let bench = Bench::new();
    let legacy = |words: &[&str]| {
        let mut command = tool();
        command.arg("legacy").args(words).env("FD_SHMEM_PATH", bench.path());
        Ran::of(command.output().unwrap())
    };
    let ran = legacy(&["fd_wksp_ctl", "--json", "x", "supported-styles"]);
    assert_eq!((ran.code, ran.text().as_str()), (Some(0), "0 1 2 3\n"), "{ran:?}");
    // All that follows is for the tool: `+`, what clap knows, and what it does not.
    for word in ["+", "-q", "nonsense"] {
        let ran = legacy(&["fd_wksp_ctl", "supported-styles", word]);
        assert_eq!((ran.code, ran.text().as_str()), (Some(1), "0 1 2 3\n"), "{ran:?}");
    }
    assert_eq!(legacy(&["fd_shmem_cfg"]).code, Some(1));
    let (cause, _) = legacy(&["fd_no_such_ctl"]).cause_and_remedy();
    assert!(cause.contains("fd_shmem_cfg"), "{cause}");
    let (cause, remedy) = bench.run(["legacy", "fd_wksp_ctl", "reset", "demo"]).cause_and_remedy();
    assert!(cause.contains("options before it") && remedy.contains("FD_SHMEM_PATH"), "{cause}");
}

#[test]
fn what_is_no_text_is_no_name_but_may_be_a_path() {
    let bench = Bench::new();
    let wksp = Legacy::wksp(&bench);
    wksp.ok("new demo 1024 normal 0 0600");
    let odd = OsStr::from_bytes(b"odd\xFF");
    let word = |text| OsStr::new(text);
    assert_eq!(wksp.run(&[word("check"), odd]).code, Some(1));
    let path = bench.path().join(odd);
    let path = path.as_os_str();
    let ran = wksp.run(&[word("checkpt"), word("demo"), path, word("0600"), word("0"), odd]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ran = wksp.run(&[word("checkpt-query"), path, word("0")]);
    let shown = [b"checkpt ", path.as_bytes(), b" (verbose 0)\n\tstyle"].concat();
    assert!(ran.stdout.starts_with(&shown), "{ran:?}");
}

#[test]
fn a_base_directory_that_is_not_there_is_not_made() {
    let bench = Bench::new();
    let wksp = Legacy { name: "fd_wksp_ctl", base: bench.path().join("none") };
    wksp.fails("new demo 1024 normal 0 0600");
    wksp.shrugs("usage demo 1", "-\n");
    assert!(!bench.path().join("none").exists());
}
