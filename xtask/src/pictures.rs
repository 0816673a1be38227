//! `cargo xtask pictures`: draws the pictures of the documentation anew.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::command::{cargo, run as run_command};
use crate::repository;
use crate::tools::{self, PNGQUANT, RSVG_CONVERT};

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only say what the machine lacks, and fail, rather than install it
    #[arg(long)]
    no_install: bool,
}

/// The pictures: what a test leaves as SVG, and how wide it becomes.
const PICTURES: [(&str, &str); 3] = [("map-terminal", "1200"), ("top", "1200"), ("map", "1152")];
/// The most bytes of a picture, since every clone has them all.
const BYTES_MAX: u64 = 150_000;

/// Runs the tool on terminals, and makes PNG of what is on their screens.
pub(crate) fn run(options: &Options) -> Result<()> {
    tools::ensure(options.no_install)?;
    tools::ensure_painters(options.no_install)?;
    let drafts = repository::root().join("target/pictures");
    let images = repository::root().join("docs/images");
    for directory in [&drafts, &images] {
        let failed = || format!("cannot make {}", directory.display());
        fs::create_dir_all(directory).with_context(failed)?;
    }
    let test = "shots::the_pictures_of_the_documentation";
    let mut draw = cargo(["test", "--package", "wksp-ctl", "--test", "it", "--", "--exact", test]);
    run_command(draw.env("WKSP_PICTURES", &drafts))?;
    for (name, width) in PICTURES {
        let (from, to) = (drafts.join(name), images.join(name));
        let (from, to) = (from.with_extension("svg"), to.with_extension("png"));
        let mut paint = Command::new(RSVG_CONVERT);
        run_command(paint.args(["--width", width, "--output"]).arg(&to).arg(&from))?;
        // The colours of a picture are few, and so are its bytes when that is made use of.
        let mut shrink = Command::new(PNGQUANT);
        shrink.args(["--force", "--strip", "--speed", "1", "--ext", ".png", "256"]);
        run_command(shrink.arg(&to))?;
        let bytes = fs::metadata(&to).with_context(|| format!("no {}", to.display()))?.len();
        println!("{}: {bytes} bytes", to.display());
        if bytes > BYTES_MAX {
            bail!("{} is larger than {BYTES_MAX} bytes: make it simpler", to.display());
        }
    }
    Ok(())
}
