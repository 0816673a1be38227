//! What attaching, placing and knowing the machine cost, against opening and mapping alone.
//!
//! Each row alternates with its yardstick, and gives the medians of both.
//! Rows with huge pages need one that is free, and a base directory in `WKSP_BENCH_BASE` that has a
//! hugetlbfs, as `wksp-ctl host init` makes; without they say so.
#![allow(clippy::unwrap_used, reason = "a benchmark that panics failed")]
#![allow(clippy::arithmetic_side_effects, clippy::indexing_slicing, reason = "as above")]

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use wksp_core::Name;
use wksp_shmem::{
    Access, BaseDir, Binding, HwlocTopology, JoinOptions, LockOptions, Near, NewRegion,
    NewRegionOptions, PageSize, PlacedRegionOptions, Placement, ReadOnlyMapping, Region,
    SharedWorkspace, Topology, unlink,
};

/// Bytes of the region that is made again and again.
const REGION_BYTES: u64 = 64 << 20;

fn main() {
    // Under `cargo test` benchmarks run as well; then once will do.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { 101 } else { 3 };
    let began = Instant::now();
    let machine = HwlocTopology::this_machine().unwrap();
    println!("{:34} {:>12.1?}", "topology, the first time", began.elapsed());
    let began = Instant::now();
    black_box(HwlocTopology::this_machine().unwrap());
    println!("{:34} {:>12.1?}", "topology, from then on", began.elapsed());

    println!("{:34} {:>12} {:>12} {:>12}", "", "ours", "yardstick", "beyond it");
    let dir = tempfile::Builder::new().prefix("wksp-bench-").tempdir_in("/dev/shm").unwrap();
    std::fs::create_dir(dir.path().join(PageSize::Normal.directory())).unwrap();
    let base = BaseDir::resolve(Some(dir.path())).unwrap();
    attach(&base, PageSize::Normal, rounds);
    place(&base, PageSize::Normal, machine, rounds.min(11));
    match std::env::var_os("WKSP_BENCH_BASE").map(PathBuf::from) {
        None => println!("WKSP_BENCH_BASE is not set, so nothing is measured on huge pages."),
        Some(path) => {
            let base = BaseDir::resolve(Some(&path)).unwrap();
            attach(&base, PageSize::Huge, rounds);
            place(&base, PageSize::Huge, machine, rounds.min(11));
        }
    }
}

/// Attaching a workspace and taking its lock once, against opening, mapping and looking at its file.
fn attach(base: &BaseDir, page_size: PageSize, rounds: usize) {
    let name = Name::new("bench-attach").unwrap();
    let page_count = (2 << 20) / page_size.bytes();
    let region = NewRegionOptions { page_size, page_count, mode: 0o600 };
    drop(SharedWorkspace::create(base, &name, &region, &Default::default()).unwrap());
    let ours = || {
        let found = SharedWorkspace::attach(base, &name, Some(page_size), LockOptions::default());
        drop(black_box(found.unwrap().lock().unwrap()));
    };
    let kernel = || {
        let region = Region::open(base, &name, Some(page_size), Access::ReadOnly).unwrap();
        let mapping = ReadOnlyMapping::map(region, &JoinOptions::default()).unwrap();
        black_box(mapping.load(0).unwrap());
    };
    report(&format!("attach and lock, {page_size} pages"), rounds, ours, kernel);
    unlink(base, &name, Some(page_size)).unwrap();
}

/// Making a region whose pages are placed and looked at, against one whose pages are not.
fn place(base: &BaseDir, page_size: PageSize, machine: &HwlocTopology, rounds: usize) {
    let name = Name::new("bench-place").unwrap();
    // As many huge pages as are surely there.
    let page_count =
        if page_size == PageSize::Normal { REGION_BYTES / page_size.bytes() } else { 1 };
    let node = machine.nodes()[0].index;
    let placement = Placement::whole(page_count, Near::Node(node));
    let placed =
        PlacedRegionOptions { page_size, mode: 0o600, placement, binding: Binding::BestEffort };
    let (_, first) = NewRegion::create_placed(base, &name, &placed, machine).unwrap();
    for omission in &first.omissions {
        println!("not done on {page_size} pages: {omission:?}");
    }
    let plain = NewRegionOptions { page_size, page_count, mode: 0o600 };
    report(
        &format!("place {page_count} {page_size} pages"),
        rounds,
        || drop(black_box(NewRegion::create_placed(base, &name, &placed, machine).unwrap())),
        || drop(black_box(NewRegion::create(base, &name, &plain).unwrap())),
    );
}

fn report(what: &str, rounds: usize, ours: impl Fn(), kernel: impl Fn()) {
    let (mut times, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        theirs.push(time(&kernel));
        times.push(time(&ours));
    }
    let (ours, theirs) = (median(times), median(theirs));
    println!("{what:34} {ours:>12.1?} {theirs:>12.1?} {:>12.1?}", ours.saturating_sub(theirs));
}

fn time(run: impl Fn()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
