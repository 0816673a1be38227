//! A picture for a web page.

use std::fmt::Write;

use super::nodes::Nodes;
use super::{Look, Picture, Share, palette, percent};
use crate::plural::Plural;
use crate::size::{Bytes, Human};

/// The cells of a row, each two units wide, and the most rows: so there are never more rectangles
/// than their product, however many partitions there are.
const COLUMNS: usize = 512;
const ROWS: u64 = 10;
pub(crate) const CELLS_MAX: u64 = COLUMNS as u64 * ROWS;
const CELL_WIDTH: usize = 2;
/// Where things are, in units of the page.
const LEFT: usize = 96;
const ROW_HEIGHT: usize = 40;
const STRIP_HEIGHT: usize = 24;
const TOP: usize = 84;
const LINE_HEIGHT: usize = 22;
const WIDTH: usize = LEFT + COLUMNS * CELL_WIDTH + 32;
const BACKGROUND: &str = "#ffffff";
/// What is free, on a page that is lighter than a terminal.
const FREE: &str = "#eceff1";

/// What a page says above the picture.
pub(crate) struct Caption<'c> {
    pub(crate) name: &'c str,
    pub(crate) about: String,
    /// Why it need not have been so at any moment.
    pub(crate) doubt: Option<String>,
}

/// Draws a picture and its legend.
pub(crate) fn draw(
    picture: &Picture,
    cells: &[Look],
    nodes: &Nodes,
    cell_bytes: u64,
    caption: &Caption<'_>,
) -> String {
    let rows = cells.len().div_ceil(COLUMNS);
    let legend = legend(picture, cells);
    let legend_top = plus(TOP, rows.saturating_mul(ROW_HEIGHT), 34);
    let free_top = plus(legend_top, legend.len().saturating_mul(LINE_HEIGHT), 18);
    let height = plus(free_top, LINE_HEIGHT.saturating_mul(3), 12);
    let mut svg = String::new();
    let name = escaped(caption.name);
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\" aria-labelledby=\"title about\" \
         font-family=\"'DejaVu Sans', Verdana, sans-serif\" font-size=\"13\" fill=\"#263238\">\n\
         <title id=\"title\">Map of workspace {name}</title>\n\
         <desc id=\"about\">{}</desc>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"{BACKGROUND}\"/>\n\
         <text x=\"24\" y=\"36\" font-size=\"20\" font-weight=\"bold\">{name}</text>\n\
         <text x=\"24\" y=\"60\" fill=\"#607d8b\">{}</text>\n",
        escaped(&described(picture, caption)),
        escaped(&caption.about),
    );
    if let Some(doubt) = &caption.doubt {
        let x = WIDTH.saturating_sub(32);
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"36\" text-anchor=\"end\" fill=\"#b71c1c\">{}</text>",
            escaped(doubt)
        );
    }
    for (row, cells) in cells.chunks(COLUMNS).enumerate() {
        let first = row.saturating_mul(COLUMNS);
        let y = plus(TOP, row.saturating_mul(ROW_HEIGHT), 0);
        let label = Human((first as u64).saturating_mul(cell_bytes));
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" fill=\"#607d8b\">{label}</text>",
            LEFT.saturating_sub(10),
            plus(y, 17, 0)
        );
        draw_strip(&mut svg, picture, cells, (first, y), cell_bytes);
        let end = first.saturating_add(cells.len());
        let nodes = nodes.cells.get(first..end).unwrap_or_default();
        draw_nodes(&mut svg, nodes, y);
    }
    for (line, (look, what, amount)) in legend.iter().enumerate() {
        let y = plus(legend_top, line.saturating_mul(LINE_HEIGHT), 0);
        let _ = writeln!(
            svg,
            "<rect x=\"{LEFT}\" y=\"{}\" width=\"22\" height=\"14\" rx=\"2\" fill=\"{}\" \
             stroke=\"#90a4ae\" stroke-width=\"0.5\"/><text x=\"{}\" y=\"{y}\">{}</text>\
             <text x=\"{}\" y=\"{y}\" fill=\"#607d8b\">{}</text>",
            y.saturating_sub(12),
            fill(*look),
            plus(LEFT, 32, 0),
            escaped(what),
            plus(LEFT, 300, 0),
            escaped(amount)
        );
    }
    for (line, text) in free_lines(picture).iter().enumerate() {
        let y = plus(free_top, line.saturating_mul(LINE_HEIGHT), 0);
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{y}\">{}</text>", escaped(text));
    }
    svg.push_str("</svg>\n");
    svg
}

/// One row of cells; those that are alike are one rectangle.
fn draw_strip(
    svg: &mut String,
    picture: &Picture,
    cells: &[Look],
    (first, y): (usize, usize),
    cell_bytes: u64,
) {
    let mut at = 0_usize;
    for same in cells.chunk_by(|a, b| a == b) {
        let Some(&look) = same.first() else { continue };
        let x = plus(LEFT, at.saturating_mul(CELL_WIDTH), 0);
        let lo = (first.saturating_add(at) as u64).saturating_mul(cell_bytes);
        let bytes = (same.len() as u64).saturating_mul(cell_bytes);
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{STRIP_HEIGHT}\" fill=\"{}\"><title>{}: \
             {} from address {lo}</title></rect>",
            same.len().saturating_mul(CELL_WIDTH),
            fill(look),
            called(look, picture),
            Human(bytes)
        );
        at = at.saturating_add(same.len());
    }
}

