//! What follows from an observation.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::gap::Gap;
use crate::ids::Timestamp;
use crate::observation::SchemaVersion;
use crate::path::{HopKind, Path};
use crate::played::PlayedInstance;
use crate::probes::KernelDrop;
use crate::trace::Trace;

/// The verdict on one host: what is dark, why, how sure that is, what to do.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Diagnosis {
    /// The version of this form.
    pub schema: SchemaVersion,
    /// The darkport that judged.
    pub darkport: String,
    /// The host that was observed.
    pub host: String,
    /// When it was observed.
    pub taken_at: Timestamp,
    /// Milliseconds between the two looks at the counters.
    pub window_ms: Option<u64>,
    /// The answer in one word.
    pub status: Status,
    /// The answer in one sentence.
    pub headline: String,
    /// Each instance and what is known of it.
    pub instances: Vec<InstanceVerdict>,
    /// Why, the best explanation first: the fewest causes that explain all dark instances and none of the healthy ones.
    pub causes: Vec<Cause>,
    /// Where frames die, even where no cause is known.
    pub place: Option<Place>,
    /// Frames that the kernel dropped while darkport probed, where it was allowed to watch that: evidence, and nobody's cause.
    pub drops: Vec<KernelDrop>,
    /// How far the questions for gateways got, and those that no instance answered; a few dozen at most.
    pub traces: Vec<Trace>,
    /// What instances that darkport played could do, where it was allowed to play any.
    pub played: Vec<PlayedInstance>,
    /// Causes that were looked for and are not it, and what says so.
    pub ruled_out: Vec<RuledOut>,
    /// Causes that could not be decided, and what was missing.
    pub undecided: Vec<Undecided>,
    /// What the verdict takes for granted without having seen it.
    pub assumptions: Vec<String>,
    /// Whether a reboot would help, and what to save first.
    pub reboot: Option<Reboot>,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// The answer in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Status {
    /// Nothing is wrong on what can be seen from this host, and all that the answer needs could be read.
    Healthy,
    /// Something is wrong; what it is stands in `causes`, or where no known cause fits, where it is in `place`.
    Fault,
    /// Something is wrong, and the evidence fits several causes alike.
    Ambiguous,
    /// Too little could be seen for an answer.
    #[default]
    Undetermined,
}

/// How far an instance is cut off.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct InstanceVerdict {
    /// Its name; for a guest-facing port that no inventory knows, the port's.
    pub name: String,
    /// Its UUID, where known.
    pub uuid: Option<String>,
    /// What is known of it.
    pub state: InstanceState,
    /// The code of the cause that explains it.
    pub because: Option<String>,
    /// Since when, where the evidence tells.
    pub since: Option<Timestamp>,
    /// Packets that came out of the guest during the window, where counted.
    pub sent: Option<u64>,
    /// Packets that were handed to the guest during the window, where counted.
    pub received: Option<u64>,
    /// Whether it answered when it was asked for; none where it was not.
    pub answered: Option<bool>,
    /// The way of its frames, one for each of its interfaces.
    pub paths: Vec<Path>,
}

/// What is known of an instance's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum InstanceState {
    /// Every hop that can be seen is in order.
    Fine,
    /// Some of its frames are lost.
    Degraded,
    /// Its frames don't get through.
    Dark,
    /// It is off, or its link is down on purpose.
    Off,
    /// Too little could be read.
    #[default]
    Unknown,
}

/// How sure a cause is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Certainty {
    /// The evidence fits, among others.
    Possible,
    /// The evidence fits this better than anything else that is known.
    Likely,
    /// The evidence allows nothing else.
    Proven,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Proven => "proven",
        })
    }
}

/// What a finding does to the instances that it touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Effect {
    /// Nothing to their frames.
    None,
    /// Some frames are lost.
    Degraded,
    /// None get through.
    Dark,
}

/// Something that was seen, where, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Evidence {
    /// What was seen, in words: `eth1.1102 is a port of no bridge`.
    pub seen: String,
    /// Where: `netlink link dump`, `/proc/net/softnet_stat`.
    pub source: String,
    /// When, where it differs from the observation's own time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Evidence {
    /// `seen`, by `source`, at the time of the observation.
    pub fn new(seen: impl Into<String>, source: impl Into<String>) -> Self {
        Self { seen: seen.into(), source: source.into(), at: None }
    }
}

/// What one check found: a typed fact that bears on some instances. Ranking makes [`Cause`]s of findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Finding {
    /// The cause's stable code: `uplink-not-in-bridge`.
    pub code: String,
    /// Where on the path.
    pub hop: HopKind,
    /// The object: a device's name, a table.
    pub at: String,
    /// How sure.
    pub certainty: Certainty,
    /// What it does to the instances it touches.
    pub effect: Effect,
    /// The instances it touches, by name.
    pub affects: Vec<String>,
    /// What is wrong, in one sentence.
    pub summary: String,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// The least that mends it.
    pub fix: Fix,
}

