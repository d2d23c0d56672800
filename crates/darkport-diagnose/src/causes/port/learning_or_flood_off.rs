//! `port-learning-or-flood-off`: a port's flags keep frames from being delivered.

use darkport_model::{Certainty, Effect, FdbKind, Finding, HopKind, Link, Port, Source, Step};

use crate::check::{Definition, Explanation, Outcome, quoted, step};
use crate::scene::{Scene, Segment};
use crate::subject::Attachment;
use crate::uplink::listed;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "port-learning-or-flood-off",
        hop: HopKind::UplinkPort,
        what: "A port's flags keep frames from instances: broadcasts (ARP) or unicasts to addresses that were not learned do not leave it, \
               isolated ports do not reach each other, or a locked port lets nobody in. Such flags are also set on purpose, together with fixed \
               forwarding entries; that is not taken for a fault.",
        proof: "The flag is set, and the forwarding database holds no entry that would make up for it.",
        fix: "bridge link set dev PORT bcast_flood on flood on learning on isolated off locked off",
        reboot_helps: Some(true),
        reboot: "new ports get the kernel's defaults; setting the flag takes a second",
        reference: "linux, net/bridge/br_forward.c (br_flood, should_deliver), br_input.c (BR_PORT_LOCKED)",
    },
    needs: &[Source::Links, Source::Fdb],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    for segment in &scene.segments {
        findings.extend(at_uplinks(scene, segment));
        for (subject, nic) in scene.members(segment) {
            findings.extend(at_tap(scene, segment, nic, &subject.name));
        }
    }
    if findings.is_empty() && scene.segments.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || "no flag of a port keeps an instance's frames".to_owned())
}

