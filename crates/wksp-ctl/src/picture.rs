//! The address space of a workspace as a picture: cells that stand for the same number of bytes each.

pub(crate) mod nodes;
pub(crate) mod palette;
pub(crate) mod svg;
pub(crate) mod terminal;

use serde::Serialize;
use wksp_core::{Partition, Tag, View};

use crate::value;

/// So many tags have a letter of their own; the rest are summed up.
pub(crate) const LETTERS: &str = "ABCDEFGHIJKL";

/// What a workspace was seen to consist of.
#[derive(Debug)]
pub(crate) struct Survey {
    /// All partitions in ascending order of address, up to the damage.
    partitions: Vec<Partition>,
    /// Why the list ends early, if it does.
    pub(crate) damage: Option<String>,
}

impl Survey {
    /// Collects all partitions; there are never more than records, which take twice as many bytes.
    pub(crate) fn of(view: View<'_>) -> Self {
        let mut survey = Self { partitions: Vec::new(), damage: None };
        for partition in view.partitions() {
            match partition {
                Ok(partition) => survey.partitions.push(partition),
                Err(damage) => survey.damage = Some(damage.to_string()),
            }
        }
        survey
    }
}

/// What the bytes of a cell are, if they are all alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Look {
    /// Header and partition records.
    Metadata,
    Free,
    /// Allocated with a tag that has this letter.
    Tag(usize),
    /// Allocated with one of the other tags.
    OtherTags,
    /// Behind the place where the list of partitions was found to end.
    Unlisted,
    /// The rest of the region, behind the data.
    Rest,
    /// Not all alike; allocated are less than a third, less than two thirds, or more.
    Mixed(Share),
}

/// How much of a mixed cell is allocated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Share {
    Low,
    Medium,
    High,
}

impl Look {
    /// The glyph that can be told from all others without colour.
    pub(crate) fn glyph(self) -> char {
        match self {
            Self::Metadata => '#',
            Self::Free => '.',
            Self::Tag(at) => LETTERS.chars().nth(at).unwrap_or('='),
            Self::OtherTags => '=',
            Self::Unlisted => '!',
            Self::Rest => ' ',
            Self::Mixed(Share::Low) => '-',
            Self::Mixed(Share::Medium) => '+',
            Self::Mixed(Share::High) => '*',
        }
    }
}

/// The allocations with one tag.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct TagSum {
    #[serde(serialize_with = "value::serialize_tag")]
    pub(crate) tag: Tag,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// How the free memory is cut up.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Fragmentation {
    /// What is free, in all and at most in one piece.
    pub(crate) free_bytes: u64,
    pub(crate) free_count: u64,
    pub(crate) largest_free_bytes: u64,
    /// The size that pieces are compared with.
    pub(crate) for_bytes: u64,
    /// What is free in pieces that are smaller than that.
    pub(crate) too_small_bytes: u64,
    pub(crate) too_small_count: u64,
}

/// A stretch of the region that is all alike.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    lo: u64,
    hi: u64,
    look: Look,
}

/// A workspace, ready to be drawn at any size.
#[derive(Debug)]
pub(crate) struct Picture {
    stretches: Vec<Stretch>,
    /// The bytes of the region.
    pub(crate) bytes: u64,
    pub(crate) data_bytes: u64,
    pub(crate) metadata_bytes: u64,
    /// The tags that have a letter, most bytes first.
    pub(crate) tags: Vec<TagSum>,
    /// How many other tags there are.
    pub(crate) other_tag_count: u64,
    /// Their allocations.
    pub(crate) other_count: u64,
    pub(crate) other_bytes: u64,
    pub(crate) fragmentation: Fragmentation,
}

impl Picture {
    /// Prepares what was seen of a region of `bytes` bytes with data at [`data_lo`, `data_hi`).
    pub(crate) fn new(
        survey: &Survey,
        bytes: u64,
        (data_lo, data_hi): (u64, u64),
        for_bytes: u64,
    ) -> Self {
        let mut sums = sums(&survey.partitions);
        let others = sums.split_off(sums.len().min(LETTERS.len()));
        let mut by_tag: Vec<(Tag, usize)> =
            sums.iter().enumerate().map(|(at, sum)| (sum.tag, at)).collect();
        by_tag.sort_unstable();
        let look = |tag: Option<Tag>| match tag {
            None => Look::Free,
            Some(tag) => by_tag
                .binary_search_by_key(&tag, |&(tag, _)| tag)
                .ok()
                .and_then(|found| by_tag.get(found))
                .map_or(Look::OtherTags, |&(_, at)| Look::Tag(at)),
        };
        let mut stretches = vec![Stretch { lo: 0, hi: data_lo, look: Look::Metadata }];
        stretches.extend(survey.partitions.iter().map(|partition| {
            let (lo, hi) = (partition.range.lo().get(), partition.range.hi().get());
            Stretch { lo, hi, look: look(partition.tag) }
        }));
        let listed_hi = stretches.last().map_or(data_lo, |last| last.hi);
        stretches.push(Stretch { lo: listed_hi, hi: data_hi, look: Look::Unlisted });
        stretches.push(Stretch { lo: data_hi, hi: bytes, look: Look::Rest });
        stretches.retain(|stretch| stretch.lo < stretch.hi);
        let sum_of =
            |part: fn(&TagSum) -> u64| others.iter().map(part).fold(0, u64::saturating_add);
        Self {
            stretches,
            bytes,
            data_bytes: data_hi.saturating_sub(data_lo),
            metadata_bytes: data_lo,
            tags: sums,
            other_tag_count: others.len() as u64,
            other_count: sum_of(|sum| sum.count),
            other_bytes: sum_of(|sum| sum.bytes),
            fragmentation: fragmentation(&survey.partitions, for_bytes),
        }
    }

