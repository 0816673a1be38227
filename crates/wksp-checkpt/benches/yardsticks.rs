//! Checkpoint and restore against memcpy, plain writes and reads, and the compressors alone.
//!
//! `WKSP_BENCH_DIR` names a directory of files to take as data, `/usr` if it is not set, and
//! `WKSP_BENCH_MIB` how much of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that panics failed")]
#![allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation, reason = "as above")]

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use wksp_checkpt::publish::Draft;
use wksp_checkpt::{Checkpoint, Control, RestoreOptions, Style, WriteOptions, write};
use wksp_core::{Align, Block, Format, Geometry, Memory, Name, Solo, Tag, Workspace};

fn main() {
    // Under `cargo test` benchmarks run as well; then a little data will do.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let mib = std::env::var("WKSP_BENCH_MIB").ok().and_then(|mib| mib.parse().ok());
    let most = mib.unwrap_or(if is_bench { 1024 } else { 8 }) << 20;
    let directory = std::env::var_os("WKSP_BENCH_DIR").map_or("/usr".into(), PathBuf::from);
    let mut pieces = Vec::new();
    let mut total = 0;
    collect(&directory, &mut pieces, &mut total, most);
    println!("{total} bytes in {} allocations", pieces.len());
    println!("{:28} {:>10} {:>9}", "", "GB/s", "");

    let part_max = 2 * pieces.len() as u64 + 16;
    let geometry = Geometry::new(part_max, total as u64 + 64 * part_max).unwrap();
    let (mut source, mut target) = (blocks(&geometry), blocks(&geometry));
    let workspace = format(&mut source, geometry);
    for piece in &pieces {
        let gaddr = workspace
            .lock()
            .unwrap()
            .alloc(Align::CACHE_LINE, piece.len() as u64, Tag::new(1).unwrap())
            .unwrap();
        workspace.copy_in(gaddr, piece).unwrap();
    }
    let other = format(&mut target, geometry);

    let all: Vec<u8> = pieces.concat();
    let mut copy = vec![1; all.len()];
    let memcpy = best(|| copy.copy_from_slice(&all));
    report("memcpy", total, memcpy, None);
    let plain = best_after(scratch, |mut file| {
        file.write_all(&all).unwrap();
    });
    report("plain write", total, plain, None);
    let file = scratch();
    file.write_all_at(&all, 0).unwrap();
    let read = best(|| file.read_exact_at(&mut copy, 0).unwrap());
    report("plain read", total, read, None);
    let (lz4_out, lz4_in) = lz4(&all);
    report("LZ4 library, compress", total, lz4_out, None);
    report("LZ4 library, decompress", total, lz4_in, None);
    let (zstd_out, zstd_in) = zstd(&all);
    report("zstd library, compress", total, zstd_out, None);
    report("zstd library, decompress", total, zstd_in, None);
    drop(copy);

    for (style, name) in [
        (Style::V1, "v1"),
        (Style::Raw, "raw"),
        (Style::Lz4, "LZ4"),
        (Style::Zstd { level: 3 }, "zstd"),
    ] {
        for digest in [false, true] {
            if digest && matches!(style, Style::Zstd { .. }) {
                continue;
            }
            for threads in [1, 2] {
                let control =
                    Control { threads: threads.try_into().unwrap(), ..Control::default() };
                let options = WriteOptions { style, digest, control, ..WriteOptions::default() };
                let (yard_out, yard_in) = match style {
                    Style::Lz4 => (lz4_out / threads as f64, lz4_in / threads as f64),
                    Style::Zstd { .. } => (zstd_out / threads as f64, zstd_in / threads as f64),
                    _ => (plain, memcpy / threads as f64),
                };
                let with = if digest { "digest" } else { "bare" };
                let seconds = best_after(scratch, |file| {
                    write(&workspace.lock().unwrap(), &file, &options).unwrap();
                });
                report(&format!("{name} {with} {threads}t write"), total, seconds, Some(yard_out));
                let file = scratch();
                let written = write(&workspace.lock().unwrap(), &file, &options).unwrap();
                let verify = best(|| {
                    Checkpoint::open(&file).unwrap().verify(&control).unwrap();
                });
                report(&format!("{name} {with} {threads}t verify"), total, verify, None);
                let seconds = best(|| {
                    let checkpoint = Checkpoint::open(&file).unwrap();
                    let options = RestoreOptions { control, ..RestoreOptions::default() };
                    let verified = checkpoint.verify(&control).unwrap();
                    verified.restore(&mut other.lock().unwrap(), &options).unwrap();
                });
                report(&format!("{name} {with} {threads}t restore"), total, seconds, Some(yard_in));
                let seconds = best_after(
                    || other.lock().unwrap().reset(None).unwrap(),
                    |()| {
                        let checkpoint = Checkpoint::open(&file).unwrap();
                        let options = RestoreOptions { control, ..RestoreOptions::default() };
                        let mut guard = other.lock().unwrap();
                        checkpoint.restore_into_empty(&mut guard, &options).unwrap();
                    },
                );
                report(
                    &format!("{name} {with} {threads}t into empty"),
                    total,
                    seconds,
                    Some(yard_in),
                );
                if threads == 1 && !digest {
                    println!("{name} takes {:.3} of the data", written.bytes as f64 / total as f64);
                }
            }
        }
    }
}

