//! The proof that the inner crates need neither std nor an allocator: `no-std-proof` beside this.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{cargo, output_of, run as run_command};
use crate::repository;

/// A target without an operating system, for which there is no std to fall back on.
const BARE_TARGET: &str = "x86_64-unknown-none";

/// Parts of names that a program contains only if it has a way to an allocator or to std.
const FORBIDDEN: [&str; 4] = ["__rust_alloc", "__rust_dealloc", "__rdl_alloc", "std..rt"];

/// Part of a name that the proof contains if names are to be found in it at all.
const EXPECTED: &str = "wksp_core";

/// Builds the proof, looks for what must not be in it, and runs it.
pub(crate) fn run() -> Result<()> {
    // One lock file for the whole repository: Cargo drops from it what the proof does not need.
    fs::copy(repository::root().join("Cargo.lock"), directory().join("Cargo.lock"))
        .context("cannot give the proof the lock file of the workspace")?;
    let target = repository::target().join("no-std");
    run_command(
        cargo(["build", "--release", "--manifest-path"])
            .arg(directory().join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&target),
    )?;
    let program = target.join("release/no-std-proof");
    check_names(&program)?;
    run_command(&mut Command::new(&program))?;
    println!(
        "A program without std and without an allocator was linked with both crates, and ran."
    );
    build_for_bare_target(&target)
}

/// Fails if the proof is not formatted; it is no member of the workspace, so Cargo does not look.
pub(crate) fn check_format() -> Result<()> {
    run_command(cargo(["fmt", "--check", "--manifest-path"]).arg(directory().join("Cargo.toml")))
}

fn check_names(program: &Path) -> Result<()> {
    let bytes = fs::read(program)
        .with_context(|| format!("cannot read the program {}", program.display()))?;
    let contains = |name: &str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    if !contains(EXPECTED) {
        bail!("{} has no name with {EXPECTED} in it: was it stripped?", program.display());
    }
    let found: Vec<&str> = FORBIDDEN.into_iter().filter(|name| contains(name)).collect();
    if !found.is_empty() {
        bail!("a program that should have no allocator and no std contains {}", found.join(", "));
    }
    Ok(())
}

fn build_for_bare_target(target: &Path) -> Result<()> {
    let sysroot = output_of(Command::new("rustc").args(["--print", "sysroot"]))
        .context("cannot ask rustc where it is")?;
    let installed = Path::new(sysroot.trim()).join("lib/rustlib").join(BARE_TARGET).is_dir();
    if !installed {
        println!("Not built for {BARE_TARGET} as well, since that target is not installed here.");
        return Ok(());
    }
    run_command(
        cargo(["build", "--package", "wksp-core", "--target", BARE_TARGET, "--target-dir"])
            .arg(target),
    )
}

fn directory() -> PathBuf {
    repository::root().join("xtask/no-std-proof")
}
