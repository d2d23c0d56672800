//! Causes: the first in full, the next ones in a few lines each.

use darkport::model::{Cause, Certainty, Diagnosis, Effect, Evidence, Fix, HopKind};

use super::Style;
use super::layout::{Line, Paint, Section, show, wrap_to};
use super::path;

/// Names and devices are cut to this.
const NAME: usize = 48;
/// Sentences are cut to this.
const SENTENCE: usize = 600;
/// A longer command is not shown in part, since a part of it would do something else.
const COMMAND: usize = 1000;

/// The first cause with its fix, path and evidence, then the others.
pub(super) fn ranked(diagnosis: &Diagnosis, style: &Style) -> Vec<Section> {
    let Some((first, others)) = diagnosis.causes.split_first() else { return drawn(diagnosis, style) };
    let mut sections = vec![Section::whole("CAUSE", about(first, style))];
    sections.push(Section::whole("FIX", fix(&first.fix, style)));
    sections.extend(drawn(diagnosis, style));
    sections.push(Section::cuttable("SEEN", evidence(&first.evidence, style, 4), 1, 5));
    if style.verbose {
        for cause in others {
            sections.push(Section::whole("CAUSE", about(cause, style)));
            sections.push(Section::whole("FIX", fix(&cause.fix, style)));
            sections.push(Section::whole("SEEN", evidence(&cause.evidence, style, usize::MAX)));
        }
    } else {
        sections.extend(brief(others, style, "ALSO"));
    }
    sections
}

/// Causes that the evidence fits alike: none of them is *the* cause, and no fix of theirs is told in full.
pub(super) fn rivals(diagnosis: &Diagnosis, style: &Style) -> Vec<Section> {
    let mut sections = drawn(diagnosis, style);
    if style.verbose {
        for cause in &diagnosis.causes {
            sections.push(Section::whole("EITHER", about(cause, style)));
            sections.push(Section::whole("FIX", fix(&cause.fix, style)));
            sections.push(Section::whole("SEEN", evidence(&cause.evidence, style, usize::MAX)));
        }
    } else {
        // One that is merely possible has another beside it: none that is known.
        sections.extend(brief(&diagnosis.causes, style, if diagnosis.causes.len() == 1 { "PERHAPS" } else { "EITHER" }));
    }
    sections
}

fn drawn(diagnosis: &Diagnosis, style: &Style) -> Vec<Section> {
    if style.verbose {
        let paths = diagnosis.instances.iter().flat_map(|instance| &instance.paths);
        return vec![Section::whole("PATHS", paths.flat_map(|path| path::draw(path, style.room())).collect())];
    }
    let lines = path::representative(diagnosis).map(|path| path::draw(path, style.room())).unwrap_or_default();
    vec![Section::cuttable("PATH", lines, 1, 3)]
}

/// What a hop is called in a sentence.
pub(super) fn hop(kind: HopKind) -> String {
    match kind {
        HopKind::Nic => "NIC".into(),
        HopKind::VlanDevice => "VLAN device".into(),
        HopKind::Control => "control plane".into(),
        other => other.as_str().replace('-', " "),
    }
}

fn weight(cause: &Cause) -> Paint {
    if cause.effect == Effect::Dark && cause.certainty > Certainty::Possible { Paint::Bad } else { Paint::Warn }
}

/// On one line, or on two where one does not hold it.
fn title(cause: &Cause, style: &Style) -> Vec<Line> {
    let explained = match cause.explains.len() {
        0 => String::new(),
        1 => "  explains 1 instance".into(),
        many => format!("  explains {many} instances"),
    };
    let name = Line::of(weight(cause), show(&cause.code, NAME)).then(Paint::Plain, format!("  {}", cause.certainty));
    let place = format!("at {} ({})", show(&cause.at, NAME), hop(cause.hop));
    let whole = name.clone().then(Paint::Plain, format!("  {place}"));
    if whole.width() + explained.len() <= style.room() {
        vec![whole.then(Paint::Dim, explained)]
    } else if whole.width() <= style.room() {
        // What it explains stands in the first line's counts as well.
        vec![whole]
    } else {
        vec![name, Line::of(Paint::Plain, place)]
    }
}

fn about(cause: &Cause, style: &Style) -> Vec<Line> {
    let mut lines = title(cause, style);
    lines.extend(summary(cause, style, style.at_most(3)));
    lines
}

fn summary(cause: &Cause, style: &Style, most: usize) -> impl Iterator<Item = Line> {
    wrap_to(&show(&cause.summary, SENTENCE), style.room(), most).into_iter().map(|line| Line::of(Paint::Plain, line))
}

