//! What a real program allocated and freed, replayed.
//!
//! The file holds records of 24 bytes, little endian, as the recorder writes them: the address that
//! was returned or freed, the bytes asked for or 0 if it was freed, and the alignment.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use wksp_core::{Align, Gaddr, Geometry, Name, Tag};
use wksp_shmem::{Records, SharedWorkspace, WorkspaceOptions};

use crate::Effort;
use crate::report::{Report, Row, Sample, time};
use crate::subject::{Maps, Subject};

/// The bytes of a record.
const RECORD_BYTES: usize = 24;

/// Something that was done, with the number of the allocation instead of its address.
enum Event {
    Alloc { bytes: u64, align: u64 },
    Free { which: usize },
}

/// Times a recorded trace.
pub(crate) fn run(path: &Path, effort: Effort, report: &mut Report) -> Result<()> {
    let trace = Replay::read(path)?;
    let (mut ours, mut maps) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        maps.push(trace.by_maps());
        ours.push(trace.by_ours());
    }
    report.add(Row {
        group: format!("Replay: {} allocations and frees of a real program", trace.events.len()),
        what: "alloc or free".to_owned(),
        n: trace.live_max,
        unit: "ns each",
        ours: Sample::of(ours),
        yardstick: Some(Sample::of(maps)),
        target: None,
    });
    Ok(())
}

struct Replay {
    events: Vec<Event>,
    /// How many allocations were ever alive at once, and their bytes.
    live_max: usize,
    bytes_max: u64,
    align_max: u64,
}

impl Replay {
    fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {path:?}"))?;
        ensure!(bytes.len() >= RECORD_BYTES, "{path:?} has no record of an allocation");
        let word = |at: &[u8]| at.first_chunk().map_or(0, |word| u64::from_le_bytes(*word));
        let mut replay = Self { events: Vec::new(), live_max: 0, bytes_max: 0, align_max: 16 };
        let (mut live, mut live_bytes, mut made) = (HashMap::new(), 0_u64, 0);
        for record in bytes.chunks_exact(RECORD_BYTES) {
            let (at, bytes, align) = (word(record), word(&record[8..]), word(&record[16..]));
            if bytes == 0 {
                // What was allocated before the recorder began is not known.
                let Some((which, bytes)) = live.remove(&at) else { continue };
                live_bytes -= bytes;
                replay.events.push(Event::Free { which });
            } else {
                let align = if align.is_power_of_two() { align.max(16) } else { 16 };
                ensure!(bytes < 1 << 40, "{path:?} has an allocation of {bytes} bytes");
                live.insert(at, (made, bytes));
                made += 1;
                live_bytes += bytes;
                replay.events.push(Event::Alloc { bytes, align });
                replay.align_max = replay.align_max.max(align);
            }
            replay.live_max = replay.live_max.max(live.len());
            replay.bytes_max = replay.bytes_max.max(live_bytes);
        }
        Ok(replay)
    }

    fn geometry(&self) -> Geometry {
        let slack = self.live_max as u64 * 64 + self.align_max;
        Geometry::new(3 * self.live_max as u64 + 16, 2 * self.bytes_max + slack).unwrap()
    }

    fn by_ours(&self) -> f64 {
        let geometry = self.geometry();
        let bytes =
            usize::try_from(geometry.footprint()).ok().and_then(|bytes| bytes.try_into().ok());
        let options =
            WorkspaceOptions::default().with_records(Records::Count(geometry.part_max().into()));
        let name = Name::new("replay").unwrap();
        let workspace = SharedWorkspace::private(&name, bytes.unwrap(), &options).unwrap();
        let tag = Tag::new(1).unwrap();
        let mut made = Vec::with_capacity(self.events.len());
        time(self.events.len(), || {
            for event in &self.events {
                let mut guard = workspace.lock().unwrap();
                match *event {
                    Event::Alloc { bytes, align } => {
                        let align = Align::new(align).unwrap();
                        made.push(guard.alloc_at_least(align, bytes, tag).unwrap().lo().get());
                    }
                    Event::Free { which } => {
                        guard.free(Gaddr::new(made[which]).unwrap()).unwrap();
                    }
                }
            }
        })
    }

    fn by_maps(&self) -> f64 {
        let mut maps = Maps::over(self.geometry().data(), 16);
        let mut made = Vec::with_capacity(self.events.len());
        time(self.events.len(), || {
            for event in &self.events {
                match *event {
                    // The maps know one alignment only.
                    Event::Alloc { bytes, .. } => made.push(maps.alloc(bytes)),
                    Event::Free { which } => maps.free(made[which]),
                }
            }
        })
    }
}
