//! What a real program allocates and frees: a C compiler at work, watched by the recorder.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, run};
use crate::repository;

/// Where what is recorded goes, below the root of the checkout.
const DIRECTORY: &str = "target/bench/recorded";
/// So many functions make it allocate about a million times.
const FUNCTIONS: u32 = 100;

/// Records a run of the C compiler, and returns the file of the process that did most.
pub(super) fn of_a_compiler() -> Result<PathBuf> {
    let directory = repository::root().join(DIRECTORY);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {directory:?}"))?;
    run(cargo(["build", "--release", "-p", "wksp-recorder", "--target-dir"]).arg(&directory))?;
    let recorder = directory.join("release/libwksp_recorder.so");
    let source = directory.join("work.c");
    fs::write(&source, program()?)?;
    let status = Command::new("cc")
        .args(["-O2", "-c", "-o"])
        .arg(directory.join("work.o"))
        .arg(&source)
        .env("LD_PRELOAD", &recorder)
        .env("WKSP_RECORD", directory.join("events"))
        .stdin(Stdio::null())
        .status()
        .context("cannot start cc, the C compiler")?;
    ensure!(status.success(), "cc ended with {status}");
    let mut largest = None;
    for entry in fs::read_dir(&directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with("events.") {
            largest = largest.max(Some((entry.metadata()?.len(), entry.path())));
        }
    }
    let (_, path) = largest.context("the recorder has recorded nothing")?;
    Ok(path)
}

/// A program in C of many functions that differ.
fn program() -> Result<String> {
    let mut text = String::from("unsigned state[64];\n");
    for number in 0..FUNCTIONS {
        let (a, b) = (number % 61, (number.wrapping_mul(2_654_435_761) % 97).max(1));
        writeln!(
            text,
            "unsigned f{number}(unsigned x, unsigned y) {{\n  for (unsigned i = 0; i < x % {b}u + 3; \
             i++) {{\n    state[(i + {a}u) % 64] ^= y * {b}u + (x >> (i % 7));\n    if (state[i % 64] \
             & {a}u) y += state[{a}] - x; else x ^= y << {};\n  }}\n  return x + y;\n}}",
            a % 13
        )?;
    }
    Ok(text)
}
