//! The verdict: every check is run, its findings are ranked, and what follows is said in words.

use std::collections::{HashMap, HashSet};

use darkport_model::{
    Cause, Certainty, Counters, Diagnosis, Effect, Finding, InstanceState, InstanceVerdict, Observation, Place, RuledOut, Status, Undecided,
};

use crate::causes::{self, BY_SILENCE};
use crate::check::{Definition, Outcome, blinds};
use crate::path::{paths, worst};
use crate::played::played;
use crate::rank::{joined, ranked};
use crate::scene::Scene;
use crate::subject::{Life, Subject};
use crate::trace::traces;
use crate::unknown;
use crate::words::{assumptions, headline, reboot};

/// Why the instances of the observed host are dark, how sure that is, and what mends it.
///
/// Pure: the same observation gives the same diagnosis, anywhere and at any time.
pub fn diagnose(seen: &Observation) -> Diagnosis {
    let scene = Scene::new(seen);
    let mut answers = Answers::default();
    for definition in causes::ALL {
        answers.ask(&scene, definition);
    }
    answers.step_back();
    let Answers { findings, ruled_out, undecided, blind } = answers;
    // An instance of which it is not known whether it runs leaves the answer open.
    let blind = blind || scene.subjects.iter().any(|subject| subject.life == Life::Unknown);
    let losses = unknown::losses(&scene, &explained(&findings, |_| true));
    let plain: Vec<Finding> = findings.iter().map(|(_, finding)| finding).chain(&losses).cloned().collect();
    let instances = judge(&scene, &plain, blind);
    let ordered = ranked(joined(findings));
    let status = status(seen, &ordered, &losses, blind);
    let place = place(&ordered, &losses);
    let reboot = reboot(seen, status, ordered.first());
    let causes: Vec<Cause> = ordered.into_iter().map(|(definition, finding)| as_cause(definition, finding, &ruled_out)).collect();
    let mut diagnosis = Diagnosis::default();
    diagnosis.darkport.clone_from(&seen.darkport);
    diagnosis.host.clone_from(&seen.host.name);
    diagnosis.taken_at = seen.taken_at;
    diagnosis.window_ms = seen.window_ms;
    diagnosis.status = status;
    diagnosis.headline = headline(&scene, &instances, &causes, &losses, status);
    diagnosis.assumptions = assumptions(&scene);
    diagnosis.instances = instances;
    diagnosis.causes = causes;
    diagnosis.place = place;
    diagnosis.traces = traces(&scene);
    diagnosis.played = played(&scene);
    diagnosis.drops.clone_from(&seen.probes.drops);
    diagnosis.ruled_out = ruled_out;
    diagnosis.undecided = undecided;
    diagnosis.reboot = reboot;
    diagnosis.gaps.clone_from(&seen.gaps);
    diagnosis
}

#[derive(Default)]
struct Answers {
    findings: Vec<(&'static Definition, Finding)>,
    ruled_out: Vec<RuledOut>,
    undecided: Vec<Undecided>,
    /// Whether something that can hurt an instance could not be decided.
    blind: bool,
}

impl Answers {
    fn ask(&mut self, scene: &Scene<'_>, definition: &'static Definition) {
        let code = definition.explanation.code;
        let gap = definition.needs.iter().flat_map(|source| scene.seen.gaps_in(*source)).find(|gap| blinds(gap));
        let missing = match ((definition.check)(scene), gap) {
            (Outcome::Found(findings), _) => {
                self.findings.extend(findings.into_iter().map(|finding| (definition, finding)));
                return;
            }
            (_, Some(gap)) => gap.to_string(),
            (Outcome::Unknown(missing), None) => missing,
            (Outcome::RuledOut(because), None) => {
                self.ruled_out.push(RuledOut::new(code, because));
                return;
            }
            (Outcome::NotApplicable, None) => return,
        };
        self.undecided.push(Undecided::new(code, missing));
        self.blind |= definition.worst > Effect::None;
    }