/// A flag that is set wrongly: its name for `bridge link set`, the value it should have, and what it does.
type Wrong = (&'static str, &'static str, &'static str);

fn at_uplinks(scene: &Scene<'_>, segment: &Segment<'_>) -> Option<Finding> {
    // One way out in order is enough.
    let faults: Vec<_> = segment.uplink_ports().map(|(link, port)| (link, uplink_wrongs(scene, segment, link, port))).collect();
    if faults.is_empty() || faults.iter().any(|(_, wrongs)| wrongs.is_empty()) {
        return None;
    }
    let (link, wrongs) = faults.into_iter().next()?;
    // An isolated uplink is out of reach of isolated ports only; any other flag concerns all.
    let isolation_only = wrongs.iter().all(|(flag, ..)| *flag == "isolated");
    let isolated = |nic: &Attachment<'_>| nic.live_tap().and_then(|tap| tap.port.as_ref()).is_some_and(|port| port.isolated);
    let names = if isolation_only {
        scene.members(segment).filter(|(_, nic)| isolated(nic)).map(|(subject, _)| subject.name.clone()).collect()
    } else {
        scene.names_on(segment)
    };
    Some(finding(scene, link, HopKind::UplinkPort, &wrongs, names))
}

fn uplink_wrongs(scene: &Scene<'_>, segment: &Segment<'_>, link: &Link, port: &Port) -> Vec<Wrong> {
    let mut wrongs: Vec<Wrong> = Vec::new();
    if !port.bcast_flood {
        wrongs.push(("bcast_flood", "on", "instances' broadcasts, ARP among them, do not leave it"));
    }
    let knows_somebody = || {
        let fdb = scene.seen.fdbs.iter().find(|fdb| fdb.bridge == segment.bridge.index);
        fdb.is_some_and(|fdb| fdb.entries.iter().any(|entry| entry.port == link.index && entry.kind != FdbKind::Local))
    };
    if !port.unicast_flood && !port.learning && !knows_somebody() {
        wrongs.push(("flood", "on", "no address is learned on it and nothing is flooded to it, so that no unicast frame leaves it"));
    }
    let mut taps = scene.members(segment).filter_map(|(_, nic)| nic.live_tap()?.port.as_ref());
    if port.isolated && taps.any(|tap| tap.isolated) && segment.addresses.is_empty() {
        wrongs.push(("isolated", "off", "it is isolated as instances' ports are, and isolated ports do not reach each other"));
    }
    if port.locked && !knows_somebody() {
        wrongs.push(("locked", "off", "it is locked and no address is let in"));
    }
    wrongs
}

fn at_tap(scene: &Scene<'_>, segment: &Segment<'_>, nic: &Attachment<'_>, instance: &str) -> Option<Finding> {
    let tap = nic.live_tap().filter(|tap| tap.master == Some(segment.bridge.index))?;
    let port = tap.port.as_ref()?;
    let entries = nic.mac.map(|mac| scene.entries(segment.bridge.index, mac)).unwrap_or_default();
    let here = |fixed_only: bool| entries.iter().any(|entry| entry.port == tap.index && (!fixed_only || entry.kind != FdbKind::Learned));
    let mut wrongs: Vec<Wrong> = Vec::new();
    if !port.bcast_flood {
        wrongs.push(("bcast_flood", "on", "broadcasts, ARP among them, do not reach the instance"));
    }
    if nic.mac.is_some() && !port.unicast_flood && !port.learning && !here(false) {
        wrongs.push((
            "learning",
            "on",
            "the instance's address is not learned and unknown addresses are not flooded: nothing sent to it arrives",
        ));
    }
    if nic.mac.is_some() && port.locked && !here(true) {
        wrongs.push(("locked", "off", "the port is locked and the instance's address has no fixed entry: nothing it sends is let in"));
    }
    (!wrongs.is_empty()).then(|| finding(scene, tap, HopKind::TapPort, &wrongs, vec![instance.to_owned()]))
}

fn finding(scene: &Scene<'_>, link: &Link, hop: HopKind, wrongs: &[Wrong], affects: Vec<String>) -> Finding {
    let name = &link.name;
    let flags: Vec<String> = wrongs.iter().map(|(flag, should, _)| format!("{flag} {}", opposite(should))).collect();
    let summary = format!("port {name} has {}: {}", listed(&flags), wrongs.first().map(|(_, _, does)| *does).unwrap_or_default());
    let mut finding = Finding::new(CAUSE.explanation.code, hop, name, Certainty::Proven, Effect::Dark, summary).affecting(affects);
    let mut steps: Vec<Step> = Vec::new();
    for (flag, should, does) in wrongs {
        finding = finding.seen(format!("{name} has {flag} {}: {does}", opposite(should)), "netlink link dump");
        let set = |value: &str| format!("bridge link set dev {} {flag} {value}", quoted(name));
        steps.push(step(scene, set(should), format!("sets {flag} {should} on {name}"), Some(set(opposite(should)))));
    }
    finding.fixed_by(darkport_model::Fix::steps(steps))
}

fn opposite(value: &str) -> &'static str {
    if value == "on" { "off" } else { "on" }
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, learn, nova_network, only};
    use darkport_model::FdbKind;

    #[test]
    fn an_uplink_that_floods_no_broadcast_darkens_all() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.port_mut("eth1.1102").bcast_flood = false);
        let cause = only(&diagnosis, "port-learning-or-flood-off");
        assert_eq!(cause.explains.len(), 3);
        assert_eq!(cause.fix.steps[0].run, "bridge link set dev eth1.1102 bcast_flood on");
    }

    #[test]
    fn fixed_entries_in_place_of_learning_are_on_purpose() {
        healthy(&diagnosed(nova_network(3), |seen| {
            for (at, tap) in ["vnet0", "vnet1", "vnet2"].into_iter().enumerate() {
                let port = seen.port_mut(tap);
                (port.learning, port.unicast_flood) = (false, false);
                learn(seen, at, tap, FdbKind::Static);
            }
        }));
    }

    #[test]
    fn isolation_among_instances_is_on_purpose_too() {
        healthy(&diagnosed(nova_network(3), |seen| {
            for tap in ["vnet0", "vnet1", "vnet2"] {
                seen.port_mut(tap).isolated = true;
            }
        }));
        let diagnosis = diagnosed(nova_network(1), |seen| {
            seen.port_mut("vnet0").isolated = true;
            seen.port_mut("eth1.1102").isolated = true;
        });
        only(&diagnosis, "port-learning-or-flood-off");
    }

    #[test]
    fn an_isolated_uplink_is_out_of_reach_of_the_isolated_only() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            seen.port_mut("vnet1").isolated = true;
            seen.port_mut("eth1.1102").isolated = true;
        });
        assert_eq!(only(&diagnosis, "port-learning-or-flood-off").explains, ["instance-00000002"]);
    }

    #[test]
    fn a_locked_tap_lets_its_guest_out_by_a_fixed_entry_only() {
        let locked = |seen: &mut crate::testing::Seen| seen.port_mut("vnet0").locked = true;
        only(&diagnosed(nova_network(1), locked), "port-learning-or-flood-off");
        healthy(&diagnosed(nova_network(1), |seen| {
            locked(seen);
            learn(seen, 0, "vnet0", FdbKind::Static);
        }));
    }
}
