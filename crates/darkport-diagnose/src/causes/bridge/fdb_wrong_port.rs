//! `fdb-wrong-port`: frames for an instance are sent out of another port than its own.

use std::net::IpAddr;

use darkport_model::{Certainty, Effect, FdbEntry, FdbKind, Finding, Fix, HopKind, Link, MacAddr, RouteKind, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted, step};
use crate::ports::{Role, role};
use crate::scene::{Scene, Segment};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "fdb-wrong-port",
        hop: HopKind::Bridge,
        what: "The bridge's forwarding database says that an instance's (or the gateway's) address is behind a port where it cannot be: frames \
               for it go there and are lost. A fixed entry stays; a learned one comes from frames with that source address that arrive on \
               the wrong port (reflection, a copy of the instance elsewhere, spoofing). The kernel logs this for its own addresses only.",
        proof: "The entry's port is not the instance's tap; proven where the entry is fixed, likely where it is learned.",
        fix: "bridge fdb del MAC dev PORT master; for a learned entry, find who sends with that address",
        reboot_helps: Some(true),
        reboot: "the database would start empty; deleting the entry takes a second, and a learned one comes back either way",
        reference: "linux, net/bridge/br_fdb.c (br_fdb_update moves learned entries without a log line)",
    },
    needs: &[Source::Links, Source::Fdb, Source::Instances],
    worst: Effect::Dark,
    follows_from: &["tap-not-in-bridge", "tap-wrong-bridge", "tap-no-reader", "tap-admin-down"],
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut looked = 0;
    for segment in &scene.segments {
        for (subject, nic) in scene.members(segment) {
            let (Some(tap), Some(mac)) = (nic.live_tap().filter(|tap| tap.master == Some(segment.bridge.index)), nic.mac) else { continue };
            looked += 1;
            let entries = scene.entries(segment.bridge.index, mac);
            if entries.iter().any(|entry| entry.port == tap.index) {
                continue;
            }
            for entry in entries.iter().filter(|entry| entry.port != segment.bridge.index) {
                let whose = format!("{}, the address of {}", mac, subject.name);
                findings.push(finding(scene, segment, entry, &whose, &format!("its tap is {}", tap.name), vec![subject.name.clone()]));
            }
        }
        findings.extend(gateway(scene, segment));
    }
    if findings.is_empty() && looked == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("no bridge has one of {looked} instances' addresses on another port than its tap"))
}

/// The next hop that this host knows on a bridge is not behind an instance's tap, unless that instance owns the address.
fn gateway(scene: &Scene<'_>, segment: &Segment<'_>) -> Vec<Finding> {
    let Some(mac) = next_hop(scene, segment.bridge) else { return Vec::new() };
    let owned = scene.subjects.iter().flat_map(|subject| &subject.nics).any(|nic| nic.mac == Some(mac));
    let fdb = scene.seen.fdbs.iter().find(|fdb| fdb.bridge == segment.bridge.index);
    let wrong = fdb.into_iter().flat_map(|fdb| &fdb.entries).filter(|entry| entry.mac == mac && !owned);
    let behind_guest = wrong.filter(|entry| {
        scene.wiring.link(entry.port).is_some_and(|port| port.is_guest_facing() && role(&scene.wiring, port) == Role::Guest)
    });
    let whose = format!("{mac}, the gateway's address");
    behind_guest
        .filter(|_| !segment.uplinks.is_empty())
        .map(|entry| finding(scene, segment, entry, &whose, "the gateway is beyond the uplink", scene.names_on(segment)))
        .collect()
}

fn next_hop(scene: &Scene<'_>, bridge: &Link) -> Option<MacAddr> {
    let default = scene.seen.routes.iter().find(|route| {
        route.kind == RouteKind::Unicast && route.destination.length() == 0 && route.link == Some(bridge.index) && route.gateway.is_some()
    })?;
    let address: IpAddr = default.gateway?;
    scene.seen.neighbours.iter().find(|neighbour| neighbour.link == bridge.index && neighbour.address == address)?.mac
}

fn finding(scene: &Scene<'_>, segment: &Segment<'_>, entry: &FdbEntry, whose: &str, instead: &str, affects: Vec<String>) -> Finding {
    let bridge = &segment.bridge.name;
    let port = scene.wiring.link(entry.port).map_or_else(|| entry.port.to_string(), |port| port.name.clone());
    let fixed = matches!(entry.kind, FdbKind::Static | FdbKind::External | FdbKind::Local);
    let certainty = if fixed { Certainty::Proven } else { Certainty::Likely };
    let kind = match entry.kind {
        FdbKind::Learned => "learned",
        FdbKind::External => "set from outside",
        FdbKind::Local => "taken for an address of the host",
        _ => "fixed",
    };
    let vlan = entry.vid.map(|vid| format!(" vlan {vid}")).unwrap_or_default();
    let arguments = format!("{} dev {} master{vlan}", entry.mac, quoted(&port));
    let undo = format!("bridge fdb replace {arguments} static");
    let fix = if fixed {
        command(scene, format!("bridge fdb del {arguments}"), format!("{bridge} forgets the entry and learns the right one"), undo)
    } else {
        Fix::steps(vec![step(
            scene,
            format!("bridge fdb del {arguments}"),
            format!("{bridge} forgets the entry and learns the next one"),
            None,
        )])
        .and(format!("find who sends with source {} through {port}: it comes back as long as they do", entry.mac))
    };
    let mut finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Bridge,
        bridge,
        certainty,
        Effect::Dark,
        format!("{bridge} sends frames for {whose}, out of {port}, but {instead}"),
    )
    .affecting(affects)
    .seen(format!("{} is {kind} on {port}; {instead}", entry.mac), "forwarding database");
    if let Some(previous) = entry.previous_port.and_then(|port| scene.wiring.link(port)) {
        finding = finding.seen(format!("one window earlier it was on {}: it flaps", previous.name), "forwarding database, two looks");
    }
    finding.fixed_by(fix)
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, learn, nova_network, only};
    use darkport_model::{Certainty, FdbKind};

    #[test]
    fn a_fixed_entry_on_the_uplink_is_proof() {
        let diagnosis = diagnosed(nova_network(3), |seen| learn(seen, 1, "eth1.1102", FdbKind::Static));
        let cause = only(&diagnosis, "fdb-wrong-port");
        assert_eq!((cause.certainty, cause.explains.as_slice()), (Certainty::Proven, &["instance-00000002".to_owned()][..]));
        assert_eq!(cause.fix.steps[0].run, "bridge fdb del fa:16:3e:00:00:02 dev eth1.1102 master");
    }

    #[test]
    fn a_learned_one_is_likely() {
        let diagnosis = diagnosed(nova_network(3), |seen| learn(seen, 1, "vnet0", FdbKind::Learned));
        assert_eq!(only(&diagnosis, "fdb-wrong-port").certainty, Certainty::Likely);
    }

    #[test]
    fn an_instance_that_left_may_be_learned_elsewhere() {
        healthy(&diagnosed(nova_network(3), |seen| {
            learn(seen, 1, "eth1.1102", FdbKind::Learned);
            seen.stop("instance-00000002");
        }));
    }
}
