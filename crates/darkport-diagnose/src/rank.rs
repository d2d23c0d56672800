//! From findings to causes: what is wrong alike is one cause, and the fewest causes that explain all dark instances come first.

use std::cmp::Reverse;
use std::collections::HashSet;

use darkport_model::{Certainty, Effect, Finding, HopKind};

use crate::check::Definition;
use crate::uplink::listed;

/// Joins what is wrong in the same way at several instances' own ports: forty taps out of one bridge are one cause, not forty.
pub(crate) fn joined(findings: Vec<(&'static Definition, Finding)>) -> Vec<(&'static Definition, Finding)> {
    let mut groups: Vec<(&'static Definition, Finding, Vec<String>)> = Vec::new();
    for (definition, finding) in findings {
        let alike = |(_, other, _): &&mut (&Definition, Finding, Vec<String>)| {
            let own_port = matches!(finding.hop, HopKind::Guest | HopKind::Tap | HopKind::TapPort);
            let same =
                (&other.code, other.hop, other.certainty, other.effect) == (&finding.code, finding.hop, finding.certainty, finding.effect);
            own_port && same
        };
        match groups.iter_mut().find(alike) {
            Some((_, first, places)) => {
                places.push(finding.at);
                for name in finding.affects {
                    if !first.affects.contains(&name) {
                        first.affects.push(name);
                    }
                }
                first.evidence.extend(finding.evidence);
                first.fix.steps.extend(finding.fix.steps);
            }
            None => groups.push((definition, finding, Vec::new())),
        }
    }
    let join = |(definition, mut finding, places): (_, Finding, Vec<String>)| {
        if !places.is_empty() {
            finding.summary = format!("{}; likewise {}", finding.summary, listed(&places));
            finding.at = format!("{} and {} more", finding.at, places.len());
        }
        (definition, finding)
    };
    groups.into_iter().map(join).collect()
}

/// Orders findings, the best explanation first: greedily the one that explains the most instances that nothing before it explains,
/// what darkens before what degrades before what does neither. Equal ones go by certainty, then by their place on the path.
pub(crate) fn ranked<T>(mut findings: Vec<(T, Finding)>) -> Vec<(T, Finding)> {
    let mut explained: HashSet<String> = HashSet::new();
    let mut order = Vec::with_capacity(findings.len());
    while let Some(best) = (0..findings.len()).max_by_key(|&at| findings.get(at).map(|(_, finding)| weight(finding, &explained, at))) {
        let chosen = findings.remove(best);
        explained.extend(chosen.1.affects.iter().cloned());
        order.push(chosen);
    }
    order
}

type Weight = (Effect, bool, usize, Certainty, Reverse<HopKind>, Reverse<usize>);

fn weight(finding: &Finding, explained: &HashSet<String>, at: usize) -> Weight {
    let new = finding.affects.iter().filter(|name| !explained.contains(*name)).count();
    (finding.effect, finding.certainty > Certainty::Possible, new, finding.certainty, Reverse(finding.hop), Reverse(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(code: &str, certainty: Certainty, effect: Effect, affects: &[&str]) -> ((), Finding) {
        let affects = affects.iter().map(|name| (*name).to_owned()).collect();
        ((), Finding::new(code, HopKind::Tap, "x", certainty, effect, "").affecting(affects))
    }

    fn codes(findings: Vec<((), Finding)>) -> Vec<String> {
        ranked(findings).into_iter().map(|((), finding)| finding.code).collect()
    }

    #[test]
    fn the_cause_that_explains_most_comes_first() {
        let tap = finding("tap", Certainty::Proven, Effect::Dark, &["a"]);
        let uplink = finding("uplink", Certainty::Likely, Effect::Dark, &["a", "b", "c"]);
        let nova = finding("nova", Certainty::Proven, Effect::None, &["a", "b", "c", "d"]);
        assert_eq!(codes(vec![tap, nova, uplink]), ["uplink", "tap", "nova"]);
    }

    #[test]
    fn what_is_merely_possible_comes_after_what_is_likely() {
        let vague = finding("vague", Certainty::Possible, Effect::Dark, &["a", "b", "c"]);
        let tap = finding("tap", Certainty::Proven, Effect::Dark, &["a"]);
        assert_eq!(codes(vec![vague, tap]), ["tap", "vague"]);
    }

    #[test]
    fn equal_findings_keep_the_order_of_the_catalogue() {
        let one = finding("one", Certainty::Proven, Effect::Dark, &["a"]);
        let two = finding("two", Certainty::Proven, Effect::Dark, &["b"]);
        assert_eq!(codes(vec![one, two]), ["one", "two"]);
    }
}
