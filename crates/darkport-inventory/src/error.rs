//! Input that is not what it was taken for.

use darkport_model::{Gap, GapReason, Source, bounded};

use crate::bounds::MAX_FOUND;

/// A place in a file that makes no sense, with what was found and what was expected there. Reading went on behind it, unless it
/// says otherwise.
///
/// What was found is somebody else's text, cut but not escaped: pass it through [`darkport_model::printable`] before showing it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{name}:{line}{}: found {found}, expected {expected}", column.map(|column| format!(":{column}")).unwrap_or_default())]
pub struct InputError {
    /// The file, as the caller names it.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1, where one can be told.
    pub column: Option<usize>,
    /// What was found there, cut to 64 characters.
    pub found: String,
    /// What was expected.
    pub expected: String,
    /// Whether the rest was left unread because the file is larger than what is read.
    pub too_large: bool,
}

impl InputError {
    pub(crate) fn new(name: &str, line: usize, found: impl AsRef<str>, expected: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            line,
            column: None,
            found: bounded(found.as_ref(), MAX_FOUND),
            expected: expected.into(),
            too_large: false,
        }
    }

    pub(crate) fn too_large(name: &str, line: usize, found: impl AsRef<str>, expected: impl Into<String>) -> Self {
        Self { too_large: true, ..Self::new(name, line, found, expected) }
    }

    pub(crate) fn at_column(mut self, column: usize) -> Self {
        self.column = Some(column);
        self
    }

    /// The gap that this leaves in `source`.
    pub fn to_gap(&self, source: Source) -> Gap {
        let reason = if self.too_large { GapReason::TooLarge } else { GapReason::Malformed };
        let column = self.column.map(|column| format!(":{column}")).unwrap_or_default();
        let what = format!("{}:{}{column}", self.name, self.line);
        Gap::new(source, what, reason, format!("found {}, expected {}", self.found, self.expected))
    }
}
