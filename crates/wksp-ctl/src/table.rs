//! Tables whose columns line up.

use std::fmt;

/// Which side of a column its cells are on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells below a row of titles.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, Side)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new<const N: usize>(columns: [(&str, Side); N]) -> Self {
        let columns = columns.map(|(title, side)| (title.to_owned(), side)).to_vec();
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row, which has a cell for each column.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    fn width(&self, column: usize) -> usize {
        let titles = self.columns.get(column).map(|(title, _)| title).into_iter();
        let cells = titles.chain(self.rows.iter().filter_map(|row| row.get(column)));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns: Vec<(Side, usize)> = self
            .columns
            .iter()
            .enumerate()
            .map(|(at, (_, side))| (*side, self.width(at)))
            .collect();
        let titles: Vec<String> = self.columns.iter().map(|(title, _)| title.clone()).collect();
        for row in std::iter::once(&titles).chain(&self.rows) {
            let cells = row.iter().zip(&columns).map(|(cell, &(side, width))| match side {
                Side::Left => format!("{cell:<width$}"),
                Side::Right => format!("{cell:>width$}"),
            });
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_go_left_and_numbers_right() {
        let mut table = Table::new([("NAME", Side::Left), ("N", Side::Right), ("WHY", Side::Left)]);
        table.row(["a".to_owned(), "100".to_owned(), String::new()]);
        table.row(["longer".to_owned(), "1".to_owned(), "x".to_owned()]);
        assert_eq!(table.to_string(), "NAME      N  WHY\na       100\nlonger    1  x\n");
    }
}
