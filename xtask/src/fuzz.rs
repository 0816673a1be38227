//! `cargo xtask fuzz`: libFuzzer on each of the targets in `fuzz`; and a short form for `ci` that
//! needs no more than the tests do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::{cargo, output_of, run as run_command, run_tests};
use crate::repository;
use crate::tally::Tally;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Run this target only; may be given more than once [default: all, one after the other]
    #[arg(long = "target", value_name = "NAME")]
    targets: Vec<String>,
    /// How long each target is run
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
    /// Only say what the machine lacks, and skip, rather than install it
    #[arg(long)]
    no_install: bool,
}

/// What libFuzzer is told: no input may take more memory or time than this.
const LIMITS: [&str; 4] =
    ["-rss_limit_mb=2048", "-malloc_limit_mb=256", "-timeout=10", "-max_len=32768"];

/// Runs the targets asked for, all of them if none is named, under libFuzzer.
pub(crate) fn run(options: &Options) -> Result<()> {
    let all = targets()?;
    let unknown = options.targets.iter().find(|name| !all.contains(name));
    if let Some(unknown) = unknown {
        bail!("there is no target {unknown}, but {}", all.join(", "));
    }
    let wanted = if options.targets.is_empty() { &all } else { &options.targets };
    let seconds = options.seconds;
    println!("Fuzzing {} for {seconds} seconds each.", wanted.join(", "));
    if let Some(lacking) = lacking(options.no_install)? {
        println!("SKIPPED: {lacking}");
        println!("0 targets passed, 0 failed, {} skipped", wanted.len());
        return Ok(());
    }
    seed()?;
    let mut failed = Vec::new();
    for target in wanted {
        if let Err(error) = fuzz(target, seconds) {
            println!("error: {error:#}");
            failed.push(target.as_str());
        }
    }
    let passed = wanted.len().saturating_sub(failed.len());
    println!("{passed} targets passed, {} failed, 0 skipped", failed.len());
    if !failed.is_empty() {
        bail!("inputs in {} break: {}", directory().join("artifacts").display(), failed.join(", "));
    }
    Ok(())
}

/// Runs each target with its seeds and some thousand mutations of these, without libFuzzer.
pub(crate) fn short() -> Result<Tally> {
    run_tests(&mut on_targets("test")?)
}

/// Fails if the targets are not formatted; they are in no workspace, so Cargo does not look.
pub(crate) fn check_format() -> Result<()> {
    run_command(cargo(["fmt", "--check", "--manifest-path"]).arg(manifest()))
}

/// Fails if clippy has a warning for the targets.
pub(crate) fn clippy() -> Result<()> {
    run_command(on_targets("clippy")?.args(["--all-targets", "--", "-D", "warnings"]))
}

/// Returns what keeps libFuzzer from being run, if anything does, after installing what it can.
fn lacking(no_install: bool) -> Result<Option<String>> {
    if output_of(nightly().arg("--version")).is_none() {
        let remedy = "rustup toolchain install nightly --profile minimal";
        return Ok(Some(format!("there is no nightly toolchain; install one with: {remedy}")));
    }
    if output_of(Command::new("c++").arg("--version")).is_none() {
        let remedy = "apt-get install g++";
        return Ok(Some(format!("there is no C++ compiler; install one with: {remedy}")));
    }
    if output_of(nightly().args(["fuzz", "--version"])).is_some() {
        return Ok(None);
    }
    let remedy = ["install", "cargo-fuzz", "--locked"];
    if no_install {
        let remedy = remedy.join(" ");
        return Ok(Some(format!("there is no cargo-fuzz; install it with: cargo {remedy}")));
    }
    println!("There is no cargo-fuzz here, so it is installed.");
    run_command(&mut cargo(remedy))?;
    Ok(None)
}

/// Writes the seeds to where libFuzzer looks for them.
fn seed() -> Result<()> {
    let mut command = on_targets("run")?;
    run_command(command.args(["--bin", "seed", "--"]).arg(directory().join("corpus")))
}

/// Builds a target with AddressSanitizer, which takes minutes the first time, and runs it.
fn fuzz(target: &str, seconds: u32) -> Result<()> {
    let mut command = nightly();
    command.current_dir(repository::root());
    command.args(["fuzz", "run", "--features", "libfuzzer", "--fuzz-dir", "fuzz", "--target-dir"]);
    command.arg(repository::target().join("fuzz"));
    command.args([target, "--"]).arg(format!("-max_total_time={seconds}"));
    run_command(command.args(LIMITS).arg("-print_final_stats=1"))
}

/// Returns a command that runs the Cargo of the nightly toolchain.
fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo"]);
    command
}

/// Returns a command that has Cargo do something with the targets.
fn on_targets(what: &str) -> Result<Command> {
    take_lock_file()?;
    let mut command = cargo([what, "--manifest-path"]);
    command.arg(manifest()).arg("--target-dir").arg(repository::target());
    Ok(command)
}

/// Gives the targets the lock file of the workspace, to which Cargo adds what only they need.
fn take_lock_file() -> Result<()> {
    let (from, to) = (repository::root().join("Cargo.lock"), directory().join("Cargo.lock"));
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    // One that is up to date is kept with its additions, so that no registry has to be asked.
    if changed(&to) < changed(&from) {
        fs::copy(&from, &to).context("cannot give fuzz the lock file of the workspace")?;
    }
    Ok(())
}

/// Returns the names of all targets.
fn targets() -> Result<Vec<String>> {
    let files = repository::files(&directory().join("fuzz_targets"))?;
    let names = files.iter().filter_map(|file| file.file_stem());
    Ok(names.map(|name| name.to_string_lossy().into_owned()).collect())
}

fn manifest() -> PathBuf {
    directory().join("Cargo.toml")
}

fn directory() -> PathBuf {
    repository::root().join("fuzz")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_target_is_refused_with_the_names_of_all() {
        let options = Options { targets: vec!["v9".into()], seconds: 1, no_install: true };
        let error = run(&options).unwrap_err().to_string();
        assert!(error.contains("v9") && error.contains("v2_stream"), "{error}");
    }
}
