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
        name: "hwloc",
        why: "wksp-shmem links libhwloc, which knows what a machine is made of",
        // The linker is asked, since that has to find it; what it lacks it repeats without a path.
        present: || {
            let path = output_of(Command::new("cc").arg("-print-file-name=libhwloc.so"));
            path.is_some_and(|path| path.contains('/'))
        },
        source: Source::Debian(&["libhwloc-dev"]),
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

/// What only the tests of the manual and of completions need, which skip themselves without it.
const READERS: &[Tool] = &[
    Tool {
        name: "man",
        why: "the tests of the manual have it checked",
        present: || output_of(Command::new("man").arg("--version")).is_some(),
        source: Source::Debian(&["man-db"]),
    },
    Tool {
        name: "zsh",
        why: "the tests of completions press Tab in it",
        present: || output_of(Command::new("zsh").arg("--version")).is_some(),
        source: Source::Debian(&["zsh"]),
    },
    Tool {
        name: "fish",
        why: "the tests of completions press Tab in it",
        present: || output_of(Command::new("fish").arg("--version")).is_some(),
        source: Source::Debian(&["fish"]),
    },
];

/// What only the virtual machines need, which tests can do without.
const EMULATORS: &[Tool] = &[Tool {
    name: "qemu",
    why: "the step `vm`",
    present: || output_of(Command::new(QEMU).arg("--version")).is_some(),
    source: Source::Debian(&["qemu-system-x86"]),
}];

/// What only the pictures need.
const PAINTERS: &[Tool] = &[
    Tool {
        name: "rsvg",
        why: "it makes PNG of SVG",
        present: || output_of(Command::new(RSVG_CONVERT).arg("--version")).is_some(),
        source: Source::Debian(&["librsvg2-bin"]),
    },
    Tool {
        name: "pngquant",
        why: "it makes PNG smaller",
        present: || output_of(Command::new(PNGQUANT).arg("--version")).is_some(),
        source: Source::Debian(&["pngquant"]),
    },
    Tool {
        name: "font",
        why: "the pictures have text in DejaVu Sans and DejaVu Sans Mono",
        present: || {
            let fonts = output_of(Command::new("fc-list").args([":", "family"]));
            fonts.is_some_and(|fonts| fonts.contains("DejaVu Sans Mono"))
        },
        source: Source::Debian(&["fontconfig", "fonts-dejavu-core"]),
    },
];

/// The program that makes PNG of SVG.
pub(crate) const RSVG_CONVERT: &str = "rsvg-convert";

/// The program that makes PNG smaller.
pub(crate) const PNGQUANT: &str = "pngquant";

/// The program that is a machine.
pub(crate) const QEMU: &str = "qemu-system-x86_64";

/// Sees to it that all tools are there, or with `no_install` only says which ones are not.
///
/// # Errors
///
/// A tool is missing, and stayed so.
pub(crate) fn ensure(no_install: bool) -> Result<()> {
    ensure_all(TOOLS, no_install)
}

/// Sees to it that there is also what only some tests need.
///
/// # Errors
///
/// A tool is missing, and stayed so.
pub(crate) fn ensure_for_tests(no_install: bool) -> Result<()> {
    ensure_all(TOOLS, no_install)?;
    ensure_all(READERS, no_install)
}

/// Sees to it that there is QEMU, or with `no_install` only says if it is not.
///
/// # Errors
///
/// It is missing, and stayed so.
pub(crate) fn ensure_qemu(no_install: bool) -> Result<()> {
    ensure_all(EMULATORS, no_install)
}

/// Sees to it that there is what paints pictures, or with `no_install` only says what is not.
///
/// # Errors
///
/// It is missing, and stayed so.
pub(crate) fn ensure_painters(no_install: bool) -> Result<()> {
    ensure_all(PAINTERS, no_install)
}

/// Gets the lists of what packages there are anew.
pub(crate) fn update_package_lists() -> Result<()> {
    run_remedy(&[apt_get(), &["update"]].concat())
}

fn ensure_all(tools: &'static [Tool], no_install: bool) -> Result<()> {
    let missing = report(tools);
    if missing.is_empty() {
        return Ok(());
    }
    let remedies = remedies(&missing);
    if no_install {
        let lines: Vec<String> = remedies.iter().map(|remedy| remedy.join(" ")).collect();
        bail!("tools are missing, and --no-install was given; install with: {}", lines.join("; "));
    }
    for remedy in &remedies {
        run_remedy(remedy)?;
    }
    let missing = report(tools);
    if !missing.is_empty() {
        let names: Vec<&str> = missing.iter().map(|tool| tool.name).collect();
        bail!("still missing after the installation: {}", names.join(", "));
    }
    Ok(())
}

/// Says what is there and what is not, and returns the latter.
fn report(tools: &'static [Tool]) -> Vec<&'static Tool> {
    let (present, missing): (Vec<_>, Vec<_>) = tools.iter().partition(|tool| (tool.present)());
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
        let install = ["install", "-y", "--no-install-recommends"];
        remedies.push([apt_get(), &["update"]].concat());
        remedies.push([apt_get(), &install, &packages].concat());
    }
    if !components.is_empty() {
        remedies.push([&["rustup", "component", "add"], components.as_slice()].concat());
    }
    remedies
}

/// What begins a command that changes the packages of the machine.
fn apt_get() -> &'static [&'static str] {
    let root = output_of(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
    if root { &["apt-get"] } else { &["sudo", "-n", "apt-get"] }
}

fn run_remedy(words: &[&str]) -> Result<()> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    run(Command::new(program).args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
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
        assert!(remedies[1].ends_with(&["gcc", "libc6-dev", "libhwloc-dev"]));
        assert_eq!(remedies[2], ["rustup", "component", "add", "rustfmt", "clippy"]);
    }
}
