//! Checkpoint and restore against memcpy, plain writes and reads, and the compressors alone.
//!
//! Each row alternates with its yardstick, and gives the medians of both and their ratio.
//! `WKSP_BENCH_DIR` names a directory of files to take as data, `/usr` if it is not set,
//! `WKSP_BENCH_MIB` how much of it, and an argument which rows: those that contain it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that panics failed")]
#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "as above")]

use std::cell::RefCell;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use lz4::block::{CompressionMode, compress_bound, compress_to_buffer, decompress_to_buffer};
use wksp_checkpt::publish::Draft;
use wksp_checkpt::{Checkpoint, Control, RestoreOptions, Style, WriteOptions, write};
use wksp_core::{Align, Block, Format, Geometry, Memory, Name, Solo, Tag, Workspace};

/// The size of the pieces in which the compressors alone get the data: that of an LZ4 chunk.
const CHUNK: usize = 64 * 1024;

fn main() {
    // Under `cargo test` benchmarks run as well; then a little data will do.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let mib = std::env::var("WKSP_BENCH_MIB").ok().and_then(|mib| mib.parse().ok());
    let most = mib.unwrap_or(if is_bench { 512 } else { 8 }) << 20;
    let directory = std::env::var_os("WKSP_BENCH_DIR").map_or("/usr".into(), PathBuf::from);
    let (mut pieces, mut total) = (Vec::new(), 0);
    collect(&directory, &mut pieces, &mut total, most);
    println!("{total} bytes in {} allocations", pieces.len());

    let part_max = 2 * pieces.len() as u64 + 16;
    let geometry = Geometry::new(part_max, total as u64 + 64 * part_max).unwrap();
    let (mut source, mut target) = (blocks(&geometry), blocks(&geometry));
    let workspace = format(&mut source, geometry);
    for piece in &pieces {
        let tag = Tag::new(1).unwrap();
        let gaddr = workspace.lock().unwrap().alloc(Align::CACHE_LINE, piece.len() as u64, tag);
        workspace.copy_in(gaddr.unwrap(), piece).unwrap();
    }
    let other = format(&mut target, geometry);
    let all: Vec<u8> = pieces.concat();
    let copy = RefCell::new(vec![1; all.len()]);
    let in_cache = scratch();
    in_cache.write_all_at(&all, 0).unwrap();
    let mut lz4 = Chunks::new(&all, compress_bound(CHUNK).unwrap(), |from, to| {
        compress_to_buffer(from, Some(CompressionMode::DEFAULT), false, to).unwrap()
    });
    let mut compressor = zstd_safe::CCtx::create();
    let mut zstd = Chunks::new(&all, zstd_safe::compress_bound(CHUNK), |from, to| {
        compressor.compress(to, from, 3).unwrap()
    });
    let mut decompressor = zstd_safe::DCtx::create();
    drop(pieces);

    let table = Table { bytes: total, filter, rounds: if is_bench { 7 } else { 1 } };
    table.head();
    let mut memcpy = || copy.borrow_mut().copy_from_slice(&all);
    let mut read_to = vec![1; all.len()];
    table.row("plain read", &mut memcpy, || in_cache.read_exact_at(&mut read_to, 0).unwrap());
    drop(read_to);

    for (style, name) in [
        (Style::V1, "v1"),
        (Style::Raw, "raw"),
        (Style::Lz4, "LZ4"),
        (Style::Zstd { level: 3 }, "zstd"),
    ] {
        for (digest, threads) in [(false, 1), (false, 2), (true, 1), (true, 2)] {
            let control = Control { threads: threads.try_into().unwrap(), ..Control::default() };
            let options = WriteOptions { style, digest, control, ..WriteOptions::default() };
            let restore = RestoreOptions { control, ..RestoreOptions::default() };
            let with = if digest { "digest" } else { "bare" };
            let called = |what: &str| format!("{name} {with} {threads}t {what}");
            let mut yard_out: Box<dyn FnMut()> = match style {
                Style::Lz4 => Box::new(|| lz4.compress()),
                Style::Zstd { .. } => Box::new(|| zstd.compress()),
                _ => Box::new(|| scratch().write_all(&all).unwrap()),
            };
            table.row(&called("write"), &mut *yard_out, || {
                write(&workspace.lock().unwrap(), &scratch(), &options).unwrap();
            });
            drop(yard_out);
            let file = scratch();
            let written = write(&workspace.lock().unwrap(), &file, &options).unwrap();
            if threads == 1 && !digest {
                println!("{name} takes {:.3} of the data", written.bytes as f64 / total as f64);
            }
            let mut yard_in: Box<dyn FnMut()> = match style {
                Style::Lz4 => Box::new(|| {
                    lz4.decompress(&mut copy.borrow_mut(), |from, to| {
                        decompress_to_buffer(from, i32::try_from(to.len()).ok(), to).unwrap();
                    })
                }),
                Style::Zstd { .. } => Box::new(|| {
                    zstd.decompress(&mut copy.borrow_mut(), |from, to| {
                        decompressor.decompress(to, from).unwrap();
                    })
                }),
                _ => Box::new(&mut memcpy),
            };
            table.row(&called("verify"), &mut *yard_in, || {
                Checkpoint::open(&file).unwrap().verify(&control).unwrap();
            });
            table.row(&called("restore"), &mut *yard_in, || {
                let checkpoint = Checkpoint::open(&file).unwrap();
                let verified = checkpoint.verify(&control).unwrap();
                verified.restore(&mut other.lock().unwrap(), &restore).unwrap();
            });
            table.row(&called("into empty"), &mut *yard_in, || {
                other.lock().unwrap().reset(None).unwrap();
                let checkpoint = Checkpoint::open(&file).unwrap();
                checkpoint.restore_into_empty(&mut other.lock().unwrap(), &restore).unwrap();
            });
        }
    }
}

