//! `cargo xtask mutants`: breaks the code in one place after the other, and sees whether a test
//! notices.

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::{cargo, listen, output_of, run as run_command};
use crate::repository;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Break this part only; may be given more than once [default: all, one after the other]
    #[arg(long = "part", value_name = "NAME", value_parser = part_names())]
    parts: Vec<String>,
    /// Every place, rather than one in twenty; this takes hours
    #[arg(long)]
    all: bool,
    /// Which share of the places: K/N, counted from 0 [default: 0/20]
    #[arg(long, value_name = "K/N", conflicts_with = "all")]
    shard: Option<String>,
    /// Only say what the machine lacks, and skip, rather than install it
    #[arg(long)]
    no_install: bool,
}

/// Code in which every mistake should be noticed by its own crate's tests.
struct Part {
    name: &'static str,
    package: &'static str,
    /// The files below its `src`; all if there are none.
    files: &'static [&'static str],
    /// Parts of the names of tests that take longest: they run on what the others have missed.
    slow: &'static [&'static str],
}

const PARTS: [Part; 3] = [
    Part { name: "treap", package: "wksp-treap", files: &[], slow: &[] },
    Part { name: "core", package: "wksp-core", files: &[], slow: &["crash::"] },
    Part {
        name: "readers",
        package: "wksp-checkpt",
        files: &["scan", "input", "frame", "head", "index", "pass", "lz4", "svw"],
        slow: &[
            "no_single_bit",
            "the_bytes_do_not_depend",
            "a_sink_that_fails",
            "independent_readers",
            "every_file_and_stream",
            "a_source_that_fails",
            "a_stream_or_spool",
        ],
    },
];

/// Small enough to be through in minutes for a small part.
const SHORT: &str = "0/20";

fn part_names() -> Vec<&'static str> {
    PARTS.iter().map(|part| part.name).collect()
}

/// How many places were broken in one way, by how that ended.
#[derive(Debug, Default)]
struct Outcomes {
    caught: usize,
    missed: Vec<String>,
    unviable: usize,
    timeouts: Vec<String>,
}

/// Breaks the parts asked for, and lists what no test noticed.
pub(crate) fn run(options: &Options) -> Result<()> {
    let wanted = |part: &&Part| {
        options.parts.is_empty() || options.parts.iter().any(|name| name == part.name)
    };
    let shard = (!options.all).then(|| options.shard.as_deref().unwrap_or(SHORT));
    if output_of(&mut cargo(["mutants", "--version"])).is_none() {
        let remedy = ["install", "cargo-mutants", "--locked"];
        if options.no_install {
            let remedy = remedy.join(" ");
            println!("SKIPPED: there is no cargo-mutants; install it with: cargo {remedy}");
            return Ok(());
        }
        println!("There is no cargo-mutants here, so it is installed.");
        run_command(&mut cargo(remedy))?;
    }
    let mut rows = Vec::new();
    for part in PARTS.iter().filter(wanted) {
        rows.push((part.name, mutate(part, shard)?));
    }
    println!("\npart      caught  missed  unviable  timeouts");
    for (name, outcomes) in &rows {
        let Outcomes { caught, missed, unviable, timeouts } = outcomes;
        let (missed, timeouts) = (missed.len(), timeouts.len());
        println!("{name:8}  {caught:6}  {missed:6}  {unviable:8}  {timeouts:8}");
    }
    for (_, outcomes) in &rows {
        outcomes.missed.iter().for_each(|missed| println!("MISSED: {missed}"));
        outcomes.timeouts.iter().for_each(|timeout| println!("TIMEOUT: {timeout}"));
    }
    Ok(())
}

/// Breaks one part, or a share of its places: with the fast tests first, and with all of them what
/// those have missed.
fn mutate(part: &Part, shard: Option<&str>) -> Result<Outcomes> {
    let output = repository::target().join("mutants").join(part.name);
    // What an earlier campaign noticed says nothing of the code as it is now.
    if output.exists() {
        fs::remove_dir_all(&output)
            .with_context(|| format!("cannot clear {}", output.display()))?;
    }
    fs::create_dir_all(&output).with_context(|| format!("cannot make {}", output.display()))?;
    let fast = test(part, shard, &output, part.slow)?;
    if part.slow.is_empty() || fast.missed.is_empty() && fast.timeouts.is_empty() {
        return Ok(fast);
    }
    let all = test(part, shard, &output, &[])?;
    Ok(Outcomes {
        caught: fast.caught.saturating_add(all.caught),
        unviable: fast.unviable.saturating_add(all.unviable),
        ..all
    })
}

/// Tests what no run before has noticed, without the tests named by `skipped`.
fn test(part: &Part, shard: Option<&str>, output: &Path, skipped: &[&str]) -> Result<Outcomes> {
    let mut command = cargo(["mutants", "--no-times", "--colors", "never", "--iterate"]);
    command.args(["--package", part.package]).arg("--output").arg(output);
    for file in part.files {
        command.args(["--file", &format!("crates/{}/src/{file}.rs", part.package)]);
    }
    if let Some(shard) = shard {
        command.args(["--shard", shard]);
    }
    // A test binary ends with its first failure only if it takes itself for one of a nightly
    // compiler. Of a compiler that builds, nothing is asked.
    command.args(["--", "--lib", "--tests", "--", "-Z", "unstable-options", "--fail-fast"]);
    command.args(skipped.iter().flat_map(|name| ["--skip", name]));
    let runner = format!("CARGO_TARGET_{}_UNKNOWN_LINUX_GNU_RUNNER", ARCH.to_uppercase());
    command.env(runner, "env RUSTC_BOOTSTRAP=1");
    // What it builds is no use to anybody else, and must not be in the way of other builds.
    command.env("CARGO_TARGET_DIR", repository::target().join("mutants").join("target"));
    let status = listen(&mut command, |said| println!("{said}"))?;
    // 2 and 3 say that something was missed or took too long, which is a result.
    if !status.success() && !matches!(status.code(), Some(2 | 3)) {
        bail!("cargo mutants ended with {status}");
    }
    let lines = |name: &str| -> Result<Vec<String>> {
        let path: PathBuf = output.join("mutants.out").join(format!("{name}.txt"));
        let text = fs::read_to_string(&path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    Ok(Outcomes {
        caught: lines("caught")?.len(),
        missed: lines("missed")?,
        unviable: lines("unviable")?.len(),
        timeouts: lines("timeout")?,
    })
}
