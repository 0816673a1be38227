//! The colours of a picture: for terminals by number of 256, for web pages as RGB.

use super::{LETTERS, Look, Share};

/// A colour: in the palette of terminals, which are dark, and as web pages have it, which are light.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    pub(crate) index: u8,
    pub(crate) rgb: &'static str,
}

const fn colour(index: u8, rgb: &'static str) -> Colour {
    Colour { index, rgb }
}

/// One for each letter, neighbours as different as can be.
const TAGS: [Colour; LETTERS.len()] = [
    colour(74, "#5fafd7"),
    colour(208, "#ff8700"),
    colour(71, "#5faf5f"),
    colour(167, "#d75f5f"),
    colour(221, "#ffd75f"),
    colour(140, "#af87d7"),
    colour(79, "#5fd7af"),
    colour(211, "#ff87af"),
    colour(137, "#af875f"),
    colour(111, "#87afff"),
    colour(149, "#afd75f"),
    colour(175, "#d787af"),
];

/// The colour behind a glyph, `None` for that of the screen.
pub(crate) fn background(look: Look) -> Option<Colour> {
    Some(match look {
        Look::Metadata => colour(60, "#5f5f87"),
        Look::Tag(at) => return TAGS.get(at).copied(),
        Look::OtherTags => colour(250, "#bcbcbc"),
        Look::Unlisted => colour(124, "#af0000"),
        Look::Mixed(Share::Low) => colour(236, "#cfd8dc"),
        Look::Mixed(Share::Medium) => colour(240, "#b0bec5"),
        Look::Mixed(Share::High) => colour(244, "#78909c"),
        Look::Free | Look::Rest => return None,
    })
}

/// Whether the glyph before that colour is to be light.
pub(crate) const fn is_dark(look: Look) -> bool {
    matches!(look, Look::Metadata | Look::Unlisted | Look::Mixed(_))
}
