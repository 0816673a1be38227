//! The programs that a machine gets: the tests, and wksp-ctl.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::command::{cargo, listen, output_of};

/// A test program that is run in each machine.
pub(super) struct TestProgram {
    /// The package, whose directory under `crates` has the same name.
    pub(super) package: &'static str,
    /// What `cargo test --test` calls it.
    pub(super) name: &'static str,
    pub(super) arguments: &'static [&'static str],
    pub(super) environment: &'static [(&'static str, &'static str)],
}

impl TestProgram {
    /// What tells it from all others.
    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.package, self.name)
    }

    /// Where it is, without a slash in front.
    pub(super) fn path(&self) -> String {
        format!("tests/{}", self.key())
    }
}

/// All of them, in the order in which they run.
pub(super) const TEST_PROGRAMS: &[TestProgram] = &[
    TestProgram { package: "wksp-shmem", name: "numa", arguments: &[], environment: &[] },
    // Here root may look at every process.
    TestProgram { package: "wksp-shmem", name: "it", arguments: &[], environment: &[] },
    // What it says of a machine on which everything can be set up.
    TestProgram { package: "wksp-ctl", name: "it", arguments: &["doctor::"], environment: &[] },
];

/// The package, and the program, that tests may want to run.
const TOOL: &str = "wksp-ctl";

/// A program or a library, and where it goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Installed {
    pub(super) from: PathBuf,
    /// Without a slash in front.
    pub(super) to: String,
}

/// Builds all programs, and returns them with the libraries that they need.
pub(super) fn build() -> Result<Vec<Installed>> {
    // All packages with all features, though few of the programs: so these are the very same as
    // those of the step `test`, and not built again after it.
    let mut command = cargo(["test", "--workspace", "--all-features", "--no-run"]);
    for program in TEST_PROGRAMS {
        command.args(["--test", program.name]);
    }
    let tests = Artifacts::of(&mut command)?;
    let mut installed = Vec::new();
    for program in TEST_PROGRAMS {
        let from = tests.program(program.package, program.name)?;
        installed.push(Installed { from, to: program.path() });
    }
    let tools = Artifacts::of(&mut cargo(["build", "--package", TOOL]))?;
    installed.push(Installed { from: tools.program(TOOL, TOOL)?, to: format!("bin/{TOOL}") });
    let mut libraries = Vec::new();
    for program in &installed {
        let list = output_of(Command::new("ldd").arg(&program.from).env("LC_ALL", "C"));
        let list = list.with_context(|| format!("ldd fails on {}", program.from.display()))?;
        libraries.extend(libraries_in(&list)?);
    }
    installed.extend(libraries);
    installed.sort();
    installed.dedup();
    Ok(installed)
}

/// What Cargo said of each artifact.
struct Artifacts(Vec<Value>);

impl Artifacts {
    /// Runs a command that builds, and takes what it says.
    fn of(command: &mut Command) -> Result<Self> {
        command.arg("--message-format=json-render-diagnostics");
        let mut messages = Vec::new();
        let status = listen(command, |line| messages.extend(serde_json::from_str(line)))?;
        if !status.success() {
            bail!("what the machines are to run cannot be built: {status}");
        }
        Ok(Self(messages))
    }

    /// Returns where a program of a package was put.
    fn program(&self, package: &str, name: &str) -> Result<PathBuf> {
        let manifest = Path::new("crates").join(package).join("Cargo.toml");
        let text = |message: &Value, path| message.pointer(path)?.as_str().map(str::to_owned);
        let ours = self.0.iter().filter(|message| {
            text(message, "/target/name").is_some_and(|of| of == name)
                && text(message, "/manifest_path")
                    .is_some_and(|of| Path::new(&of).ends_with(&manifest))
        });
        let mut programs = ours.filter_map(|message| text(message, "/executable"));
        let program = programs.next();
        program.map(PathBuf::from).with_context(|| format!("Cargo built no {name} of {package}"))
    }
}

/// Returns the libraries in what `ldd` prints of a program.
fn libraries_in(list: &str) -> Result<Vec<Installed>> {
    let mut libraries = Vec::new();
    for line in list.lines() {
        let (name, path) = line.split_once(" => ").unwrap_or((line, line));
        let path = path.split(" (0x").next().unwrap_or(path).trim();
        if path == "not found" {
            bail!("the library {} is not found", name.trim());
        }
        let Some(absolute) = path.strip_prefix('/') else { continue };
        // The path of the loader stands in the programs; it looks for all others in /lib.
        let to = match path.rsplit_once('/') {
            Some((_, file)) if line.contains(" => ") => format!("lib/{file}"),
            _ => absolute.to_owned(),
        };
        libraries.push(Installed { from: path.into(), to });
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_collected_in_one_place_but_for_the_loader() {
        let list = "\tlinux-vdso.so.1 (0x00007fa8cbe1f000)\n\
                    \tlibc.so.6 => /usr/lib/x86_64-linux-gnu/libc.so.6 (0x00007fa8cba87000)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007fa8cbe21000)\n";
        let installed = |from: &str, to: &str| Installed { from: from.into(), to: to.into() };
        let expected = [
            installed("/usr/lib/x86_64-linux-gnu/libc.so.6", "lib/libc.so.6"),
            installed("/lib64/ld-linux-x86-64.so.2", "lib64/ld-linux-x86-64.so.2"),
        ];
        assert_eq!(libraries_in(list).unwrap(), expected);
        assert_eq!(libraries_in("\tstatically linked\n").unwrap(), []);
        let error = libraries_in("\tlibx.so.1 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libx.so.1"), "{error}");
    }

    #[test]
    fn programs_are_told_apart_by_package_and_name() {
        let message = |package: &str, name: &str, executable: &str| {
            let manifest = format!("/x/crates/{package}/Cargo.toml");
            serde_json::json!({
                "reason": "compiler-artifact", "manifest_path": manifest,
                "target": { "name": name }, "executable": executable,
            })
        };
        let artifacts = Artifacts(vec![
            serde_json::json!({ "reason": "build-finished" }),
            message("a", "it", "/x/it-1"),
            message("b", "it", "/x/it-2"),
        ]);
        assert_eq!(artifacts.program("b", "it").unwrap(), PathBuf::from("/x/it-2"));
        let error = artifacts.program("b", "other").unwrap_err().to_string();
        assert!(error.contains("other of b"), "{error}");
    }
}
