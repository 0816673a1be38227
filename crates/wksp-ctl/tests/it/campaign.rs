//! Damaged workspaces under every command there is: no panic, no hang, no lock kept, no overlap.
//!
//! `WKSP_DAMAGES` sets how many damaged workspaces are tried, instead of 150, and `WKSP_SEED` with
//! which seed. What is done to one depends on the seed and its number alone.

use std::fs;
use std::num::NonZero;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use wksp_testkit::golden;
use wksp_testkit::image::{NIL, OWNER_FREE};
use wksp_testkit::rng::Rng;

use crate::bench::{Bench, Ran, program, tool};

/// Offsets of the layout.
const CHANGING: Range<usize> = 80..104;
const GEOMETRY: Range<usize> = 0..40;
const OWNER: usize = 112;
const RECORDS: usize = 128;
const RECORD_BYTES: usize = 64;
const LINKS: Range<usize> = 28..56;

/// A lock word that no process can have.
const NO_PROCESS: u64 = 0x3FFF_FF00;
/// How long a command may take, with all that is beside it on the machine.
const SECONDS_MAX: &str = "60";
/// What is asked for in an allocation.
const BYTES: u64 = 100;
const COMMANDS_PER_DAMAGE: usize = 4;

/// Commands that look at no workspace, or at the whole machine.
const ELSEWHERE: [&str; 12] = [
    "numa",
    "plan",
    "host",
    "links",
    "legacy",
    "help",
    "inspect",
    "checkpt-verify",
    "extract",
    "completions",
    "man",
    "doctor",
];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// A command line, with what stands for names, addresses and numbers still in it.
struct Line {
    /// The tool of which it is a line, `None` for our own.
    legacy: Option<&'static str>,
    words: Vec<String>,
}

/// All lines there are, by what the tool says of itself, so that none is forgotten.
fn lines() -> Vec<Line> {
    let text = |arguments: &[&str]| Ran::of(tool().args(arguments).output().unwrap()).text();
    let first_words = |text: &str| -> Vec<String> {
        let entries = text.lines().filter_map(|line| line.strip_prefix("  "));
        let entries = entries.filter(|entry| entry.starts_with(|c: char| c.is_ascii_lowercase()));
        entries.map(str::to_owned).collect()
    };
    let mut lines = Vec::new();
    let help = text(&["--help"]);
    let (commands, _) = help.split_once("\nOptions:").unwrap();
    for entry in first_words(commands) {
        let command = entry.split_whitespace().next().unwrap();
        if ELSEWHERE.contains(&command) {
            continue;
        }
        let help = text(&[command, "--help"]);
        let usage = help.lines().find_map(|line| line.strip_prefix("Usage: wksp-ctl ")).unwrap();
        let mut words: Vec<String> = usage.split_whitespace().map(str::to_owned).collect();
        words.retain(|word| word != "[OPTIONS]");
        for option in ["--yes", "--once"] {
            if help.contains(option) {
                words.insert(1, option.to_owned());
            }
        }
        for option in ["--salvage", "--force", "--break"] {
            if help.contains(&format!("{option}\n")) {
                let mut words = words.clone();
                words.insert(1, option.to_owned());
                lines.push(Line { legacy: None, words });
            }
        }
        lines.push(Line { legacy: None, words });
    }
    for legacy in ["fd_wksp_ctl", "fd_shmem_ctl"] {
        for entry in first_words(&text(&["legacy", legacy, "help"])) {
            let mut words = entry.split_whitespace();
            let command = words.next().unwrap().to_owned();
            let is_placeholder =
                |word: &&str| word.chars().all(|c| c.is_ascii_uppercase() || ":_".contains(c));
            let placeholders = words.take_while(is_placeholder).map(|word| format!("<{word}>"));
            let words = [command].into_iter().chain(placeholders).collect();
            lines.push(Line { legacy: Some(legacy), words });
        }
    }
    assert!(lines.len() > 50, "{} lines", lines.len());
    lines
}

/// A workspace before anything was done to it.
struct Sound {
    name: String,
    image: Vec<u8>,
    /// Where its records end.
    end: usize,
    checkpoint: PathBuf,
}

impl Sound {
    fn new(name: &str, image: Vec<u8>, checkpoint: PathBuf) -> Self {
        let part_max = usize::try_from(word(&image, 8)).unwrap();
        Self { name: name.to_owned(), image, end: RECORDS + part_max * RECORD_BYTES, checkpoint }
    }
}

fn word(image: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*image[at..].first_chunk().unwrap())
}

