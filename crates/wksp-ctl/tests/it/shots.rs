//! The pictures of the documentation: what is on the screen becomes a page of SVG.
//!
//! `cargo xtask pictures` runs this, and makes PNG of what it leaves.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{env, fs, thread};

use wksp_core::{Align, Name, Tag};
use wksp_shmem::{BaseDir, LockOptions, SharedWorkspace};

use crate::bench::Bench;
use crate::pty::Terminal;

/// Where the pictures go.
const DIRECTORY: &str = "WKSP_PICTURES";
/// The size of a character in units of the page.
const CELL: (f64, f64) = (8.4, 18.0);
/// The frame around the screen, and the bar above it.
const FRAME: (f64, f64) = (16.0, 38.0);
const PAPER: &str = "#1c1e26";
const INK: &str = "#d0d4dc";

/// A colour of the 256 that terminals have.
fn rgb(index: u8) -> String {
    const FIRST: [&str; 16] = [
        "#1c1e26", "#d75f5f", "#5faf5f", "#d7af5f", "#5f87d7", "#af87d7", "#5fafaf", "#d0d4dc",
        "#6c7079", "#ff8787", "#87d787", "#ffd787", "#87afff", "#d7afff", "#87d7d7", "#ffffff",
    ];
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * u32::from(step) };
    match index {
        0..16 => FIRST[usize::from(index)].to_owned(),
        16..232 => {
            let at = index - 16;
            let (red, green, blue) = (level(at / 36), level(at / 6 % 6), level(at % 6));
            format!("#{red:02x}{green:02x}{blue:02x}")
        }
        232.. => format!("#{0:02x}{0:02x}{0:02x}", 8 + 10 * u32::from(index - 232)),
    }
}

