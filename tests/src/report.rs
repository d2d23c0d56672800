//! Shows verdicts: a table and sums for people, a JSON object a line for programs.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};

use crate::judge::Verdict;

/// The sums below the table.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Scenarios that ran.
    pub(crate) ran: usize,
    /// Those where all holds.
    pub(crate) ok: usize,
    /// Those that could not run here.
    pub(crate) skipped: usize,
    faults: usize,
    first: usize,
    hop: usize,
    dark: usize,
    healthy: usize,
    false_alarms: usize,
    undetermined: usize,
    synthetic: usize,
    offline: usize,
    offline_ok: usize,
}

impl Sums {
    /// Adds up.
    pub(crate) fn of(verdicts: &[Verdict]) -> Self {
        let mut sums = Self::default();
        for v in verdicts {
            if v.skipped.is_some() {
                sums.skipped += 1;
                continue;
            }
            sums.ran += 1;
            sums.ok += usize::from(v.ok);
            sums.dark += usize::from(v.dark_ok);
            sums.undetermined += usize::from(v.status.as_deref() == Some("undetermined"));
            sums.synthetic += usize::from(v.synthetic.is_some());
            sums.offline += usize::from(v.offline_ok.is_some());
            sums.offline_ok += usize::from(v.offline_ok == Some(true));
            match v.expected.as_str() {
                "healthy" => {
                    sums.healthy += 1;
                    sums.false_alarms += usize::from(v.got.is_some() || v.status.as_deref() != Some("healthy"));
                }
                "unknown" => {}
                _ => {
                    sums.faults += 1;
                    sums.first += usize::from(v.place == Some(1));
                    sums.hop += usize::from(v.hop_ok);
                }
            }
        }
        sums
    }
}

/// Prints as results come, and all of them at the end.
pub(crate) struct Report {
    json: bool,
    watched: bool,
}

impl Report {
    /// A report to standard output.
    pub(crate) fn new(json: bool) -> Self {
        Self { json, watched: std::io::stderr().is_terminal() }
    }

    /// A scenario begins.
    pub(crate) fn progress(&self, at: usize, all: usize, name: &str) {
        if self.watched {
            eprint!("\r\x1b[K[{at}/{all}] {name}");
            let _ = std::io::stderr().flush();
        }
    }

    /// A scenario ended.
    pub(crate) fn line(&self, v: &Verdict) {
        if self.watched {
            eprint!("\r\x1b[K");
        }
        if self.json {
            println!("{}", serde_json::to_string(v).unwrap_or_default());
            return;
        }
        if let Some(reason) = &v.skipped {
            println!("skip  {:<44} {reason}", v.scenario);
            return;
        }
        let place = v.place.map_or("-".into(), |p| p.to_string());
        println!(
            "{}  {:<44} {:<28} {place:>2} {:<8} {:>5.1}s {:>5.1}s{}",
            if v.ok { "ok  " } else { "FAIL" },
            v.scenario,
            v.got.as_deref().or(v.status.as_deref()).unwrap_or("-"),
            v.certainty.as_deref().unwrap_or("-"),
            v.seconds,
            v.total_seconds,
            if v.synthetic.is_some() { "  synthetic" } else { "" },
        );
        for why in &v.why {
            println!("      {why}");
        }
    }

    /// The sums.
    pub(crate) fn sums(&self, sums: &Sums, seconds: f64) {
        let mut text = format!(
            "{} of {} scenarios hold, {} skipped, {} synthetic, in {seconds:.0} s\n\
             right cause first {}/{} · right hop {}/{} · right dark set {}/{} · false alarms {}/{} · undetermined {}",
            sums.ok,
            sums.ran,
            sums.skipped,
            sums.synthetic,
            sums.first,
            sums.faults,
            sums.hop,
            sums.faults,
            sums.dark,
            sums.ran,
            sums.false_alarms,
            sums.healthy,
            sums.undetermined,
        );
        if sums.offline > 0 {
            let _ = write!(text, " · offline as live {}/{}", sums.offline_ok, sums.offline);
        }
        if self.json {
            eprintln!("{text}");
        } else {
            println!("{text}");
        }
    }
}
