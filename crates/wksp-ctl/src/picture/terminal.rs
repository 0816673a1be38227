//! A picture in characters, in colours where there are any.

use std::fmt::{self, Write};

use super::nodes::{Nodes, SPECIAL};
use super::{Look, Picture, Share, palette, percent};
use crate::plural::Plural;
use crate::size::Human;
use crate::table::{Side, Table};

/// The columns before the cells: an address, and a space.
const LABEL: usize = 11;
/// The cells of a row are a multiple of these, so that rows begin at round addresses.
const STEP: usize = 16;
/// The most rows of cells.
pub(crate) const ROWS: u64 = 8;
/// From so many columns on the legend has exact bytes.
const WIDE: usize = 80;

/// How a picture is to be drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Style {
    /// The columns of the screen.
    pub(crate) width: usize,
    /// The most rows of cells.
    pub(crate) rows: u64,
    pub(crate) has_colours: bool,
}

impl Style {
    /// The cells in a row.
    fn columns(self) -> usize {
        let columns = self.width.saturating_sub(LABEL);
        columns.saturating_sub(columns % STEP).max(STEP)
    }

    /// The most cells in a picture.
    pub(crate) fn cells_max(self) -> u64 {
        (self.columns() as u64).saturating_mul(self.rows)
    }

    fn put(self, to: &mut String, look: Look, text: &str) {
        if !self.has_colours {
            return to.push_str(text);
        }
        let _ = match (palette::background(look), palette::is_dark(look)) {
            (None, _) => write!(to, "\x1b[38;5;245m{text}\x1b[0m"),
            (Some(colour), true) => write!(to, "\x1b[97;48;5;{}m{text}\x1b[0m", colour.index),
            (Some(colour), false) => write!(to, "\x1b[30;48;5;{}m{text}\x1b[0m", colour.index),
        };
    }

    fn put_faint(self, to: &mut String, text: &str) {
        if self.has_colours {
            let _ = write!(to, "\x1b[38;5;245m{text}\x1b[0m");
        } else {
            to.push_str(text);
        }
    }
}

/// The cells of a picture in rows, each with the nodes of its cells below.
pub(crate) fn rows(cells: &[Look], nodes: &Nodes, cell_bytes: u64, style: Style) -> String {
    let mut text = String::new();
    let columns = style.columns();
    for (row, (cells, nodes)) in cells.chunks(columns).zip(nodes.cells.chunks(columns)).enumerate()
    {
        let lo = (row as u64).saturating_mul(columns as u64).saturating_mul(cell_bytes);
        style.put_faint(&mut text, &format!("{:>10} ", Human(lo).to_string()));
        for same in cells.chunk_by(|a, b| a == b) {
            let glyphs: String = same.iter().map(|look| look.glyph()).collect();
            if let Some(&look) = same.first() {
                style.put(&mut text, look, &glyphs);
            }
        }
        text.push('\n');
        let nodes: String = nodes.iter().collect();
        style.put_faint(&mut text, &format!("{:>10} {nodes}", "node"));
        text.push('\n');
    }
    text
}

/// What the glyphs of nodes mean, as far as they occur and are no numbers.
pub(crate) fn node_legend(nodes: &Nodes) -> String {
    let special = SPECIAL.iter().filter(|(glyph, _)| nodes.cells.contains(glyph));
    let mut parts: Vec<String> =
        special.map(|(glyph, meaning)| format!("{glyph} {meaning}")).collect();
    if nodes.is_sampled {
        parts.push("by four pages of each cell".to_owned());
    }
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        let _ = writeln!(text, "{}{part}", if at == 0 { "nodes:  " } else { "        " });
    }
    text
}

/// What the glyphs mean and how much there is of each.
pub(crate) fn legend(picture: &Picture, cells: &[Look], style: Style) -> String {
    let mut lines: Vec<(Look, String, Option<u64>, u64)> = Vec::new();
    for (at, sum) in picture.tags.iter().enumerate() {
        lines.push((Look::Tag(at), format!("tag {}", sum.tag), Some(sum.count), sum.bytes));
    }
    if picture.other_tag_count > 0 {
        let what = Plural(picture.other_tag_count, "other tag").to_string();
        lines.push((Look::OtherTags, what, Some(picture.other_count), picture.other_bytes));
    }
    let free = &picture.fragmentation;
    lines.push((Look::Free, "free".to_owned(), Some(free.free_count), free.free_bytes));
    lines.push((Look::Metadata, "header, records".to_owned(), None, picture.metadata_bytes));
    let what = lines.iter().map(|(look, what, count, bytes)| {
        let count = count.map_or_else(String::new, |count| count.to_string());
        let (human, share) = (Human(*bytes).to_string(), percent(*bytes, picture.bytes));
        ([look.glyph().to_string(), what.clone(), count], bytes.to_string(), [human, share])
    });
    let [glyph, title] = [(" ", Side::Left), ("WHAT", Side::Left)];
    let [count, exact] = [("PARTITIONS", Side::Right), ("BYTES", Side::Right)];
    let [size, share] = [("SIZE", Side::Right), ("SHARE", Side::Right)];
    let table = if style.width >= WIDE {
        let mut table = Table::new([glyph, title, count, exact, size, share]);
        what.for_each(|([a, b, c], d, [e, f])| table.row([a, b, c, d, e, f]));
        table
    } else {
        let mut table = Table::new([glyph, title, count, size, share]);
        what.for_each(|([a, b, c], _, [e, f])| table.row([a, b, c, e, f]));
        table
    };
    let mut text = String::new();
    let table = table.to_string();
    let mut table = table.lines();
    text.push_str(table.next().unwrap_or_default());
    text.push('\n');
    for (line, (look, ..)) in table.zip(&lines) {
        let (glyph, rest) = line.split_at_checked(1).unwrap_or(("", line));
        style.put(&mut text, *look, glyph);
        text.push_str(rest);
        text.push('\n');
    }
    let mut key = |looks: &[Look], meaning: &str| {
        if looks.iter().any(|look| cells.contains(look)) {
            for &look in looks {
                style.put(&mut text, look, &look.glyph().to_string());
            }
            text.push_str(meaning);
        }
    };
    let mixed = [Share::Low, Share::Medium, Share::High].map(Look::Mixed);
    key(&mixed, "  mixed: under 1/3 allocated, under 2/3, more\n");
    key(&[Look::Unlisted], "  the list of partitions ends before this\n");
    text
}

/// The figures of fragmentation.
pub(crate) struct FreeLines<'p>(pub(crate) &'p Picture);

impl fmt::Display for FreeLines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let free = &self.0.fragmentation;
        writeln!(
            f,
            "free     {} in {}, {} of the data",
            Human(free.free_bytes),
            Plural(free.free_count, "piece"),
            percent(free.free_bytes, self.0.data_bytes)
        )?;
        writeln!(f, "largest  {}", Human(free.largest_free_bytes))?;
        writeln!(
            f,
            "wasted   {} of what is free, for {}:\n         {} in {} smaller than that",
            percent(free.too_small_bytes, free.free_bytes),
            Human(free.for_bytes),
            Human(free.too_small_bytes),
            Plural(free.too_small_count, "piece")
        )
    }
}
