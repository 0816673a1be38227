//! One operation on a workspace and on its model, with every answer compared.

use proptest::prelude::*;
use wksp_core::{Align, AllocError, EditError, FreeError, Gaddr, Guard, NotAllocated, Party, Tag};
use wksp_testkit::model::{Model, Wanted};
use wksp_testkit::rng::Rng;

/// An operation; `which` picks an allocation, any of its bytes, or sometimes a free address.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    Alloc { align_log2: u8, bytes: u64, tag: u64 },
    AllocAtLeast { align_log2: u8, bytes: u64, tag: u64 },
    Free { which: u64 },
    SetTag { which: u64, tag: u64 },
    FreeTagged { tag: u64 },
    Fill { which: u64, value: u8 },
    Query { which: u64 },
    Rebuild { seed: Option<u32> },
    Reset,
}

impl Operation {
    pub(crate) fn random(rng: &mut Rng, largest: u64) -> Self {
        let bytes = rng.below(largest) >> rng.below(12);
        let tag = 1 + rng.below(5);
        let align_log2 = rng.below(10) as u8;
        let which = rng.next_u64();
        match rng.below(1000) {
            0..300 => Self::Alloc { align_log2, bytes, tag },
            300..400 => Self::AllocAtLeast { align_log2, bytes, tag },
            400..820 => Self::Free { which },
            820..850 => Self::SetTag { which, tag },
            850..860 => Self::FreeTagged { tag: 1 + rng.below(50) },
            860..910 => Self::Fill { which, value: rng.byte() },
            910..990 => Self::Query { which },
            990..999 => Self::Rebuild { seed: rng.one_in(2).then(|| rng.byte().into()) },
            _ => Self::Reset,
        }
    }

    pub(crate) fn strategy(largest: u64) -> impl Strategy<Value = Self> {
        any::<u64>().prop_map(move |seed| Self::random(&mut Rng::new(seed), largest))
    }
}

/// An address for `which`: mostly of an allocation, sometimes any.
fn pick(model: &Model, which: u64) -> Gaddr {
    let mut rng = Rng::new(which);
    let region = model.region();
    let anywhere = region.start - 1 + rng.below(region.end - region.start + 2);
    let used = model.used();
    let picked = match rng.pick(&used) {
        Some(used) if !rng.one_in(10) => used.lo + rng.below(used.hi - used.lo),
        _ => anywhere,
    };
    Gaddr::new(picked).unwrap()
}

/// Does an operation on both, and panics where the answers differ.
pub(crate) fn apply<P: Party>(
    guard: &mut Guard<'_, '_, P>,
    model: &mut Model,
    operation: Operation,
) {
    match operation {
        Operation::Alloc { align_log2, bytes, tag } => {
            alloc(guard, model, align_log2, bytes, tag, false);
        }
        Operation::AllocAtLeast { align_log2, bytes, tag } => {
            alloc(guard, model, align_log2, bytes, tag, true);
        }
        Operation::Free { which } => {
            let gaddr = pick(model, which);
            match (guard.free(gaddr), model.remove(gaddr.get())) {
                (Ok(freed), Some(expected)) => {
                    assert_eq!(freed.range.lo().get(), expected.lo);
                    assert_eq!(freed.range.hi().get(), expected.hi);
                    assert_eq!(freed.tag.get(), expected.tag);
                }
                (Err(FreeError::NotAllocated(error)), None) => not_allocated(model, gaddr, error),
                (found, expected) => panic!("free {gaddr}: {found:?}, expected {expected:?}"),
            }
        }
        Operation::SetTag { which, tag } => {
            let gaddr = pick(model, which);
            match (guard.set_tag(gaddr, Tag::new(tag).unwrap()), model.set_tag(gaddr.get(), tag)) {
                (Ok(before), Some(expected)) => assert_eq!(before.tag.get(), expected),
                (Err(EditError::NotAllocated(error)), None) => not_allocated(model, gaddr, error),
                (found, expected) => panic!("set_tag {gaddr}: {found:?}, expected {expected:?}"),
            }
        }
        Operation::FreeTagged { tag } => {
            let expected = model.tag_free(&[tag]);
            let freed = guard.free_tagged(Tag::new(tag).unwrap()).unwrap();
            assert_eq!(freed.count, expected.len() as u64);
            assert_eq!(freed.bytes, expected.iter().map(|gone| gone.hi - gone.lo).sum::<u64>());
        }
        Operation::Fill { which, value } => {
            let gaddr = pick(model, which);
            match (guard.fill(gaddr, value), model.get(gaddr.get())) {
                (Ok(filled), Some(expected)) => {
                    let mut bytes = vec![!value; (expected.hi - expected.lo) as usize];
                    guard.workspace().copy_out(filled.range.lo(), &mut bytes).unwrap();
                    assert!(bytes.iter().all(|&byte| byte == value));
                }
                (Err(EditError::NotAllocated(error)), None) => not_allocated(model, gaddr, error),
                (found, expected) => panic!("fill {gaddr}: {found:?}, expected {expected:?}"),
            }
        }
        Operation::Query { which } => {
            let gaddr = pick(model, which);
            assert_eq!(guard.tag(gaddr).map(Tag::get), model.tag_at(gaddr.get()));
            let tag = Tag::new(1 + which % 6).unwrap();
            let lowest = model.iter().find(|allocation| allocation.tag == tag.get());
            assert_eq!(
                guard.lowest_tagged(tag).map(|found| found.range.lo().get()),
                lowest.map(|allocation| allocation.lo)
            );
            usage(guard, model, tag);
        }
        Operation::Rebuild { seed } => guard.rebuild(seed).unwrap(),
        Operation::Reset => {
            guard.reset(None).unwrap();
            model.reset();
        }
    }
}

