//! The commands, one file each: what may be typed, the plan it comes to, what is done, and the
//! report.

mod address_list;
mod alloc;
mod check;
pub(crate) mod checkpt;
mod checkpt_verify;
mod completions;
mod diff;
mod doctor;
mod extract;
mod fill;
mod free;
mod get;
pub(crate) mod host;
mod inspect;
mod janitor;
mod legacy;
mod links;
mod ls;
mod man;
mod map;
mod metrics;
mod new;
mod numa;
mod owner;
mod plan;
mod put;
mod rebuild;
mod reset;
pub(crate) mod restore;
mod rm;
mod show;
mod tag;
mod tag_free;
mod top;
mod usage;
mod verify;
mod r#where;

use clap::Subcommand;

pub(crate) use self::new::make_directory;
use crate::failure::Failure;
use crate::output::Outcome;
use crate::session::Session;

/// A command as it was typed.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    New(new::Args),
    Ls(ls::Args),
    Rm(rm::Args),
    Put(put::Args),
    Get(get::Args),
    Alloc(alloc::Args),
    Free(free::Args),
    TagFree(tag_free::Args),
    Tag(tag::Args),
    Fill(fill::Args),
    Show(show::Args),
    Usage(usage::Args),
    Map(map::Args),
    Top(top::Args),
    Owner(owner::Args),
    Check(check::Args),
    Janitor(janitor::Args),
    Verify(verify::Args),
    Rebuild(rebuild::Args),
    Reset(reset::Args),
    Checkpt(checkpt::Args),
    Restore(restore::Args),
    Inspect(inspect::Args),
    CheckptVerify(checkpt_verify::Args),
    Extract(extract::Args),
    Numa(numa::Args),
    Where(r#where::Args),
    Plan(plan::Args),
    Host(host::Args),
    Doctor(doctor::Args),
    Links(links::Args),
    Legacy(legacy::Args),
    Diff(diff::Args),
    Metrics(metrics::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// A command whose arguments are valid in themselves.
pub(crate) trait Plan {
    /// Does what was asked, and says nothing but notes.
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure>;
}

impl Command {
    /// Its name.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::New(_) => "new",
            Self::Ls(_) => "ls",
            Self::Rm(_) => "rm",
            Self::Put(_) => "put",
            Self::Get(_) => "get",
            Self::Alloc(_) => "alloc",
            Self::Free(_) => "free",
            Self::TagFree(_) => "tag-free",
            Self::Tag(_) => "tag",
            Self::Fill(_) => "fill",
            Self::Show(_) => "show",
            Self::Usage(_) => "usage",
            Self::Map(_) => "map",
            Self::Top(_) => "top",
            Self::Owner(_) => "owner",
            Self::Check(_) => "check",
            Self::Janitor(_) => "janitor",
            Self::Verify(_) => "verify",
            Self::Rebuild(_) => "rebuild",
            Self::Reset(_) => "reset",
            Self::Checkpt(_) => "checkpt",
            Self::Restore(_) => "restore",
            Self::Inspect(_) => "inspect",
            Self::CheckptVerify(_) => "checkpt-verify",
            Self::Extract(_) => "extract",
            Self::Numa(_) => "numa",
            Self::Where(_) => "where",
            Self::Plan(_) => "plan",
            Self::Host(args) => args.name(),
            Self::Doctor(_) => "doctor",
            Self::Links(_) => "links",
            Self::Legacy(_) => "legacy",
            Self::Diff(_) => "diff",
            Self::Metrics(_) => "metrics",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }

    /// Checks the arguments.
    pub(crate) fn plan(self) -> Result<Box<dyn Plan>, Failure> {
        Ok(match self {
            Self::New(args) => Box::new(args.plan()?),
            Self::Ls(args) => Box::new(args),
            Self::Rm(args) => Box::new(args.plan()?),
            Self::Put(args) => Box::new(args.plan()?),
            Self::Get(args) => Box::new(args.plan()?),
            Self::Alloc(args) => Box::new(args.plan()?),
            Self::Free(args) => Box::new(args.plan()?),
            Self::TagFree(args) => Box::new(args.plan()?),
            Self::Tag(args) => Box::new(args.plan()?),
            Self::Fill(args) => Box::new(args.plan()?),
            Self::Show(args) => Box::new(args.plan()?),
            Self::Usage(args) => Box::new(args.plan()?),
            Self::Map(args) => Box::new(args.plan()?),
            Self::Top(args) => Box::new(args.plan()?),
            Self::Owner(args) => Box::new(args.plan()?),
            Self::Check(args) => Box::new(args.plan()?),
            Self::Janitor(args) => Box::new(args.plan()?),
            Self::Verify(args) => Box::new(args.plan()?),
            Self::Rebuild(args) => Box::new(args.plan()?),
            Self::Reset(args) => Box::new(args.plan()?),
            Self::Checkpt(args) => Box::new(args.plan()?),
            Self::Restore(args) => Box::new(args.plan()?),
            Self::Inspect(args) => Box::new(args.plan()?),
            Self::CheckptVerify(args) => Box::new(args.plan()?),
            Self::Extract(args) => Box::new(args.plan()?),
            Self::Numa(args) => Box::new(args.plan()?),
            Self::Where(args) => Box::new(args.plan()?),
            Self::Plan(args) => Box::new(args.plan()?),
            Self::Host(args) => args.plan()?,
            Self::Doctor(args) => Box::new(args),
            Self::Links(args) => Box::new(args),
            Self::Legacy(args) => return Err(args.misplaced()),
            Self::Diff(args) => Box::new(args.plan()?),
            Self::Metrics(args) => Box::new(args.plan()?),
            Self::Completions(args) => Box::new(args),
            Self::Man(args) => Box::new(args),
        })
    }
}