/// Rows of a benchmark against a yardstick.
struct Table {
    bytes: usize,
    filter: Option<String>,
    rounds: usize,
}

impl Table {
    fn head(&self) {
        println!("{:24} {:>9} {:>10} {:>7}", "", "GB/s", "yardstick", "ratio");
    }

    fn row(&self, what: &str, mut yardstick: impl FnMut(), mut ours: impl FnMut()) {
        if self.filter.as_ref().is_some_and(|filter| !what.contains(filter.as_str())) {
            return;
        }
        let (mut theirs, mut times, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.rounds {
            let (yard, time) = (seconds(&mut yardstick), seconds(&mut ours));
            theirs.push(yard);
            times.push(time);
            ratios.push(yard / time);
        }
        let rate = |times| self.bytes as f64 / median(times) / 1e9;
        let (ours, theirs, ratio) = (rate(times), rate(theirs), median(ratios));
        println!("{what:24} {ours:9.2} {theirs:10.2} {ratio:7.2}");
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_unstable_by(f64::total_cmp);
    times[times.len() / 2]
}

fn seconds(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// The data in chunks, and each of them compressed on its own.
struct Chunks<'a, C> {
    all: &'a [u8],
    compressed: Vec<Vec<u8>>,
    room: Vec<u8>,
    compress: C,
}

impl<'a, C: FnMut(&[u8], &mut [u8]) -> usize> Chunks<'a, C> {
    fn new(all: &'a [u8], bound: usize, mut compress: C) -> Self {
        let mut room = vec![0; bound];
        let mut keep = |chunk| {
            let bytes = compress(chunk, &mut room);
            room[..bytes].to_vec()
        };
        let compressed = all.chunks(CHUNK).map(&mut keep).collect();
        Self { all, compressed, room, compress }
    }

    fn compress(&mut self) {
        for chunk in self.all.chunks(CHUNK) {
            (self.compress)(chunk, &mut self.room);
        }
    }

    /// Decompresses all of them to where they would be read.
    fn decompress(&self, to: &mut [u8], mut decompress: impl FnMut(&[u8], &mut [u8])) {
        for (chunk, compressed) in to.chunks_mut(CHUNK).zip(&self.compressed) {
            decompress(compressed, chunk);
        }
    }
}

fn scratch() -> File {
    let draft = Draft::at(&std::env::temp_dir().join("wksp-checkpt-bench")).unwrap();
    draft.file().try_clone().unwrap()
}

fn blocks(geometry: &Geometry) -> Vec<Block> {
    (0..geometry.footprint().div_ceil(128)).map(|_| Block::new()).collect()
}

fn format(blocks: &mut [Block], geometry: Geometry) -> Workspace<'_, Solo> {
    let format = Format { name: Name::new("bench").unwrap(), seed: 0, geometry };
    Workspace::format(Memory::of_blocks(blocks), Solo, format).unwrap()
}

/// Files, cut into pieces of 1 MiB at most.
fn collect(directory: &Path, pieces: &mut Vec<Vec<u8>>, total: &mut usize, most: usize) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    for path in paths {
        if *total >= most {
            return;
        }
        let Ok(kind) = path.symlink_metadata() else { continue };
        if kind.is_dir() {
            collect(&path, pieces, total, most);
        } else if kind.is_file() && kind.len() >= 4096 {
            let Ok(bytes) = std::fs::read(&path) else { continue };
            for piece in bytes.chunks(1 << 20) {
                *total += piece.len();
                pieces.push(piece.to_vec());
            }
        }
    }
}
