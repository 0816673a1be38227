//! Inputs to begin with: what other programs wrote, and what this project writes.

use std::fs;
use std::path::Path;

use wksp_checkpt::{MemoryFile, Provenance, Style, WriteOptions, write};
use wksp_core::{Align, Geometry, Tag};

use crate::heap::Heap;

/// The largest golden file that is taken.
const BYTES_MAX: u64 = 256 * 1024;

/// An input: its target, a name and the bytes.
pub struct Seed {
    /// The target that it is for.
    pub target: &'static str,
    /// A file name.
    pub name: String,
    /// What the target is given.
    pub bytes: Vec<u8>,
}

/// All seeds, those of a directory of golden files among them.
///
/// # Panics
///
/// If a file cannot be read or our own writer fails.
#[must_use]
pub fn all(golden: Option<&Path>) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, bytes) in written() {
        checkpoint(&mut seeds, &name, &bytes);
    }
    workspaces(&mut seeds);
    if let Some(directory) = golden {
        let mut paths: Vec<_> = fs::read_dir(directory)
            .expect("the directory of golden files can be listed")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        paths.sort();
        for path in paths {
            let small = fs::metadata(&path).is_ok_and(|metadata| metadata.len() <= BYTES_MAX);
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("v1" | "v2" | "v3") if small => {
                    checkpoint(&mut seeds, &name, &fs::read(&path).expect("a golden file"));
                }
                Some("img") => {
                    let image = fs::read(&path).expect("a golden file");
                    seeds.extend(of_image(&name, &image));
                }
                _ => {}
            }
        }
    }
    seeds
}

/// A checkpoint is a seed for each target that reads its format.
fn checkpoint(seeds: &mut Vec<Seed>, name: &str, bytes: &[u8]) {
    let is_v2 = crate::examine::is_v2(bytes);
    let targets: &[_] =
        if is_v2 { &["v2_by_offset", "v2_stream", "preview"] } else { &["v1", "preview"] };
    for &target in targets {
        // A preview reads no more.
        let bytes = if target == "preview" { &bytes[..bytes.len().min(2048)] } else { bytes };
        seeds.push(Seed { target, name: name.to_owned(), bytes: bytes.to_vec() });
    }
}

/// Checkpoints in every style, as a file and as a stream, with and without digest.
fn written() -> Vec<(String, Vec<u8>)> {
    let mut written = Vec::new();
    for (which, sizes) in [&[][..], &[1, 30, 7], &[300, 64, 64, 900]].into_iter().enumerate() {
        let geometry = Geometry::new(12, 4000).expect("it is small");
        let mut heap = Heap::zeroed(geometry.footprint());
        let workspace = heap.format(geometry);
        for (at, &bytes) in (1..).zip(sizes) {
            let tag = Tag::new(at).expect("not 0");
            let mut guard = workspace.lock().expect("nobody is inside");
            let gaddr = guard.alloc(Align::CACHE_LINE, bytes, tag).expect("there is room");
            let content: Vec<u8> = (0..bytes).map(|byte| (byte * byte / 7 + at) as u8).collect();
            workspace.copy_in(gaddr, &content).expect("it was allocated");
        }
        let guard = workspace.lock().expect("nobody is inside");
        for style in [Style::V1, Style::Raw, Style::Lz4, Style::Zstd { level: 3 }] {
            for digest in [false, true] {
                let provenance = Provenance { user_info: "seed".into(), ..Provenance::default() };
                let options = WriteOptions { style, digest, provenance, ..WriteOptions::default() };
                let name = format!("{style:?}-{which}-{digest}").to_lowercase();
                let name = name.split([' ', '{', '}', ':']).collect::<String>();
                let file = MemoryFile::default();
                write(&guard, &file, &options).expect("memory enough");
                written.push((format!("file-{name}"), file.into_bytes()));
                let mut stream = Vec::new();
                write(&guard, &mut stream, &options).expect("memory enough");
                written.push((format!("stream-{name}"), stream));
            }
        }
    }
    written
}

/// Operations on a sound workspace, and headers and records to begin with.
fn workspaces(seeds: &mut Vec<Seed>) {
    let mut add = |name: &str, bytes: Vec<u8>| {
        seeds.push(Seed { target: "workspace", name: name.to_owned(), bytes });
    };
    let alloc: &[u8] = &[5, 3, 100, 0, 7];
    let more: &[u8] = &[8, 6, 200, 0, 9];
    let free: &[u8] = &[10, 0, 4];
    add("operations", [&[0, 11, 40][..], alloc, more, alloc, free, alloc, &[12, 7, 18]].concat());
    add("full", [&[0, 2, 255][..], alloc, alloc, alloc, more, &[20, 1]].concat());
    let damage: &[u8] = &[0, 9, 0, 2, 1, 0, 0, 0];
    let queries: &[u8] = &[13, 0, 4, 9, 14, 0, 4, 1, 15, 9, 16, 9, 17, 0, 4, 18];
    add("damage", [&[0, 11, 40][..], alloc, more, damage, alloc, queries, &[19, 4]].concat());
    add("replace", [&[0, 11, 40][..], alloc, &[22, 0, 4, 50, 0, 3, 21, 7, 9, 0, 4, 23]].concat());
    add("locked", [&[0, 11, 40][..], alloc, &[1, 33, 0, 3, 9], &[4, 3, 1, 3, 2, 3, 3]].concat());
    let mut heap = Heap::zeroed(8192);
    let geometry = Geometry::new(12, 1 + 40 * 12).expect("it is small");
    heap.format(geometry);
    let image = crate::heap::snapshot(heap.memory());
    for start in 1..4 {
        let records = &image[..128 + 64 * 12];
        add(&format!("image-{start}"), [&[start, 11, 40], records, alloc, free, queries].concat());
    }
}

/// Header and first records of an image, with a few operations.
fn of_image(name: &str, image: &[u8]) -> Vec<Seed> {
    const RECORDS: u8 = 24;
    let records = image.get(..128 + 64 * usize::from(RECORDS)).unwrap_or_default();
    let operations: &[u8] = &[3, 0, 5, 3, 100, 0, 7, 10, 0, 9, 15, 7, 16, 9, 18, 3, 1, 19, 4];
    let seed = |start: u8| Seed {
        target: "workspace",
        name: format!("{name}-{start}"),
        bytes: [&[start, RECORDS - 1, 255], records, operations].concat(),
    };
    (1..4).map(seed).collect()
}
