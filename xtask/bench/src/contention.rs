//! Several who want the lock at once: what they get done together, and how long each waits.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use wksp_core::{Align, Name, Tag};
use wksp_shmem::{BaseDir, LockOptions, NewRegionOptions, PageSize, Records, SharedWorkspace};
use wksp_testkit::rng::Rng;

use crate::Effort;
use crate::report::{Report, Row, Sample};

/// The region they share.
const REGION: &str = "contended";
/// How many allocations each of them keeps.
const LIVE: usize = 1000;

/// What one contender did.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Done {
    /// Pairs of a free and an allocation in a second.
    per_second: f64,
    /// How long each took that was waited for, in nanoseconds: some of them, sorted.
    waits_ns: Vec<u64>,
}

/// Times one, two threads, and two processes.
pub(crate) fn run(effort: Effort, report: &mut Report) -> Result<()> {
    let spell = Duration::from_millis(if effort.rounds > 1 { 2000 } else { 50 });
    let (mut alone, mut threads, mut processes) = (Vec::new(), Vec::new(), Vec::new());
    let mut waits: [Vec<Vec<u64>>; 3] = Default::default();
    for _ in 0..effort.rounds {
        let stage = Stage::set_up()?;
        let done = stage.threads(1, spell)?;
        alone.push(together(&done));
        waits[0].push(all_waits(done));
        let done = stage.threads(2, spell)?;
        threads.push(together(&done));
        waits[1].push(all_waits(done));
        let done = stage.processes(2, spell)?;
        processes.push(together(&done));
        waits[2].push(all_waits(done));
    }
    let group = "Contention: churn without a pause";
    let slowness = |rounds: &[f64]| Sample::of(rounds.iter().map(|rate| 1e9 / rate).collect());
    let yardstick = slowness(&alone);
    for (what, rounds, target) in [
        ("one thread", &alone, None),
        ("two threads", &threads, None),
        ("two processes", &processes, Some(1.0 / 0.8)),
    ] {
        report.add(Row {
            group: group.to_owned(),
            what: what.to_owned(),
            n: 0,
            unit: "ns per pair, together",
            ours: slowness(rounds),
            yardstick: Some(yardstick),
            target,
        });
    }
    for (who, rounds) in ["one thread", "two threads", "two processes"].iter().zip(&waits) {
        for (share, percentile) in [(0.5, "50th"), (0.99, "99th"), (0.999, "99.9th")] {
            let rank = |waits: &Vec<u64>| waits[((waits.len() - 1) as f64 * share) as usize];
            report.add(Row {
                group: "Contention: one lock, churn and unlock, waiting included".to_owned(),
                what: format!("{who}, {percentile} percentile"),
                n: 0,
                unit: "us",
                ours: Sample::of(rounds.iter().map(|waits| rank(waits) as f64 / 1e3).collect()),
                yardstick: None,
                target: (share > 0.99 && *who != "one thread").then_some(50.0),
            });
        }
    }
    Ok(())
}

fn together(done: &[Done]) -> f64 {
    done.iter().map(|done| done.per_second).sum()
}

fn all_waits(done: Vec<Done>) -> Vec<u64> {
    let mut waits: Vec<u64> = done.into_iter().flat_map(|done| done.waits_ns).collect();
    waits.sort_unstable();
    waits
}

/// A base directory with a workspace in it, removed on drop.
struct Stage {
    directory: tempfile::TempDir,
    workspace: SharedWorkspace,
}

impl Stage {
    fn set_up() -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("wksp-bench-").tempdir_in("/dev/shm")?;
        let base = BaseDir::resolve(Some(directory.path()))?;
        base.make_directory(PageSize::Normal)?;
        let region =
            NewRegionOptions { page_size: PageSize::Normal, page_count: 16_384, mode: 0o600 };
        let options =
            wksp_shmem::WorkspaceOptions::default().with_records(Records::Count(16 * LIVE as u64));
        let workspace = SharedWorkspace::create(&base, &Name::new(REGION)?, &region, &options)?;
        Ok(Self { directory, workspace })
    }

    fn threads(&self, count: usize, spell: Duration) -> Result<Vec<Done>> {
        let barrier = Barrier::new(count);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..count)
                .map(|which| {
                    let (workspace, barrier) = (&self.workspace, &barrier);
                    scope.spawn(move || {
                        churn(workspace, which, spell, || {
                            barrier.wait();
                        })
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        })
    }

    fn processes(&self, count: usize, spell: Duration) -> Result<Vec<Done>> {
        let mut children = Vec::new();
        for which in 0..count {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--contend").arg(self.directory.path());
            command.env("WKSP_BENCH_WHICH", which.to_string());
            command.env("WKSP_BENCH_SPELL_MS", spell.as_millis().to_string());
            children.push(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
        }
        // They begin when their standard input ends.
        children.iter_mut().for_each(|child| drop(child.stdin.take()));
        children
            .into_iter()
            .map(|child| {
                let output = child.wait_with_output()?;
                ensure!(output.status.success(), "a contender ended with {}", output.status);
                Ok(serde_json::from_slice(&output.stdout)?)
            })
            .collect()
    }
}

/// What a process does that was started to contend.
pub(crate) fn contend(directory: &Path) -> Result<()> {
    let number = |name: &str| -> Result<u64> {
        Ok(std::env::var(name).context("only the benchmark itself contends")?.parse()?)
    };
    let base = BaseDir::resolve(Some(directory))?;
    let name = Name::new(REGION)?;
    let workspace = SharedWorkspace::attach(&base, &name, None, LockOptions::default())?;
    let spell = Duration::from_millis(number("WKSP_BENCH_SPELL_MS")?);
    let which = number("WKSP_BENCH_WHICH")? as usize;
    let done = churn(&workspace, which, spell, || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    })?;
    serde_json::to_writer(std::io::stdout(), &done)?;
    Ok(())
}

/// Frees and allocates for a while, beginning when `start` returns.
fn churn(
    workspace: &SharedWorkspace,
    which: usize,
    spell: Duration,
    start: impl FnOnce(),
) -> Result<Done> {
    let mut rng = Rng::new(which as u64);
    let tag = Tag::new(1 + which as u64).context("a tag")?;
    let mut live = Vec::with_capacity(LIVE);
    for _ in 0..LIVE {
        live.push(workspace.lock()?.alloc(Align::CACHE_LINE, 64 + rng.below(8192), tag)?);
    }
    let (mut pairs, mut waits_ns) = (0_u64, Vec::with_capacity(1 << 22));
    start();
    let began = Instant::now();
    let mut now = began;
    while now - began < spell {
        let at = rng.index(LIVE);
        let mut guard = workspace.lock()?;
        guard.free(live[at])?;
        live[at] = guard.alloc(Align::CACHE_LINE, 64 + rng.below(8192), tag)?;
        drop(guard);
        pairs += 1;
        let then = std::mem::replace(&mut now, Instant::now());
        waits_ns.push((now - then).as_nanos() as u64);
    }
    let per_second = pairs as f64 / (now - began).as_secs_f64();
    // So many ranks are enough for every percentile that is asked for.
    waits_ns.sort_unstable();
    let stride = (waits_ns.len() / 100_000).max(1);
    let waits_ns = waits_ns.into_iter().rev().step_by(stride).collect();
    let mut guard = workspace.lock()?;
    for at in live {
        guard.free(at)?;
    }
    Ok(Done { per_second, waits_ns })
}
