//! What a sweep's answer comes to.

use std::fmt::Write as _;

use darkport::model::{ExitCode, Gap, GapReason, Source, bounded, printable};
use darkport::probe::HostState;

use super::Answer;

/// The answer in a word and in a line.
pub(super) struct Verdict {
    pub(super) code: ExitCode,
    pub(super) line: String,
}

/// All sweeps' numbers.
#[derive(Default)]
pub(super) struct Sums {
    pub(super) targets: usize,
    pub(super) answered: usize,
    pub(super) silent: usize,
    pub(super) undecided: usize,
    pub(super) findings: usize,
    expected: usize,
    expected_silent: usize,
    took_us: u64,
    rtt_us: u64,
}

impl Sums {
    pub(super) fn of(answer: &Answer) -> Self {
        let mut sums = Self::default();
        for sweep in &answer.sweeps {
            let own = sweep.count(HostState::Own);
            sums.targets += sweep.hosts.len() - own;
            sums.answered += sweep.count(HostState::Answered);
            sums.silent += sweep.count(HostState::Silent);
            sums.undecided += sweep.count(HostState::Undecided);
            sums.expected += sweep.hosts.iter().filter(|host| host.expected && host.state != HostState::Own).count();
            sums.expected_silent += sweep.count_expected(HostState::Silent);
            sums.findings += sweep.findings.len();
            sums.took_us += sweep.stats.took_us;
            sums.rtt_us = sums.rtt_us.max(sweep.stats.rtt_us.unwrap_or_default());
        }
        sums
    }

    /// The silent in percent: of those that ought to answer, where there are such.
    fn silent_share(&self) -> f64 {
        let (silent, of) = if self.expected > 0 { (self.expected_silent, self.expected) } else { (self.silent, self.targets) };
        if of == 0 { 0.0 } else { silent as f64 * 100.0 / of as f64 }
    }
}

/// All gaps, of the sweeps and around them.
pub(super) fn gaps(answer: &Answer) -> impl Iterator<Item = &Gap> {
    answer.sweeps.iter().flat_map(|sweep| &sweep.gaps).chain(&answer.gaps)
}

/// Silence of one that ought to answer is critical, disorder a warning; with thresholds these decide about silence.
pub(super) fn judge(answer: &Answer, warning: Option<f64>, critical: Option<f64>) -> Verdict {
    let sums = Sums::of(answer);
    let share = sums.silent_share();
    let over = |limit: Option<f64>| limit.is_some_and(|limit| share > limit);
    let thresholds = warning.is_some() || critical.is_some();
    // Ports that could not be read and addresses that nobody knows leave the answer about all others as it is.
    let torn = gaps(answer).any(|gap| gap.source != Source::Fdb && gap.reason != GapReason::Absent);
    let code = if over(critical) || (!thresholds && sums.expected_silent > 0) {
        ExitCode::Critical
    } else if sums.targets == 0 && gaps(answer).next().is_none() {
        ExitCode::Ok
    } else if sums.undecided > 0 || torn || sums.targets == 0 {
        ExitCode::Unknown
    } else if over(warning) || sums.findings > 0 || (!thresholds && sums.answered == 0) {
        ExitCode::Warning
    } else {
        ExitCode::Ok
    };
    let mut line = match (sums.targets, code) {
        (0, ExitCode::Ok) => "no instance runs here".to_owned(),
        (0, _) => "nobody to ask for: no instance's address is known".to_owned(),
        _ => format!("{} of {} answer, {} silent", sums.answered, sums.targets, sums.silent),
    };
    if sums.undecided > 0 {
        let _ = write!(line, ", {} undecided", sums.undecided);
    }
    if sums.findings > 0 {
        let _ = write!(line, ", {} findings", sums.findings);
    }
    Verdict { code, line }
}

/// One line for Nagios (the plugin guidelines' format: `TEXT | 'label'=value[unit];warn;crit;min;max`).
pub(super) fn nagios(answer: &Answer, verdict: &Verdict, warning: Option<f64>, critical: Option<f64>) -> String {
    let sums = Sums::of(answer);
    let limit = |limit: Option<f64>| limit.map_or_else(String::new, |limit| limit.to_string());
    let mut line = format!("SWEEP {} - {}", verdict.code.name(), verdict.line);
    if let Some(gap) = gaps(answer).next() {
        // `|` would end the text.
        let _ = write!(line, " ({})", bounded(&printable(&gap.to_string()), 120).replace('|', "/"));
    }
    let _ = writeln!(
        line,
        " | silent={:.1}%;{};{};0;100 answered={};;;0;{} undecided={};;;0 findings={};;;0 rtt={:.6}s;;;0 time={:.6}s;;;0",
        sums.silent_share(),
        limit(warning),
        limit(critical),
        sums.answered,
        sums.targets,
        sums.undecided,
        sums.findings,
        sums.rtt_us as f64 / 1e6,
        sums.took_us as f64 / 1e6,
    );
    line
}
