//! `map`: the address space of a workspace as a picture.

use std::fmt;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;
use wksp_checkpt::Append;
use wksp_core::{Doubt, Name, Observed};

use crate::destination::{Destination, Opened};
use crate::failure::{Failure, Kind};
use crate::interrupt::Interrupt;
use crate::look::{DoubtReport, LookArgs, Sight};
use crate::output::Outcome;
use crate::picture::nodes::Nodes;
use crate::picture::terminal::{FreeLines, ROWS, Style, legend, node_legend, rows};
use crate::picture::{Fragmentation, Look, Picture, Survey, TagSum, svg};
use crate::plural::Pages;
use crate::screen::{self, ColourWhen};
use crate::session::Session;
use crate::size::{Bytes, Human};
use crate::{plural, value};

/// Draws what is where in a workspace, on which nodes, and how the free memory is cut up.
///
/// Every cell stands for the same number of bytes. No lock is taken, and the permission to read the
/// workspace is enough.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  wksp-ctl map demo
  wksp-ctl map demo --for 2MiB    # how much of the free memory is of use for that?
  wksp-ctl map demo --svg demo.svg
  wksp-ctl map demo --color always | less -R")]
pub(crate) struct Args {
    /// The workspace.
    name: String,
    /// Call free pieces too small that have less than this.
    #[arg(long = "for", value_name = "SIZE", default_value = DEFAULT_FOR)]
    #[arg(allow_negative_numbers = true)]
    for_bytes: String,
    /// Write the picture to this file, for web pages.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Replace the file if it is there.
    #[arg(long, requires = "svg")]
    force: bool,
    /// Where to use colours; auto is on a terminal, unless NO_COLOR is set.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: ColourWhen,
    #[command(flatten)]
    look: LookArgs,
}

/// What free pieces are compared with if nothing else was asked for.
const DEFAULT_FOR: &str = "1MiB";

/// What to draw, checked.
#[derive(Debug)]
pub(crate) struct Plan {
    name: Name,
    for_bytes: u64,
    svg: Option<Destination>,
    color: ColourWhen,
    look: LookArgs,
}

impl Args {
    pub(crate) fn plan(self) -> Result<Plan, Failure> {
        Ok(Plan {
            name: value::name(&self.name)?,
            for_bytes: value::size(&self.for_bytes)?,
            svg: self.svg.map(|file| Destination::new(file, self.force)),
            color: self.color,
            look: self.look,
        })
    }
}

/// The lines around the cells of a picture, without those of tags that have a letter.
const LINES_SAID: usize = 18;
/// The permission bits of a new file.
const MODE: u32 = 0o644;

impl super::Plan for Plan {
    fn run(&self, session: &Session<'_>) -> Result<Outcome, Failure> {
        if let Some(svg) = &self.svg {
            svg.check(session)?;
        }
        let has_colours = self.color.decide();
        let style = Style { width: screen::width(), rows: ROWS, has_colours };
        let sight = Sight::open(session, &self.name, self.look)?;
        let seen = sight.look(session, Survey::of)?;
        let drawing = Drawing::new(&sight, seen, self.for_bytes)?;
        if let Some(svg) = &self.svg {
            drawing.keep(&sight, svg)?;
        }
        let failure = drawing.failure(&self.name);
        let file = self.svg.as_ref().map(Destination::name);
        Ok(Outcome::with_failure(drawing.report(&sight, style, file), failure))
    }
}

/// A workspace, ready to be drawn.
pub(super) struct Drawing {
    name: String,
    about: String,
    page_size: String,
    picture: Picture,
    damage: Option<String>,
    doubt: Option<Doubt>,
}

impl Drawing {
    pub(super) fn new(
        sight: &Sight,
        seen: Observed<Survey>,
        for_bytes: u64,
    ) -> Result<Self, Failure> {
        let info = sight.region().info();
        let data = sight.geometry()?.data();
        let bytes = info.bytes.get() as u64;
        let bounds = (data.lo().get(), data.hi().get());
        let pages = Pages(info.page_count(), info.page_size);
        Ok(Self {
            name: info.name.to_string(),
            about: format!("{pages}, {}", Bytes(bytes)),
            page_size: info.page_size.to_string(),
            picture: Picture::new(&seen.value, bytes, bounds, for_bytes),
            damage: seen.value.damage,
            doubt: seen.doubt,
        })
    }