impl Finding {
    /// A finding with its place, weight and sentence; evidence and the fix are added to it.
    pub fn new(code: &str, hop: HopKind, at: impl Into<String>, certainty: Certainty, effect: Effect, summary: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            hop,
            at: at.into(),
            certainty,
            effect,
            affects: Vec::new(),
            summary: summary.into(),
            evidence: Vec::new(),
            fix: Fix::default(),
        }
    }

    /// The same, bearing on these instances.
    #[must_use]
    pub fn affecting(mut self, instances: Vec<String>) -> Self {
        self.affects = instances;
        self
    }

    /// The same with one more piece of evidence.
    #[must_use]
    pub fn seen(mut self, seen: impl Into<String>, source: impl Into<String>) -> Self {
        self.evidence.push(Evidence::new(seen, source));
        self
    }

    /// The same with its fix.
    #[must_use]
    pub fn fixed_by(mut self, fix: Fix) -> Self {
        self.fix = fix;
        self
    }
}

/// A finding in its place in the ranking, with what speaks against its rivals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Cause {
    /// The cause's stable code.
    pub code: String,
    /// How sure.
    pub certainty: Certainty,
    /// Where on the path.
    pub hop: HopKind,
    /// The object there.
    pub at: String,
    /// What it does to the instances that it explains.
    pub effect: Effect,
    /// The instances that it explains, by name.
    pub explains: Vec<String>,
    /// What is wrong, in one sentence.
    pub summary: String,
    /// What was seen.
    pub evidence: Vec<Evidence>,
    /// Causes that would look alike from inside the instances, and what rules them out.
    pub ruled_out: Vec<RuledOut>,
    /// The least that mends it.
    pub fix: Fix,
}

impl Cause {
    /// A finding as a cause, with its rivals' fate.
    pub fn new(finding: Finding, ruled_out: Vec<RuledOut>) -> Self {
        let Finding { code, hop, at, certainty, effect, affects, summary, evidence, fix } = finding;
        Self { code, certainty, hop, at, effect, explains: affects, summary, evidence, ruled_out, fix }
    }
}

/// What mends a cause: the fewest steps, in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Fix {
    /// Commands.
    pub steps: Vec<Step>,
    /// What no command on this host can do, in words: `plug the cable`.
    pub advice: Option<String>,
}

impl Fix {
    /// Commands to run one after the other.
    pub fn steps(steps: Vec<Step>) -> Self {
        Self { steps, advice: None }
    }

    /// Something for a person to do.
    pub fn advice(text: impl Into<String>) -> Self {
        Self { steps: Vec::new(), advice: Some(text.into()) }
    }

    /// The same with something for a person to know or do besides.
    #[must_use]
    pub fn and(mut self, text: impl Into<String>) -> Self {
        self.advice = Some(text.into());
        self
    }
}

/// One command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Step {
    /// The host to run it on.
    pub on: String,
    /// The command, quoted for a POSIX shell.
    pub run: String,
    /// What it changes, in words.
    pub changes: String,
    /// The command that takes it back; none where nothing can or need be.
    pub undo: Option<String>,
}

impl Step {
    /// A command on a host, what it changes, and how to take it back.
    pub fn new(on: impl Into<String>, run: impl Into<String>, changes: impl Into<String>, undo: Option<String>) -> Self {
        Self { on: on.into(), run: run.into(), changes: changes.into(), undo }
    }
}

/// A cause that was looked for and is not it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct RuledOut {
    /// Its code.
    pub code: String,
    /// What says so.
    pub because: String,
}

impl RuledOut {
    /// `code` is not it, `because` of this.
    pub fn new(code: impl Into<String>, because: impl Into<String>) -> Self {
        Self { code: code.into(), because: because.into() }
    }
}

/// A cause that could not be decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Undecided {
    /// Its code.
    pub code: String,
    /// What was missing.
    pub missing: String,
}

impl Undecided {
    /// `code` stays open for want of `missing`.
    pub fn new(code: impl Into<String>, missing: impl Into<String>) -> Self {
        Self { code: code.into(), missing: missing.into() }
    }
}

/// The place where frames die.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Place {
    /// The kind of hop.
    pub hop: HopKind,
    /// Its name.
    pub at: String,
    /// How it is known.
    pub because: String,
}

impl Place {
    /// Frames die at `at`, a `hop`, since `because`.
    pub fn new(hop: HopKind, at: impl Into<String>, because: impl Into<String>) -> Self {
        Self { hop, at: at.into(), because: because.into() }
    }
}

/// Whether a reboot would help.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Reboot {
    /// Whether it would; none where that is not known.
    pub helps: Option<bool>,
    /// Why, or why not.
    pub because: String,
    /// What to save before, as commands.
    pub capture_first: Vec<String>,
}

impl Reboot {
    /// Whether a reboot helps, and why.
    pub fn new(helps: Option<bool>, because: impl Into<String>, capture_first: Vec<String>) -> Self {
        Self { helps, because: because.into(), capture_first }
    }
}
