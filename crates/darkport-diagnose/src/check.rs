//! What a check is: a pure function from a scene to findings, and what it needs to be believed.

use darkport_model::{Effect, Finding, Fix, Gap, GapReason, HopKind, Source, Step};

use crate::scene::Scene;

/// A cause in darkport's catalogue: what it is, how it is proved, what mends it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Explanation {
    /// Its stable code. A code once published never changes its meaning.
    pub code: &'static str,
    /// Where on the path it sits.
    pub hop: HopKind,
    /// What it is and what it does to instances.
    pub what: &'static str,
    /// What proves it.
    pub proof: &'static str,
    /// The least that mends it.
    pub fix: &'static str,
    /// Whether a reboot would mend it, where that can be said of the cause as such.
    pub reboot_helps: Option<bool>,
    /// Why a reboot helps, or does not.
    pub reboot: &'static str,
    /// Where the facts come from: kernel file, standard, manual.
    pub reference: &'static str,
}

/// A cause with its check.
pub(crate) struct Definition {
    pub(crate) explanation: Explanation,
    /// The parts of the observation that the check reads: with a gap in one of them it can find, but not rule out.
    pub(crate) needs: &'static [Source],
    /// The most that it can do to an instance.
    pub(crate) worst: Effect,
    pub(crate) check: fn(&Scene<'_>) -> Outcome,
}

/// What a check says.
pub(crate) enum Outcome {
    /// It is so.
    Found(Vec<Finding>),
    /// It is not, and this says so.
    RuledOut(String),
    /// There is nothing here that it could be true of.
    NotApplicable,
    /// It would need something that this observation has not, beyond gaps: a second look, an older kernel's counter.
    Unknown(String),
}

impl Outcome {
    /// Findings, or without any, the reason why not.
    pub(crate) fn found_or(findings: Vec<Finding>, because: impl FnOnce() -> String) -> Self {
        if findings.is_empty() { Self::RuledOut(because()) } else { Self::Found(findings) }
    }
}

/// Whether a gap leaves a check undecided. What a host simply does not have decides like anything else that is seen, and of what
/// came or went between the looks the newest state is known.
pub(crate) fn blinds(gap: &Gap) -> bool {
    !matches!(gap.reason, GapReason::Absent | GapReason::Changed)
}

/// A command on the observed host.
pub(crate) fn step(scene: &Scene<'_>, run: String, changes: impl Into<String>, undo: Option<String>) -> Step {
    let host = &scene.seen.host.name;
    Step::new(if host.is_empty() { "this host" } else { host }, run, changes, undo)
}

/// A fix of one command that another takes back.
pub(crate) fn command(scene: &Scene<'_>, run: String, changes: impl Into<String>, undo: String) -> Fix {
    Fix::steps(vec![step(scene, run, changes, Some(undo))])
}

/// A name as one word of a POSIX shell command.
pub(crate) fn quoted(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:@/+,%=".contains(&byte);
    if !name.is_empty() && !name.starts_with('-') && name.bytes().all(plain) {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

/// The share of `part` in `whole` that the counts prove at the very least (lower end of the Wilson interval at 99 %), so that
/// three losses in twenty packets are not taken for a rate of 15 %.
pub(crate) fn proven_share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let (n, z2) = (whole as f64, 2.576_f64.powi(2));
    let p = (part.min(whole)) as f64 / n;
    ((p + z2 / (2.0 * n) - (z2 * (p * (1.0 - p) / n + z2 / (4.0 * n * n))).sqrt()) / (1.0 + z2 / n)).max(0.0)
}

/// A share in percent, for a sentence.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "0 %".to_owned() } else { format!("{:.0} %", 100.0 * part as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_a_command() {
        assert_eq!(quoted("eth1.1102"), "eth1.1102");
        assert_eq!(quoted("a;rm -rf /"), "'a;rm -rf /'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted("-x"), "'-x'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn a_few_losses_prove_little() {
        assert!(proven_share(3, 20) < 0.05);
        assert!(proven_share(65, 1000) < 0.05);
        assert!(proven_share(300, 1000) > 0.25);
        assert!(proven_share(7, 7) > 0.5);
        assert!(proven_share(0, 10).abs() < 1e-9);
        assert!(proven_share(5, 0).abs() < 1e-9);
    }
}
