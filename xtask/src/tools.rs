//! What the project needs beyond Cargo and rustc, and how a Debian machine gets it.

use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, output_of, run};

/// Something that has to be on the machine.
struct Tool {
    name: &'static str,
    why: &'static str,
    present: fn() -> bool,
    source: Source,
}

/// Where a tool comes from.
#[derive(Clone, Copy)]
enum Source {
    /// Packages of Debian and its descendants.
    Debian(&'static [&'static str]),
    /// A component of the Rust toolchain.
    Rustup(&'static str),
}

/// All that the checks and the demo need.
const TOOLS: &[Tool] = &[
    Tool {
        name: "cc",
        why: "rustc links programs with it, and some dependencies are written in C",
        present: || output_of(Command::new("cc").arg("--version")).is_some(),
        source: Source::Debian(&["gcc", "libc6-dev"]),
    },
    Tool {
        name: "rustfmt",
        why: "the step `format`",
        present: || output_of(&mut cargo(["fmt", "--version"])).is_some(),
        source: Source::Rustup("rustfmt"),
    },
    Tool {
        name: "clippy",
        why: "the step `clippy`",
        present: || output_of(&mut cargo(["clippy", "--version"])).is_some(),
        source: Source::Rustup("clippy"),
    },
];

/// Sees to it that all tools are there, or with `no_install` only says which ones are not.
///
/// # Errors
///
/// A tool is missing, and stayed so.
pub(crate) fn ensure(no_install: bool) -> Result<()> {
    let missing = report();
    if missing.is_empty() {
        return Ok(());
    }
    let remedies = remedies(&missing);
    if no_install {
        let lines: Vec<String> = remedies.iter().map(|remedy| remedy.join(" ")).collect();
        bail!("tools are missing, and --no-install was given; install with: {}", lines.join("; "));
    }
    for remedy in &remedies {
        let Some((program, arguments)) = remedy.split_first() else { continue };
        run(Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))?;
    }
    let missing = report();
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
        bail!("still missing after the installation: {}", names.join(", "));
    }
    Ok(())
}

/// Says what is there and what is not, and returns the latter.
fn report() -> Vec<&'static Tool> {
    let (present, missing): (Vec<_>, Vec<_>) = TOOLS.iter().partition(|tool| (tool.present)());
    for tool in present {
        println!("tool {:8} found", tool.name);
    }
    for tool in &missing {
        println!("tool {:8} MISSING: {}", tool.name, tool.why);
    }
    missing
}

/// Returns the commands that install what is missing.
fn remedies(missing: &[&Tool]) -> Vec<Vec<&'static str>> {
    let mut packages = Vec::new();
    let mut components = Vec::new();
    for tool in missing {
        match tool.source {
            Source::Debian(names) => packages.extend_from_slice(names),
            Source::Rustup(name) => components.push(name),
        }
    }
    let mut remedies = Vec::new();
    if !packages.is_empty() {
        let root = output_of(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
        let privileged: &[&str] = if root { &[] } else { &["sudo", "-n"] };
        let install = ["apt-get", "install", "-y", "--no-install-recommends"];
        remedies.push([privileged, &["apt-get", "update"]].concat());
        remedies.push([privileged, &install, &packages].concat());
    }
    if !components.is_empty() {
        remedies.push([&["rustup", "component", "add"], components.as_slice()].concat());
    }
    remedies
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_come_in_one_go_and_components_in_another() {
        let all: Vec<&Tool> = TOOLS.iter().collect();
        let remedies = remedies(&all);
        assert_eq!(remedies.len(), 3);
        assert!(remedies[0].ends_with(&["apt-get", "update"]));
        assert!(remedies[1].ends_with(&["gcc", "libc6-dev"]));
        assert_eq!(remedies[2], ["rustup", "component", "add", "rustfmt", "clippy"]);
    }
}