fn colour(of: vt100::Color, default: &str) -> String {
    match of {
        vt100::Color::Default => default.to_owned(),
        vt100::Color::Idx(index) => rgb(index),
        vt100::Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

/// What makes neighbours one piece of text.
#[derive(Clone, PartialEq)]
struct Style {
    ink: String,
    paper: String,
    is_bold: bool,
    is_dim: bool,
    is_underlined: bool,
}

/// A screen as a page, with a window around it.
fn page(screen: &vt100::Screen, title: &str) -> String {
    let columns = screen.size().1.get();
    let contents = screen.contents();
    let rows = u16::try_from(contents.trim_end_matches("END-OF-OUTPUT").trim_end().lines().count());
    let rows = rows.unwrap();
    let (width, height) =
        (f64::from(columns) * CELL.0 + 2.0 * FRAME.0, f64::from(rows) * CELL.1 + FRAME.1 + FRAME.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"DejaVu Sans Mono\" font-size=\"14\" xml:space=\"preserve\">\
         <rect width=\"100%\" height=\"100%\" rx=\"10\" fill=\"{PAPER}\"/>\
         <circle cx=\"22\" cy=\"18\" r=\"6\" fill=\"#ff5f57\"/>\
         <circle cx=\"42\" cy=\"18\" r=\"6\" fill=\"#febc2e\"/>\
         <circle cx=\"62\" cy=\"18\" r=\"6\" fill=\"#28c840\"/>\
         <text x=\"{}\" y=\"23\" fill=\"#8a8f99\" text-anchor=\"middle\">{title}</text>\n",
        width / 2.0
    );
    for row in 0..rows {
        let cells: Vec<(String, Style)> = (0..columns)
            .map(|column| {
                let cell = screen.cell(row, column).unwrap();
                let (ink, paper) = (colour(cell.fgcolor(), INK), colour(cell.bgcolor(), PAPER));
                let (ink, paper) = if cell.inverse() { (paper, ink) } else { (ink, paper) };
                let text = if cell.contents().is_empty() { " " } else { cell.contents() };
                let (is_bold, is_dim, is_underlined) = (cell.bold(), cell.dim(), cell.underline());
                let style = Style { ink, paper, is_bold, is_dim, is_underlined };
                (text.to_owned(), style)
            })
            .collect();
        let y = FRAME.1 + f64::from(row) * CELL.1;
        let mut column = 0;
        for same in cells.chunk_by(|a, b| a.1 == b.1) {
            let (style, count) = (&same[0].1, same.len());
            let (x, length) = (FRAME.0 + column as f64 * CELL.0, count as f64 * CELL.0);
            if style.paper != PAPER {
                // A hair wider, so that no gap shows between neighbours.
                let _ = writeln!(
                    svg,
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"{}\"/>",
                    length + 0.3,
                    CELL.1,
                    style.paper
                );
            }
            if style.is_underlined {
                let _ = writeln!(
                    svg,
                    "<path d=\"M{x} {}h{length}\" stroke=\"{}\"/>",
                    y + CELL.1 - 1.5,
                    style.ink
                );
            }
            let text: String = same.iter().map(|(text, _)| text.as_str()).collect();
            if !text.trim().is_empty() {
                let weight = if style.is_bold { " font-weight=\"bold\"" } else { "" };
                let faint = if style.is_dim { " opacity=\"0.6\"" } else { "" };
                let text = text.replace('&', "&amp;").replace('<', "&lt;");
                let _ = writeln!(
                    svg,
                    "<text x=\"{x}\" y=\"{}\" textLength=\"{length}\" fill=\"{}\"{weight}{faint}>{text}</text>",
                    y + 13.5,
                    style.ink
                );
            }
            column += count;
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// A workspace that looks as if it had been used for a while.
fn lived_in(bench: &Bench, name: &str, size: &str, part_max: &str, seed: u64, count: u64) {
    bench.ok(["new", name, "--size", size, "--part-max", part_max]);
    let base = BaseDir::resolve(Some(bench.path())).unwrap();
    let name = Name::new(name).unwrap();
    let shared = SharedWorkspace::attach(&base, &name, None, LockOptions::default()).unwrap();
    let mut state = seed;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    };
    let mut guard = shared.lock().unwrap();
    let mut allocated = Vec::new();
    for _ in 0..count {
        let tags = [1, 1, 7, 7, 42, 100, 100, 1001, 2024, 31337];
        let tag = tags[usize::try_from(random(10)).unwrap()];
        let bytes = (1 + random(64)) << (8 + random(9));
        allocated.extend(guard.alloc(Align::CACHE_LINE, bytes, Tag::new(tag).unwrap()));
    }
    for gaddr in allocated {
        if random(5) < 2 {
            guard.free(gaddr).unwrap();
        }
    }
}

/// Allocates and frees in a workspace until told to stop.
fn work(bench: &Bench, name: &str, pause: Duration, done: &AtomicBool) {
    let base = BaseDir::resolve(Some(bench.path())).unwrap();
    let name = Name::new(name).unwrap();
    let shared = SharedWorkspace::attach(&base, &name, None, LockOptions::default()).unwrap();
    while !done.load(Ordering::Relaxed) {
        let gaddr = shared.lock().unwrap().alloc(Align::BYTE, 100, Tag::new(3).unwrap()).unwrap();
        thread::sleep(pause);
        shared.lock().unwrap().free(gaddr).unwrap();
    }
}

/// Some other program, by name; killed when dropped.
struct Program(Child);

impl Program {
    fn start(bench: &Bench, name: &str) -> Self {
        let path = bench.path().join(name);
        fs::copy("/bin/sleep", &path).unwrap();
        Self(Command::new(&path).arg("600").spawn().unwrap())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn write(directory: &Path, name: &str, svg: &str) {
    fs::write(directory.join(name), svg).unwrap();
}

/// Without its environment variable there is nothing to be drawn.
#[test]
fn the_pictures_of_the_documentation() {
    let Some(directory) = env::var_os(DIRECTORY).map(PathBuf::from) else { return };
    let bench = Bench::new();
    lived_in(&bench, "orders", "96MiB", "4000", 5, 330);
    let mut map = Terminal::start(&bench, &["map", "orders"], (91, 60));
    write(&directory, "map-terminal.svg", &page(&map.end().1, "wksp-ctl map orders"));
    let svg = directory.join("map.svg");
    bench.ok(["map", "orders", "--svg", svg.to_str().unwrap(), "--force"]);

    lived_in(&bench, "prices", "24MiB", "1000", 8, 60);
    lived_in(&bench, "sessions", "8MiB", "1000", 13, 20);
    lived_in(&bench, "journal", "48MiB", "2000", 21, 90);
    bench.ok(["new", "spare", "--size", "4MiB"]);
    let holder = Program::start(&bench, "feed-handler");
    // It would hold the lock, were it a program that uses workspaces.
    bench.patch("journal", 112, &u64::from(holder.0.id()).to_le_bytes());
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| work(&bench, "orders", Duration::from_micros(300), &done));
        scope.spawn(|| work(&bench, "prices", Duration::from_millis(11), &done));
        let mut top = Terminal::start(&bench, &["top", "--delay", "0.5"], (112, 14));
        top.type_keys("cj");
        // When there are rates, and the lock has been held for a while.
        let screen = top.wait_for(|screen| {
            let contents = screen.contents();
            contents.lines().any(|line| line.starts_with("journal") && line.contains(" s"))
        });
        done.store(true, Ordering::Relaxed);
        write(&directory, "top.svg", &page(&screen, "wksp-ctl top"));
        top.type_keys("q");
    });
}
