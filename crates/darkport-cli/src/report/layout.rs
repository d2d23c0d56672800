//! Lines made of painted pieces, wrapped to a width and cut to a screen.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style as Ansi};
use darkport::model::{bounded, printable};

/// The width of the column of labels.
pub(super) const LABEL: usize = 10;

/// What a piece of text is, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Paint {
    Plain,
    Label,
    Bad,
    Warn,
    Good,
    Command,
    Dim,
}

impl Paint {
    fn ansi(self) -> Ansi {
        match self {
            Self::Plain => Ansi::new(),
            Self::Label => Ansi::new().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
            Self::Warn => AnsiColor::Yellow.on_default().bold(),
            Self::Good => AnsiColor::Green.on_default().bold(),
            Self::Command => AnsiColor::Cyan.on_default(),
            Self::Dim => Ansi::new().dimmed(),
        }
    }
}

/// One line of a section, without its label.
#[derive(Debug, Clone, Default)]
pub(super) struct Line(pub(super) Vec<(Paint, String)>);

impl Line {
    pub(super) fn of(paint: Paint, text: impl Into<String>) -> Self {
        Self(vec![(paint, text.into())])
    }

    pub(super) fn then(mut self, paint: Paint, text: impl Into<String>) -> Self {
        self.0.push((paint, text.into()));
        self
    }

    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(_, text)| text.chars().count()).sum()
    }
}

/// A labelled part of the report.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) label: &'static str,
    pub(super) lines: Vec<Line>,
    /// How many of the lines may not be cut to make the report fit a screen.
    pub(super) keep: usize,
    /// What is cut first has the highest number.
    pub(super) rank: u8,
    /// Whether a part of it is worse than nothing.
    pub(super) together: bool,
}

impl Section {
    /// A section that is shown whole.
    pub(super) fn whole(label: &'static str, lines: Vec<Line>) -> Self {
        Self { label, keep: lines.len(), lines, rank: 0, together: false }
    }

    /// A section of which `keep` lines stay when the screen is full.
    pub(super) fn cuttable(label: &'static str, lines: Vec<Line>, keep: usize, rank: u8) -> Self {
        Self { label, lines, keep, rank, together: false }
    }

    /// A section that is left out as a whole when the screen is full.
    pub(super) fn all_or_none(label: &'static str, lines: Vec<Line>, rank: u8) -> Self {
        Self { label, lines, keep: 0, rank, together: true }
    }
}

/// Takes lines away until all sections fit `most` lines of a terminal `width` wide. Returns whether any was taken.
pub(super) fn fit(sections: &mut [Section], most: usize, width: usize) -> bool {
    let mut cut = false;
    while sections.iter().map(|section| height(section, width)).sum::<usize>() > most {
        let next = sections.iter_mut().filter(|section| section.lines.len() > section.keep).max_by_key(|section| section.rank);
        let Some(section) = next else { break };
        let left = if section.together { 0 } else { section.lines.len() - 1 };
        section.lines.truncate(left);
        cut = true;
    }
    cut
}

/// Commands are never wrapped, so that they can be copied: a terminal shows a long one on several of its lines.
fn height(section: &Section, width: usize) -> usize {
    section.lines.iter().map(|line| (LABEL + line.width()).div_ceil(width).max(1)).sum()
}

/// The sections as text.
pub(super) fn print(sections: &[Section], colour: bool) -> String {
    let mut text = String::new();
    for section in sections {
        for (number, line) in section.lines.iter().enumerate() {
            let label = if number == 0 { section.label } else { "" };
            if section.label.is_empty() {
                // The first line of the report stands at the margin.
            } else if label.is_empty() {
                let _ = write!(text, "{:LABEL$}", "");
            } else {
                paint(&mut text, Paint::Label, label, colour);
                let _ = write!(text, "{:1$}", "", LABEL - label.len());
            }
            for (what, piece) in &line.0 {
                paint(&mut text, *what, piece, colour);
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
    }
    text
}

fn paint(text: &mut String, what: Paint, piece: &str, colour: bool) {
    let ansi = what.ansi();
    if colour && ansi != Ansi::new() {
        let _ = write!(text, "{ansi}{piece}{ansi:#}");
    } else {
        text.push_str(piece);
    }
}

/// Untrusted text as it may be shown: escaped, then cut to `most` characters.
pub(super) fn show(text: &str, most: usize) -> String {
    // Cut first as well, so that escaping a text of any length costs no more than what is shown of it.
    bounded(&printable(&bounded(text, most)), most)
}

/// `text` in lines of at most `width` characters; a longer word is broken.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(10);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let mut rest: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + rest.len() > width {
            lines.push(std::mem::take(&mut line));
            used = 0;
        }
        while rest.len() > width {
            lines.push(rest.drain(..width).collect());
        }
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        used += rest.len();
        line.extend(rest);
    }
    if used > 0 {
        lines.push(line);
    }
    lines
}

/// The same, and at most `most` lines of it.
pub(super) fn wrap_to(text: &str, width: usize, most: usize) -> Vec<String> {
    let mut lines = wrap(text, width);
    if lines.len() > most {
        lines.truncate(most);
        if let Some(last) = lines.last_mut() {
            *last = bounded(&format!("{last} ……"), width.max(10).min(last.chars().count() + 2));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapped_lines_keep_to_the_width_and_lose_nothing() {
        let text = "a port of no bridge: frames die at aVeryLongWordThatNoLineCanHoldInOnePiece, says the kernel";
        let lines = wrap(text, 20);
        assert!(lines.iter().all(|line| line.chars().count() <= 20), "{lines:?}");
        assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        assert!(wrap("", 20).is_empty());
    }

    #[test]
    fn a_cut_text_says_so() {
        let lines = wrap_to("one two three four five six seven", 12, 2);
        assert_eq!(lines.len(), 2);
        assert!(lines[1].ends_with('…') && lines[1].chars().count() <= 12, "{lines:?}");
    }

    #[test]
    fn the_least_important_lines_go_first_and_kept_ones_stay() {
        let lines = |n| vec![Line::of(Paint::Plain, "x"); n];
        let mut sections = [
            Section::whole("FIX", lines(3)),
            Section::cuttable("SEEN", lines(4), 1, 1),
            Section::cuttable("ALSO", lines(4), 0, 2),
            Section::all_or_none("ASSUMED", lines(3), 3),
        ];
        assert!(fit(&mut sections, 13, 80));
        assert_eq!(sections.each_ref().map(|section| section.lines.len()), [3, 4, 4, 0], "a part of it is worse than nothing");
        assert!(fit(&mut sections, 6, 80));
        assert_eq!(sections.map(|section| section.lines.len()), [3, 3, 0, 0]);
    }
}
