//! The demonstration on directories of all kinds, and with something wrong.

#![expect(clippy::unwrap_used, reason = "the helpers of the tests are tests as well")]

use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const DEMO: &str = env!("CARGO_BIN_EXE_wksp-demo");

fn demo(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(DEMO).args(arguments).arg(directory).output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Makes files with the given names, each with some bytes of its own.
fn files(names: &[&str], bytes: usize) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, fill) in names.iter().zip(b'a'..) {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![fill; bytes]).unwrap();
    }
    directory
}

fn assert_succeeds(directory: &Path, arguments: &[&str], files: usize) {
    let output = demo(directory, arguments);
    let printed = printed(&output);
    assert!(output.status.success(), "{printed}");
    // From the first workspace, and from the one that was restored.
    let same = format!("{files} of {files} are the same as on disk");
    assert_eq!(printed.matches(&same).count(), 2, "{printed}");
    assert!(printed.contains("Destroy  ") && printed.contains("Restore  "), "{printed}");
    assert!(printed.contains("takes the lock over"), "{printed}");
    let place = printed.lines().find_map(|line| line.split_once(" in /dev/shm/"));
    let place = place.unwrap().1.split('/').next().unwrap();
    assert!(!Path::new("/dev/shm").join(place).exists(), "{printed}");
}

#[test]
fn directories_of_all_kinds_are_loaded() {
    assert_succeeds(files(&["only"], 100).path(), &[], 1);
    let mostly_empty = files(&["a", "b", "c", "d", "e"], 0);
    fs::write(mostly_empty.path().join("b"), "bytes").unwrap();
    assert_succeeds(mostly_empty.path(), &["--workers", "2"], 5);
    assert_succeeds(files(&["x y", "line\nbreak", "deep/er/file"], 5000).path(), &[], 3);
    assert_succeeds(files(&["a", "b", "c", "d", "e"], 4096).path(), &["--workers", "1"], 5);
    assert_succeeds(files(&["a", "b", "c", "d", "e"], 70_000).path(), &["--workers", "9"], 5);
}

#[test]
fn names_need_not_be_text() {
    let directory = files(&["a"], 10);
    let name = std::ffi::OsString::from_vec(vec![b'n', 0xff, b'x']);
    fs::write(directory.path().join(name), "bytes").unwrap();
    assert_succeeds(directory.path(), &[], 2);
}

#[test]
fn what_git_and_cargo_made_and_links_are_left_out() {
    let directory = files(&["a", ".git/b", "target/c"], 10);
    std::os::unix::fs::symlink("a", directory.path().join("link")).unwrap();
    assert_succeeds(directory.path(), &[], 1);
}

#[test]
fn without_files_there_is_nothing_to_show() {
    for names in [&[][..], &["a", "b"]] {
        let output = demo(files(names, 0).path(), &[]);
        assert!(!output.status.success());
        assert!(printed(&output).contains("no file below"), "{}", printed(&output));
    }
    assert!(!demo(Path::new("/no/such/directory"), &[]).status.success());
}

/// A workspace left in place, and what is needed to read it back.
struct Kept {
    base: PathBuf,
    files: TempDir,
}

impl Kept {
    fn new() -> Self {
        let files = files(&["a", "b", "c", "d"], 5000);
        let output = demo(files.path(), &["--keep"]);
        let printed = printed(&output);
        assert!(output.status.success(), "{printed}");
        let (_, after) = printed.split_once("FD_SHMEM_PATH=").unwrap();
        let base = after.split_whitespace().next().unwrap();
        Self { base: base.into(), files }
    }

    fn read_back(&self) -> Output {
        let mut reader = Command::new(DEMO);
        reader.arg("read").arg("--base").arg(&self.base);
        reader.arg("--directory").arg(self.files.path()).output().unwrap()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.base);
    }
}

#[test]
fn what_is_kept_can_be_read_again() {
    let output = Kept::new().read_back();
    assert!(output.status.success(), "{}", printed(&output));
}

#[test]
fn a_single_wrong_byte_in_the_workspace_is_found() {
    let kept = Kept::new();
    let region = kept.base.join(".normal/demo");
    let mut bytes = fs::read(&region).unwrap();
    let at = bytes.windows(5000).position(|window| window.iter().all(|byte| *byte == b'c'));
    bytes[at.unwrap() + 4999] ^= 1;
    fs::write(&region, bytes).unwrap();
    let output = kept.read_back();
    assert!(!output.status.success());
    assert!(printed(&output).contains("c: the bytes in the workspace"), "{}", printed(&output));
}

#[test]
fn a_file_that_differs_on_disk_is_found() {
    let kept = Kept::new();
    fs::write(kept.files.path().join("b"), "other").unwrap();
    let output = kept.read_back();
    assert!(!output.status.success());
    assert!(printed(&output).contains("b: the file on disk has other bytes"), "{output:?}");
}
