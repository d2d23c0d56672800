//! The tables that prettytable draws for `nova list`, `nova show`, `openstack server list` and `openstack server show`.
//!
//! Cells are cut at the border's columns, so that a `|` in a name is no cell's end; lines of wide characters, whose columns don't
//! meet the border's, are cut at their bars. A cell that was wrapped to the terminal's width is put together again.

use darkport_model::Claim;

use super::Rows;
use super::cell::Cell;
use super::fields::{Field, PROPERTIES, add_addresses, addresses, begins_uuid, field, is_uuid, set};
use crate::bounds::MAX_TEXT;
use crate::error::InputError;

/// Columns of one table; clients print at most about twenty.
const MAX_COLUMNS: usize = 256;

pub(super) fn looks_like(text: &str) -> bool {
    text.lines().any(|line| is_border(line.trim()))
}

fn is_border(line: &str) -> bool {
    line.len() > 2 && line.starts_with("+-") && line.ends_with('+') && line.bytes().all(|byte| matches!(byte, b'+' | b'-'))
}

pub(super) fn read(text: &str, rows: &mut Rows) {
    let mut state = State::Outside;
    let mut last = 0;
    for (at, line) in text.lines().enumerate() {
        if rows.stopped {
            return;
        }
        last = at + 1;
        state = next(state, last, line.trim(), rows);
    }
    match state {
        State::Outside => {}
        State::Ended(table) => table.finish(rows),
        State::Head(_) | State::Body(_) => {
            if let State::Body(table) = state {
                table.finish(rows);
            }
            rows.error(InputError::new(rows.name, last, "the end of the file", "the table's lower border: the list may be cut"));
        }
    }
}

enum State {
    Outside,
    /// Behind the upper border.
    Head(Table),
    /// Behind the border below the titles.
    Body(Table),
    /// Behind a further border: the lower one, or one between rows.
    Ended(Table),
}

fn next(state: State, at: usize, line: &str, rows: &mut Rows) -> State {
    if is_border(line) {
        return match state {
            State::Head(mut table) if !table.pieces.is_empty() => {
                table.begin(at, rows);
                State::Body(table)
            }
            State::Outside | State::Head(_) => State::Head(Table::new(line)),
            State::Body(mut table) => {
                table.end_row(rows);
                State::Ended(table)
            }
            State::Ended(table) => {
                table.finish(rows);
                State::Head(Table::new(line))
            }
        };
    }
    if line.starts_with('|') {
        return match state {
            State::Outside => {
                rows.error(InputError::new(rows.name, at, line, "a table's upper border (+----+) before its first row"));
                State::Outside
            }
            State::Head(mut table) => {
                table.line(at, line, rows);
                State::Head(table)
            }
            State::Body(mut table) | State::Ended(mut table) => {
                table.line(at, line, rows);
                State::Body(table)
            }
        };
    }
    match state {
        // What stands around a table is the shell's: a prompt, a warning.
        State::Outside => State::Outside,
        State::Ended(table) => {
            table.finish(rows);
            State::Outside
        }
        inside => {
            let found = if line.is_empty() { "an empty line" } else { line };
            rows.error(InputError::new(rows.name, at, found, "a row (| … |) or the table's lower border"));
            inside
        }
    }
}

/// A table while it is read.
struct Table {
    /// The columns of the border's `+`.
    marks: Vec<usize>,
    shape: Shape,
    /// The row (or the titles) being read: its first line, and the pieces of each cell.
    line: usize,
    pieces: Vec<Vec<String>>,
}

enum Shape {
    /// The titles are still being read.
    Titles,
    /// A row for each instance.
    List { fields: Vec<Option<Field>>, key: usize },
    /// A row for each property of one instance.
    Show { claim: Box<Claim>, line: usize },
    /// Not a table of instances.
    Foreign,
}

impl Table {
    fn new(border: &str) -> Self {
        let marks = border.bytes().enumerate().filter(|(_, byte)| *byte == b'+').map(|(at, _)| at).take(MAX_COLUMNS).collect();
        Self { marks, shape: Shape::Titles, line: 0, pieces: Vec::new() }
    }

    /// The titles are read: tells what table this is.
    fn begin(&mut self, at: usize, rows: &mut Rows) {
        let titles: Vec<String> = self.take_row().iter().map(|cell| cell.text(true)).collect();
        let fields: Vec<Option<Field>> = titles.iter().map(|title| field(title)).collect();
        let names: Vec<&str> = titles.iter().map(String::as_str).collect();
        self.shape = if matches!(names.as_slice(), ["Property" | "Field", "Value"]) {
            Shape::Show { claim: Box::default(), line: at }
        } else if fields.iter().any(|field| matches!(field, Some(Field::Uuid | Field::Name | Field::InstanceName))) {
            let key = fields.iter().position(|field| *field == Some(Field::Uuid)).unwrap_or(0);
            Shape::List { fields, key }
        } else {
            rows.error(InputError::new(rows.name, at.saturating_sub(1), titles.join(" | "), "the columns ID or Name, or Property | Value"));
            Shape::Foreign
        };
    }

