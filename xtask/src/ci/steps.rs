//! The table of steps.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::Options;
use crate::command::{cargo, output_of, run, run_tests, tests};
use crate::tally::Tally;
use crate::{bench, demo, dist, fuzz, house, no_std, tools, vm};

/// A named part of the whole.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) does: &'static str,
    pub(super) run: fn(&Options) -> Result<Tally>,
}

/// All steps, in the order in which they run: what is quick and often wrong comes first.
pub(super) const STEPS: &[Step] = &[
    Step { name: "tools", does: "what the machine lacks is installed, or listed", run: tools_step },
    Step { name: "format", does: "all code is formatted as cargo fmt does", run: format },
    Step { name: "house", does: "the house rules that no compiler knows hold", run: house_step },
    Step { name: "clippy", does: "clippy has no warning, with all features and none", run: clippy },
    Step {
        name: "golden",
        does: "the golden files are there, or else which tests are skipped",
        run: golden,
    },
    Step { name: "test", does: "all tests pass", run: test },
    Step { name: "doctest", does: "all examples in the documentation run", run: doctest },
    Step { name: "doc", does: "the documentation builds without a warning", run: doc },
    Step {
        name: "no-std",
        does: "the inner crates link without std and allocator",
        run: no_std_step,
    },
    Step { name: "fuzz", does: "no reader minds what the bytes are, in short", run: fuzz_step },
    Step { name: "bench", does: "the benchmarks run, in short", run: bench_step },
    Step { name: "dist", does: "the tool is packed the same twice, and installs", run: dist_step },
    Step { name: "demo", does: "the demonstration loses nothing", run: demo_step },
    Step {
        name: "vm",
        does: "the tests of placement pass on machines with several nodes",
        run: vm_step,
    },
];

/// The environment variable that names the directory of the golden files.
const GOLDEN_DIR: &str = "WKSP_GOLDEN_DIR";
/// The environment variable that, set to anything, forbids tests to skip themselves without it.
const GOLDEN_REQUIRED: &str = "WKSP_REQUIRE_GOLDEN";
/// What the names of tests contain that cannot do without golden files; see the house rules.
const GOLDEN_MODULE: &str = "golden::";

fn tools_step(options: &Options) -> Result<Tally> {
    tools::ensure_for_tests(options.no_install).map(|()| Tally::default())
}

fn format(_: &Options) -> Result<Tally> {
    run(&mut cargo(["fmt", "--all", "--check"]))?;
    no_std::check_format()?;
    fuzz::check_format()?;
    Ok(Tally::default())
}

fn house_step(_: &Options) -> Result<Tally> {
    house::run().map(|()| Tally::default())
}

fn clippy(_: &Options) -> Result<Tally> {
    let deny = ["--", "-D", "warnings"];
    run(cargo(["clippy", "--workspace", "--all-targets", "--all-features"]).args(deny))?;
    // What is published has no features but the default ones, and other code for it.
    run(cargo(["clippy", "--workspace", "--exclude", "wksp-demo"]).args(deny))?;
    fuzz::clippy()?;
    Ok(Tally::default())
}

/// The directory of the golden files, if the environment names one.
fn golden_directory() -> Option<PathBuf> {
    let named = std::env::var_os(GOLDEN_DIR).filter(|directory| !directory.is_empty());
    named.map(PathBuf::from)
}

fn golden(options: &Options) -> Result<Tally> {
    let remedy = "let it name their directory, as an absolute path";
    match golden_directory() {
        Some(directory) if directory.join("manifest.json").is_file() => {
            println!("Golden files in {}.", directory.display());
            Ok(Tally::default())
        }
        Some(directory) => bail!(
            "{GOLDEN_DIR} is {}, where there is no manifest.json of golden files: {remedy}",
            directory.display()
        ),
        None if options.require_golden => {
            bail!("golden files are required, but {GOLDEN_DIR} is not set: {remedy}")
        }
        None => {
            println!("{GOLDEN_DIR} is not set: to run the tests with golden files, {remedy}.");
            skipped_without_golden_files()
        }
    }
}

/// Lists the tests that cannot do without golden files, each as a skipped one.
fn skipped_without_golden_files() -> Result<Tally> {
    let Some(list) = output_of(tests().args(["--", GOLDEN_MODULE, "--list"])) else {
        bail!("cannot list the tests with golden files");
    };
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let skipped = names.map(|name| format!("{name}: {GOLDEN_DIR} is not set")).collect();
    Ok(Tally { skipped, ..Tally::default() })
}

fn test(options: &Options) -> Result<Tally> {
    let mut tests = tests();
    if options.require_golden {
        tests.env(GOLDEN_REQUIRED, "1");
    } else if golden_directory().is_none() {
        tests.args(["--", "--skip", GOLDEN_MODULE]);
    }
    run_tests(&mut tests)
}

fn doctest(_: &Options) -> Result<Tally> {
    run_tests(&mut cargo(["test", "--workspace", "--all-features", "--doc", "--no-fail-fast"]))
}

fn doc(_: &Options) -> Result<Tally> {
    run(cargo(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Tally::default())
}

fn no_std_step(_: &Options) -> Result<Tally> {
    no_std::run().map(|()| Tally::default())
}

fn fuzz_step(_: &Options) -> Result<Tally> {
    fuzz::short()
}

fn bench_step(_: &Options) -> Result<Tally> {
    bench::short()
}

fn dist_step(_: &Options) -> Result<Tally> {
    dist::check().map(|()| Tally::default())
}

fn demo_step(_: &Options) -> Result<Tally> {
    demo::run_on_checkout().map(|()| Tally::default())
}

fn vm_step(options: &Options) -> Result<Tally> {
    vm::check(options.no_install)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_fit_the_table() {
        for (at, step) in STEPS.iter().enumerate() {
            assert!(step.name.len() <= 8, "{}", step.name);
            assert!(STEPS[..at].iter().all(|other| other.name != step.name), "{}", step.name);
        }
    }
}
