//! `fdb-wrong-port`: frames for an instance are sent out of another port than its own.

use std::net::IpAddr;

use darkport_model::{
    Carrier, Certainty, Effect, FdbEntry, FdbKind, FdbSource, Finding, Fix, HopKind, IfIndex, Link, LinkKind, MacAddr, RouteKind, Source,
};

use super::super::port::bridge_loop::goes_round;
use crate::check::{Definition, Explanation, Outcome, quoted, step};
use crate::ports::{Role, role};
use crate::scene::{Scene, Segment};
use crate::subject::Subject;

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
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut looked = 0;
    for segment in &scene.segments {
        let round = goes_round(scene, segment);
        for (subject, nic) in scene.members(segment) {
            let works = |tap: &&Link| tap.master == Some(segment.bridge.index) && tap.admin_up && tap.carrier != Carrier::Down;
            let (Some(tap), Some(mac)) = (nic.live_tap().filter(works), nic.mac) else { continue };
            looked += 1;
            let entries = scene.entries(segment.bridge.index, mac);
            let wrong: Vec<&FdbEntry> = entries.iter().copied().filter(|entry| is_wrong(entry, segment, subject, tap)).collect();
            // What a ring teaches is the ring's doing.
            let own_fault = |entry: &&FdbEntry| !(round && entry.kind == FdbKind::Learned) && applies(scene, segment, tap, entry);
            if !wrong.iter().any(own_fault) {
                continue;
            }
            let whose = format!("{mac}, the address of {}", subject.name);
            findings.extend(finding(scene, segment, &wrong, &whose, &format!("its tap is {}", tap.name), vec![subject.name.clone()]));
        }
        findings.extend(gateway(scene, segment));
    }
    if findings.is_empty() && looked == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("no bridge has one of {looked} instances' addresses on another port than its tap"))
}

/// Whether an entry of an instance's address cannot be right. On another tap of the same instance it may be (the guest bonds them);
/// as an address of the host it is wrong anywhere, since the bridge then keeps the frames (linux, `br_input.c`, `BR_FDB_LOCAL`).
fn is_wrong(entry: &FdbEntry, segment: &Segment<'_>, subject: &Subject<'_>, tap: &Link) -> bool {
    let own = subject.nics.iter().filter_map(|nic| nic.tap).any(|own| own.index == entry.port);
    let taken_for_host = entry.kind == FdbKind::Local && entry.port == tap.index;
    taken_for_host || (!own && entry.port != segment.bridge.index)
}

/// Whether the bridge asks this entry for a tap's frames: one for the tap's VLAN where it filters VLANs, one for none where it does not
/// (linux, `net/bridge/br_input.c`, `br_handle_frame_finish`). `brforward` tells no VLAN.
fn applies(scene: &Scene<'_>, segment: &Segment<'_>, tap: &Link, entry: &FdbEntry) -> bool {
    match (&segment.bridge.kind, entry.vid) {
        (LinkKind::Bridge { vlan_filtering: true, .. }, Some(vid)) => scene.pvid(tap.index).is_none_or(|pvid| pvid == vid),
        (LinkKind::Bridge { vlan_filtering: true, .. }, None) => {
            let fdb = scene.seen.fdbs.iter().find(|fdb| fdb.bridge == segment.bridge.index);
            fdb.is_some_and(|fdb| fdb.source == FdbSource::Brforward)
        }
        (_, vid) => vid.is_none(),
    }
}

/// The next hop that this host knows on a bridge is not behind an instance's tap, unless that instance owns the address.
fn gateway(scene: &Scene<'_>, segment: &Segment<'_>) -> Option<Finding> {
    let mac = next_hop(scene, segment.bridge).filter(|_| !segment.uplinks.is_empty())?;
    let owned = scene.subjects.iter().flat_map(|subject| &subject.nics).any(|nic| nic.mac == Some(mac));
    let guest_side = |port: &Link| port.is_guest_facing() && role(&scene.wiring, port) == Role::Guest;
    let fdb = scene.seen.fdbs.iter().find(|fdb| fdb.bridge == segment.bridge.index && !owned)?;
    let at_guests = |entry: &&FdbEntry| entry.mac == mac && scene.wiring.link(entry.port).is_some_and(guest_side);
    let wrong: Vec<&FdbEntry> = fdb.entries.iter().filter(at_guests).collect();
    let whose = format!("{mac}, the gateway's address");
    finding(scene, segment, &wrong, &whose, "the gateway is beyond the uplink", scene.names_on(segment))
}