fn alloc<P: Party>(
    guard: &mut Guard<'_, '_, P>,
    model: &mut Model,
    align_log2: u8,
    bytes: u64,
    tag: u64,
    at_least: bool,
) {
    let align = Align::new(1 << align_log2).unwrap();
    let chosen = model.best_fit(bytes.saturating_add(align.get() - 1));
    let gaps = model.gaps();
    let tag = Tag::new(tag).unwrap();
    let result = if at_least {
        guard.alloc_at_least(align, bytes, tag).map(|range| range.lo().get()..range.hi().get())
    } else {
        guard.alloc(align, bytes, tag).map(|lo| lo.get()..lo.get() + bytes)
    };
    match result {
        Ok(range) => {
            let wanted = Wanted { bytes, align: align.get(), tag: tag.get() };
            let gap = gaps.iter().find(|gap| gap.contains(&range.start)).unwrap();
            let unit = if at_least { align.get().min(64) } else { 1 };
            let end = (range.start + bytes).next_multiple_of(unit).min(gap.end);
            assert_eq!(range.end, end);
            model.insert_reserved(range.start, range, wanted, 0).unwrap();
            // The smallest gap that is sure to do was taken.
            assert!(chosen.is_none_or(|bytes| bytes == gap.end - gap.start));
        }
        Err(AllocError::ZeroSize) => assert_eq!(bytes, 0),
        Err(AllocError::NoSpace { largest_free_bytes, .. }) => {
            assert_eq!(chosen, None);
            let largest = gaps.iter().map(|gap| gap.end - gap.start).max().unwrap_or(0);
            assert_eq!(largest_free_bytes, largest);
        }
        Err(AllocError::NoRecords { needed, idle, .. }) => {
            assert!(idle < needed && needed <= 2);
            let listed = (model.len() + gaps.len()) as u64;
            assert_eq!(
                u64::from(guard.workspace().geometry().part_max()) - listed,
                u64::from(idle)
            );
        }
        Err(error) => panic!("alloc: {error}"),
    }
}

fn not_allocated(model: &Model, gaddr: Gaddr, error: NotAllocated) {
    let outside = !model.region().contains(&gaddr.get());
    assert_eq!(outside, matches!(error, NotAllocated::Outside { .. }));
}

fn usage<P: Party>(guard: &Guard<'_, '_, P>, model: &Model, tag: Tag) {
    let usage = guard.usage(Some(tag));
    let bytes = |allocation: &wksp_testkit::model::Allocation| allocation.hi - allocation.lo;
    let gaps: Vec<u64> = model.gaps().iter().map(|gap| gap.end - gap.start).collect();
    assert_eq!(usage.used.count, model.len() as u64);
    assert_eq!(usage.used.bytes, model.iter().map(bytes).sum::<u64>());
    assert_eq!(usage.used.largest_bytes, model.iter().map(bytes).max().unwrap_or(0));
    assert_eq!(usage.free.count, gaps.len() as u64);
    assert_eq!(usage.free.bytes, gaps.iter().sum::<u64>());
    assert_eq!(usage.free.largest_bytes, gaps.iter().copied().max().unwrap_or(0));
    let tagged = model.iter().filter(|allocation| allocation.tag == tag.get());
    assert_eq!(usage.tagged.bytes, tagged.map(bytes).sum::<u64>());
}
