//! What an answer comes to.

use std::fmt::Write as _;
use std::time::Duration;

use darkport::model::{ExitCode, bounded, printable};
use darkport::probe::{DhcpFinding, DhcpReport};

use super::Answer;

/// The answer in a word and in a line.
pub(super) struct Verdict {
    pub(super) code: ExitCode,
    pub(super) line: String,
}

/// Whether instances are without an address, or get a wrong one; or something is merely out of order; or it is to be known only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    Note,
    Warning,
    Critical,
}

pub(super) fn weight(found: &DhcpFinding) -> Weight {
    match found {
        DhcpFinding::UnfinishedChecksum { .. } => Weight::Note,
        DhcpFinding::Silence
        | DhcpFinding::SilentServer { .. }
        | DhcpFinding::UnexpectedServer { .. }
        | DhcpFinding::WrongSubnet { .. }
        | DhcpFinding::Refused { .. }
        | DhcpFinding::NoAcknowledgement { .. } => Weight::Critical,
        _ => Weight::Warning,
    }
}

/// Findings that are more than a note.
fn faults(report: &DhcpReport) -> impl Iterator<Item = &DhcpFinding> {
    report.findings.iter().filter(|found| weight(found) > Weight::Note)
}

pub(super) fn judge(answer: &Answer, warning: Option<Duration>, critical: Option<Duration>) -> Verdict {
    let report = &answer.report;
    let silence = |found: &&DhcpFinding| matches!(found, DhcpFinding::Silence | DhcpFinding::SilentServer { .. });
    let worst = faults(report).filter(|found| !answer.stranger || !silence(found)).map(weight).max();
    let first = report.first_us().map(Duration::from_micros);
    let over = |limit: Option<Duration>| limit.zip(first).is_some_and(|(limit, first)| first > limit);
    let code = if worst == Some(Weight::Critical) || over(critical) {
        ExitCode::Critical
    } else if report.probe.unheard || (answer.stranger && faults(report).any(|found| silence(&found))) {
        ExitCode::Unknown
    } else if worst == Some(Weight::Warning) || over(warning) {
        ExitCode::Warning
    } else {
        ExitCode::Ok
    };
    let mut line = match (report.probe.offers.len(), first) {
        (0, _) if report.probe.unheard => "no offer, which says nothing here".to_owned(),
        (0, _) if answer.stranger => "no offer, but perhaps the server knows its clients one by one (--mac, --expect)".to_owned(),
        (0, _) => "no offer".to_owned(),
        (count, Some(first)) => format!("{count} offer{}, the first after {:.1} ms", plural(count), first.as_secs_f64() * 1e3),
        (count, None) => format!("{count} offer{}", plural(count)),
    };
    let count = faults(report).count();
    if count > 0 {
        let _ = write!(line, ", {count} finding{}", plural(count));
    }
    Verdict { code, line }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// One line for Nagios (the plugin guidelines' format: `TEXT | 'label'=value[unit];warn;crit;min;max`).
pub(super) fn nagios(answer: &Answer, verdict: &Verdict, warning: Option<Duration>, critical: Option<Duration>) -> String {
    let report = &answer.report;
    let limit = |limit: Option<Duration>| limit.map_or_else(String::new, |limit| limit.as_secs_f64().to_string());
    let mut line = format!("DHCP {} - {}", verdict.code.name(), verdict.line);
    let worst = faults(report).max_by_key(|found| weight(found)).map(|found| super::text::sentence(report, found));
    if let Some(why) = worst.or_else(|| report.gaps.first().map(ToString::to_string)) {
        // `|` would end the text.
        let _ = write!(line, " ({})", bounded(&printable(&why), 160).replace('|', "/"));
    }
    let first = report.first_us().map_or_else(|| "U".into(), |first| format!("{:.6}s", first as f64 / 1e6));
    let _ = writeln!(
        line,
        " | first={first};{};{};0 offers={};;;0 findings={};;;0 time={:.6}s;;;0",
        limit(warning),
        limit(critical),
        report.probe.offers.len(),
        faults(report).count(),
        report.stats.took_us as f64 / 1e6,
    );
    line
}
