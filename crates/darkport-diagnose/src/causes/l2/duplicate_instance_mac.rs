//! `duplicate-instance-mac`: two stations of one network have an instance's hardware address.

use std::collections::HashMap;

use darkport_model::{
    ArpProbe, Certainty, Crossing, Effect, Finding, Fix, HeardArp, HopKind, IfIndex, Link, LinkKind, MacAddr, Part, Source,
};

use crate::check::{Definition, Explanation, Outcome};
use crate::scene::{Scene, Segment};
use crate::subject::{Attachment, Subject};
use crate::uplink::{Chain, listed};

/// Frames that are no accident.
const ENOUGH: u32 = 3;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "duplicate-instance-mac",
        hop: HopKind::Guest,
        what: "Two stations have one hardware address: a cloned instance, or a copy that a migration by hand left running on the old host. Bridges and switches \
               send its frames to whichever of them sent last.",
        proof: "Two running instances on one network have the same address in their definitions; or within one window the address answers both by the \
                instance's own tap and by the uplink.",
        fix: "stop the copy, or give it an address of its own",
        reboot_helps: Some(false),
        reboot: "both have the address again afterwards",
        reference: "IEEE 802.1Q, 8.7 (learning); linux, net/bridge/br_fdb.c (br_fdb_update moves the entry to the port that was heard last)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let (mut findings, mut looked) = (Vec::new(), 0);
    for segment in &scene.segments {
        let mut holders: HashMap<_, Vec<(&Subject<'_>, &Attachment<'_>)>> = HashMap::new();
        for (subject, nic) in scene.members(segment) {
            let (Some(mac), Some(tap)) = (nic.mac, nic.live_tap()) else { continue };
            looked += 1;
            holders.entry((mac, vlan(scene, segment, tap))).or_default().push((subject, nic));
        }
        let mut holders: Vec<_> = holders.into_iter().collect();
        holders.sort_by_key(|((mac, vid), _)| (*mac, *vid));
        for ((mac, _), on) in &holders {
            // A guest may bond its own interfaces under one address.
            let mut names: Vec<String> = on.iter().map(|(subject, _)| subject.name.clone()).collect();
            names.sort();
            names.dedup();
            if names.len() > 1 {
                findings.push(in_definitions(segment, *mac, names, on));
            } else if let [(subject, nic)] = on.as_slice() {
                findings.extend(beyond(scene, segment, subject, nic, *mac));
            }
        }
    }
    if looked == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("none of {looked} instances' hardware addresses is another's too, as far as was heard"))
}

/// The VLAN that a tap is in, where its bridge tells VLANs apart: one address in two of them is no conflict.
fn vlan(scene: &Scene<'_>, segment: &Segment<'_>, tap: &Link) -> Option<darkport_model::Vid> {
    matches!(segment.bridge.kind, LinkKind::Bridge { vlan_filtering: true, .. }).then(|| scene.pvid(tap.index)).flatten()
}

fn in_definitions(segment: &Segment<'_>, mac: MacAddr, names: Vec<String>, on: &[(&Subject<'_>, &Attachment<'_>)]) -> Finding {
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Guest,
        names.first().cloned().unwrap_or_default(),
        Certainty::Proven,
        Effect::Degraded,
        format!("{} have one hardware address, {mac}, on {}", listed(&names), segment.bridge.name),
    );
    let finding = on.iter().fold(finding, |finding, (subject, nic)| {
        let place =
            subject.instance.and_then(|instance| instance.nics.iter().find_map(|own| own.mac.as_ref().filter(|fact| fact.value == mac)));
        let source = place.map_or_else(|| "inventory".to_owned(), |fact| fact.place.clone());
        finding.seen(format!("{} has {mac} behind {}", subject.name, nic.label()), source)
    });
    let advice = format!("stop one of {}, or give it a hardware address of its own", listed(&names));
    finding.affecting(names).fixed_by(Fix::advice(advice))
}

