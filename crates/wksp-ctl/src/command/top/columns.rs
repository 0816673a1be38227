//! The columns of `top`: what they show, by what they sort, and which of them fit.

use std::cmp::Ordering;

use super::sample::Row;
use crate::picture::percent;
use crate::size::Human;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Pages,
    Size,
    Used,
    Share,
    Largest,
    Changes,
    Joined,
    Owner,
    Held,
}

impl Column {
    /// All of them, from left to right.
    pub(super) const ALL: [Self; 10] = [
        Self::Name,
        Self::Pages,
        Self::Size,
        Self::Used,
        Self::Share,
        Self::Largest,
        Self::Changes,
        Self::Joined,
        Self::Owner,
        Self::Held,
    ];

    /// Those that are left out where there is no room, the first one first.
    const DISPENSABLE: [Self; 6] =
        [Self::Pages, Self::Used, Self::Joined, Self::Size, Self::Changes, Self::Held];

    const fn title(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Pages => "PAGES",
            Self::Size => "SIZE",
            Self::Used => "USED",
            Self::Share => "USE",
            Self::Largest => "LARGEST",
            Self::Changes => "CHANGES/S",
            Self::Joined => "JOINED",
            Self::Owner => "OWNER",
            Self::Held => "HELD",
        }
    }

    /// The key that sorts by it, `None` if none does.
    pub(super) const fn key(self) -> Option<char> {
        match self {
            Self::Name => Some('n'),
            Self::Size => Some('s'),
            Self::Share => Some('u'),
            Self::Largest => Some('l'),
            Self::Changes => Some('c'),
            Self::Joined => Some('p'),
            Self::Held => Some('o'),
            Self::Pages | Self::Used | Self::Owner => None,
        }
    }

    /// What it is called where keys are shown.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Size => "size",
            Self::Share => "use",
            Self::Largest => "largest free",
            Self::Changes => "changes",
            Self::Joined => "processes",
            Self::Held => "owner",
            Self::Pages | Self::Used | Self::Owner => "",
        }
    }

    const fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::Pages | Self::Owner)
    }

    fn cell(self, row: &Row) -> String {
        let dash = || "-".to_owned();
        let size = |bytes: u64| Human(bytes).to_string();
        let Some(activity) = &row.activity else {
            return match self {
                Self::Name => row.name.clone(),
                Self::Pages => row.page_size.clone(),
                Self::Size => row.bytes.map_or_else(dash, size),
                _ => dash(),
            };
        };
        match self {
            Self::Name => row.name.clone(),
            Self::Pages => row.page_size.clone(),
            Self::Size => row.bytes.map_or_else(dash, size),
            Self::Used => size(activity.used_bytes),
            // What need not have been so is marked.
            Self::Share => {
                let mark = if activity.doubt.is_some() { "~" } else { "" };
                format!("{mark}{}", percent(activity.used_bytes, activity.data_max))
            }
            Self::Largest => size(activity.largest_free_bytes),
            Self::Changes => activity.changes_per_s.map_or_else(dash, rate),
            Self::Joined => activity.joined_count.map_or_else(dash, |count| count.to_string()),
            Self::Owner => match (activity.lock.pid, &activity.holder_command) {
                (Some(pid), Some(command)) => format!("{pid} {command}"),
                (Some(pid), None) => format!("{pid} (not seen)"),
                (None, _) if activity.lock.state == "free" => dash(),
                (None, _) => activity.lock.state.to_owned(),
            },
            Self::Held => activity.held_ms.map_or_else(dash, held),
        }
    }

    /// Orders two rows by it: names upwards, numbers from the largest on.
    pub(super) fn compare(self, a: &Row, b: &Row) -> Ordering {
        let number = |of: fn(&super::sample::Activity) -> f64| {
            let of = |row: &Row| row.activity.as_ref().map_or(-1.0, of);
            of(b).total_cmp(&of(a))
        };
        #[expect(clippy::cast_precision_loss, reason = "what is that close may be in any order")]
        let order = match self {
            Self::Name | Self::Pages | Self::Used | Self::Owner => Ordering::Equal,
            Self::Size => b.bytes.cmp(&a.bytes),
            Self::Share => {
                number(|activity| activity.used_bytes as f64 / activity.data_max.max(1) as f64)
            }
            Self::Largest => number(|activity| activity.largest_free_bytes as f64),
            Self::Changes => number(|activity| activity.changes_per_s.unwrap_or(0.0)),
            Self::Joined => number(|activity| activity.joined_count.unwrap_or(0) as f64),
            Self::Held => number(|activity| activity.held_ms.map_or(-1.0, |ms| ms as f64)),
        };
        order.then_with(|| a.key.cmp(&b.key))
    }
}

fn rate(per_second: f64) -> String {
    match per_second {
        ..0.05 => "0".to_owned(),
        ..100.0 => format!("{per_second:.1}"),
        _ => format!("{per_second:.0}"),
    }
}

fn held(ms: u64) -> String {
    match ms / 1000 {
        0 => format!("{ms} ms"),
        seconds @ ..120 => format!("{seconds} s"),
        seconds @ ..7200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

/// A title and lines of the same columns.
pub(super) struct Layout {
    pub(super) lines: Vec<String>,
}

/// The rows below their titles, in those of the columns that fit into `width`.
pub(super) fn lay_out(rows: &[Row], columns: &[Column], width: usize) -> Layout {
    let cells = |column: Column| -> Vec<String> {
        let title = std::iter::once(column.title().to_owned());
        title.chain(rows.iter().map(|row| column.cell(row))).collect()
    };
    let mut columns: Vec<(Column, Vec<String>, usize)> = columns
        .iter()
        .map(|&column| {
            let cells = cells(column);
            let width = cells.iter().map(|cell| cell.chars().count()).max().unwrap_or(0);
            (column, cells, width)
        })
        .collect();
    let total = |columns: &[(Column, Vec<String>, usize)]| {
        columns
            .iter()
            .fold(0_usize, |sum, (.., width)| sum.saturating_add(*width).saturating_add(2))
    };
    for dispensable in Column::DISPENSABLE {
        if total(&columns).saturating_sub(2) > width {
            columns.retain(|(column, ..)| *column != dispensable);
        }
    }
    let lines = (0..=rows.len()).map(|at| {
        let cells = columns.iter().map(|(column, cells, width)| {
            let cell = cells.get(at).map_or("", String::as_str);
            if column.is_text() { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let mut line = cells.collect::<Vec<_>>().join("  ").trim_end().to_owned();
        // What cannot be looked at says why.
        let row = at.checked_sub(1).and_then(|at| rows.get(at));
        if let Some(error) = row.and_then(|row| row.error.as_ref()) {
            line = format!("{line}  {error}");
        }
        line
    });
    Layout { lines: lines.collect() }
}
