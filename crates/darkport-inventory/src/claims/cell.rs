//! Cells of a table that were wrapped to the terminal's width.

/// A cell as it was drawn: its lines, and the width of its column.
pub(super) struct Cell {
    pub(super) pieces: Vec<String>,
    pub(super) width: usize,
}

impl Cell {
    /// Undoes the wrapping, which is that of Python's `textwrap.fill`: it breaks at blanks, which it drops, behind hyphens, and inside
    /// words that are longer than the column. Where the value has no `blanks` that matter, there is nothing to guess.
    pub(super) fn text(&self, blanks: bool) -> String {
        let mut joined = String::new();
        for piece in &self.pieces {
            if blanks && !joined.is_empty() && !joined.ends_with('-') && !self.breaks_word(&joined, piece) {
                joined.push(' ');
            }
            joined.push_str(piece);
        }
        joined
    }

    /// Whether the column's end fell inside a word: only one that is longer than the column is broken.
    fn breaks_word(&self, before: &str, behind: &str) -> bool {
        let last = before.rsplit([' ', '-']).next().unwrap_or_default();
        let first = behind.split([' ', '-']).next().unwrap_or_default();
        columns(last) + columns(first) > self.width
    }
}

/// About how many columns a terminal gives a text: two for the wide characters of East Asia and beyond.
fn columns(text: &str) -> usize {
    text.chars().map(|character| if character < '\u{1100}' { 1 } else { 2 }).sum()
}
