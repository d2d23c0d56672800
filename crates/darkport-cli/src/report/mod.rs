//! A diagnosis as text: one screen for a tired person, or everything.

mod causes;
mod drops;
mod frame;
mod layout;
mod path;
mod played;
mod traces;

use darkport::model::{Diagnosis, Status};

pub(crate) use layout::wrap;
use layout::{Line, Paint, Section};

/// How a report is to look.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Style {
    /// Characters in a line, 60 to 120.
    pub width: usize,
    /// Lines on the screen; what does not fit is left out, and the report says so.
    pub lines: usize,
    /// Whether to use ANSI colours.
    pub colour: bool,
    /// Whether to write ASCII only where the report draws: for terminals and mail readers without UTF-8.
    pub ascii: bool,
    /// Whether to show everything, however long.
    pub verbose: bool,
    /// Whether it was looked as root, which needs no advice to do so.
    pub root: bool,
}

impl Default for Style {
    /// 24 lines of 80 characters, without colours.
    fn default() -> Self {
        Self { width: 80, lines: 24, colour: false, ascii: false, verbose: false, root: false }
    }
}

impl Style {
    /// What suits standard output: colours on a terminal only (and not where `NO_COLOR` is set), its width up to 100 characters, and
    /// the drawing in ASCII where the locale is not UTF-8.
    pub fn of_stdout(verbose: bool) -> Self {
        let out = std::io::stdout();
        let colour = anstream::AutoStream::choice(&out) != anstream::ColorChoice::Never;
        let columns = terminal_size::terminal_size_of(&out).map_or(80, |(columns, _)| usize::from(columns.0));
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().filter_map(|name| std::env::var(name).ok()).find(|value| !value.is_empty());
        let utf8 = locale.is_some_and(|locale| locale.to_ascii_lowercase().replace('-', "").contains("utf8"));
        Self { width: columns.clamp(60, 100), colour, ascii: !utf8, verbose, ..Self::default() }
    }

    /// The same, this wide.
    #[must_use]
    pub fn width(mut self, width: usize) -> Self {
        self.width = width.clamp(60, 120);
        self
    }

    /// The same, showing everything.
    #[must_use]
    pub fn verbose(mut self) -> Self {
        self.verbose = true;
        self
    }

    /// The same with colours.
    #[must_use]
    pub fn colour(mut self) -> Self {
        self.colour = true;
        self
    }

    /// The same, for an observation that was made now and by this process.
    #[must_use]
    pub fn looked_here(mut self) -> Self {
        self.root = nix::unistd::geteuid().is_root();
        self
    }

    /// The same in ASCII.
    #[must_use]
    pub fn ascii(mut self) -> Self {
        self.ascii = true;
        self
    }

    /// Room for text beside the labels.
    fn room(&self) -> usize {
        self.width - layout::LABEL
    }

    /// `few` lines or pieces, or all of them when everything is to be shown.
    fn at_most(&self, few: usize) -> usize {
        if self.verbose { usize::MAX } else { few }
    }
}

/// The report on a diagnosis. Its first line alone does for a monitoring system.
pub fn render(diagnosis: &Diagnosis, style: &Style) -> String {
    let mut sections = vec![frame::header(diagnosis, style)];
    sections.extend(frame::answer(diagnosis, style));
    match diagnosis.status {
        Status::Ambiguous => sections.extend(causes::rivals(diagnosis, style)),
        _ => sections.extend(causes::ranked(diagnosis, style)),
    }
    sections.extend(frame::rest(diagnosis, style));
    sections.retain(|section| !section.lines.is_empty());
    if !style.verbose && layout::fit(&mut sections, style.lines.saturating_sub(1), style.width) {
        sections.push(Section::whole("MORE", vec![Line::of(Paint::Dim, "not all of it fits one screen: -v shows everything")]));
    }
    let text = layout::print(&sections, style.colour);
    if style.ascii { ascii(&text) } else { text }
}

/// The answer in one line.
pub(crate) fn headline(diagnosis: &Diagnosis) -> String {
    format!("{}: {}", darkport::model::ExitCode::of(diagnosis).name(), layout::show(&diagnosis.headline, 300))
}

/// What the report draws with, in ASCII; a name in another script stays what it is.
fn ascii(text: &str) -> String {
    text.replace("─✗", "-X").replace('─', "-").replace('✗', "X").replace('•', "*").replace('…', "...").replace('→', "->")
}

#[cfg(test)]
mod tests;
