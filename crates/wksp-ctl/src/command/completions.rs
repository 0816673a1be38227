//! `completions`: the script by which a shell completes what is typed.

use std::fmt;

use clap::builder::PossibleValuesParser;
use serde::Serialize;

use crate::complete;
use crate::failure::Failure;
use crate::output::Outcome;
use crate::session::Session;

/// Prints a script that has a shell complete commands, options, files and names of workspaces.
///
/// A package installs it where the shell looks for it. Otherwise load it when the shell starts.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl completions bash >> ~/.bashrc
  wksp-ctl completions zsh > ~/.zsh/site-functions/_wksp-ctl # if fpath has that directory
  wksp-ctl completions fish > ~/.config/fish/completions/wksp-ctl.fish")]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_parser = PossibleValuesParser::new(["bash", "zsh", "fish"]))]
    shell: String,
    /// The program that the script asks, if it is not to be found by its name.
    #[arg(long, value_name = "PATH", default_value = "wksp-ctl")]
    program: String,
}

impl super::Plan for Args {
    fn run(&self, _: &Session<'_>) -> Result<Outcome, Failure> {
        let Self { shell, program } = self;
        let script = complete::script(shell, program)
            .ok()
            .flatten()
            .ok_or_else(|| Failure::usage(format_args!("{shell:?} is no shell"), "name bash"))?;
        Ok(Outcome::done(Report { shell: shell.clone(), script }))
    }
}

#[derive(Debug, Serialize)]
struct Report {
    shell: String,
    script: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.script)
    }
}
