//! `qdisc-drop`: a queueing discipline throws frames away.

use std::collections::HashMap;

use darkport_model::{Carrier, Certainty, Effect, Finding, Fix, HopKind, IfIndex, Link, Qdisc, Source};

use crate::causes::tap::queue_stalled::stalled;
use crate::check::{Definition, Explanation, Outcome, percent, proven_share, quoted, step};
use crate::scene::Scene;
use crate::uplink::Chain;

/// Fewer frames dropped in a window are an accident.
const FEWEST: u64 = 5;
/// The share of dropped frames from which on it is a fault: a busy queue and a lossy wire stay below.
const SHARE: f64 = 0.08;
/// The share from which on nothing useful gets through.
const DARK_SHARE: f64 = 0.9;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "qdisc-drop",
        hop: HopKind::Nic,
        what: "A queueing discipline on a device of the path drops frames: an emulator (netem) or limiter (tbf, htb) left behind by somebody, or a queue \
               that nothing empties.",
        proof: "Its drop counter rose within the window by a notable share of what passed.",
        fix: "tc qdisc del dev DEVICE root",
        reboot_helps: Some(true),
        reboot: "queueing disciplines set by hand are gone after it; deleting one takes a second",
        reference: "linux, include/uapi/linux/gen_stats.h (struct gnet_stats_queue); tc(8)",
    },
    needs: &[Source::Links, Source::Qdiscs],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut by_link: HashMap<IfIndex, Vec<&Qdisc>> = HashMap::new();
    for qdisc in &scene.seen.qdiscs {
        by_link.entry(qdisc.link).or_default().push(qdisc);
    }
    let mut findings: Vec<Finding> = Vec::new();
    let mut looked = 0;
    let mut look = |link: &Link, hop: HopKind, names: Vec<String>| {
        // A queue before a device that is shut overflows by itself.
        if !link.admin_up || link.carrier == Carrier::Down {
            return;
        }
        // A classful discipline counts what its children drop: the worst one on a device speaks for it.
        let rated = by_link.get(&link.index).into_iter().flatten().filter_map(|qdisc| Some((*qdisc, rated(qdisc)?)));
        let rated: Vec<_> = rated.collect();
        looked += rated.len();
        let worst = rated.into_iter().max_by_key(|(_, (dropped, _))| *dropped);
        let Some((qdisc, (dropped, offered))) = worst else { return };
        let share = proven_share(dropped, offered);
        if dropped >= FEWEST && share >= SHARE && !findings.iter().any(|finding| finding.at == link.name && finding.hop == hop) {
            findings.push(finding(scene, link, hop, qdisc, (dropped, offered, share), names));
        }
    };
    for segment in &scene.segments {
        for link in segment.ways().flat_map(Chain::all) {
            look(link, Chain::hop(link), scene.names_on(segment));
        }
        look(segment.bridge, HopKind::Bridge, scene.names_on(segment));
        for (subject, nic) in scene.members(segment) {
            if let Some(tap) = nic.live_tap().filter(|tap| stalled(scene, tap).is_none()) {
                look(tap, HopKind::Tap, vec![subject.name.clone()]);
            }
        }
    }
    match (findings.is_empty(), looked) {
        (false, _) => Outcome::Found(findings),
        (true, 0) if scene.seen.qdiscs.is_empty() || scene.segments.is_empty() => Outcome::NotApplicable,
        (true, 0) => Outcome::Unknown("a second look at the queueing disciplines' counters".to_owned()),
        _ => Outcome::RuledOut(format!("none of {looked} queueing disciplines dropped a notable share in the window")),
    }
}

/// Frames dropped and offered within the window.
fn rated(qdisc: &Qdisc) -> Option<(u64, u64)> {
    let dropped = qdisc.stats.rise(|stats| stats.drops)?;
    let passed = qdisc.stats.rise(|stats| stats.packets)?;
    Some((dropped, dropped.saturating_add(passed)))
}

fn finding(
    scene: &Scene<'_>,
    link: &Link,
    hop: HopKind,
    qdisc: &Qdisc,
    (dropped, offered, share): (u64, u64, f64),
    names: Vec<String>,
) -> Finding {
    let (name, kind) = (&link.name, &qdisc.kind);
    let effect = if share >= DARK_SHARE { Effect::Dark } else { Effect::Degraded };
    Finding::new(
        CAUSE.explanation.code,
        hop,
        name,
        Certainty::Proven,
        effect,
        format!("the queueing discipline {kind} on {name} drops {} of what goes out", percent(dropped, offered)),
    )
    .affecting(names)
    .seen(format!("{kind} on {name} dropped {dropped} of {offered} frames in the window"), "netlink qdisc counters, two looks")
    .fixed_by(
        Fix::steps(vec![step(
            scene,
            format!("tc qdisc del dev {} root", quoted(name)),
            format!("puts the kernel's default in the place of {kind}"),
            None,
        )])
        .and(format!("to put it back, save first what `tc -d qdisc show dev {}` prints", quoted(name))),
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only, qdisc};
    use darkport_model::{Effect, HopKind};

    #[test]
    fn a_forgotten_emulator_on_the_uplink_is_named() {
        let diagnosis = diagnosed(nova_network(3), |seen| qdisc(seen, "eth1", "netem", 100, 60));
        let cause = only(&diagnosis, "qdisc-drop");
        assert_eq!((cause.hop, cause.effect, cause.explains.len()), (HopKind::Nic, Effect::Degraded, 3));
        let diagnosis = diagnosed(nova_network(3), |seen| qdisc(seen, "vnet0", "netem", 0, 300));
        let cause = only(&diagnosis, "qdisc-drop");
        assert_eq!((cause.hop, cause.effect, cause.explains.len()), (HopKind::Tap, Effect::Dark, 1));
    }

    #[test]
    fn five_in_a_hundred_is_a_wire_that_loses_and_no_fault_of_this_host() {
        healthy(&diagnosed(nova_network(3), |seen| qdisc(seen, "eth1", "netem", 950, 50)));
        healthy(&diagnosed(nova_network(3), |seen| qdisc(seen, "eth1", "netem", 17, 3)));
    }
}
