//! Pictures of made-up workspaces.
#![allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails, as it should")]

use super::*;

/// A picture of stretches of so many bytes each: of a tag, or free.
fn picture(parts: &[(u64, Option<u64>)], metadata: u64, rest: u64) -> Picture {
    let mut lo = metadata;
    let partitions = parts.iter().zip(0..).map(|(&(bytes, tag), index)| {
        let range = wksp_core::GaddrRange::new(lo, lo + bytes).unwrap();
        lo += bytes;
        let index = wksp_core::PartitionIndex::new(index).unwrap();
        Partition { index, range, tag: tag.and_then(Tag::new) }
    });
    let survey = Survey { partitions: partitions.collect(), damage: None };
    Picture::new(&survey, lo + rest, (metadata, lo), 100)
}

fn glyphs(picture: &Picture, cell_bytes: u64) -> String {
    picture.cells(cell_bytes).iter().map(|look| look.glyph()).collect()
}

#[test]
fn each_cell_is_what_all_its_bytes_are_or_mixed() {
    let parts = [(200, Some(7)), (100, None), (50, Some(8)), (50, Some(8)), (100, None)];
    let picture = picture(&parts, 100, 100);
    assert_eq!(glyphs(&picture, 100), "#AA.B. ");
    // A third of the first one is allocated, and of the two around `B`.
    assert_eq!(glyphs(&picture, 150), "+A++ ");
    assert_eq!(glyphs(&picture, 160), "+*+- ");
    assert_eq!(
        glyphs(&picture, 1),
        format!(
            "{}{}{}{}{}{}",
            "#".repeat(100),
            "A".repeat(200),
            ".".repeat(100),
            "B".repeat(100),
            ".".repeat(100),
            " ".repeat(100)
        )
    );
    assert_eq!(glyphs(&picture, 1 << 40).len(), 1);
    assert_eq!(glyphs(&picture, u64::MAX).len(), 1);
}

#[test]
fn cells_are_no_more_than_there_is_room_for() {
    for bytes in [1_u64, 127, 128, 4096, 1 << 20, (1 << 40) + 1] {
        let picture = picture(&[(bytes, None)], 128, 0);
        for most in [1, 2, 3, 384, 1408] {
            let cell_bytes = picture.cell_bytes(most);
            assert!(cell_bytes.is_power_of_two());
            let count = picture.cells(cell_bytes).len() as u64;
            assert!(count <= most && (cell_bytes == 1 || count * 2 >= most), "{bytes} {most}");
            assert_eq!(count, (bytes + 128).div_ceil(cell_bytes));
        }
    }
}

#[test]
fn the_tags_with_most_bytes_have_letters_and_the_rest_is_summed_up() {
    let parts: Vec<_> = (1..=20).map(|tag| (10 * tag, Some(tag))).collect();
    let picture = picture(&parts, 1, 0);
    let tags: Vec<u64> = picture.tags.iter().map(|sum| sum.tag.get()).collect();
    assert_eq!(tags, (9..=20).rev().collect::<Vec<_>>());
    assert_eq!((picture.other_tag_count, picture.other_count), (8, 8));
    assert_eq!(picture.other_bytes, 360);
    assert!(glyphs(&picture, 1).ends_with('A'));
}

#[test]
fn free_pieces_are_compared_with_what_is_to_fit() {
    let picture = picture(&[(99, None), (1, Some(1)), (100, None), (1, Some(1)), (5, None)], 1, 0);
    let free = picture.fragmentation;
    assert_eq!((free.free_bytes, free.free_count, free.largest_free_bytes), (204, 3, 100));
    assert_eq!((free.too_small_bytes, free.too_small_count), (104, 2));
    assert_eq!(percent(104, 204), "51 %");
    assert_eq!(
        [percent(0, 0), percent(0, 9), percent(1, 100_000), percent(999, 1000), percent(5, 5)],
        ["0 %", "0 %", "<0.1 %", ">99 %", "100 %"]
    );
}

#[test]
fn no_two_looks_share_a_glyph() {
    let shares = [Share::Low, Share::Medium, Share::High].map(Look::Mixed);
    let others = [Look::Metadata, Look::Free, Look::OtherTags, Look::Unlisted, Look::Rest];
    let looks: Vec<Look> = (0..LETTERS.len()).map(Look::Tag).chain(others).chain(shares).collect();
    let glyphs: std::collections::BTreeSet<char> = looks.iter().map(|look| look.glyph()).collect();
    assert_eq!(glyphs.len(), looks.len());
}

#[test]
fn however_many_partitions_there_are_a_page_has_a_bounded_number_of_rectangles() {
    let parts: Vec<_> =
        (0..100_000_u64).map(|at| (1 + at % 97, (at % 2 > 0).then_some(at))).collect();
    let picture = picture(&parts, 128, 0);
    let cell_bytes = picture.cell_bytes(svg::CELLS_MAX);
    let cells = picture.cells(cell_bytes);
    let nodes = nodes::Nodes { cells: vec!['0'; cells.len()], is_sampled: false };
    let caption = svg::Caption { name: "a<b&\"c", about: String::new(), doubt: None };
    let text = svg::draw(&picture, &cells, &nodes, cell_bytes, &caption);
    assert!(text.contains("a&lt;b&amp;&quot;c") && !text.contains("a<b"));
    let rectangles = text.matches("<rect").count() as u64;
    assert!((10..svg::CELLS_MAX + 30).contains(&rectangles), "{rectangles}");
}
