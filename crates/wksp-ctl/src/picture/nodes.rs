//! On which node of memory each cell of a picture is.

use std::collections::BTreeSet;

use wksp_shmem::{NodeIndex, PageResidence, Region, Residence};

/// Of a cell with more pages than these, so many are asked for, evenly spread.
const PAGES_ASKED: u64 = 4;

/// The nodes of cells, and how that was found out.
#[derive(Clone, Debug)]
pub(crate) struct Nodes {
    /// A glyph for each cell.
    pub(crate) cells: Vec<char>,
    /// Whether some pages of a cell stand for all of them.
    pub(crate) is_sampled: bool,
}

/// What the glyphs mean that are no number of a node.
pub(crate) const SPECIAL: [(char, &str); 5] = [
    ('*', "several"),
    ('-', "no memory yet"),
    ('~', "swapped"),
    ('?', "not told"),
    ('+', "36 or more"),
];

impl Nodes {
    /// Asks the kernel for the pages of each of `count` cells.
    ///
    /// Moves none and brings none in. What the kernel does not say is shown as that.
    pub(crate) fn of(region: &Region, cell_bytes: u64, count: usize) -> Self {
        let info = region.info();
        let (page_bytes, page_count) = (info.page_size.bytes().max(1), info.page_count());
        let mut is_sampled = false;
        // The pages of each cell that are asked for; neighbours may be of the same page.
        let of_cell = |at: u64, is_sampled: &mut bool| {
            let lo = at.saturating_mul(cell_bytes);
            let first = lo.checked_div(page_bytes).unwrap_or(0);
            let end = lo.saturating_add(cell_bytes).div_ceil(page_bytes).min(page_count);
            let count = end.saturating_sub(first);
            *is_sampled |= count > PAGES_ASKED;
            let asked = count.min(PAGES_ASKED);
            (0..asked).map(move |part| {
                let ahead = count.saturating_mul(part).checked_div(asked).unwrap_or(0);
                first.saturating_add(ahead)
            })
        };
        let of_cells: Vec<Vec<u64>> =
            (0..count as u64).map(|at| of_cell(at, &mut is_sampled).collect()).collect();
        let mut pages: Vec<u64> = of_cells.iter().flatten().copied().collect();
        pages.dedup();
        let answers = Residence::of_each(region, &pages).unwrap_or_default();
        let answer = |page: &u64| {
            let at = pages.binary_search(page).ok();
            at.and_then(|at| answers.get(at)).map_or('?', |&answer| page_glyph(answer))
        };
        let cells = of_cells.iter().map(|pages| {
            let glyphs: BTreeSet<char> = pages.iter().map(answer).collect();
            match glyphs.len() {
                0 => '?',
                1 => glyphs.first().copied().unwrap_or('?'),
                _ => '*',
            }
        });
        Self { cells: cells.collect(), is_sampled: is_sampled && !answers.is_empty() }
    }
}

fn page_glyph(page: PageResidence) -> char {
    match page {
        PageResidence::On(node) => node_glyph(node),
        PageResidence::Absent => '-',
        PageResidence::Swapped => '~',
        PageResidence::Unknown => '?',
    }
}

/// A digit, or a letter from node 10 on.
fn node_glyph(node: NodeIndex) -> char {
    char::from_digit(node.get(), 36).unwrap_or('+')
}