    /// What is wrong with the workspace.
    fn failure(&self, name: &Name) -> Option<Failure> {
        let damage = self.damage.as_ref()?;
        Some(match self.doubt {
            Some(doubt) if doubt.is_changed => Failure::new(
                Kind::Busy,
                format_args!(
                    "{name} is being changed, and its list of partitions was cut: {damage}"
                ),
                format_args!("`wksp-ctl map {name} --lock` waits until nobody changes it"),
            ),
            _ => Failure::new(
                Kind::Corrupt,
                format_args!("the list of partitions of {name} ends early: {damage}"),
                format_args!("`wksp-ctl rebuild {name}` builds it anew"),
            ),
        })
    }

    /// Writes the picture for web pages.
    fn keep(&self, sight: &Sight, to: &Destination) -> Result<(), Failure> {
        let cell_bytes = self.picture.cell_bytes(svg::CELLS_MAX);
        let cells = self.picture.cells(cell_bytes);
        let nodes = Nodes::of(sight.region(), cell_bytes, cells.len());
        let caption = svg::Caption {
            name: &self.name,
            about: format!("{}; the narrowest stripe stands for {}", self.about, Human(cell_bytes)),
            doubt: self.doubt.map(|_| "seen while somebody held the lock or changed it".to_owned()),
        };
        let text = svg::draw(&self.picture, &cells, &nodes, cell_bytes, &caption);
        let interrupt = Interrupt::get().map_err(|error| {
            Failure::io("cannot take care of Ctrl-C", &error, "see `ulimit -n` and try again")
        })?;
        let mut opened = to.open(interrupt)?;
        let written = match &mut opened {
            Opened::Stream(stream) => stream.append(text.as_bytes()),
            Opened::Draft(draft) => draft.file().write_all(text.as_bytes()),
        };
        written.map_err(|error| to.not_written(&error))?;
        to.publish(opened, MODE)
    }

    /// How many rows of cells a screen of so many lines has room for, besides all that is said.
    pub(super) fn rows_within(&self, height: usize) -> u64 {
        let said = self.picture.tags.len().saturating_add(LINES_SAID);
        (height.saturating_sub(said) as u64 / 2).clamp(1, ROWS)
    }

    /// The picture for a terminal.
    pub(super) fn report(self, sight: &Sight, style: Style, svg: Option<String>) -> Report {
        let cell_bytes = self.picture.cell_bytes(style.cells_max());
        let cells = self.picture.cells(cell_bytes);
        let nodes = Nodes::of(sight.region(), cell_bytes, cells.len());
        Report {
            name: self.name,
            about: self.about,
            page_size: self.page_size,
            bytes: self.picture.bytes,
            cell_bytes,
            cells: cells.iter().map(|look| look.glyph()).collect(),
            nodes: nodes.cells.iter().collect(),
            tags: self.picture.tags.clone(),
            other_tags: OtherTags {
                tag_count: self.picture.other_tag_count,
                count: self.picture.other_count,
                bytes: self.picture.other_bytes,
            },
            fragmentation: self.picture.fragmentation,
            svg,
            doubt: self.doubt.map(DoubtReport::new),
            picture: self.picture,
            looks: cells,
            on_nodes: nodes,
            style,
        }
    }
}

#[derive(Debug, Serialize)]
pub(super) struct Report {
    name: String,
    #[serde(skip)]
    about: String,
    page_size: String,
    bytes: u64,
    /// What each cell stands for.
    cell_bytes: u64,
    /// A glyph for each cell; those of tags are letters, in the order of `tags`.
    cells: String,
    /// A glyph for the node of each cell.
    nodes: String,
    /// The tags with most bytes.
    tags: Vec<TagSum>,
    other_tags: OtherTags,
    #[serde(flatten)]
    fragmentation: Fragmentation,
    /// The file that was written.
    svg: Option<String>,
    doubt: Option<DoubtReport>,
    #[serde(skip)]
    picture: Picture,
    #[serde(skip)]
    looks: Vec<Look>,
    #[serde(skip)]
    on_nodes: Nodes,
    #[serde(skip)]
    style: Style,
}

/// The tags that have no letter.
#[derive(Clone, Copy, Debug, Serialize)]
struct OtherTags {
    tag_count: u64,
    count: u64,
    bytes: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, about, picture, looks, on_nodes, style, .. } = self;
        let cells = plural::Plural(looks.len() as u64, "cell");
        writeln!(f, "{name}: {about}")?;
        writeln!(f, "{cells} of {} each\n", Human(self.cell_bytes))?;
        write!(f, "{}", rows(looks, on_nodes, self.cell_bytes, *style))?;
        write!(f, "{}\n{}\n", node_legend(on_nodes), legend(picture, looks, *style))?;
        write!(f, "{}", FreeLines(picture))
    }
}
