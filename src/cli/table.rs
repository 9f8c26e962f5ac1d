//! Tables for people.

use std::fmt::Write;

use crate::prose::invisible::is_unseen;

/// The widest column, in characters; what is wider shifts its own row alone.
const MAX_COLUMN: usize = 64;

/// Whether a terminal may take a character for an order, or shows nothing of it: what moves the cursor, and what hides or turns
/// what is written and so shows a text as another one.
pub(super) fn is_order(letter: char) -> bool {
    letter.is_control() || is_unseen(letter)
}

/// A text for a terminal, with such characters as `\u{9b}`: names are other people's.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_order(letter) {
            plain.extend(letter.escape_unicode());
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// A head and rows as columns, all of it [`plain`].
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    lines(std::iter::once(head.map(str::to_owned)).chain(rows))
}

/// Rows as columns, all of it [`plain`].
pub(super) fn lines<const N: usize>(rows: impl Iterator<Item = [String; N]>) -> String {
    let rows: Vec<[String; N]> = rows.map(|row| row.map(|cell| plain(&cell))).collect();
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