/// The nodes below a row of cells: a line for each stretch on the same one.
fn draw_nodes(svg: &mut String, nodes: &[char], y: usize) {
    let mut at = 0_usize;
    for same in nodes.chunk_by(|a, b| a == b) {
        let Some(node) = same.first() else { continue };
        let (x, width) =
            (plus(LEFT, at.saturating_mul(CELL_WIDTH), 0), same.len().saturating_mul(CELL_WIDTH));
        let _ = write!(
            svg,
            "<path d=\"M{} {}h{}\" stroke=\"#90a4ae\" stroke-width=\"2\"/>",
            plus(x, 1, 0),
            plus(y, STRIP_HEIGHT, 3),
            width.saturating_sub(2)
        );
        // A label needs some room.
        if width >= 48 {
            let _ = write!(
                svg,
                "<text x=\"{x}\" y=\"{}\" font-size=\"9\" fill=\"#607d8b\">node {node}</text>",
                plus(y, STRIP_HEIGHT, 13)
            );
        }
        svg.push('\n');
        at = at.saturating_add(same.len());
    }
}

/// What there is, how it looks, and how much there is of it.
fn legend(picture: &Picture, cells: &[Look]) -> Vec<(Look, String, String)> {
    let share = |bytes: u64| format!("{} ({})", Human(bytes), percent(bytes, picture.bytes));
    let mut lines = Vec::new();
    for (at, sum) in picture.tags.iter().enumerate() {
        let amount = format!("{} in {}", share(sum.bytes), Plural(sum.count, "allocation"));
        lines.push((Look::Tag(at), format!("tag {}", sum.tag), amount));
    }
    if picture.other_tag_count > 0 {
        let what = Plural(picture.other_tag_count, "other tag").to_string();
        let count = Plural(picture.other_count, "allocation");
        lines.push((Look::OtherTags, what, format!("{} in {count}", share(picture.other_bytes))));
    }
    let free = &picture.fragmentation;
    let pieces = Plural(free.free_count, "piece");
    lines.push((Look::Free, "free".into(), format!("{} in {pieces}", share(free.free_bytes))));
    lines.push((Look::Metadata, "header and records".into(), share(picture.metadata_bytes)));
    for (share, meaning) in [
        (Share::Low, "less than 1/3 allocated"),
        (Share::Medium, "1/3 to 2/3 allocated"),
        (Share::High, "more than 2/3 allocated"),
    ] {
        if cells.contains(&Look::Mixed(share)) {
            lines.push((Look::Mixed(share), "mixed".into(), meaning.into()));
        }
    }
    if cells.contains(&Look::Unlisted) {
        lines.push((Look::Unlisted, "unknown".into(), "the list of partitions ends before".into()));
    }
    lines
}

fn free_lines(picture: &Picture) -> [String; 2] {
    let free = &picture.fragmentation;
    [
        format!("The largest free piece has {}.", Bytes(free.largest_free_bytes)),
        format!(
            "Of what is free, {} is in pieces too small for {}: {} in {}.",
            percent(free.too_small_bytes, free.free_bytes),
            Human(free.for_bytes),
            Human(free.too_small_bytes),
            Plural(free.too_small_count, "piece")
        ),
    ]
}

/// The picture in words, for those who do not see it.
fn described(picture: &Picture, caption: &Caption<'_>) -> String {
    let used =
        picture.tags.iter().fold(picture.other_bytes, |sum, tag| sum.saturating_add(tag.bytes));
    let doubt = caption.doubt.as_ref().map_or(String::new(), |doubt| format!(" ({doubt})"));
    let [largest, wasted] = free_lines(picture);
    format!(
        "{}{doubt}. {} are allocated and {} free. {largest} {wasted}",
        caption.about,
        Human(used),
        Human(picture.fragmentation.free_bytes)
    )
}

fn called(look: Look, picture: &Picture) -> String {
    match look {
        Look::Metadata => "header and records".to_owned(),
        Look::Free => "free".to_owned(),
        Look::Tag(at) => {
            picture.tags.get(at).map_or_else(String::new, |sum| format!("tag {}", sum.tag))
        }
        Look::OtherTags => "allocated, other tags".to_owned(),
        Look::Unlisted => "unknown".to_owned(),
        Look::Rest => "behind the data".to_owned(),
        Look::Mixed(_) => "mixed".to_owned(),
    }
}

fn fill(look: Look) -> &'static str {
    match (look, palette::background(look)) {
        (_, Some(colour)) => colour.rgb,
        (Look::Free, None) => FREE,
        (_, None) => BACKGROUND,
    }
}

const fn plus(a: usize, b: usize, c: usize) -> usize {
    a.saturating_add(b).saturating_add(c)
}

/// A text as XML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
