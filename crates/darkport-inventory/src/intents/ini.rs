//! The two dialects of ini files that matter here.

use crate::bounds;
use crate::error::InputError;

use super::Configuration;

/// How a value goes on over several lines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A line that begins with a blank goes on (`oslo_config/iniparser.py`).
    Oslo,
    /// A line that ends in a backslash goes on (systemd.syntax(7)).
    Systemd,
}

/// One assignment.
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
}

/// The assignments of a file in their order; lines that make no sense go into `into.errors`.
pub(super) fn entries(name: &str, bytes: &[u8], dialect: Dialect, into: &mut Configuration) -> Vec<Entry> {
    let text = String::from_utf8_lossy(bytes);
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = String::new();
    let mut open = false;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let trimmed = line.trim();
        let comment = trimmed.starts_with(['#', ';']);
        let goes_on = match dialect {
            Dialect::Oslo => open && line.starts_with([' ', '\t']) && !trimmed.is_empty(),
            // systemd passes over comments inside a value.
            Dialect::Systemd => open && !comment,
        };
        let mut complain = |expected: &str| into.error(InputError::new(name, at + 1, trimmed, expected));
        if goes_on {
            if let Some(entry) = entries.last_mut().filter(|entry| entry.value.len() < bounds::MAX_TEXT) {
                entry.value.push(' ');
                entry.value.push_str(&bounds::text(trimmed.trim_end_matches('\\')));
            }
            open = dialect == Dialect::Oslo || trimmed.ends_with('\\');
            continue;
        }
        if comment && dialect == Dialect::Systemd {
            continue;
        }
        open = false;
        if trimmed.is_empty() || comment {
        } else if let Some(head) = trimmed.strip_prefix('[') {
            match head.split_once(']') {
                Some((inside, _)) => bounds::text(inside).clone_into(&mut section),
                None => complain("] at the end of a section's name"),
            }
        } else {
            let separator = if dialect == Dialect::Oslo { trimmed.find(['=', ':']) } else { trimmed.find('=') };
            match separator.and_then(|at| Some((trimmed.get(..at)?, trimmed.get(at + 1..)?))) {
                Some((key, value)) => {
                    open = dialect == Dialect::Oslo || value.ends_with('\\');
                    let value = if dialect == Dialect::Systemd { value.trim_end_matches('\\') } else { value };
                    let (key, value) = (bounds::text(key), bounds::text(value));
                    entries.push(Entry { line: at + 1, section: section.clone(), key, value });
                }
                None => complain("KEY=VALUE, [SECTION] or a comment"),
            }
        }
    }
    entries
}