fn evidence(evidence: &[Evidence], style: &Style, few: usize) -> Vec<Line> {
    let few = style.at_most(few);
    let mut lines = Vec::new();
    for piece in evidence.iter().take(few) {
        let at = piece.at.map(|at| format!(", {at}")).unwrap_or_default();
        let text = format!("{} ({}{at})", show(&piece.seen, SENTENCE), show(&piece.source, NAME));
        for (number, line) in wrap_to(&text, style.room() - 2, style.at_most(2)).into_iter().enumerate() {
            lines.push(Line::of(Paint::Plain, format!("{} {line}", if number == 0 { "•" } else { " " })));
        }
    }
    if let Some(more) = evidence.len().checked_sub(few).filter(|more| *more > 0) {
        lines.push(Line::of(Paint::Dim, format!("and {more} more (-v)")));
    }
    lines
}

/// Commands stand on a line of their own and are never cut or wrapped.
fn fix(fix: &Fix, style: &Style) -> Vec<Line> {
    let mut lines = Vec::new();
    // A fix of many steps shows the commands alone, so that all of them are on the screen.
    let terse = !style.verbose && fix.steps.len() > 2;
    for step in &fix.steps {
        lines.push(Line::of(Paint::Plain, format!("on {}:  ", show(&step.on, NAME))).then(Paint::Command, command(&step.run)));
        if terse {
            continue;
        }
        let undo = step.undo.as_ref().map(|undo| format!("undo: {}", command(undo)));
        let changes = format!("changes: {}", show(&step.changes, SENTENCE));
        match undo {
            Some(undo) if changes.chars().count() + undo.chars().count() + 6 <= style.room() => {
                lines.push(Line::of(Paint::Dim, format!("  {changes};  {undo}")));
            }
            undo => {
                lines.extend(
                    wrap_to(&changes, style.room() - 2, style.at_most(2)).into_iter().map(|line| Line::of(Paint::Dim, format!("  {line}"))),
                );
                lines.extend(undo.map(|undo| Line::of(Paint::Dim, format!("  {undo}"))));
            }
        }
    }
    if let Some(advice) = &fix.advice {
        let advice = wrap_to(&show(advice, SENTENCE), style.room(), style.at_most(3));
        lines.extend(advice.into_iter().map(|line| Line::of(Paint::Plain, line)));
    }
    lines
}

fn command(text: &str) -> String {
    if text.chars().nth(COMMAND).is_some() { "(a command too long to show: see --json)".into() } else { show(text, COMMAND) }
}

/// What a cause is, how it shows and what mends it, on a line each; then how many more causes there are.
fn brief(causes: &[Cause], style: &Style, label: &'static str) -> Vec<Section> {
    const FEW: usize = 2;
    let rivals = label != "ALSO";
    let mut sections: Vec<Section> = Vec::new();
    for (number, cause) in causes.iter().take(FEW).enumerate() {
        let mut lines = title(cause, style);
        lines.extend(summary(cause, style, 1));
        if rivals {
            let seen = cause.evidence.first().map(|piece| format!("• {} ({})", show(&piece.seen, SENTENCE), show(&piece.source, NAME)));
            lines.extend(seen.into_iter().flat_map(|seen| wrap_to(&seen, style.room(), 1)).map(|line| Line::of(Paint::Plain, line)));
        }
        if let Some(step) = cause.fix.steps.first() {
            let more = if cause.fix.steps.len() > 1 { format!("  (and {} more: -v)", cause.fix.steps.len() - 1) } else { String::new() };
            let line = Line::of(Paint::Plain, format!("on {}:  ", show(&step.on, NAME))).then(Paint::Command, command(&step.run));
            lines.push(line.then(Paint::Dim, more));
        } else if let Some(advice) = &cause.fix.advice {
            lines.extend(wrap_to(&show(advice, SENTENCE), style.room(), 1).into_iter().map(|line| Line::of(Paint::Plain, line)));
        }
        sections.push(Section::cuttable(if rivals && number > 0 { "OR" } else { label }, lines, 1, 2));
    }
    if let Some(more) = causes.len().checked_sub(FEW).filter(|more| *more > 0) {
        let codes: Vec<String> = causes.iter().skip(FEW).take(4).map(|cause| show(&cause.code, NAME)).collect();
        let text = format!("{more} more (-v): {}", codes.join(", "));
        let lines = wrap_to(&text, style.room(), 1).into_iter().map(|line| Line::of(Paint::Dim, line)).collect();
        sections.push(Section::cuttable("AND", lines, 1, 1));
    }
    sections
}
