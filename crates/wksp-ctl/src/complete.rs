//! What a shell is told when somebody presses Tab.
//!
//! The scripts that shells load call this program again, so what is offered is what there is now:
//! the commands and options of this very version, files, and the workspaces under the base directory.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;

use clap::{Arg, CommandFactory};
use clap_complete::engine::{ArgValueCandidates, ArgValueCompleter, PathCompleter, ValueCompleter};
use clap_complete::env::{Bash, EnvCompleter, Fish, Shells, Zsh};
use clap_complete::{CompleteEnv, CompletionCandidate};
use wksp_shmem::{BaseDir, list};

use crate::base_path::BasePath;
use crate::typed::Typed;

/// Set to the name of a shell by its script. Nobody has it set for another reason.
const VARIABLE: &str = "WKSP_CTL_COMPLETE";

const SHELLS: &[&dyn EnvCompleter] = &[&Bash, &Zsh, &Fish];

/// The values that options take, where these are few.
const FEW_VALUES: [(&str, &[&str]); 3] = [
    ("page_size", &["normal", "huge", "gigantic"]),
    ("style", &["v1", "v2", "v3", "zstd"]),
    ("binding", &["strict", "best-effort", "off"]),
];

/// The arguments that take the name of a workspace that is there.
const NAMES: [&str; 2] = ["name", "names"];

/// The arguments that take the name of a workspace that is there, or else a file.
const NAMES_OR_FILES: [&str; 2] = ["a", "b"];

/// Where zsh finds the script by itself, it runs it when Tab is pressed for the first time, and what
/// the script has made known is called from then on only.
const ZSH_FIRST_TIME: &str = "\
if [[ $funcstack[1] == _wksp-ctl ]]; then
    _clap_dynamic_completer_wksp_ctl \"$@\"
fi
";

/// Writes the script by which a shell calls `completer` for help.
pub(crate) fn script(shell: &str, completer: &str) -> io::Result<Option<String>> {
    let Some(shell) = Shells(SHELLS).completer(shell).map(EnvCompleter::name) else {
        return Ok(None);
    };
    let mut script = Vec::new();
    for one in SHELLS.iter().filter(|one| one.name() == shell) {
        one.write_registration(VARIABLE, "wksp-ctl", "wksp-ctl", completer, &mut script)?;
    }
    let script = String::from_utf8_lossy(&script);
    let first_time = if shell == "zsh" { ZSH_FIRST_TIME } else { "" };
    Ok(Some(format!("{}\n{first_time}", script.trim())))
}

/// Answers the script of a shell, if it is one that asks.
pub(crate) fn answer(arguments: &[OsString]) -> clap::error::Result<bool> {
    let directory = env::current_dir().ok();
    let base = base(arguments);
    CompleteEnv::with_factory(|| with_values(Typed::command(), base.as_ref()))
        .var(VARIABLE)
        .shells(Shells(SHELLS))
        .try_complete(arguments, directory.as_deref())
}

/// The base directory on the line that is being typed.
fn base(arguments: &[OsString]) -> Option<OsString> {
    let mut words = arguments.iter();
    let mut base = None;
    while let Some(word) = words.next() {
        if word == "--base" {
            base = words.next().cloned();
        } else if let Some(rest) = word.to_str().and_then(|word| word.strip_prefix("--base=")) {
            base = Some(rest.into());
        }
    }
    base
}

/// Says of every argument what it takes, as far as its type does not.
fn with_values(command: clap::Command, base: Option<&OsString>) -> clap::Command {
    // A workspace that is to be made does not have the name of another one.
    let is_new = command.get_name() == "new";
    let with_values_of = |argument: Arg| {
        let id = argument.get_id().as_str();
        let base = base.cloned();
        if let Some((_, values)) = FEW_VALUES.iter().find(|(name, _)| *name == id) {
            let all = || values.iter().map(CompletionCandidate::new).collect();
            return argument.add(ArgValueCandidates::new(all));
        }
        if !argument.is_positional() || is_new {
            return argument;
        }
        if NAMES.contains(&id) {
            return argument.add(ArgValueCandidates::new(move || names(base.as_deref())));
        }
        if NAMES_OR_FILES.contains(&id) {
            return argument.add(ArgValueCompleter::new(move |typed: &OsStr| {
                let mut found = names(base.as_deref());
                let typed_bytes = typed.as_encoded_bytes();
                found.retain(|one| one.get_value().as_encoded_bytes().starts_with(typed_bytes));
                found.extend(PathCompleter::file().complete(typed));
                found
            }));
        }
        argument
    };
    command.mut_args(with_values_of).mut_subcommands(|command| with_values(command, base))
}

/// The workspaces under the base directory, which is not made if it is not there.
fn names(base: Option<&OsStr>) -> Vec<CompletionCandidate> {
    let path = BasePath::of_workspaces(base.map(Path::new)).path;
    let base = BaseDir::resolve(Some(&path));
    let entries = base.map(|base| list(&base).entries).unwrap_or_default();
    let entries = entries.into_iter().filter(|entry| entry.info.is_ok());
    let mut names: Vec<OsString> = entries.map(|entry| entry.file_name).collect();
    names.dedup();
    names.into_iter().map(CompletionCandidate::new).collect()
}
