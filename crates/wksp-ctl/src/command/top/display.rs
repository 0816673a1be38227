//! `top` on a terminal.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::panic;
use std::time::{Duration, Instant};

use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use crossterm::style::{Attribute, Print, SetAttribute};
use crossterm::terminal::{
    self, Clear, ClearType, DisableLineWrap, EnableLineWrap, EnterAlternateScreen,
    LeaveAlternateScreen,
};
use crossterm::{cursor, execute, queue};

use super::columns::{Column, lay_out};
use super::sample::{Key, Listing, Sampler};
use super::{LOOK_EVERY, ended};
use crate::command::map::Drawing;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::picture::Survey;
use crate::picture::terminal::Style;
use crate::plural::Plural;
use crate::session::Session;

/// What free pieces are compared with in a map.
const FOR_BYTES: u64 = 1 << 20;
/// For so long a map that is not certain is asked for again.
const PATIENCE: Duration = Duration::from_millis(20);
/// The lines above the first workspace and below the last.
const LINES_AROUND: usize = 4;

/// A terminal that is ours until this is dropped.
struct Screen;

impl Screen {
    fn enter() -> io::Result<Self> {
        terminal::enable_raw_mode()?;
        // From here on it is given back whatever happens.
        let screen = Self;
        let before = panic::take_hook();
        // What a panic says is to be seen, so the screen must be as it was by then.
        panic::set_hook(Box::new(move |info| {
            give_back();
            before(info);
        }));
        execute!(io::stdout(), EnterAlternateScreen, DisableLineWrap, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Makes the terminal what it was. There is nobody to tell if that fails.
fn give_back() {
    let _ = execute!(io::stdout(), cursor::Show, EnableLineWrap, LeaveAlternateScreen);
    let _ = terminal::disable_raw_mode();
}

/// What is on the screen.
pub(super) struct Display {
    delay: Duration,
    left: Option<u64>,
    has_colours: bool,
    listing: Listing,
    sorted_by: Column,
    is_reversed: bool,
    /// The workspace that is selected.
    selected: Option<Key>,
    /// Whether its map is shown.
    is_map: bool,
}

/// What a key asks for.
enum Next {
    Stay,
    Quit,
    Interrupt,
}

impl Display {
    pub(super) fn new(delay: Duration, count: Option<u64>, has_colours: bool) -> Self {
        Self {
            delay,
            left: count,
            has_colours,
            listing: Listing::default(),
            sorted_by: Column::Name,
            is_reversed: false,
            selected: None,
            is_map: false,
        }
    }

    /// Shows all workspaces until somebody has seen enough.
    pub(super) fn run(
        mut self,
        session: &Session<'_>,
        sampler: &mut Sampler<'_>,
        interrupt: &Interrupt,
    ) -> Result<(), Failure> {
        let failed = |error: io::Error| {
            Failure::io("cannot use the terminal", &error, "`wksp-ctl top --once` needs none")
        };
        // The base may have to be made, and what is said of that belongs on the usual screen.
        session.base()?;
        let held = interrupt.hold();
        let screen = Screen::enter().map_err(failed)?;
        let outcome = loop {
            if self.left == Some(0) {
                break Ok(());
            }
            self.left = self.left.map(|left| left.saturating_sub(1));
            self.listing = match sampler.sample() {
                Ok(listing) => listing,
                Err(failure) => break Err(failure),
            };
            self.sort();
            match self.wait(sampler, interrupt) {
                Ok(Next::Stay) => {}
                Ok(Next::Quit) => break Ok(()),
                Ok(Next::Interrupt) => break Err(ended()),
                Err(error) => break Err(failed(error)),
            }
        };
        drop(screen);
        drop(held);
        outcome
    }

    /// Draws, and does what keys ask for until it is time to look again.
    fn wait(&mut self, sampler: &Sampler<'_>, interrupt: &Interrupt) -> io::Result<Next> {
        let began = Instant::now();
        self.draw(sampler)?;
        loop {
            let left = self.delay.saturating_sub(began.elapsed());
            if interrupt.is_asked() {
                return Ok(Next::Interrupt);
            }
            if left.is_zero() {
                return Ok(Next::Stay);
            }
            if !event::poll(left.min(LOOK_EVERY))? {
                continue;
            }
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    let next = self.press(key);
                    if !matches!(next, Next::Stay) {
                        return Ok(next);
                    }
                    self.draw(sampler)?;
                }
                Event::Resize(..) => self.draw(sampler)?,
                _ => {}
            }
        }
    }

    fn press(&mut self, key: KeyEvent) -> Next {
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if is_control => return Next::Interrupt,
            KeyCode::Esc | KeyCode::Backspace | KeyCode::Left if self.is_map => {
                self.is_map = false;
            }
            KeyCode::Char('q') if self.is_map => self.is_map = false,
            KeyCode::Char('q') => return Next::Quit,
            KeyCode::Down | KeyCode::Char('j') => self.select(1),
            KeyCode::Up | KeyCode::Char('k') => self.select(-1),
            KeyCode::Home => self.select(isize::MIN),
            KeyCode::End => self.select(isize::MAX),
            KeyCode::Enter | KeyCode::Right => self.is_map = self.selected.is_some(),
            KeyCode::Char('r') => {
                self.is_reversed = !self.is_reversed;
                self.sort();
            }
            KeyCode::Char(letter) => {
                let sorts = |column: &Column| column.key() == Some(letter);
                if let Some(column) = Column::ALL.into_iter().find(sorts) {
                    self.sorted_by = column;
                    self.is_reversed = false;
                    self.sort();
                }
            }
            _ => {}
        }
        Next::Stay
    }

