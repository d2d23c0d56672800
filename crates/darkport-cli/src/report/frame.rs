//! What stands around the causes: the first line, the answer in words, and what was not seen.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use darkport::model::{Diagnosis, ExitCode, Gap, GapReason, HopState, InstanceState, Source, Status, bounded};

use super::Style;
use super::causes::hop;
use super::layout::{Line, Paint, Section, show, wrap_to};
use super::{drops, played, traces};

const NAME: usize = 48;
const SENTENCE: usize = 600;

/// `CRITICAL  virt1012  6 of 6 instances DARK: uplink-not-in-bridge at eth1.1102`, and when that was.
pub(super) fn header(diagnosis: &Diagnosis, style: &Style) -> Section {
    let code = ExitCode::of(diagnosis);
    let paint = match code {
        ExitCode::Ok => Paint::Good,
        ExitCode::Critical => Paint::Bad,
        ExitCode::Warning | ExitCode::Unknown => Paint::Warn,
    };
    let host = if diagnosis.host.is_empty() { "host without a name".into() } else { show(&diagnosis.host, NAME) };
    let window = diagnosis.window_ms.map_or("one look only".into(), |ms| format!("observed for {:.1} s", ms as f64 / 1000.0));
    let line = Line::of(paint, code.name()).then(Paint::Plain, format!("  {host}  ")).then(paint, counts(diagnosis));
    let room = style.width.saturating_sub(line.width());
    // Of less than this nobody could guess the rest.
    let line = if room < 12 { line } else { line.then(Paint::Plain, bounded(&reason(diagnosis), room)) };
    let when = format!("{}  {window}", diagnosis.taken_at);
    let lines = if line.width() + when.len() + 2 <= style.width {
        vec![line.then(Paint::Plain, "  ").then(Paint::Dim, when)]
    } else {
        vec![line, Line::of(Paint::Dim, when)]
    };
    Section::whole("", lines)
}

/// Why, for who sees the first line only.
fn reason(diagnosis: &Diagnosis) -> String {
    match (diagnosis.status, diagnosis.causes.as_slice()) {
        (Status::Fault, [first, ..]) => format!(": {} at {}", show(&first.code, NAME), show(&first.at, NAME)),
        (Status::Fault, []) => {
            diagnosis.place.as_ref().map(|place| format!(": cause unknown, at {}", show(&place.at, NAME))).unwrap_or_default()
        }
        (Status::Ambiguous, [only]) => format!(": perhaps {}", show(&only.code, NAME)),
        (Status::Ambiguous, [first, second, ..]) => format!(": {} or {}", show(&first.code, NAME), show(&second.code, NAME)),
        (Status::Undetermined, _) if !diagnosis.headline.is_empty() => format!(", {}", show(&diagnosis.headline, SENTENCE)),
        _ => String::new(),
    }
}

fn counts(diagnosis: &Diagnosis) -> String {
    let count = |state| diagnosis.instances.iter().filter(|instance| instance.state == state).count();
    let (dark, fine, off) = (count(InstanceState::Dark), count(InstanceState::Fine), count(InstanceState::Off));
    let (degraded, unknown) = (count(InstanceState::Degraded), count(InstanceState::Unknown));
    let on = diagnosis.instances.len() - off;
    if diagnosis.instances.is_empty() {
        return "no instances seen".into();
    }
    let noun = if on == 1 { "instance" } else { "instances" };
    let mut parts = vec![match (dark, fine) {
        (0, _) if fine == on => format!("{on} {noun} fine"),
        (0, _) if degraded > 0 => format!("{degraded} of {on} {noun} DEGRADED"),
        (0, _) => format!("{fine} of {on} {noun} fine"),
        _ => format!("{dark} of {on} {noun} DARK"),
    }];
    for (number, what) in [(if dark > 0 { degraded } else { 0 }, "degraded"), (unknown, "unknown"), (off, "off")] {
        if number > 0 {
            parts.push(format!("{number} {what}"));
        }
    }
    parts.join(", ")
}

