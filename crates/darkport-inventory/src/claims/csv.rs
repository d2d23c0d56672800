//! `openstack server list -f csv`: RFC 4180 as cliff writes it, with quotes around every text (cliff, `formatters/commaseparated.py`).

use darkport_model::Claim;

use super::Rows;
use super::fields::{Field, field, set};
use crate::bounds::MAX_TEXT;
use crate::error::InputError;

/// Bytes after which a quoted field without its closing quote is given up.
const MAX_QUOTED: usize = 4 * MAX_TEXT;

/// Whether the first line names columns that are known here.
pub(super) fn looks_like(text: &str) -> bool {
    matches!(record(text.trim_start()), Ok((titles, _)) if titles.len() > 1 && titles.iter().any(|title| field(title).is_some()))
}

pub(super) fn read(text: &str, rows: &mut Rows) {
    let mut titles: Option<Vec<Option<Field>>> = None;
    let (mut rest, mut line) = (text, 1);
    while !rest.is_empty() && !rows.stopped {
        let consumed = match record(rest) {
            Ok((cells, consumed)) => {
                match &titles {
                    _ if cells.len() == 1 && cells.iter().all(|cell| cell.trim().is_empty()) => {}
                    None => titles = Some(cells.iter().map(|title| field(title)).collect()),
                    Some(fields) => row(line, fields, &cells, rows),
                }
                consumed
            }
            Err((found, expected)) => {
                rows.error(InputError::new(rows.name, line, found, expected));
                rest.find('\n').map_or(rest.len(), |at| at + 1)
            }
        };
        let (passed, behind) = rest.split_at_checked(consumed).unwrap_or((rest, ""));
        line += passed.bytes().filter(|byte| *byte == b'\n').count();
        rest = behind;
    }
}

fn row(line: usize, fields: &[Option<Field>], cells: &[String], rows: &mut Rows) {
    if cells.len() != fields.len() {
        let found = if cells.len() == 1 { "1 field".to_owned() } else { format!("{} fields", cells.len()) };
        rows.error(InputError::new(rows.name, line, found, format!("{}, as many as there are columns", fields.len())));
        return;
    }
    let mut claim = Claim::default();
    for (field, cell) in fields.iter().zip(cells) {
        let Some(field) = field else { continue };
        if let Err(expected) = set(&mut claim, *field, cell) {
            rows.error(InputError::new(rows.name, line, cell, expected));
        }
    }
    if claim.uuid.is_some() || claim.name.is_some() || claim.instance_name.is_some() {
        rows.claim(line, claim);
    }
}

/// The first record of `text` and how many bytes it takes, or what was found and what was expected.
fn record(text: &str) -> Result<(Vec<String>, usize), (String, &'static str)> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        let (cell, behind) = if let Some(quoted) = rest.strip_prefix('"') {
            quoted_cell(quoted)?
        } else {
            let (cell, behind) = rest.split_at_checked(rest.find([',', '\n']).unwrap_or(rest.len())).unwrap_or((rest, ""));
            (cell.trim_end_matches('\r').to_owned(), behind)
        };
        cells.push(cell);
        let behind = behind.strip_prefix('\r').unwrap_or(behind);
        match behind.strip_prefix(',') {
            Some(next) => rest = next,
            None if behind.is_empty() || behind.starts_with('\n') => {
                let end = behind.strip_prefix('\n').unwrap_or(behind);
                return Ok((cells, text.len() - end.len()));
            }
            None => {
                let found = behind.lines().next().unwrap_or_default();
                return Err((found.to_owned(), "a comma or the end of the line after a closing quote"));
            }
        }
    }
}

/// The text up to the closing quote, and what stands behind it.
fn quoted_cell(quoted: &str) -> Result<(String, &str), (String, &'static str)> {
    let mut cell = String::new();
    let mut rest = quoted;
    while let Some((part, behind)) = rest.split_once('"') {
        if quoted.len() - behind.len() > MAX_QUOTED {
            break;
        }
        cell.push_str(part);
        match behind.strip_prefix('"') {
            Some(more) => {
                cell.push('"');
                rest = more;
            }
            None => return Ok((cell, behind)),
        }
    }
    Err((format!("\"{}", quoted.lines().next().unwrap_or_default()), "a closing quote"))
}

#[cfg(test)]
#[path = "csv_tests.rs"]
mod tests;