    /// What is told by silence alone leaves those instances to others that something nearer explains.
    fn step_back(&mut self) {
        let by_silence = |definition: &Definition| BY_SILENCE.contains(&definition.explanation.code);
        let names: HashSet<String> =
            explained(&self.findings, |definition| !by_silence(definition)).into_iter().map(ToOwned::to_owned).collect();
        for (definition, finding) in &mut self.findings {
            if by_silence(definition) {
                finding.affects.retain(|name| !names.contains(name));
            }
        }
        let Self { findings, ruled_out, .. } = self;
        findings.retain(|(definition, finding)| {
            let stays = !by_silence(definition) || !finding.affects.is_empty();
            if !stays {
                ruled_out.push(RuledOut::new(definition.explanation.code, "something nearer explains the silence"));
            }
            stays
        });
    }
}

/// The instances that believed findings of some definitions cut off.
fn explained<'f>(findings: &'f [(&'static Definition, Finding)], of: impl Fn(&Definition) -> bool) -> HashSet<&'f str> {
    let believed = |(definition, finding): &&(&Definition, Finding)| {
        of(definition) && finding.certainty > Certainty::Possible && finding.effect > Effect::None
    };
    findings.iter().filter(believed).flat_map(|(_, finding)| &finding.affects).map(String::as_str).collect()
}

/// Where frames die: what a believed cause says, else where probes were last seen, else what a possible one says.
fn place(ordered: &[(&Definition, Finding)], losses: &[Finding]) -> Option<Place> {
    let dark = |believed: bool| {
        let fits = move |finding: &&Finding| finding.effect == Effect::Dark && (finding.certainty > Certainty::Possible) == believed;
        ordered.iter().map(|(_, finding)| finding).find(fits)
    };
    let finding = dark(true).or(losses.first()).or_else(|| dark(false))?;
    let because = finding.evidence.first().map_or_else(|| finding.summary.clone(), |first| first.seen.clone());
    Some(Place::new(finding.hop, finding.at.clone(), because))
}

/// What is known of each instance, told by its paths: dark when none of its interfaces gets through, degraded when some do not or some
/// frames are lost; else fine, unless something could not be read.
fn judge(scene: &Scene<'_>, findings: &[Finding], blind: bool) -> Vec<InstanceVerdict> {
    let mut touching: HashMap<&str, Vec<&Finding>> = HashMap::new();
    for finding in findings.iter().filter(|finding| finding.effect > Effect::None && finding.certainty > Certainty::Possible) {
        for name in &finding.affects {
            touching.entry(name).or_default().push(finding);
        }
    }
    let doubted: HashSet<&str> = findings
        .iter()
        .filter(|finding| finding.code == unknown::CODE && finding.certainty == Certainty::Possible)
        .flat_map(|finding| finding.affects.iter().map(String::as_str))
        .collect();
    let verdict = |subject: &Subject<'_>| {
        let found = touching.get(subject.name.as_str()).filter(|_| subject.runs()).map_or(&[][..], Vec::as_slice);
        let paths = paths(scene, subject, found);
        let effects: Vec<Effect> = (0..paths.len()).map(|at| worst(&paths, at, found)).collect();
        let mut verdict = InstanceVerdict::default();
        verdict.name.clone_from(&subject.name);
        verdict.uuid = subject.instance.and_then(|instance| instance.uuid.clone());
        verdict.state = match (subject.life, effects.iter().min(), effects.iter().max()) {
            (Life::Off, ..) => InstanceState::Off,
            (_, Some(Effect::Dark), _) => InstanceState::Dark,
            (_, _, Some(Effect::Dark | Effect::Degraded)) => InstanceState::Degraded,
            (Life::Unknown, ..) => InstanceState::Unknown,
            (Life::Runs, ..) if blind || doubted.contains(subject.name.as_str()) => InstanceState::Unknown,
            (Life::Runs, ..) => InstanceState::Fine,
        };
        let known = found.iter().filter(|finding| finding.code != unknown::CODE);
        verdict.because = known.max_by_key(|finding| (finding.effect, finding.certainty)).map(|finding| finding.code.clone());
        let total = |read: fn(&Counters) -> u64| {
            let mut taps = subject.nics.iter().filter_map(|nic| nic.tap);
            taps.try_fold(0, |sum: u64, tap| Some(sum.saturating_add(tap.counters.rise(read)?)))
        };
        // What a guest sends arrives at its tap: the tap's rx.
        verdict.sent = total(|count| count.rx_packets);
        verdict.received = total(|count| count.tx_packets);
        verdict.answered = scene.answers(&subject.name);
        verdict.paths = paths;
        verdict
    };
    scene.subjects.iter().map(verdict).collect()
}

fn status(seen: &Observation, ordered: &[(&Definition, Finding)], losses: &[Finding], blind: bool) -> Status {
    let believed = |finding: &Finding| finding.certainty > Certainty::Possible;
    let lost = losses.iter().any(believed);
    if ordered.iter().any(|(_, finding)| believed(finding)) || (ordered.is_empty() && lost) {
        Status::Fault
    } else if ordered.len() > 1 || lost {
        Status::Ambiguous
    } else if blind || !ordered.is_empty() || !losses.is_empty() || seen.links.is_empty() {
        Status::Undetermined
    } else {
        Status::Healthy
    }
}

fn as_cause(definition: &Definition, finding: Finding, ruled_out: &[RuledOut]) -> Cause {
    // Rivals are the causes that would look alike from inside the instances: those that can do as much to them.
    let rival = |other: &&RuledOut| {
        causes::ALL.iter().any(|cause| cause.explanation.code == other.code && cause.worst >= finding.effect && cause.worst > Effect::None)
    };
    let rivals = if definition.worst == Effect::None { Vec::new() } else { ruled_out.iter().filter(rival).cloned().collect() };
    Cause::new(finding, rivals)
}

#[cfg(test)]
mod tests {
    use darkport_model::{Gap, GapReason, InstanceState, Source, Status};

    use crate::testing::{diagnosed, healthy, nova_network};

    #[test]
    fn a_gap_in_what_checks_need_is_never_healthy() {
        for source in [Source::Links, Source::Instances, Source::Fdb, Source::Qdiscs, Source::Conntrack, Source::Softnet] {
            let gap = Gap::new(source, "x", GapReason::Permission, "permission denied");
            let diagnosis = diagnosed(nova_network(2), |seen| seen.gaps.push(gap));
            assert_eq!(diagnosis.status, Status::Undetermined, "{source:?}");
            assert!(diagnosis.instances.iter().all(|instance| instance.state == InstanceState::Unknown));
        }
    }

    #[test]
    fn what_a_host_has_not_or_what_changed_meanwhile_blinds_nobody() {
        for reason in [GapReason::Absent, GapReason::Changed] {
            healthy(&diagnosed(nova_network(2), |seen| seen.gaps.push(Gap::new(Source::Links, "vnet9", reason, "came meanwhile"))));
        }
    }

    #[test]
    fn a_list_that_cannot_be_read_leaves_the_network_judged() {
        let gap = Gap::new(Source::Claims, "list.txt:3", GapReason::Malformed, "expected 7 cells");
        let diagnosis = diagnosed(nova_network(2), |seen| {
            crate::testing::row(seen, 1, "virt1012", "virt1012", "ACTIVE");
            seen.gaps.push(gap);
        });
        assert_eq!(diagnosis.status, Status::Healthy);
        assert_eq!(diagnosis.undecided.len(), 1, "{:?}", diagnosis.undecided);
    }
}