/// A workspace of ours with allocations and gaps, and the golden ones.
fn sound_ones(bench: &Bench) -> Vec<Sound> {
    bench.ok(["new", "ours", "--size", "64K", "--part-max", "40"]);
    for step in 0..24 {
        let size = (100 + step * 7 % 60).to_string();
        let put = bench.ok([
            "alloc",
            "ours",
            &size,
            "--align",
            "8",
            "--tag",
            &format!("{}", step % 5 + 1),
        ]);
        if step % 3 == 1 {
            bench.ok(["free", put.trim()]);
        }
    }
    let checkpoint = bench.path().join("checkpoint");
    bench.ok(["checkpt", "ours", checkpoint.to_str().unwrap()]);
    let image = fs::read(bench.region("ours")).unwrap();
    let mut sound = vec![Sound::new("ours", image, checkpoint)];
    if let Some(golden) = golden::available() {
        for case in golden.cases.iter().filter(|case| case.case != "large") {
            let checkpoint = golden.path(golden.case("small"), "v2");
            sound.push(Sound::new(&case.name, golden.image(case), checkpoint));
        }
    }
    sound
}

/// Does something to the metadata or the length of an image.
fn damage(image: &mut Vec<u8>, end: usize, rng: &mut Rng) {
    let records = (end - RECORDS) / RECORD_BYTES;
    // Those in use are mostly the first ones.
    let few = records.min(if rng.one_in(3) { records } else { 32 });
    let record = |rng: &mut Rng| RECORDS + RECORD_BYTES * rng.index(few);
    let value = match rng.below(6) {
        0 => rng.next_u64(),
        1 => rng.below(records as u64),
        2 => u64::from(NIL) | rng.next_u64() << 32,
        3 => rng.below(image.len() as u64),
        4 => u64::MAX,
        _ => 0,
    };
    let value = value.to_le_bytes();
    let mut store = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    match rng.below(16) {
        0 => store(rng.index(RECORDS), &value[..1]),
        1 => store(8 * rng.index(RECORDS / 8), &value),
        2 | 3 => store(CHANGING.start + 4 * rng.index(CHANGING.len() / 4), &value[..4]),
        4 => store(record(rng) + rng.index(RECORD_BYTES), &value[..1]),
        5 | 6 => store(record(rng) + 8 * rng.index(3), &value),
        7 | 8 => store(record(rng) + LINKS.start + 4 * rng.index(LINKS.len() / 4), &value[..4]),
        9 | 10 => {
            // Two links change places, mostly two of the same kind.
            let link = LINKS.start + 4 * rng.index(6);
            let other = if rng.one_in(4) { LINKS.start + 4 * rng.index(6) } else { link };
            let (one, other) = (record(rng) + link, record(rng) + other);
            for byte in 0..4 {
                image.swap(one + byte, other + byte);
            }
        }
        11 => {
            let (from, to) = (record(rng), record(rng));
            image.copy_within(from..from + RECORD_BYTES, to);
        }
        12 => {
            let at = record(rng);
            rng.fill(&mut image[at..at + RECORD_BYTES]);
        }
        13 => {
            let from = if rng.one_in(2) { RECORDS } else { GEOMETRY.end };
            let length = rng.index(end - from);
            rng.fill(&mut image[from..from + length]);
        }
        14 => {
            store(OWNER, &[NO_PROCESS, 0, 1, u64::from_le_bytes(value)][rng.index(4)].to_le_bytes())
        }
        _ => {
            let pages = image.len() / 4096;
            let length = match rng.below(4) {
                0 => rng.index(image.len()),
                1 => 4096 * rng.index(pages),
                2 => image.len() + 4096 * (1 + rng.index(3)),
                _ => image.len() + rng.index(5000),
            };
            image.resize(length, 0xA5);
        }
    }
}

/// The ranges of the records that have a tag and that no damage has changed, `None` if the data is
/// not where it was.
fn intact(sound: &Sound, damaged: &[u8]) -> Option<Vec<Range<u64>>> {
    (damaged.get(GEOMETRY)? == &sound.image[GEOMETRY]).then_some(())?;
    let whole = damaged.get(RECORDS..sound.end)?;
    let pairs = whole.chunks(RECORD_BYTES).zip(sound.image[RECORDS..].chunks(RECORD_BYTES));
    let intact = pairs.filter(|(now, before)| now[..24] == before[..24] && word(now, 16) != 0);
    Some(intact.map(|(now, _)| word(now, 0)..word(now, 8)).collect())
}

/// What one thread works with.
struct Campaign<'c> {
    bench: Bench,
    lines: &'c [Line],
    sound: &'c [Sound],
    runs: u64,
    allocated: u64,
}