/// The answer in one sentence where no cause gives it, and which instances are touched.
pub(super) fn answer(diagnosis: &Diagnosis, style: &Style) -> Vec<Section> {
    let label = match diagnosis.status {
        Status::Healthy => "HEALTHY",
        Status::Ambiguous => "AMBIGUOUS",
        Status::Undetermined => "UNKNOWN",
        _ if diagnosis.causes.is_empty() => "FAULT",
        _ => "",
    };
    let mut sections = Vec::new();
    if !label.is_empty() || style.verbose {
        let label = if label.is_empty() { "ANSWER" } else { label };
        sections.push(Section::whole(label, text(&diagnosis.headline, style, 3, Paint::Plain)));
    }
    let any_dark = diagnosis.instances.iter().any(|instance| instance.state == InstanceState::Dark);
    let label = if style.verbose {
        "INSTANCES"
    } else if any_dark {
        "DARK"
    } else {
        "DEGRADED"
    };
    sections.push(Section::whole(label, instances(diagnosis, style)));
    if diagnosis.causes.is_empty() || diagnosis.status == Status::Ambiguous || style.verbose {
        if let Some(place) = &diagnosis.place {
            let words = format!("frames die at {} ({}): {}", show(&place.at, NAME), hop(place.hop), show(&place.because, SENTENCE));
            sections.push(Section::whole("PLACE", text(&words, style, 3, Paint::Plain)));
        }
    }
    sections.push(Section::cuttable("DROPS", drops::lines(diagnosis, style), 1, 6));
    sections.push(Section::whole("TRACE", traces::lines(diagnosis, style)));
    sections.push(Section::cuttable("PLAYED", played::lines(diagnosis, style), 3, 5));
    sections
}

/// Which instances, unless it is all of them: then the first line says it.
fn instances(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    if style.verbose {
        return diagnosis.instances.iter().map(instance_line).collect();
    }
    let touched = |state| matches!(state, InstanceState::Dark | InstanceState::Degraded);
    let dark: Vec<&str> =
        diagnosis.instances.iter().filter(|instance| touched(instance.state)).map(|instance| instance.name.as_str()).collect();
    let on = diagnosis.instances.iter().filter(|instance| instance.state != InstanceState::Off).count();
    if dark.is_empty() || (dark.len() == on && on > 4) {
        return Vec::new();
    }
    let mut words = String::new();
    let mut told = 0;
    for name in &dark {
        let name = show(name, 30);
        if words.chars().count() + name.chars().count() + 16 > style.room() {
            break;
        }
        words.push_str(if told == 0 { "" } else { ", " });
        words.push_str(&name);
        told += 1;
    }
    if told < dark.len() {
        let _ = write!(words, " and {} more", dark.len() - told);
    }
    vec![Line::of(Paint::Plain, words)]
}

fn instance_line(instance: &darkport::model::InstanceVerdict) -> Line {
    let (word, paint) = match instance.state {
        InstanceState::Fine => ("fine", Paint::Good),
        InstanceState::Degraded => ("degraded", Paint::Warn),
        InstanceState::Dark => ("DARK", Paint::Bad),
        InstanceState::Off => ("off", Paint::Dim),
        _ => ("unknown", Paint::Warn),
    };
    let mut rest = String::new();
    let number = |n: Option<u64>| n.map_or("?".into(), |n| n.to_string());
    if instance.sent.is_some() || instance.received.is_some() {
        rest = format!("  sent {}, received {} packets", number(instance.sent), number(instance.received));
    }
    match instance.answered {
        Some(true) => rest.push_str("  answers"),
        Some(false) => rest.push_str("  does not answer"),
        None => {}
    }
    if let Some(because) = &instance.because {
        rest = format!("{rest}  {}", show(because, NAME));
    }
    if let Some(since) = instance.since {
        rest = format!("{rest}  since {since}");
    }
    Line::of(paint, format!("{word:9}")).then(Paint::Plain, show(&instance.name, NAME)).then(Paint::Dim, rest)
}