/// Somebody beyond the uplink who has the address of an instance here.
fn beyond(scene: &Scene<'_>, segment: &Segment<'_>, subject: &Subject<'_>, nic: &Attachment<'_>, mac: MacAddr) -> Option<Finding> {
    let tap = nic.live_tap()?;
    let ways: Vec<&Link> = segment.uplinks.iter().filter(|chain| !matches!(chain.port.kind, LinkKind::Veth)).flat_map(Chain::all).collect();
    let seen = answered_twice(scene, segment, subject, tap, &ways, mac).or_else(|| spoken_elsewhere(scene, tap, &ways, mac))?;
    let moved = scene.entries(segment.bridge.index, mac).iter().find(|entry| entry.port != tap.index);
    let Told { certainty, by, evidence } = seen;
    let name = &subject.name;
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Guest,
        name,
        certainty,
        // What the bridge believes now decides whom its frames reach.
        if moved.is_some() { Effect::Dark } else { Effect::Degraded },
        format!("{mac}, the hardware address of {name}, is also somebody's beyond {by}"),
    )
    .affecting(vec![name.clone()])
    .seen(evidence, "ARP, traced");
    let finding = match moved.and_then(|entry| scene.wiring.link(entry.port)) {
        Some(port) => finding.seen(format!("{} sends frames for it out of {} now", segment.bridge.name, port.name), "forwarding database"),
        None => finding,
    };
    let advice = format!(
        "find the other {mac} beyond {by} (the switch's forwarding table; the host that {name} came from) and stop it, or give it an address of its own"
    );
    Some(finding.fixed_by(Fix::advice(advice)))
}

struct Told {
    certainty: Certainty,
    by: String,
    evidence: String,
}

/// One question for the instance was answered from its address both by its tap and by the uplink: there were more such answers than questions. An
/// answer goes to us alone, so that nothing sends it out there to be reflected.
fn answered_twice(
    scene: &Scene<'_>,
    segment: &Segment<'_>,
    subject: &Subject<'_>,
    tap: &Link,
    ways: &[&Link],
    mac: MacAddr,
) -> Option<Told> {
    let from_it = |probe: &&ArpProbe| probe.bridge == segment.bridge.index && probe.answers.iter().all(|answer| answer.mac == mac);
    scene.asked_for(&subject.name).filter(from_it).filter(|_| settled(tap)).find_map(|probe| {
        let frames = |link: IfIndex| {
            let here = |one: &&Crossing| one.link == link && one.part == Part::Answer && !one.outgoing;
            probe.way.iter().filter(here).map(|one| one.frames).max().unwrap_or(0)
        };
        let own = frames(tap.index);
        let other = ways.iter().find(|link| frames(link.index) > 0)?;
        let outside = frames(other.index);
        (own > 0 && own.saturating_add(outside) > probe.sent).then(|| Told {
            certainty: Certainty::Proven,
            by: other.name.clone(),
            evidence: format!(
                "asked for {} {} times: answered from {mac} {own} times by {} and {outside} times by {}",
                probe.target, probe.sent, tap.name, other.name
            ),
        })
    })
}

/// The guest had sent by this tap before the window. Of one that moves here in it (live migration) both hosts may answer the same question: it
/// waits in the new tap until the guest goes on there, and until then nothing comes out of that.
fn settled(tap: &Link) -> bool {
    tap.counters.first.rx_packets > 0
}

/// ARP from its address came in by the uplink that it did not send by its tap: not its own, reflected.
fn spoken_elsewhere(scene: &Scene<'_>, tap: &Link, ways: &[&Link], mac: MacAddr) -> Option<Told> {
    let heard = &scene.seen.probes.heard;
    if heard.dropped > 0 || heard.cut || !settled(tap) {
        return None;
    }
    let from_it = |one: &&HeardArp| one.frame_from == mac && !one.outgoing;
    let by_tap = |one: &HeardArp| {
        heard.arp.iter().filter(from_it).any(|own| own.link == tap.index && (own.sender, own.target) == (one.sender, one.target))
    };
    // Through its own tap it has to speak as well: one that moved away meanwhile speaks there only.
    heard.arp.iter().filter(from_it).find(|own| own.link == tap.index)?;
    let foreign = |one: &&HeardArp| one.frames >= ENOUGH && ways.iter().any(|link| link.index == one.link) && !by_tap(one);
    let one = heard.arp.iter().filter(from_it).find(foreign)?;
    let by = scene.wiring.link(one.link).map(|link| link.name.clone())?;
    let evidence = format!(
        "{} ARP frames from {mac}, of {} about {}, came in by {by}, and none of them by its tap {}",
        one.frames, one.sender, one.target, tap.name
    );
    Some(Told { certainty: Certainty::Likely, by, evidence })
}

#[cfg(test)]
mod tests {
    use crate::testing::{Seen, asked, count, diagnosed, healthy, learn, nova_network, only, overheard_request, vlan_aware};
    use darkport_model::{Certainty, Crossing, FdbKind, Part, Whom};

    const OWN: [u8; 6] = [0xfa, 0x16, 0x3e, 0, 0, 2];

    fn same_address(seen: &mut Seen) {
        let mac = seen.inventory.instances[0].nics[0].mac.clone();
        seen.inventory.instances[1].nics[0].mac = mac;
    }