impl Campaign<'_> {
    fn try_one(&mut self, seed: u64, number: u64) {
        let mut rng = Rng::new(seed.wrapping_mul(1_000_003).wrapping_add(number));
        let sound = rng.pick(self.sound).unwrap();
        let mut damaged = sound.image.clone();
        for _ in 0..=rng.below(3) {
            if damaged.len() < sound.end {
                break;
            }
            damage(&mut damaged, sound.end, &mut rng);
        }
        for _ in 0..COMMANDS_PER_DAMAGE {
            let line = rng.pick(self.lines).unwrap();
            self.run(sound, &damaged, line, &mut rng, &format!("seed {seed}, number {number}"));
        }
    }

    /// Runs a line on a copy of what was damaged, and checks what comes of it.
    fn run(&mut self, sound: &Sound, damaged: &[u8], line: &Line, rng: &mut Rng, which: &str) {
        let region = self.bench.region(&sound.name);
        fs::write(&region, damaged).unwrap();
        let written = self.bench.path().join("written");
        let _ = fs::remove_file(&written);
        let words = self.fill_in(sound, damaged, line, rng, &written);
        let ran = Ran::of(self.command(line, &words).output().unwrap());
        self.runs += 1;
        let told = format!("{which}: {:?} {words:?}: {ran:?}", line.legacy);

        let most = if line.legacy.is_some() { 1 } else { 7 };
        assert!(ran.code.is_some_and(|code| (0..=most).contains(&code)), "{told}");
        assert!(!ran.stderr.contains("panicked"), "{told}");
        if let Ok(after) = fs::read(&region)
            && after.len() >= RECORDS
            && damaged.len() >= RECORDS
        {
            let (before, after) = (word(damaged, OWNER), word(&after, OWNER));
            assert!([OWNER_FREE, before].contains(&after), "{after:#x} is inside: {told}");
        }
        let allocates = ["alloc", "put"].contains(&words[0].as_str());
        if allocates && ran.code == Some(0) {
            let address = ran.text();
            let lo: u64 = address.trim().rsplit_once(':').unwrap().1.parse().unwrap();
            self.allocated += 1;
            for used in intact(sound, damaged).unwrap_or_default() {
                assert!(used.end <= lo || lo + BYTES <= used.start, "in {used:?}: {told}");
            }
        }
        let _ = fs::remove_file(&region);
    }

    fn command(&self, line: &Line, words: &[String]) -> Command {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", SECONDS_MAX]).arg(program());
        match line.legacy {
            Some(name) => command.args(["legacy", name]),
            None => command.arg("--base").arg(self.bench.path()).args(["--wait", "0.1"]),
        };
        command.args(words).stdin(std::process::Stdio::null());
        // What is left by processes of other pid namespaces is for other tests.
        command.env("FD_SHMEM_PATH", self.bench.path()).env("WKSP_SINGLE_PID_NAMESPACE", "1");
        command
    }

    /// Puts something in the place of all that is not to be typed as it stands.
    fn fill_in(
        &self,
        sound: &Sound,
        damaged: &[u8],
        line: &Line,
        rng: &mut Rng,
        written: &Path,
    ) -> Vec<String> {
        let name = &sound.name;
        let command = line.words[0].as_str();
        let file = match command {
            "checkpt" | "get" => written.to_str().unwrap(),
            "put" => "/proc/self/comm",
            _ => sound.checkpoint.to_str().unwrap(),
        };
        let gaddr = match intact(sound, damaged).unwrap_or_default()[..] {
            ref used if !used.is_empty() && !rng.one_in(4) => used[rng.index(used.len())].start,
            _ => rng.below(sound.image.len() as u64),
        };
        let mut words = Vec::new();
        for word in &line.words {
            let Some(placeholder) = word.strip_prefix(['<', '[']) else {
                words.push(word.clone());
                continue;
            };
            words.push(match placeholder.trim_matches(['>', ']', '.']) {
                "ADDRESS" | "NAME:GADDR" => format!("{name}:{gaddr}"),
                "SIZE" | "SZ" => BYTES.to_string(),
                "TAG" | "NEW_TAG" | "VAL" | "BYTE" | "C" | "VERBOSE" => "2".to_owned(),
                "ALIGN" => "1".to_owned(),
                "FILE" | "PATH" => file.to_owned(),
                "MODE" => "0600".to_owned(),
                "STYLE" => "3".to_owned(),
                "SEED" => "-".to_owned(),
                "PAGE_SZ" => "normal".to_owned(),
                "PAGE_CNT" | "CPU_SEQ" | "CPU" | "NODE" => "0".to_owned(),
                // Whatever a command calls its workspaces.
                _ => name.clone(),
            });
        }
        if command == "new" && line.legacy.is_none() {
            words.extend(["--size", "64K"].map(str::to_owned));
        }
        words
    }
}

#[test]
fn no_command_minds_damage() {
    let (count, seed) = (number("WKSP_DAMAGES", 150), number("WKSP_SEED", 1));
    let bench = Bench::new();
    let (lines, sound) = (lines(), sound_ones(&bench));
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let work = |first: usize| {
        let bench = Bench::with_demo("64K");
        let bystander = bench.bytes("demo");
        let mut campaign = Campaign { bench, lines: &lines, sound: &sound, runs: 0, allocated: 0 };
        for number in (0..count).skip(first).step_by(threads) {
            campaign.try_one(seed, number);
        }
        assert!(campaign.bench.bytes("demo") == bystander, "a bystander was changed");
        (campaign.runs, campaign.allocated)
    };
    let (runs, allocated) = thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|first| scope.spawn(move || work(first))).collect();
        let sums = threads.into_iter().map(|thread| thread.join().unwrap());
        sums.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    println!(
        "{count} damaged workspaces, {runs} commands of {} kinds, {allocated} allocations, seed {seed}",
        lines.len()
    );
    assert!(allocated > 0, "nothing was ever allocated");
}
