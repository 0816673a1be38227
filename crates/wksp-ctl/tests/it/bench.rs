//! A base directory of a test's own, and the tool run on it.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::{fmt, fs, thread};

use serde_json::Value;
use tempfile::TempDir;

use crate::schema;

/// The bytes of the header that every operation may change: cycle_tag and the lock word.
const RESTLESS: std::ops::Range<usize> = 104..120;

/// A base directory, removed on drop with all that is in it.
pub(crate) struct Bench {
    directory: TempDir,
}

/// How a run of the tool has ended.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Bench {
    /// A base directory without workspaces.
    pub(crate) fn new() -> Self {
        let directory =
            tempfile::Builder::new().prefix("wksp-ctl-").tempdir_in("/dev/shm").unwrap();
        fs::create_dir(directory.path().join(".normal")).unwrap();
        Self { directory }
    }

    /// A base directory with a workspace called `demo`.
    pub(crate) fn with_demo(size: &str) -> Self {
        let bench = Self::new();
        bench.ok(["new", "demo", "--size", size]);
        bench
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Where the region of normal pages called `name` is.
    pub(crate) fn region(&self, name: &str) -> PathBuf {
        self.path().join(".normal").join(name)
    }

    /// The bytes of a region, without those that every operation may change.
    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let mut bytes = fs::read(self.region(name)).unwrap();
        if let Some(restless) = bytes.get_mut(RESTLESS) {
            restless.fill(0);
        }
        bytes
    }

    /// Overwrites bytes of a region.
    pub(crate) fn patch(&self, name: &str, at: usize, bytes: &[u8]) {
        let mut region = fs::read(self.region(name)).unwrap();
        region[at..at + bytes.len()].copy_from_slice(bytes);
        fs::write(self.region(name), region).unwrap();
    }

    /// The tool with the base directory and no input, to be run.
    pub(crate) fn command<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Command {
        let mut command = tool();
        command.arg("--base").arg(self.path()).args(args);
        command
    }

    pub(crate) fn run<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Ran {
        Ran::of(self.command(args).output().unwrap())
    }

    /// Runs the tool with `input` as its standard input.
    pub(crate) fn pipe<I: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = I>,
        input: &[u8],
    ) -> Ran {
        let mut command = self.command(args);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = thread::scope(|scope| {
            // It may stop reading at any time.
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().unwrap()
        });
        Ran::of(output)
    }

    /// Runs what must succeed and say nothing on standard error, and returns what it prints.
    pub(crate) fn ok<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> String {
        let ran = self.run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        ran.text()
    }

    /// Runs what must succeed with --json, and returns the one document it prints.
    pub(crate) fn json<I: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = I>) -> Value {
        let ran = Ran::of(self.command(args).arg("--json").output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{ran:?}");
        ran.document()
    }

    /// Runs what must fail with `code`, changing no byte under `name`, in text and in JSON.
    ///
    /// Returns cause and remedy.
    pub(crate) fn fails(&self, args: &[&str], code: i32, name: &str) -> (String, String) {
        let before = self.bytes(name);
        let (text, json) = (self.run(args), self.run([&["--json"], args].concat()));
        assert!(self.bytes(name) == before, "{args:?} changed {name}");
        let error = json.error(code);
        assert_eq!(text.code, Some(code), "{args:?}: {text:?}");
        text.cause_and_remedy();
        error
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { code, stdout, stderr } = self;
        let stdout = String::from_utf8_lossy(stdout);
        write!(f, "ended with {code:?}, said {stdout:?}, and complained {stderr:?}")
    }
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let stderr = String::from_utf8(output.stderr).unwrap();
        schema::check(&output.stdout, &stderr);
        Self { code: output.status.code(), stdout: output.stdout, stderr }
    }

    /// Standard output as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    /// Standard output as one JSON document in one line.
    pub(crate) fn document(&self) -> Value {
        let text = self.text();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let document: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["schema"], 1);
        document
    }

    /// The cause and remedy of a failure, as text.
    pub(crate) fn cause_and_remedy(&self) -> (String, String) {
        let mut lines = self.stderr.lines().filter(|line| !line.starts_with("note: "));
        let cause = lines.next().and_then(|line| line.strip_prefix("error: "));
        let remedy = lines.next().and_then(|line| line.strip_prefix("remedy: "));
        let cause_and_remedy = cause.zip(remedy).filter(|_| lines.next().is_none());
        let (cause, remedy) = cause_and_remedy.unwrap_or_else(|| panic!("{self:?}"));
        (cause.to_owned(), remedy.to_owned())
    }

    /// The message and remedy of a failure with `code`, as JSON.
    pub(crate) fn error(&self, code: i32) -> (String, String) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let last = self.stderr.lines().last().unwrap_or_else(|| panic!("{self:?}"));
        let document: Value = serde_json::from_str(last).unwrap_or_else(|_| panic!("{self:?}"));
        let kinds =
            ["done", "failed", "usage", "not_found", "no_room", "corrupt", "busy", "permission"];
        let error = &document["error"];
        assert_eq!(document["schema"], 1);
        assert_eq!(error["exit_code"], code);
        let kind = kinds.get(usize::try_from(code).unwrap()).copied();
        assert_eq!(error["kind"], kind.unwrap_or("interrupted"));
        let text =
            |field: &str| error[field].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned();
        (text("message"), text("remedy"))
    }
}

/// Where the tool is: where it was built, or among the programs of another machine.
pub(crate) fn program() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_wksp-ctl"));
    let elsewhere = Path::new("/bin/wksp-ctl");
    let found = if built.exists() { built } else { elsewhere };
    found.to_owned()
}

/// The tool, without what the environment may say about it.
pub(crate) fn tool() -> Command {
    let mut command = Command::new(program());
    command.env_remove("FD_SHMEM_PATH").env_remove("WKSP_SINGLE_PID_NAMESPACE");
    command.stdin(Stdio::null());
    command
}

/// Bytes that look random, the same each time.
pub(crate) fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64 ^ count as u64;
    let mut bytes = Vec::with_capacity(count);
    while bytes.len() < count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.push(state.to_le_bytes()[7]);
    }
    bytes
}
