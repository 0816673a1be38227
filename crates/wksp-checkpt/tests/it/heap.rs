//! Workspaces on the heap.

use wksp_checkpt::{Checkpoint, Control, Provenance, Style, WriteOptions, write};
use wksp_core::{Align, Block, Format, Gaddr, Geometry, Memory, Name, Solo, Tag, Workspace};
use wksp_testkit::golden::Allocation as Described;
use wksp_testkit::image::{self, Lock, Used};
use wksp_testkit::rng::Rng;

/// Private memory that holds an image or a workspace.
pub(crate) struct Heap(Vec<Block>);

impl Heap {
    pub(crate) fn new(bytes: u64) -> Self {
        let blocks = usize::try_from(bytes.div_ceil(128)).unwrap();
        Self((0..blocks).map(|_| Block::new()).collect())
    }

    pub(crate) fn of_image(image: &[u8]) -> Self {
        let mut heap = Self::new(image.len() as u64);
        heap.memory().copy_in(0, image).unwrap();
        heap
    }

    pub(crate) fn memory(&mut self) -> Memory<'_> {
        Memory::of_blocks(&mut self.0)
    }

    /// Memory that stays for good, as hooks of a thread need it.
    pub(crate) fn leak(self) -> Memory<'static> {
        Memory::of_blocks(self.0.leak())
    }

    pub(crate) fn join(&mut self) -> Workspace<'_, Solo> {
        Workspace::join(self.memory(), Solo).unwrap()
    }

    /// Formats a workspace.
    pub(crate) fn format(&mut self, name: &str, geometry: Geometry) -> Workspace<'_, Solo> {
        let format = Format { name: Name::new(name).unwrap(), seed: 5, geometry };
        Workspace::format(self.memory(), Solo, format).unwrap()
    }

    pub(crate) fn image(&mut self) -> Vec<u8> {
        let memory = self.memory();
        let mut bytes = vec![0; memory.bytes()];
        memory.copy_out(0, &mut bytes).unwrap();
        bytes
    }

    /// What is allocated, after a check of every rule of the layout.
    pub(crate) fn described(&mut self) -> Vec<Described> {
        let image = self.image();
        let listing = image::check(&image, Lock::MustBeFree).unwrap();
        let used = listing.used();
        used.iter().map(|&used| describe(&image, used)).collect()
    }
}

pub(crate) fn describe(image: &[u8], used: Used) -> Described {
    Described::of(used, image::bytes(image, used.lo, used.hi).unwrap())
}

/// A workspace with allocations of these sizes, the content half random, half repetitive.
pub(crate) fn filled(sizes: &[u64], part_max: u64, seed: u64) -> Heap {
    let total: u64 = sizes.iter().map(|bytes| bytes + 64).sum();
    let geometry = Geometry::new(part_max, total.max(1) + 4096).unwrap();
    let mut heap = Heap::new(geometry.footprint());
    let workspace = heap.format("filled", geometry);
    let mut rng = Rng::new(seed);
    for &bytes in sizes {
        let tag = Tag::new(1 + rng.below(5)).unwrap();
        let gaddr = workspace.lock().unwrap().alloc(Align::BYTE, bytes, tag).unwrap();
        workspace.copy_in(gaddr, &content(&mut rng, bytes)).unwrap();
    }
    // Gaps between allocations.
    let mut guard = workspace.lock().unwrap();
    if sizes.len() > 4 {
        let all: Vec<Gaddr> = guard
            .partitions()
            .filter_map(|partition| partition.unwrap().tag.map(|_| partition.unwrap().range.lo()))
            .collect();
        for gaddr in all.iter().skip(1).step_by(5) {
            guard.free(*gaddr).unwrap();
        }
    }
    drop(guard);
    heap
}

pub(crate) fn content(rng: &mut Rng, bytes: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(bytes).unwrap()];
    let mut at = 0;
    while at < content.len() {
        let run = (1 + rng.index(3000)).min(content.len() - at);
        if rng.one_in(2) || at < 100 {
            rng.fill(&mut content[at..at + run]);
        } else {
            let back = 1 + rng.index(at.min(70_000));
            for place in at..at + run {
                content[place] = content[place - back];
            }
        }
        at += run;
    }
    content
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        mode: 0o600,
        wall_clock_ns: 1_700_000_000_000_000_000,
        app_id: 1,
        thread_id: 2,
        host_id: 3,
        cpu_id: 4,
        group_id: 5,
        tid: 6,
        user_id: 7,
        app: "app".into(),
        thread: "thread".into(),
        host: "host".into(),
        cpu: "cpu".into(),
        group: "group".into(),
        user: "user".into(),
        path: "path".into(),
        build_info: "build".into(),
        user_info: "what the user says".into(),
    }
}

pub(crate) fn options(style: Style) -> WriteOptions<'static> {
    WriteOptions { style, provenance: provenance(), ..WriteOptions::default() }
}

pub(crate) const STYLES: [Style; 4] = [Style::V1, Style::Raw, Style::Lz4, Style::Zstd { level: 3 }];

/// Checkpoint of a workspace as a file.
pub(crate) fn file(heap: &mut Heap, options: &WriteOptions<'_>) -> Vec<u8> {
    let workspace = heap.join();
    let file = wksp_checkpt::MemoryFile::default();
    let written = write(&workspace.lock().unwrap(), &file, options).unwrap();
    let bytes = file.into_bytes();
    assert_eq!(bytes.len() as u64, written.bytes);
    bytes
}

/// Checkpoint of a workspace as a stream.
pub(crate) fn stream(heap: &mut Heap, options: &WriteOptions<'_>) -> Vec<u8> {
    let workspace = heap.join();
    let mut bytes = Vec::new();
    let written = write(&workspace.lock().unwrap(), &mut bytes, options).unwrap();
    assert_eq!(bytes.len() as u64, written.bytes);
    bytes
}

pub(crate) fn threads(count: usize) -> Control<'static> {
    Control { threads: count.try_into().unwrap(), ..Control::default() }
}

/// What a checkpoint holds, by extracting one allocation after the other.
pub(crate) fn extracted(checkpoint: &Checkpoint<'_>) -> Vec<Described> {
    let described = checkpoint.allocations().iter().map(|one| {
        let mut bytes = Vec::new();
        checkpoint.extract(|other| other == one, &mut bytes, &threads(1)).unwrap();
        let (lo, hi) = (one.range.lo().get(), one.range.hi().get());
        Described::of(Used { lo, hi, tag: one.tag.get() }, &bytes)
    });
    described.collect()
}