/// What follows the causes.
pub(super) fn rest(diagnosis: &Diagnosis, style: &Style) -> Vec<Section> {
    let mut sections = Vec::new();
    if let Some(reboot) = &diagnosis.reboot {
        let word = match reboot.helps {
            Some(true) => "would help",
            Some(false) => "not needed",
            None => "not known to help",
        };
        let mut lines = text(&format!("{word}: {}", show(&reboot.because, SENTENCE)), style, 2, Paint::Plain);
        let first = reboot.capture_first.iter().take(style.at_most(1));
        lines.extend(first.map(|command| Line::of(Paint::Plain, "before one:  ").then(Paint::Command, show(command, 200))));
        sections.push(Section::cuttable("REBOOT", lines, 2, 4));
    }
    sections.push(Section::all_or_none("ASSUMED", assumptions(diagnosis, style), 9));
    // What is not so says nothing where all is well.
    if style.verbose || diagnosis.status != Status::Healthy {
        sections.push(Section::cuttable("RULED OUT", ruled_out(diagnosis, style), 0, 10));
    }
    sections.push(Section::cuttable("OPEN", undecided(diagnosis, style), 0, 7));
    // The assumptions say it in words, where there are any.
    if style.verbose || diagnosis.assumptions.is_empty() {
        sections.push(Section::cuttable("BEYOND", beyond(diagnosis, style), 0, 8));
    }
    sections.push(Section::whole("NOT SEEN", gaps(diagnosis, style)));
    sections.push(Section::whole("NEXT", next(diagnosis, style)));
    sections
}

fn text(words: &str, style: &Style, few: usize, paint: Paint) -> Vec<Line> {
    let shown = show(words, SENTENCE);
    wrap_to(&shown, style.room(), style.at_most(few)).into_iter().map(|line| Line::of(paint, line)).collect()
}

/// As many as fit a few lines, each of them whole: half an assumption says something else.
fn assumptions(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    const LINES: usize = 3;
    let all = &diagnosis.assumptions;
    if style.verbose {
        return all.iter().flat_map(|words| text(words, style, 9, Paint::Dim)).collect();
    }
    let most = all.len().min(LINES * 2);
    let joined = |told: usize| {
        let words: Vec<String> = all.iter().take(told).map(|words| show(words, SENTENCE)).collect();
        let more = if told < all.len() { format!(" and {} more (-v)", all.len() - told) } else { String::new() };
        wrap_to(&format!("{}{more}", words.join("; ")), style.room(), usize::MAX)
    };
    let fits = (1..=most).rev().map(joined).find(|lines| lines.len() <= LINES);
    let lines = fits.unwrap_or_else(|| if all.is_empty() { Vec::new() } else { joined(1) });
    lines.into_iter().map(|line| Line::of(Paint::Dim, line)).collect()
}

fn ruled_out(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    let all = diagnosis.causes.iter().take(1).flat_map(|cause| &cause.ruled_out).chain(&diagnosis.ruled_out);
    let mut seen = BTreeSet::new();
    let all = all.filter(|out| seen.insert(out.code.as_str()));
    if style.verbose {
        return all.flat_map(|out| text(&format!("{}: {}", out.code, out.because), style, 9, Paint::Dim)).collect();
    }
    let codes: Vec<&str> = all.map(|out| out.code.as_str()).collect();
    if codes.is_empty() {
        return Vec::new();
    }
    let mut words = String::new();
    for (told, code) in codes.iter().enumerate() {
        let left = codes.len() - told;
        let next = format!("{}{}", if told == 0 { "" } else { ", " }, show(code, NAME));
        // Room for the longest ending: one line is enough for what is not so.
        if words.chars().count() + next.chars().count() + 32 > style.room() && told > 0 {
            let _ = write!(words, " and {left} more");
            break;
        }
        words.push_str(&next);
    }
    text(&format!("{words} (-v shows why)"), style, 1, Paint::Dim)
}

