//! `bridge-loop`: what leaves by one port comes back by another, again and again.

use std::collections::{BTreeMap, BTreeSet};

use darkport_model::{Certainty, Effect, FdbEntry, FdbKind, Finding, Fix, HopKind, IfIndex, Link, Part, Source, StpState};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::ports::{Role, role};
use crate::scene::{Scene, Segment};
use crate::uplink::listed;

/// As many returns as a mirror does not make: it gives each frame back once, a loop carries it round.
const ROUNDS: u32 = 4;
/// Addresses that move each way between two ports within one window. A failover moves them one way.
const MOVES: usize = 2;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "bridge-loop",
        hop: HopKind::UplinkPort,
        what: "Frames go round: two ports of the bridge lead to one network, or the network beyond a port is a ring, and no spanning tree cuts it. Every broadcast \
               multiplies, and the bridge learns instances' addresses on the port where their own frames come back.",
        proof: "Darkport's own questions came in by a forwarding port several times more often than they were asked; or addresses moved both ways between the \
                same two ports within one window. The kernel says \"received packet on PORT with own address as source address\".",
        fix: "ip link set PORT nomaster for one of the two ports; or spanning tree on both sides",
        reboot_helps: Some(false),
        reboot: "the cabling is the same after it",
        reference: "IEEE 802.1D, 8 (why there is a spanning tree); linux, net/bridge/br_fdb.c (br_fdb_update)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let (mut findings, mut looked) = (Vec::new(), 0);
    for segment in &scene.segments {
        looked += scene.asked(segment).count();
        findings.extend(finding(scene, segment));
    }
    if scene.segments.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || {
        format!("none of {looked} addresses' questions came back again and again, and no addresses move to and fro")
    })
}

/// Whether frames go round through a segment: then any address is learned anywhere.
pub(crate) fn goes_round(scene: &Scene<'_>, segment: &Segment<'_>) -> bool {
    finding(scene, segment).is_some()
}

/// A port that its bridge lets frames in by: the one that spanning tree keeps shut is where a ring is cut, and sees them too.
fn forwards(link: &Link) -> bool {
    link.admin_up && link.port.as_ref().is_some_and(|port| port.state == StpState::Forwarding)
}

fn finding(scene: &Scene<'_>, segment: &Segment<'_>) -> Option<Finding> {
    let ports: Vec<&Link> = scene.wiring.ports(segment.bridge.index).iter().copied().filter(|port| forwards(port)).collect();
    let back = returns(scene, segment, &ports);
    let flaps = flapping(scene, segment, &ports);
    let (at, certainty): (Vec<&Link>, _) = match (back.as_slice(), flaps.first()) {
        // Two ports that each carry it in again are the ring's ends. By one alone it may be a ring beyond, or somebody who repeats frames.
        ([(one, ..), (two, ..), ..], _) => (vec![*one, *two], Certainty::Proven),
        ([(one, ..)], _) => (vec![*one], Certainty::Likely),
        ([], Some((one, two, _))) => (vec![*one, *two], Certainty::Likely),
        ([], None) => return None,
    };
    let names: Vec<&str> = at.iter().map(|port| port.name.as_str()).collect();
    let bridge = &segment.bridge.name;
    // The port that was there first is the better one to keep: the configured uplink, else a tap is the stranger.
    let wanted = segment.wanted.as_ref().and_then(|wanted| wanted.link).map(|link| link.index);
    let cut = at.iter().rev().find(|port| Some(port.index) != wanted).or(at.last())?;
    let hop = if role(&scene.wiring, cut) == Role::Uplink { HopKind::UplinkPort } else { HopKind::TapPort };
    let summary = match names.as_slice() {
        [one] => format!("frames that leave {bridge} come back by {one} again and again"),
        _ => format!("{} lead to one network: frames go round through {bridge}", listed(&names)),
    };
    let mut finding =
        Finding::new(CAUSE.explanation.code, hop, &cut.name, certainty, Effect::Dark, summary).affecting(scene.names_on(segment));
    for (port, came, sent) in back.iter().take(4) {
        finding = finding.seen(format!("{sent} questions of this host's own came in by {} {came} times", port.name), "ARP, traced");
    }
    for (one, two, moved) in flaps.iter().take(2) {
        finding = finding
            .seen(format!("{moved} addresses moved between {} and {}, both ways", one.name, two.name), "forwarding database, two looks");
    }
    let name = quoted(&cut.name);
    let fix = if at.len() > 1 || hop == HopKind::TapPort {
        command(
            scene,
            format!("ip link set {name} nomaster"),
            format!("takes {} out of {bridge}: the ring is open", cut.name),
            format!("ip link set {name} master {}", quoted(bridge)),
        )
        .and("then find out why both lead to one network, or turn spanning tree on")
    } else {
        Fix::advice(format!(
            "the ring is beyond {}: look for a port of the switch that is cabled twice, or a host that bridges two of them",
            cut.name
        ))
    };
    Some(finding.fixed_by(fix))
}

/// Ports by which own questions came in several times more often than they were asked, the worst first: port, frames in, questions asked.
fn returns<'a>(scene: &Scene<'a>, segment: &Segment<'a>, ports: &[&'a Link]) -> Vec<(&'a Link, u32, u32)> {
    let mut worst: BTreeMap<IfIndex, (u32, u32)> = BTreeMap::new();
    for probe in scene.asked(segment) {
        for one in probe.way.iter().filter(|one| one.part == Part::Question && !one.outgoing) {
            let entry = worst.entry(one.link).or_default();
            *entry = (*entry).max((one.frames, probe.sent));
        }
    }
    let port = |index: IfIndex| ports.iter().copied().find(|port| port.index == index);
    let many = worst.into_iter().filter(|(_, (came, sent))| *came >= sent.saturating_mul(ROUNDS));
    let mut found: Vec<_> = many.filter_map(|(index, (came, sent))| Some((port(index)?, came, sent))).collect();
    found.sort_by_key(|(port, came, _)| (std::cmp::Reverse(*came), port.index));
    found
}