    fn sort(&mut self) {
        let (column, is_reversed) = (self.sorted_by, self.is_reversed);
        self.listing.rows.sort_by(|a, b| {
            let order = column.compare(a, b);
            if is_reversed { order.reverse() } else { order }
        });
        if self.position().is_none() {
            self.selected = self.listing.rows.first().map(|row| row.key.clone());
        }
    }

    /// Where the selected workspace is in the list.
    fn position(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.listing.rows.iter().position(|row| row.key == *selected)
    }

    fn select(&mut self, by: isize) {
        let last = self.listing.rows.len().saturating_sub(1);
        let at = self.position().unwrap_or(0).saturating_add_signed(by).min(last);
        self.selected = self.listing.rows.get(at).map(|row| row.key.clone());
    }

    fn draw(&self, sampler: &Sampler<'_>) -> io::Result<()> {
        let (width, height) = terminal::size()?;
        let (width, height) = (usize::from(width), usize::from(height));
        let lines = if self.is_map {
            self.map_lines(sampler, width, height)
        } else {
            self.list_lines(width, height)
        };
        let mut out = io::BufWriter::new(io::stdout().lock());
        for (y, (line, style)) in (0_u16..).zip(lines.iter().take(height)) {
            queue!(out, cursor::MoveTo(0, y), SetAttribute(*style), Print(line))?;
            queue!(out, SetAttribute(Attribute::Reset), Clear(ClearType::UntilNewLine))?;
        }
        if lines.len() < height {
            let y = u16::try_from(lines.len()).unwrap_or(u16::MAX);
            queue!(out, cursor::MoveTo(0, y), Clear(ClearType::FromCursorDown))?;
        }
        out.flush()
    }

    fn list_lines(&self, width: usize, height: usize) -> Vec<(String, Attribute)> {
        let Listing { base, rows } = &self.listing;
        let count = Plural(rows.len() as u64, "workspace");
        let order = if self.is_reversed { ", reversed" } else { "" };
        let title = format!("{count} under {base}, by {}{order}", self.sorted_by.word());
        let mut lines =
            vec![(cut(&title, width), Attribute::Bold), (String::new(), Attribute::Reset)];
        let mut table = lay_out(rows, &Column::ALL, width).lines.into_iter();
        let titles = table.next().unwrap_or_default();
        lines.push((pad(&titles, width), Attribute::Underlined));
        // The selected one stays within sight.
        let room = height.saturating_sub(LINES_AROUND).max(1);
        let selected = self.position().unwrap_or(0);
        let first = selected.saturating_sub(room.saturating_sub(1));
        for (at, line) in table.enumerate().skip(first).take(room) {
            let is_selected = at == selected;
            let mark = if is_selected { Attribute::Reverse } else { Attribute::Reset };
            lines.push((if is_selected { pad(&line, width) } else { cut(&line, width) }, mark));
        }
        lines.resize(height.saturating_sub(1), (String::new(), Attribute::Reset));
        let keys = Column::ALL.iter().filter_map(|column| Some((column.key()?, column.word())));
        let keys: Vec<String> = keys.map(|(key, word)| format!("{key} {word}")).collect();
        let help = format!("Enter map  q quit  r reverse  sort: {}", keys.join("  "));
        lines.push((cut(&help, width), Attribute::Dim));
        lines
    }

    fn map_lines(
        &self,
        sampler: &Sampler<'_>,
        width: usize,
        height: usize,
    ) -> Vec<(String, Attribute)> {
        let text = self.map(sampler, width, height).unwrap_or_else(|why| why);
        let mut lines: Vec<(String, Attribute)> =
            text.lines().map(|line| (line.to_owned(), Attribute::Reset)).collect();
        lines.push((String::new(), Attribute::Reset));
        lines.push((cut("Esc back  j, k other workspaces", width), Attribute::Dim));
        lines
    }

    /// The map of the selected workspace, or why there is none.
    fn map(&self, sampler: &Sampler<'_>, width: usize, height: usize) -> Result<String, String> {
        let cause = |failure: Failure| failure.cause;
        let key = self.selected.as_ref().ok_or("nothing is selected")?;
        let sight = &sampler.sight(key).map_err(cause)?;
        let seen = sight.glance(PATIENCE, Survey::of).map_err(cause)?;
        let doubt = seen.doubt.map_or("", |_| "not certain: it is locked or being changed\n");
        let drawing = Drawing::new(sight, seen, FOR_BYTES).map_err(cause)?;
        let rows = drawing.rows_within(height);
        let style = Style { width, rows, has_colours: self.has_colours };
        let mut text = String::new();
        let _ = write!(text, "{doubt}{}", drawing.report(sight, style, None));
        Ok(text)
    }
}

/// As much of a line as there is room for.
fn cut(line: &str, width: usize) -> String {
    line.chars().take(width).collect()
}

/// A line that fills the screen from left to right.
fn pad(line: &str, width: usize) -> String {
    let line = cut(line, width);
    format!("{line:<width$}")
}