fn report(what: &str, bytes: usize, seconds: f64, yardstick: Option<f64>) {
    let rate = bytes as f64 / seconds / 1e9;
    match yardstick {
        Some(yardstick) => println!("{what:28} {rate:10.2} {:9.2}", yardstick / seconds),
        None => println!("{what:28} {rate:10.2}"),
    }
}

/// The best of three times, in seconds.
fn best(run: impl FnMut()) -> f64 {
    let mut run = run;
    best_after(|| (), |()| run())
}

fn best_after<T>(prepare: impl Fn() -> T, mut run: impl FnMut(T)) -> f64 {
    let times = (0..3).map(|_| {
        let prepared = prepare();
        let start = Instant::now();
        run(prepared);
        start.elapsed().as_secs_f64()
    });
    times.fold(f64::INFINITY, f64::min)
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

const CHUNK: usize = 64 * 1024;

fn lz4(all: &[u8]) -> (f64, f64) {
    let mut to = vec![0; lzzzz::lz4::max_compressed_size(CHUNK)];
    let mut chunks = Vec::new();
    for chunk in all.chunks(CHUNK) {
        let bytes = lzzzz::lz4::compress(chunk, &mut to, 1).unwrap();
        chunks.push(to[..bytes].to_vec());
    }
    let out = best(|| {
        for chunk in all.chunks(CHUNK) {
            lzzzz::lz4::compress(chunk, &mut to, 1).unwrap();
        }
    });
    let mut back = vec![0; CHUNK];
    let back = best(|| {
        for chunk in &chunks {
            lzzzz::lz4::decompress(chunk, &mut back).unwrap();
        }
    });
    (out, back)
}

fn zstd(all: &[u8]) -> (f64, f64) {
    let mut to = vec![0; zstd_safe::compress_bound(CHUNK)];
    let mut context = zstd_safe::CCtx::create();
    let mut chunks = Vec::new();
    for chunk in all.chunks(CHUNK) {
        let bytes = context.compress(&mut to[..], chunk, 3).unwrap();
        chunks.push(to[..bytes].to_vec());
    }
    let out = best(|| {
        for chunk in all.chunks(CHUNK) {
            context.compress(&mut to[..], chunk, 3).unwrap();
        }
    });
    let mut context = zstd_safe::DCtx::create();
    let mut back = vec![0; CHUNK];
    let back = best(|| {
        for chunk in &chunks {
            context.decompress(&mut back[..], chunk).unwrap();
        }
    });
    (out, back)
}
