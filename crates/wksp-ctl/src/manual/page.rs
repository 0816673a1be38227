//! Pages of the manual, made of what the commands say of themselves.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use roff::{Inline, Roff, bold, italic, roman};
use serde::Serialize;

use super::{BASE, CHAINS, ENVIRONMENT, FILES, VALUES, exit_codes_of};
use crate::typed::Typed;

/// A page of the manual.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Page {
    /// What it is about, as it is typed.
    pub(crate) command: String,
    /// The name of its file.
    pub(crate) file_name: String,
    /// Its text, for man(7).
    pub(crate) roff: String,
}

/// The section of the manual for commands.
const SECTION: &str = "1";
/// The page that all others lead to.
const PROGRAM: &str = "wksp-ctl";

/// The pages of the program and of all its commands.
pub(crate) fn pages() -> io::Result<Vec<Page>> {
    let mut program = Typed::command().disable_help_subcommand(true);
    program.build();
    let mut pages = Vec::new();
    add(&program, None, &mut pages)?;
    Ok(pages)
}

/// Adds the page of a command, and those of its own commands.
fn add(command: &Command, parent: Option<&Command>, pages: &mut Vec<Page>) -> io::Result<()> {
    pages.push(page(command, parent)?);
    command.get_subcommands().try_for_each(|one| add(one, Some(command), pages))
}

/// What a page is called.
fn title(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command, parent: Option<&Command>) -> io::Result<Page> {
    // The options of all commands are explained once.
    let own = match parent {
        None => command.clone(),
        Some(_) => command.clone().mut_args(|one| {
            let is_shared = one.is_global_set();
            one.hide(is_shared)
        }),
    };
    let man = Man::new(own.clone())
        .title(title(command).to_uppercase())
        .section(SECTION)
        // Blank, since pages of the same version are the same; what is empty would be left out.
        .date(" ")
        .source(concat!("wksp ", env!("CARGO_PKG_VERSION")))
        .manual("Shared-memory workspaces");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    if own.get_arguments().any(|one| !one.is_hide_set()) {
        man.render_options_section(&mut text)?;
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::new();
    if parent.is_none() {
        section(&mut rest, "VALUES");
        rest.text([roman(unwrapped(VALUES))]);
        section(&mut rest, "SEVERAL COMMANDS");
        rest.text([roman(unwrapped(CHAINS))]);
    } else {
        rest.control("PP", []);
        rest.text([roman("The options of all commands are explained in wksp-ctl(1).")]);
    }
    examples(&mut rest, command);
    section(&mut rest, "EXIT STATUS");
    for (code, meaning) in exit_codes_of(command.get_name()) {
        item(&mut rest, bold(code.to_string()), meaning);
    }
    if parent.is_none() {
        section(&mut rest, "ENVIRONMENT");
        for (name, meaning) in ENVIRONMENT {
            item(&mut rest, bold(name), meaning);
        }
        section(&mut rest, "FILES");
        rest.text([roman(unwrapped(BASE))]);
        for (name, meaning) in FILES {
            item(&mut rest, italic(name), meaning);
        }
    }
    see_also(&mut rest, command, parent);
    rest.to_writer(&mut text)?;
    Ok(Page {
        command: command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned(),
        file_name: format!("{}.{SECTION}", title(command)),
        roff: String::from_utf8(text).map_err(io::Error::other)?,
    })
}

fn section(to: &mut Roff, title: &str) {
    to.control("SH", [title]);
}

fn item(to: &mut Roff, name: Inline, meaning: &str) {
    to.control("TP", []).text([name]).text([roman(meaning)]);
}

/// Lines that were broken for a terminal as one that is not.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The examples at the end of the help, line by line.
fn examples(to: &mut Roff, command: &Command) {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let Some((_, examples)) = help.split_once("Examples:\n") else { return };
    section(to, "EXAMPLES");
    to.control("nf", []);
    for line in examples.lines() {
        to.text([roman(line.trim())]);
    }
    to.control("fi", []);
}

/// The pages around this one.
fn see_also(to: &mut Roff, command: &Command, parent: Option<&Command>) {
    let mut others: Vec<&str> = Vec::new();
    others.extend(parent.map(|_| PROGRAM));
    others.extend(parent.map(title).filter(|parent| *parent != PROGRAM));
    others.extend(command.get_subcommands().map(title));
    // Of the commands of the program there are too many.
    if let Some(parent) = parent.filter(|parent| title(parent) != PROGRAM) {
        others.extend(parent.get_subcommands().map(title).filter(|one| *one != title(command)));
    }
    section(to, "SEE ALSO");
    let mut line = Vec::new();
    for (at, other) in others.iter().enumerate() {
        let end = if at.saturating_add(1) < others.len() { ", " } else { "" };
        line.extend([bold(*other), roman(format!("({SECTION}){end}"))]);
    }
    to.text(line);
}
