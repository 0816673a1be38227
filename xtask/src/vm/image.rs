//! The first file system of a machine: a shell, the programs, and the script that runs them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::archive::Archive;
use super::programs::{Installed, TEST_PROGRAMS, TestProgram};

/// The first process.
const INIT: &str = include_str!("init.sh");

/// Directories that are there whether or not something is in them.
const DIRECTORIES: [&str; 8] = ["dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp"];

/// Returns the archive of a file system that has all tests run with `arguments` besides their own.
pub(super) fn image(
    busybox: &Path,
    programs: &[Installed],
    arguments: &[String],
) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    let mut directories = BTreeSet::from(DIRECTORIES.map(PathBuf::from));
    let busybox = Installed { from: busybox.into(), to: "bin/busybox".into() };
    let files: Vec<&Installed> = std::iter::once(&busybox).chain(programs).collect();
    for file in &files {
        // The last is the one that has no name.
        let above = Path::new(&file.to).ancestors().skip(1);
        directories.extend(above.filter(|path| *path != Path::new("")).map(Path::to_path_buf));
    }
    // In order, so that each comes after the one that it is in.
    for directory in directories {
        archive.directory(&directory.to_string_lossy())?;
    }
    for Installed { from, to } in files {
        let contents = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        archive.file(to, &contents)?;
    }
    archive.file("init", INIT.as_bytes())?;
    archive.file("plan", plan(TEST_PROGRAMS, arguments).as_bytes())?;
    archive.finish()
}

/// Returns the lines of the script that run the tests.
fn plan(programs: &[TestProgram], arguments: &[String]) -> String {
    let lines = programs.iter().map(|program| {
        let mut words = vec!["run".to_owned(), program.key(), "env".to_owned()];
        let settings = program.environment.iter();
        words.extend(settings.map(|(name, value)| quoted(&format!("{name}={value}"))));
        words.push(format!("/{}", program.path()));
        words.extend(program.arguments.iter().map(|argument| quoted(argument)));
        words.extend(arguments.iter().map(|argument| quoted(argument)));
        words.join(" ") + "\n"
    });
    lines.collect()
}

/// A word that a shell takes for what it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_runs_each_program_with_its_arguments_and_those_of_all() {
        let program = |name| TestProgram {
            package: "p",
            name,
            arguments: &["--test-threads=1"],
            environment: &[("WKSP_X", "a b")],
        };
        let plan = plan(&[program("one"), program("other")], &["it's".to_owned()]);
        let line = |key| {
            format!("run {key} env 'WKSP_X=a b' /tests/{key} '--test-threads=1' 'it'\\''s'\n")
        };
        let expected = line("p/one") + &line("p/other");
        assert_eq!(plan, expected);
    }

    #[test]
    fn a_directory_comes_before_what_is_in_it() {
        let own = std::env::current_exe().unwrap();
        let deep = Installed { from: own.clone(), to: "usr/lib/deep/library.so".into() };
        let image = image(&own, &[deep], &[]).unwrap();
        let at = |name: &[u8]| image.windows(name.len()).position(|window| window == name).unwrap();
        let order = [at(b"usr\0"), at(b"usr/lib\0"), at(b"usr/lib/deep\0"), at(b"library.so\0")];
        assert!(order.is_sorted(), "{order:?}");
        assert!(at(b"bin\0") < at(b"bin/busybox\0"));
    }
}
