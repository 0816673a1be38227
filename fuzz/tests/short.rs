//! Each target with its seeds and mutations of these, the same ones each time.

use std::time::{Duration, Instant};

use wksp_fuzz::{TARGETS, seeds};
use wksp_testkit::rng::Rng;

/// How many mutations there are for each target, if they can be tried in time.
const MUTATIONS: u64 = 40_000;
/// How long a target may take, so that a slow machine tries fewer of them.
const TIME: Duration = Duration::from_secs(4);
/// How many are tried on any machine.
const MUTATIONS_MIN: u64 = 300;

fn short(target: &str) {
    let &(_, run) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target");
    let golden = wksp_testkit::golden::dir();
    let mut seeds: Vec<Vec<u8>> = seeds::all(golden.as_deref())
        .into_iter()
        .filter(|seed| seed.target == target)
        .map(|seed| seed.bytes)
        .collect();
    assert!(seeds.len() > 5, "{target} has hardly any seeds");
    for seed in &seeds {
        run(seed);
    }
    run(&[]);
    // Large ones are slow, and few of the mutations hit what matters.
    seeds.retain(|seed| seed.len() <= 16 * 1024);
    let mut rng = Rng::new(0x5EED);
    let start = Instant::now();
    for at in 0..MUTATIONS {
        if at >= MUTATIONS_MIN && start.elapsed() > TIME {
            break;
        }
        let mut bytes = rng.pick(&seeds).expect("there are some").clone();
        for _ in 0..=rng.below(6) {
            mutate(&mut rng, &mut bytes, &seeds);
        }
        run(&bytes);
    }
}

/// Changes a few bytes somewhere.
fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    let at = rng.index(bytes.len().max(1));
    let end = (at + 1 + rng.index(16)).min(bytes.len());
    let Some(place) = bytes.get_mut(at..end) else { return };
    match rng.below(9) {
        0 => place.iter_mut().take(1).for_each(|byte| *byte ^= 1 << rng.below(8)),
        1 => rng.fill(place),
        2 => place.fill(if rng.one_in(2) { 0 } else { 0xFF }),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(at..end)),
        5 => {
            let again = place.to_vec();
            drop(bytes.splice(at..at, again));
        }
        6 => {
            let number = rng.below(5000).to_le_bytes();
            place.iter_mut().zip(number).for_each(|(byte, number)| *byte = number);
        }
        7 => {
            // Random operations on a workspace, or a trailer of a checkpoint.
            let mut more = vec![0; rng.index(300)];
            rng.fill(&mut more);
            bytes.extend(more);
        }
        _ => {
            let other = rng.pick(seeds).expect("there are some");
            let from = rng.index(other.len().max(1));
            let count = (1 + rng.index(100)).min(other.len().saturating_sub(from));
            let other = other[from..from + count].to_vec();
            drop(bytes.splice(at..(at + count).min(bytes.len()), other));
        }
    }
}

#[test]
fn v1() {
    short("v1");
}

#[test]
fn v2_by_offset() {
    short("v2_by_offset");
}

#[test]
fn v2_stream() {
    short("v2_stream");
}

#[test]
fn preview() {
    short("preview");
}

#[test]
fn workspace() {
    short("workspace");
}

#[test]
fn each_target_has_a_program() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz_targets");
    let entries = std::fs::read_dir(directory).expect("the directory can be listed");
    let path = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").path();
    let mut programs: Vec<_> =
        entries.map(path).filter_map(|path| Some(path.file_stem()?.to_owned())).collect();
    programs.sort();
    let mut targets = TARGETS.map(|(name, _)| name);
    targets.sort_unstable();
    assert_eq!(programs, targets);
}
