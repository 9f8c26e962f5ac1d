//! Tables for people.

use std::fmt::Write;

/// The widest column, in characters; what is wider shifts its own row alone.
const MAX_COLUMN: usize = 64;

/// A head and rows as columns. Control characters are replaced: names are other people's, and a terminal obeys them.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let rows = rows.map(|row| row.map(|cell| cell.replace(char::is_control, "\u{fffd}")));
    let rows: Vec<[String; N]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let widths = rows.iter().fold([0; N], |mut widths, row| {
        for (width, cell) in widths.iter_mut().zip(row) {
            // One row with much in it must not push the others' columns off the screen.
            *width = (*width).max(cell.chars().count().min(MAX_COLUMN));
        }
        widths
    });
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            write!(line, "{cell:width$}  ").ok();
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