    fn line(&mut self, at: usize, line: &str, rows: &mut Rows) {
        let Some(cells) = self.cells(line) else {
            let expected = format!("{} cells between bars, as in the table's border", self.marks.len().saturating_sub(1));
            rows.error(InputError::new(rows.name, at, line, expected));
            return;
        };
        if !self.continues(&cells) {
            self.end_row(rows);
            self.line = at;
        }
        self.pieces.resize(cells.len(), Vec::new());
        for (pieces, cell) in self.pieces.iter_mut().zip(cells) {
            if !cell.is_empty() && pieces.iter().map(String::len).sum::<usize>() < MAX_TEXT {
                pieces.push(cell);
            }
        }
    }

    fn cells(&self, line: &str) -> Option<Vec<String>> {
        let characters: Vec<char> = line.chars().collect();
        let meets = self.marks.iter().all(|mark| characters.get(*mark) == Some(&'|'));
        if meets && self.marks.last().map(|last| last + 1) == Some(characters.len()) {
            let pairs = self.marks.iter().zip(self.marks.iter().skip(1));
            let cell = |(from, to): (&usize, &usize)| characters.get(from + 1..*to).unwrap_or_default().iter().collect::<String>();
            return Some(pairs.map(cell).map(|cell| cell.trim().to_owned()).collect());
        }
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        let cells: Vec<String> = inner.split('|').map(|cell| cell.trim().to_owned()).collect();
        (cells.len() + 1 == self.marks.len()).then_some(cells)
    }

    /// Whether a line goes on with the row before it.
    fn continues(&self, cells: &[String]) -> bool {
        if self.pieces.is_empty() {
            return false;
        }
        let key = match &self.shape {
            Shape::Titles => return true,
            Shape::Foreign => return false,
            Shape::List { key, .. } => *key,
            Shape::Show { .. } => 0,
        };
        let Some(cell) = cells.get(key).filter(|cell| !cell.is_empty()) else { return true };
        let begun = self.pieces.get(key).map(|pieces| pieces.concat()).unwrap_or_default();
        let joined = format!("{begun}{cell}");
        match &self.shape {
            Shape::Show { .. } => !PROPERTIES.contains(&begun.as_str()) && PROPERTIES.iter().any(|property| property.starts_with(&joined)),
            _ => !begun.is_empty() && !is_uuid(&begun) && begins_uuid(&joined),
        }
    }

    fn end_row(&mut self, rows: &mut Rows) {
        if self.pieces.is_empty() {
            return;
        }
        let cells = self.take_row();
        let line = self.line;
        let mut complain = |found: &str, expected: &str| rows.error(InputError::new(rows.name, line, found, expected));
        match &mut self.shape {
            Shape::Titles | Shape::Foreign => {}
            Shape::List { fields, .. } => {
                let mut claim = Claim::default();
                for (field, cell) in fields.iter().zip(&cells) {
                    let Some(field) = field else { continue };
                    let text = cell.text(*field == Field::Name);
                    if let Err(expected) = set(&mut claim, *field, &text) {
                        complain(&text, expected);
                    }
                }
                if claim.uuid.is_some() || claim.name.is_some() || claim.instance_name.is_some() {
                    rows.claim(line, claim);
                }
            }
            Shape::Show { claim, line: place } => {
                let [property, value] = cells.as_slice() else { return };
                let property = property.text(true);
                let known = field(&property);
                let value = value.text(known == Some(Field::Name));
                let outcome = match known {
                    Some(field) => {
                        if field == Field::Uuid {
                            *place = line;
                        }
                        set(claim, field, &value)
                    }
                    // nova show gives each network a property of its own: `public network`.
                    None if property.ends_with(" network") => addresses(&value).map(|found| add_addresses(claim, found)),
                    None => Ok(()),
                };
                if let Err(expected) = outcome {
                    complain(&value, expected);
                }
            }
        }
    }

    fn take_row(&mut self) -> Vec<Cell> {
        let widths = self.marks.iter().zip(self.marks.iter().skip(1)).map(|(from, to)| (to - from).saturating_sub(3));
        std::mem::take(&mut self.pieces).into_iter().zip(widths).map(|(pieces, width)| Cell { pieces, width }).collect()
    }

    fn finish(mut self, rows: &mut Rows) {
        self.end_row(rows);
        if let Shape::Show { claim, line } = self.shape {
            if claim.uuid.is_some() || claim.name.is_some() || claim.instance_name.is_some() {
                rows.claim(line, *claim);
            } else {
                rows.error(InputError::new(rows.name, line, "properties without id and name", "what `nova show INSTANCE` prints"));
            }
        }
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