    /// Instance 2 was asked for; its answers came in by these devices, so many times.
    fn answered(seen: &mut Seen, by: &[(&str, u32)]) {
        asked(seen, "10.68.16.11", Whom::Instance("instance-00000002".into()), &[OWN]);
        seen.probes.arp[0].sent = 2;
        seen.link_mut("vnet1").counters.first.rx_packets = 900;
        count(seen.link_mut("vnet1"), |last| last.rx_packets += 5);
        for (name, frames) in by {
            let mut crossing = Crossing::new(seen.link_mut(name).index, false, Part::Answer);
            crossing.frames = *frames;
            seen.probes.arp[0].way.push(crossing);
        }
    }

    #[test]
    fn two_domains_with_one_address() {
        let cause = only(&diagnosed(nova_network(3), same_address), "duplicate-instance-mac");
        assert_eq!(cause.explains, ["instance-00000001", "instance-00000002"]);
        assert_eq!(cause.certainty, Certainty::Proven);
    }

    #[test]
    fn one_of_them_off_is_healthy() {
        healthy(&diagnosed(nova_network(3), |seen| {
            same_address(seen);
            seen.stop("instance-00000001");
        }));
    }

    #[test]
    fn one_address_in_two_vlans_is_healthy() {
        healthy(&diagnosed(vlan_aware(3), |seen| {
            same_address(seen);
            let tap = seen.link_mut("vnet1").index;
            for vlan in seen.port_vlans.iter_mut().filter(|vlan| vlan.port == tap) {
                (vlan.first, vlan.last) = (1103.try_into().unwrap(), 1103.try_into().unwrap());
            }
            let uplink = seen.link_mut("eth1").index;
            seen.port_vlans.push(darkport_model::PortVlan::new(uplink, 1103.try_into().unwrap(), false, false));
        }));
    }

    #[test]
    fn answers_by_its_tap_and_by_the_uplink() {
        let twice = |seen: &mut Seen| answered(seen, &[("vnet1", 1), ("eth1", 2), ("eth1.1102", 2)]);
        let cause = only(&diagnosed(nova_network(3), twice), "duplicate-instance-mac");
        assert_eq!((cause.certainty, cause.explains.as_slice()), (Certainty::Proven, &["instance-00000002".to_owned()][..]));
        // The bridge believes the copy: frames do not come any more, and this explains the entry.
        let diagnosis = diagnosed(nova_network(3), |seen| {
            twice(seen);
            learn(seen, 1, "eth1.1102", FdbKind::Learned);
        });
        assert_eq!(diagnosis.causes[0].code, "duplicate-instance-mac");
    }

    #[test]
    fn an_instance_that_just_arrived_is_healthy() {
        // The old host answered, and so did the instance when it went on here; it speaks by both in the window.
        healthy(&diagnosed(nova_network(3), |seen| {
            answered(seen, &[("vnet1", 2), ("eth1", 1)]);
            overheard_request(seen, "vnet1", OWN, "10.68.16.11", "10.68.16.11");
            overheard_request(seen, "eth1", OWN, "10.68.16.11", "10.68.16.1");
            seen.probes.heard.arp[1].frames = 4;
            seen.link_mut("vnet1").counters.first.rx_packets = 0;
        }));
    }

    #[test]
    fn answers_that_are_no_more_than_the_questions_are_no_proof() {
        healthy(&diagnosed(nova_network(3), |seen| answered(seen, &[("vnet1", 1), ("eth1", 1)])));
    }

    #[test]
    fn a_copy_that_speaks_of_itself() {
        let fault = |seen: &mut Seen, target: &str| {
            seen.link_mut("vnet1").counters.first.rx_packets = 900;
            count(seen.link_mut("vnet1"), |last| {
                last.rx_packets += 5;
                last.tx_packets += 5;
            });
            overheard_request(seen, "vnet1", OWN, "10.68.16.11", "10.68.16.1");
            overheard_request(seen, "eth1", OWN, "10.68.16.99", target);
            seen.probes.heard.arp[1].frames = 4;
        };
        let cause = only(&diagnosed(nova_network(3), |seen| fault(seen, "10.68.16.1")), "duplicate-instance-mac");
        assert_eq!(cause.certainty, Certainty::Likely);
        // Its own question, reflected by the wire: not this cause.
        healthy(&diagnosed(nova_network(3), |seen| {
            fault(seen, "10.68.16.1");
            seen.probes.heard.arp[1].sender = [10, 68, 16, 11].into();
        }));
    }
}