/// Pairs of ports between which learned addresses moved both ways.
fn flapping<'a>(scene: &Scene<'a>, segment: &Segment<'a>, ports: &[&'a Link]) -> Vec<(&'a Link, &'a Link, usize)> {
    let mut moves: BTreeMap<(IfIndex, IfIndex), BTreeSet<darkport_model::MacAddr>> = BTreeMap::new();
    let entries = scene.seen.fdbs.iter().filter(|fdb| fdb.bridge == segment.bridge.index).flat_map(|fdb| &fdb.entries);
    for entry in entries.filter(|entry: &&FdbEntry| entry.kind == FdbKind::Learned) {
        if let Some(before) = entry.previous_port.filter(|before| *before != entry.port) {
            moves.entry((before, entry.port)).or_default().insert(entry.mac);
        }
    }
    let port = |index: IfIndex| ports.iter().copied().find(|port| port.index == index);
    let count = |from: IfIndex, to: IfIndex| moves.get(&(from, to)).map_or(0, BTreeSet::len);
    let both = moves.keys().filter(|(from, to)| from < to && count(*from, *to) >= MOVES && count(*to, *from) >= MOVES);
    both.filter_map(|(one, two)| Some((port(*one)?, port(*two)?, count(*one, *two) + count(*two, *one)))).collect()
}

#[cfg(test)]
mod tests {
    use crate::testing::{Seen, asked, bonded, diagnosed, healthy, learn, nova_network, only};
    use darkport_model::{Certainty, Crossing, FdbKind, HopKind, Part, StpState, Whom};

    /// Six questions for the gateway, which came in again by these devices so many times.
    fn came_back(seen: &mut Seen, by: &[(&str, u32)]) {
        asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
        for (name, frames) in by {
            let mut crossing = Crossing::new(seen.link_mut(name).index, false, Part::Question);
            crossing.frames = *frames;
            seen.probes.arp[0].way.push(crossing);
        }
    }

    #[test]
    fn a_second_cable_to_the_same_network() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            seen.add_uplink("br1102", "eth2");
            came_back(seen, &[("eth1.1102", 4000), ("eth2", 4000)]);
        });
        let cause = only(&diagnosis, "bridge-loop");
        assert_eq!((cause.certainty, cause.hop, cause.at.as_str()), (Certainty::Proven, HopKind::UplinkPort, "eth2"));
        assert_eq!(cause.fix.steps[0].run, "ip link set eth2 nomaster");
        assert_eq!(cause.fix.steps[0].undo.as_deref(), Some("ip link set eth2 master br1102"));
    }

    #[test]
    fn what_the_ring_teaches_the_bridge_is_no_fault_of_its_own() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            seen.add_uplink("br1102", "eth2");
            came_back(seen, &[("eth1.1102", 4000), ("eth2", 4000)]);
            learn(seen, 1, "eth2", FdbKind::Learned);
        });
        let codes: Vec<_> = diagnosis.causes.iter().map(|cause| cause.code.as_str()).collect();
        assert_eq!(codes, ["bridge-loop"]);
    }

    #[test]
    fn a_ring_beyond_the_uplink_is_not_cut_here() {
        let cause = only(&diagnosed(nova_network(3), |seen| came_back(seen, &[("eth1.1102", 4000), ("eth1", 4000)])), "bridge-loop");
        assert_eq!((cause.certainty, cause.fix.steps.len()), (Certainty::Likely, 0));
    }

    #[test]
    fn a_mirror_gives_each_frame_back_once() {
        healthy(&diagnosed(nova_network(3), |seen| came_back(seen, &[("eth1.1102", 6), ("eth1", 6)])));
        // The other member of a bond hears the bond's own broadcasts.
        healthy(&diagnosed(bonded(3), |seen| came_back(seen, &[("eth2", 6)])));
    }

    #[test]
    fn the_port_that_spanning_tree_keeps_shut_hears_them_all() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            seen.add_uplink("br1102", "eth2");
            seen.port_mut("eth2").state = StpState::Blocking;
            came_back(seen, &[("eth2", 4000)]);
        });
        assert!(diagnosis.causes.iter().all(|cause| cause.code != "bridge-loop"), "{:?}", diagnosis.causes);
    }

    #[test]
    fn addresses_that_move_both_ways_and_those_that_fail_over() {
        let moved = |seen: &mut Seen, both: bool| {
            seen.add_uplink("br1102", "eth2");
            let (one, two) = (seen.link_mut("eth1.1102").index, seen.link_mut("eth2").index);
            for guest in 10..14 {
                let back = both && guest % 2 == 0;
                learn(seen, guest, if back { "eth1.1102" } else { "eth2" }, FdbKind::Learned);
                seen.fdbs[0].entries.last_mut().unwrap().previous_port = Some(if back { two } else { one });
            }
        };
        only(&diagnosed(nova_network(3), |seen| moved(seen, true)), "bridge-loop");
        healthy(&diagnosed(nova_network(3), |seen| moved(seen, false)));
    }
}
