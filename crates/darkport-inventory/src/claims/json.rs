//! `openstack server list -f json` (an array of objects) and `openstack server show -f json` (objects, one after another).
//!
//! Each object is decoded on its own, so that one that is broken or cut costs no other.

use darkport_model::Claim;
use serde_json::{Deserializer, Map, Value};

use super::Rows;
use super::fields::{field, set_json};
use crate::error::InputError;

const END: &str = "the end of the file";

pub(super) fn looks_like(text: &str) -> bool {
    text.trim_start().starts_with(['[', '{'])
}

pub(super) fn read(text: &str, rows: &mut Rows) {
    let mut cursor = Cursor { text, at: 0, line: 1 };
    let mut in_array = false;
    while !rows.stopped {
        cursor.skip(|c| c.is_whitespace() || (in_array && c == ','));
        match cursor.rest().chars().next() {
            None => break,
            Some('[') if !in_array => {
                in_array = true;
                cursor.advance(1);
            }
            Some(']') if in_array => {
                in_array = false;
                cursor.advance(1);
            }
            Some('{') => object(&mut cursor, rows),
            Some(_) => {
                let found = cursor.rest().lines().next().unwrap_or_default();
                rows.error(InputError::new(rows.name, cursor.line, found, "an object: {\"ID\": …}").at_column(cursor.column()));
                cursor.skip_to_next_object();
            }
        }
    }
    let is_told = rows.read.errors.last().is_some_and(|error| error.found == END);
    if in_array && !is_told && !rows.stopped {
        rows.error(InputError::new(rows.name, cursor.line, END, "] after the last object: the list may be cut"));
    }
}

fn object(cursor: &mut Cursor, rows: &mut Rows) {
    let mut values = Deserializer::from_str(cursor.rest()).into_iter::<Map<String, Value>>();
    match values.next() {
        Some(Ok(object)) => {
            let line = cursor.line;
            let end = values.byte_offset();
            claim(line, &object, rows);
            cursor.advance(end);
        }
        Some(Err(error)) => {
            let message = error.to_string();
            let told = message.rsplit_once(" at line ").map_or(message.as_str(), |(told, _)| told);
            let column = if error.line() == 1 { cursor.column() + error.column().saturating_sub(1) } else { error.column() };
            let line = cursor.line + error.line().saturating_sub(1);
            let (found, expected) = if error.is_eof() {
                (END.to_owned(), "the rest of the object: the list may be cut".to_owned())
            } else {
                let broken = cursor.rest().lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
                let expected = told.strip_prefix("expected ").map_or_else(|| format!("well-formed JSON ({told})"), str::to_owned);
                (broken.chars().skip(error.column().saturating_sub(1)).collect(), expected)
            };
            rows.error(InputError::new(rows.name, line, found, expected).at_column(column.max(1)));
            cursor.skip_to_next_object();
        }
        None => cursor.advance(1),
    }
}

fn claim(line: usize, object: &Map<String, Value>, rows: &mut Rows) {
    let mut claim = Claim::default();
    for (title, value) in object {
        let Some(field) = field(title) else { continue };
        if let Err(expected) = set_json(&mut claim, field, value) {
            rows.error(InputError::new(rows.name, line, format!("{title}: {value}"), expected));
        }
    }
    if claim.uuid.is_some() || claim.name.is_some() || claim.instance_name.is_some() {
        rows.claim(line, claim);
    } else {
        rows.error(InputError::new(rows.name, line, "an object without ID and name", "a server: {\"ID\": …, \"Name\": …}"));
    }
}

/// A place in the text that knows its line.
struct Cursor<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Cursor<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn advance(&mut self, bytes: usize) {
        let passed = self.rest().get(..bytes).unwrap_or_else(|| self.rest());
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count();
        self.at += passed.len();
    }

    fn skip(&mut self, while_is: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start_matches(while_is).len());
    }

    /// To the next `{` behind this place that begins a line, as clients print objects; behind the end where there is none.
    fn skip_to_next_object(&mut self) {
        let mut passed = 0;
        for line in self.rest().split_inclusive('\n') {
            if passed > 0 && line.trim_start().starts_with('{') {
                break;
            }
            passed += line.len();
        }
        self.advance(passed);
    }

    fn column(&self) -> usize {
        let line = self.text.get(..self.at).unwrap_or_default().rsplit('\n').next().unwrap_or_default();
        line.chars().count() + 1
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
