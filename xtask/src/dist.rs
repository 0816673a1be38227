//! `cargo xtask dist`: the tool with its manual and completions, as they are installed, and as an
//! archive whose bytes depend on nothing but the sources, the toolchain and the libraries.

use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::{cargo, output_of, run as run_command, tests};
use crate::{repository, tools};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Install below this directory as well, such as /usr/local
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Put this directory before the prefix, as those who make packages do
    #[arg(long, value_name = "DIR", requires = "prefix")]
    destdir: Option<PathBuf>,
    /// Only say what the machine lacks, and fail, rather than install it
    #[arg(long)]
    no_install: bool,
}

/// The file in which each shell looks for how to complete a command.
const COMPLETIONS: [(&str, &str); 3] = [
    ("bash", "share/bash-completion/completions/wksp-ctl"),
    ("zsh", "share/zsh/site-functions/_wksp-ctl"),
    ("fish", "share/fish/vendor_completions.d/wksp-ctl.fish"),
];

/// The program itself.
const PROGRAM: &str = "bin/wksp-ctl";

/// Where the manual goes.
const MANUAL: &str = "share/man/man1";

/// What is for people to read, and where it goes.
const DOCUMENTS: &str = "share/doc/wksp-ctl";

/// The files for people, by their path in the checkout.
const FOR_PEOPLE: [&str; 6] =
    ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "docs/cli.md", "docs/json.md"];

/// Builds the tool, lays everything out, packs it, and installs it if asked to.
pub(crate) fn run(options: &Options) -> Result<()> {
    tools::ensure(options.no_install)?;
    let (tree, archive) = make(&build()?)?;
    println!("archive {}", archive.display());
    let Some(prefix) = &options.prefix else { return Ok(()) };
    let to = match &options.destdir {
        // An absolute path would replace what is before it.
        Some(destdir) => destdir.join(prefix.strip_prefix("/").unwrap_or(prefix)),
        None => prefix.clone(),
    };
    install(&tree, &to)?;
    println!("installed in {}", to.display());
    Ok(())
}

/// Makes the archive of a program twice, which has to come to the same, and looks at what gets
/// installed.
pub(crate) fn check() -> Result<()> {
    // What the tests run will do, and is there already if they were built.
    run_command(tests().args(["--no-run", "--locked"]))?;
    let program = repository::target().join("debug/wksp-ctl");
    let (tree, archive) = make(&program)?;
    let first = fs::read(&archive)?;
    let (_, archive) = make(&program)?;
    if fs::read(&archive)? != first {
        bail!("the archive has other bytes the second time");
    }
    let to = repository::target().join("dist/installed");
    remove(&to)?;
    install(&tree, &to)?;
    let program = to.join(PROGRAM);
    if output_of(Command::new(&program).arg("--version")).is_none() {
        bail!("{} does not run", program.display());
    }
    let scripts = COMPLETIONS.iter().map(|(_, path)| *path);
    for path in scripts.chain(["share/man/man1/wksp-ctl.1"]) {
        let bytes = fs::metadata(to.join(path)).map_or(0, |metadata| metadata.len());
        if bytes == 0 {
            bail!("{path} was not installed");
        }
    }
    Ok(())
}

/// Makes the tree to be installed and the archive of it, below the directory that Cargo builds in.
fn make(program: &Path) -> Result<(PathBuf, PathBuf)> {
    let name = name(program)?;
    let dist = repository::target().join("dist");
    let tree = dist.join(&name);
    remove(&tree)?;
    lay_out(program, &tree)?;
    let archive = dist.join(format!("{name}.tar.gz"));
    pack(&dist, &name, &archive)?;
    Ok((tree, archive))
}

/// Builds the tool without the paths of this machine in it.
fn build() -> Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
    let mut flags = OsString::new();
    let mut add = |path: &Path, name: &str| {
        if !flags.is_empty() {
            // What separates flags in this variable, so that paths may have spaces.
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(path);
        flags.push("=");
        flags.push(name);
    };
    add(&repository::root(), "wksp");
    home.iter().for_each(|home| add(home, "cargo"));
    // With other flags, everything would be built anew each time in the directory of all builds.
    let directory = repository::target().join("dist/build");
    let mut build = cargo(["build", "--release", "--locked", "--package", "wksp-ctl"]);
    build.arg("--target-dir").arg(&directory).env("CARGO_ENCODED_RUSTFLAGS", flags);
    run_command(&mut build)?;
    Ok(directory.join("release/wksp-ctl"))
}

/// The name of the archive: program, version and machine.
fn name(program: &Path) -> Result<String> {
    let version = output_of(Command::new(program).arg("--version"))
        .with_context(|| format!("{} does not run", program.display()))?;
    let version = version.split_whitespace().last().unwrap_or_default();
    let rustc = output_of(Command::new("rustc").arg("-vV")).context("cannot run rustc")?;
    let host = rustc.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(format!("wksp-ctl-{version}-{}", host.context("rustc does not say what it is for")?))
}

/// Puts everything where it is installed, below `tree`.
fn lay_out(program: &Path, tree: &Path) -> Result<()> {
    copy(program, &tree.join(PROGRAM))?;
    for (shell, path) in COMPLETIONS {
        let script = output_of(Command::new(program).args(["completions", shell]));
        let script = script.with_context(|| format!("there are no completions for {shell}"))?;
        let path = tree.join(path);
        path.parent().map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&path, script)?;
    }
    run_command(Command::new(program).args(["man", "--all"]).arg(tree.join(MANUAL)))?;
    for path in FOR_PEOPLE {
        let name = Path::new(path).file_name().unwrap_or_default();
        copy(&repository::root().join(path), &tree.join(DOCUMENTS).join(name))?;
    }
    Ok(())
}

/// Packs the tree called `name` in `directory`, whoever does it and whenever.
fn pack(directory: &Path, name: &str, archive: &Path) -> Result<()> {
    let unpacked = archive.with_extension("");
    let mut tar = Command::new("tar");
    tar.args(["--create", "--format=ustar", "--sort=name", "--mtime=@0", "--mode=u=rwX,go=rX"]);
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "--file"]).arg(&unpacked);
    run_command(tar.arg("--directory").arg(directory).arg(name))?;
    // Without a name or a time in it.
    run_command(Command::new("gzip").args(["--no-name", "--best", "--force"]).arg(&unpacked))
}

/// Copies all files of the tree to where they are used.
fn install(tree: &Path, to: &Path) -> Result<()> {
    for file in repository::files(tree)? {
        let path = file.strip_prefix(tree)?;
        copy(&file, &to.join(path))?;
    }
    Ok(())
}

/// Copies a file, which others may read, and run if it is the program.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy {} to {}", from.display(), to.display());
    to.parent().map_or(Ok(()), fs::create_dir_all).with_context(failed)?;
    // A program that is running can be replaced, but not written to.
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).with_context(failed)?,
        _ => {}
    }
    fs::copy(from, to).with_context(failed)?;
    let mode = if to.ends_with(PROGRAM) { 0o755 } else { 0o644 };
    fs::set_permissions(to, Permissions::from_mode(mode)).with_context(failed)
}

/// Removes a directory that a former run has left.
fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        _ => Ok(()),
    }
}