    /// The smallest power of two of which `cells_max` cells cover the region.
    pub(crate) fn cell_bytes(&self, cells_max: u64) -> u64 {
        let least = self.bytes.div_ceil(cells_max.max(1)).max(1);
        least.checked_next_power_of_two().unwrap_or(u64::MAX)
    }

    /// What each cell of so many bytes is; the last one may reach beyond the end.
    pub(crate) fn cells(&self, cell_bytes: u64) -> Vec<Look> {
        let cell_bytes = cell_bytes.max(1);
        let mut cells = Vec::new();
        // The cell that is being filled: where it ends, what it is so far, what is allocated in it.
        let (mut cell_hi, mut so_far, mut used): (u64, Option<Look>, u64) = (cell_bytes, None, 0);
        for &Stretch { mut lo, hi, look } in &self.stretches {
            while lo < hi {
                let end = hi.min(cell_hi);
                so_far = Some(match so_far {
                    Some(before) if before != look => Look::Mixed(Share::Low),
                    _ => look,
                });
                if matches!(look, Look::Tag(_) | Look::OtherTags) {
                    used = used.saturating_add(end.saturating_sub(lo));
                }
                lo = end;
                if end == cell_hi {
                    cells.extend(so_far.take().map(|look| with_share(look, used, cell_bytes)));
                    used = 0;
                    cell_hi = cell_hi.saturating_add(cell_bytes);
                }
            }
        }
        let rest = cell_bytes.saturating_sub(cell_hi.saturating_sub(self.bytes));
        cells.extend(so_far.map(|look| with_share(look, used, rest)));
        cells
    }
}

/// A cell of so many bytes with the share of it that is allocated, if it is mixed.
const fn with_share(look: Look, used: u64, bytes: u64) -> Look {
    let thirds = used.saturating_mul(3);
    match look {
        Look::Mixed(_) if thirds < bytes => Look::Mixed(Share::Low),
        Look::Mixed(_) if thirds < bytes.saturating_mul(2) => Look::Mixed(Share::Medium),
        Look::Mixed(_) => Look::Mixed(Share::High),
        look => look,
    }
}

/// The allocations of each tag, most bytes first.
fn sums(partitions: &[Partition]) -> Vec<TagSum> {
    let mut used: Vec<(Tag, u64)> = partitions
        .iter()
        .filter_map(|partition| Some((partition.tag?, partition.range.bytes())))
        .collect();
    used.sort_unstable_by_key(|&(tag, _)| tag);
    let mut sums: Vec<TagSum> = used
        .chunk_by(|a, b| a.0 == b.0)
        .filter_map(|same| {
            let bytes = same.iter().fold(0, |sum: u64, &(_, bytes)| sum.saturating_add(bytes));
            same.first().map(|&(tag, _)| TagSum { tag, count: same.len() as u64, bytes })
        })
        .collect();
    sums.sort_unstable_by_key(|sum| (std::cmp::Reverse(sum.bytes), sum.tag));
    sums
}

fn fragmentation(partitions: &[Partition], for_bytes: u64) -> Fragmentation {
    let mut found = Fragmentation {
        free_bytes: 0,
        free_count: 0,
        largest_free_bytes: 0,
        for_bytes,
        too_small_bytes: 0,
        too_small_count: 0,
    };
    for partition in partitions.iter().filter(|partition| partition.tag.is_none()) {
        let bytes = partition.range.bytes();
        found.free_bytes = found.free_bytes.saturating_add(bytes);
        found.free_count = found.free_count.saturating_add(1);
        found.largest_free_bytes = found.largest_free_bytes.max(bytes);
        if bytes < for_bytes {
            found.too_small_bytes = found.too_small_bytes.saturating_add(bytes);
            found.too_small_count = found.too_small_count.saturating_add(1);
        }
    }
    found
}

/// A share of a whole for people, in percent; nothing that is there is called 0 %.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if part == 0 {
        return "0 %".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "it is rounded to one digit anyway")]
    let percent = part as f64 * 100.0 / whole.max(1) as f64;
    match percent {
        ..0.1 => "<0.1 %".to_owned(),
        0.1..10.0 => format!("{percent:.1} %"),
        _ if part < whole && percent > 99.0 => ">99 %".to_owned(),
        _ => format!("{percent:.0} %"),
    }
}

#[cfg(test)]
mod tests;