fn next_hop(scene: &Scene<'_>, bridge: &Link) -> Option<MacAddr> {
    let default = scene.seen.routes.iter().find(|route| {
        route.kind == RouteKind::Unicast && route.destination.length() == 0 && route.link == Some(bridge.index) && route.gateway.is_some()
    })?;
    let address: IpAddr = default.gateway?;
    scene.seen.neighbours.iter().find(|neighbour| neighbour.link == bridge.index && neighbour.address == address)?.mac
}

/// One address whose entries (one for each VLAN) are all on a wrong port.
fn finding(
    scene: &Scene<'_>,
    segment: &Segment<'_>,
    wrong: &[&FdbEntry],
    whose: &str,
    instead: &str,
    affects: Vec<String>,
) -> Option<Finding> {
    let bridge = &segment.bridge.name;
    let first = wrong.first()?;
    let name_of = |port: IfIndex| scene.wiring.link(port).map_or_else(|| port.to_string(), |port| port.name.clone());
    // What somebody outside sets may be right already: an instance on its way elsewhere.
    let is_fixed = |entry: &&&FdbEntry| matches!(entry.kind, FdbKind::Static | FdbKind::Local);
    let port = name_of(wrong.iter().find(is_fixed).unwrap_or(first).port);
    let fixed = wrong.iter().any(|entry| is_fixed(&entry));
    let mut finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Bridge,
        bridge,
        if fixed { Certainty::Proven } else { Certainty::Likely },
        Effect::Dark,
        format!("{bridge} sends frames for {whose}, out of {port}, but {instead}"),
    )
    .affecting(affects);
    let mut steps = Vec::new();
    for entry in wrong {
        let (at, kind) = (name_of(entry.port), kind_of(entry.kind));
        let vlan = entry.vid.map(|vid| format!(" vlan {vid}")).unwrap_or_default();
        finding = finding.seen(format!("{}{vlan} is {kind} on {at}; {instead}", entry.mac), "forwarding database");
        if let Some(previous) = entry.previous_port {
            finding =
                finding.seen(format!("one window earlier it was on {}: it flaps", name_of(previous)), "forwarding database, two looks");
        }
        let arguments = format!("{} dev {} master{vlan}", entry.mac, quoted(&at));
        let undo = (entry.kind != FdbKind::Learned).then(|| format!("bridge fdb replace {arguments} static"));
        steps.push(step(
            scene,
            format!("bridge fdb del {arguments}"),
            format!("{bridge} forgets the entry and learns the right one"),
            undo,
        ));
    }
    let fix = Fix::steps(steps);
    let fix = if fixed {
        fix
    } else {
        fix.and(format!("find who sends with source {} through {port}: it comes back as long as they do", first.mac))
    };
    Some(finding.fixed_by(fix))
}

fn kind_of(kind: FdbKind) -> &'static str {
    match kind {
        FdbKind::Learned => "learned",
        FdbKind::External => "set from outside",
        FdbKind::Local => "taken for an address of the host",
        _ => "fixed",
    }
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
    fn an_entry_for_each_vlan_is_one_cause_with_a_step_each() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            learn(seen, 1, "eth1.1102", FdbKind::Static);
            learn(seen, 1, "eth1.1102", FdbKind::Static);
            seen.fdbs[0].entries[1].vid = Some(1.try_into().unwrap());
        });
        assert_eq!(only(&diagnosis, "fdb-wrong-port").fix.steps.len(), 2);
    }

    #[test]
    fn a_guest_that_bonds_its_own_interfaces_is_no_fault() {
        healthy(&diagnosed(nova_network(3), |seen| {
            let second = seen.inventory.instances[2].nics.remove(0);
            seen.inventory.instances[1].nics.push(second);
            seen.stop("instance-00000003");
            learn(seen, 1, "vnet2", FdbKind::Learned);
        }));
    }

    #[test]
    fn an_address_taken_for_the_hosts_own_is_kept_from_its_instance() {
        let diagnosis = diagnosed(nova_network(3), |seen| learn(seen, 1, "vnet1", FdbKind::Local));
        assert_eq!(only(&diagnosis, "fdb-wrong-port").explains, ["instance-00000002"]);
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