fn undecided(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    let one = |open: &darkport::model::Undecided| format!("{}: {}", show(&open.code, NAME), show(&open.missing, SENTENCE));
    if style.verbose {
        return diagnosis.undecided.iter().flat_map(|open| text(&one(open), style, 9, Paint::Plain)).collect();
    }
    let few = if diagnosis.status == Status::Undetermined { 3 } else { 1 };
    let mut lines: Vec<Line> = diagnosis.undecided.iter().take(few).flat_map(|open| text(&one(open), style, 1, Paint::Plain)).collect();
    if diagnosis.undecided.len() > few {
        lines.push(Line::of(Paint::Dim, format!("and {} more that could not be decided (-v)", diagnosis.undecided.len() - few)));
    }
    lines
}

/// What lies on the paths but out of sight of this host.
fn beyond(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    let hops = diagnosis.instances.iter().flat_map(|instance| &instance.paths).flat_map(|path| &path.hops);
    let kinds: BTreeSet<_> = hops.filter(|hop| hop.state == HopState::Unseen).map(|hop| hop.kind).collect();
    if kinds.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = kinds.into_iter().map(hop).collect();
    text(&format!("not to be seen from this host: {}", names.join(", ")), style, 2, Paint::Dim)
}

fn gaps(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    let gaps: Vec<&Gap> = diagnosis.gaps.iter().filter(|gap| gap.reason != GapReason::NotAsked || style.verbose).collect();
    if gaps.is_empty() {
        return Vec::new();
    }
    let one = |gap: &&Gap| text(&format!("{}: {}", show(&gap.what, 200), gap.why), style, 2, Paint::Dim);
    if style.verbose {
        return gaps.iter().flat_map(one).collect();
    }
    let (noun, them) = if gaps.len() == 1 { ("thing", "it") } else { ("things", "them") };
    let mut words = format!("{} {noun} could not be read (-v lists {them})", gaps.len());
    if diagnosis.status == Status::Healthy {
        words = format!("{} {noun} could not be read, none that this answer needs (-v lists {them})", gaps.len());
        if hidden(diagnosis, style) {
            words.push_str("; run it as root to see the rest");
        }
    }
    let mut lines = text(&words, style, 2, Paint::Plain);
    if diagnosis.status == Status::Undetermined {
        lines.extend(gaps.iter().take(4).flat_map(one));
    }
    lines
}

/// Whether root would see more.
fn hidden(diagnosis: &Diagnosis, style: &Style) -> bool {
    !style.root && diagnosis.gaps.iter().any(|gap| gap.reason == GapReason::Permission)
}

/// What to do about an answer that is none.
fn next(diagnosis: &Diagnosis, style: &Style) -> Vec<Line> {
    let unexplained = diagnosis.status == Status::Fault && diagnosis.causes.is_empty();
    if !unexplained && !matches!(diagnosis.status, Status::Undetermined | Status::Ambiguous) {
        return Vec::new();
    }
    let reason = |reason| diagnosis.gaps.iter().any(|gap| gap.reason == reason);
    let mut steps = Vec::new();
    if hidden(diagnosis, style) {
        steps.push("run it as root: some of this host is hidden from other users");
    }
    if reason(GapReason::Deadline) {
        steps.push("run it with a longer --deadline; if it happens again, something that darkport reads is stuck");
    }
    if reason(GapReason::Torn) {
        steps.push("run it again: the kernel's tables changed while they were read");
    }
    if diagnosis.gaps.iter().any(|gap| gap.source == Source::Claims && gap.reason != GapReason::NotAsked) {
        steps.push("mend the list given by --instances, or leave it out");
    }
    if diagnosis.instances.is_empty() {
        steps.push("say what ought to run here: nova list --all-tenants --host HOST | darkport --instances -");
    }
    if unexplained {
        steps.push("look at what can drop there: nft list ruleset, ebtables -L --Lc, tc filter show dev DEVICE ingress");
    }
    if steps.is_empty() {
        steps.push("run it again with a longer --window, and darkport --save FILE for somebody else to look at");
    }
    steps.into_iter().flat_map(|step| text(step, style, 2, Paint::Plain)).collect()
}
