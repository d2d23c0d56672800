//! A fault without a known cause still has a place: where a question, or its answer, was last seen.

use std::collections::HashSet;

use darkport_model::{ArpProbe, Carrier, Certainty, Effect, Finding, HeardArp, HopKind, IfIndex, Link};

use crate::reach::{Trail, tagged, trail_in};
use crate::scene::{Scene, Segment};
use crate::uplink::waits;

/// What such a finding is called among findings. It is no cause, and never listed as one.
pub(crate) const CODE: &str = "unknown";

/// As many frames as can hardly all be lost by chance where one in twenty is.
const ENOUGH: u32 = 3;

/// One that sends and is never answered may only report; hardly so many at once.
const SEVERAL: usize = 3;

/// Losses that probing saw and that nothing `explained` accounts for: one finding for each place, with the instances that it cuts off.
pub(crate) fn losses(scene: &Scene<'_>, explained: &HashSet<&str>) -> Vec<Finding> {
    let mut found = Vec::new();
    for segment in &scene.segments {
        let names: Vec<String> = scene.names_on(segment).into_iter().filter(|name| !explained.contains(name.as_str())).collect();
        if names.is_empty() {
            continue;
        }
        let opens = segment.uplink_ports().any(|(_, port)| waits(port));
        if let Some(finding) = beyond(scene, segment).filter(|_| !opens) {
            let believed = finding.certainty > Certainty::Possible;
            found.push(finding.affecting(names.clone()));
            if believed {
                continue;
            }
        }
        let asked = at_taps(scene, segment, &names);
        let told: HashSet<_> = asked.iter().flat_map(|finding| finding.affects.clone()).collect();
        let rest: Vec<String> = names.into_iter().filter(|name| !told.contains(name)).collect();
        found.extend(asked);
        found.extend(forwarded(scene, segment, &rest));
        found.extend(unanswered(scene, segment, &rest));
    }
    // What is merely possible is told where nothing else is.
    let believed = found.iter().any(|finding| finding.certainty > Certainty::Possible);
    found.retain(|finding| !believed || finding.certainty > Certainty::Possible);
    found
}

/// The question for the gateway that nobody answers: where it, or its answer, was last seen. That it left and no answer came is merely
/// possible as a loss, as long as nothing else bears it out: a gateway may not answer such questions.
fn beyond(scene: &Scene<'_>, segment: &Segment<'_>) -> Option<Finding> {
    let probe = scene.silent_gateway(segment)?;
    let trail = scene.trail_out(segment, probe);
    let mut finding = place(scene, probe, trail)?;
    if let Trail::Left(nic, _) = trail {
        let chain = segment.ways().find(|chain| chain.all().any(|device| device.index == nic.index));
        if !chain.is_some_and(|chain| scene.bears_out(segment, chain, probe.target)) {
            finding.certainty = Certainty::Possible;
            finding.summary = format!("the gateway {} does not answer this host, and no instance was seen in want of it", probe.target);
        }
    }
    Some(finding)
}

/// Instances' own frames that leave this host and meet with nothing, while the gateway answers the host: somebody beyond loses theirs.
fn unanswered(scene: &Scene<'_>, segment: &Segment<'_>, names: &[String]) -> Option<Finding> {
    scene.gateway(segment).filter(|probe| probe.answered > 0)?;
    let port = &segment.uplinks.first()?.port.name;
    let finding = |certainty, summary, seen: String, by: &str, who: Vec<String>| {
        let who = who.into_iter().filter(|name| names.contains(name)).collect();
        Finding::new(CODE, HopKind::Wire, "wire", certainty, Effect::Dark, summary).affecting(who).seen(seen, by)
    };
    let in_vain = scene.in_vain(segment);
    let (who, alone) = (in_vain.names.len(), scene.names_on(segment).len() == 1);
    if in_vain.questions >= 2 * ENOUGH && (who > 1 || alone) {
        let summary = format!("instances' questions leave by {port} and no answer comes back, while the gateway answers this host");
        let seen =
            format!("{} of {} instances asked for the gateway in vain: every question left by {port}", who, scene.names_on(segment).len());
        return Some(finding(Certainty::Likely, summary, seen, "ARP, overheard", in_vain.names))
            .filter(|finding| !finding.affects.is_empty());
    }
    let one_way = scene.one_way(segment).filter(|found| found.came == 0 && found.names.len() >= SEVERAL)?;
    let summary = format!("instances send by {port} and nothing comes back to them, while the gateway answers this host");
    let seen = format!(
        "{} instances sent, {} frames left by {port}, and nothing but answers to this host and questions of others came in",
        one_way.names.len(),
        one_way.left
    );
    Some(finding(Certainty::Possible, summary, seen, "netlink counters, two looks", one_way.names))
        .filter(|finding| !finding.affects.is_empty())
}

/// What instances ask of the gateway by themselves, and what it answers them, where it comes into the bridge and never out of it: the
/// host's own questions go another way and may well be answered.
fn forwarded(scene: &Scene<'_>, segment: &Segment<'_>, names: &[String]) -> Vec<Finding> {
    let heard = &scene.seen.probes.heard;
    let (Some(gateway), true) = (scene.gateway(segment), heard.dropped == 0 && !heard.cut) else { return Vec::new() };
    let ports: Vec<_> = segment.uplinks.iter().map(|chain| chain.port).collect();
    let members = scene.members(segment).filter(|(subject, _)| names.contains(&subject.name));
    let lost = members.filter_map(|(subject, nic)| {
        let (tap, mac, port) = (nic.live_tap()?, nic.mac?, *ports.first()?);
        let at_ports = |link: IfIndex| ports.iter().any(|port| port.index == link);
        let asks = |one: &&HeardArp| !one.reply && one.sender_mac == mac && one.target == gateway.target;
        let address = heard.arp.iter().find(asks)?.sender;
        let answers = |one: &&HeardArp| one.reply && one.sender == gateway.target && one.target == address;
        let count = |fits: &dyn Fn(&&HeardArp) -> bool, outgoing: bool, at: &dyn Fn(IfIndex) -> bool| -> u32 {
            let here = heard.arp.iter().filter(|one| fits(one) && one.outgoing == outgoing && at(one.link));
            here.fold(0, |sum, one| sum.saturating_add(one.frames))
        };
        let at_tap = |link: IfIndex| link == tap.index;
        let (asked, passed) = (count(&asks, false, &at_tap), count(&asks, true, &at_ports));
        let (came, delivered) = (count(&answers, false, &at_ports), count(&answers, true, &at_tap));
        let (summary, seen) = if asked >= ENOUGH && passed == 0 {
            let summary = format!("frames of instances come in by {} and never leave by {}", tap.name, port.name);
            let seen = format!("{} asked for {} {asked} times: seen at {}, never at {}", subject.name, gateway.target, tap.name, port.name);
            (summary, seen)
        } else if came >= ENOUGH && delivered == 0 {
            let summary = format!("answers to instances come in by {} and never leave by {}", port.name, tap.name);
            let seen = format!("{} answered {} {came} times: seen at {}, never at {}", gateway.target, subject.name, port.name, tap.name);
            (summary, seen)
        } else {
            return None;
        };
        let finding = Finding::new(CODE, HopKind::TapPort, &tap.name, Certainty::Likely, Effect::Dark, summary);
        Some(finding.affecting(vec![subject.name.clone()]).seen(seen, "ARP, overheard"))
    });
    lost.collect()
}

/// Questions for instances that die between the bridge and the tap, either way. What is delivered and not answered is the guest's.
fn at_taps(scene: &Scene<'_>, segment: &Segment<'_>, names: &[String]) -> Vec<Finding> {
    let members = scene.members(segment).filter(|(subject, _)| names.contains(&subject.name));
    let lost = members.filter_map(|(subject, nic)| {
        let probe = scene.asked_for(&subject.name).find(|probe| probe.bridge == segment.bridge.index)?;
        if !scene.asked_for(&subject.name).all(ArpProbe::is_silent) {
            return None;
        }
        // One without carrier has nobody behind it, which is not the bridge's doing.
        let works = |tap: &&Link| tap.carrier != Carrier::Down && !tap.port.as_ref().is_some_and(waits);
        match trail_in(segment, nic.live_tap().filter(works)?, probe) {
            Trail::Left(..) => None,
            trail => place(scene, probe, trail).map(|finding| finding.affecting(vec![subject.name.clone()])),
        }
    });
    lost.collect()
}

fn place(scene: &Scene<'_>, probe: &ArpProbe, trail: Trail<'_>) -> Option<Finding> {
    let asked = format!("asked for {} {} times", probe.target, probe.sent);
    let (hop, at, summary, seen) = match trail {
        // What this host's own device lets not out says nothing of what its ports forward.
        Trail::Untraced | Trail::AnswerUnread => return None,
        Trail::Left(nic, vid) => (
            HopKind::Wire,
            "wire".to_owned(),
            format!("frames leave by {}{} and no answer comes back", nic.name, tagged(vid)),
            format!("{asked}: every question left by {}{}, no answer came in", nic.name, tagged(vid)),
        ),
        Trail::Lost { after, before } => (
            scene.hop_of(before),
            before.name.clone(),
            format!("frames die between {} and {}", after.name, before.name),
            format!("{asked}: seen at {}, never at {}", after.name, before.name),
        ),
        Trail::AnswerLost { after, before } => (
            scene.hop_of(after),
            after.name.clone(),
            format!("answers arrive on {} and never reach {}", after.name, before.name),
            format!("{asked}: its answers were seen at {}, never at {}", after.name, before.name),
        ),
    };
    Some(Finding::new(CODE, hop, at, Certainty::Likely, Effect::Dark, summary).seen(seen, "ARP, traced"))
}

#[cfg(test)]
mod tests {
    use crate::testing::{asked, crossed, diagnosed, healthy, nova_network, overheard_request, silent_gateway, silent_instance};
    use darkport_model::{ExitCode, HopKind, InstanceState, Part, Status, Whom};

    #[test]
    fn the_place_is_named_where_no_cause_is_known() {
        let diagnosis = diagnosed(nova_network(3), |seen| silent_gateway(seen, &["br1102", "eth1.1102"]));
        let place = diagnosis.place.clone().unwrap();
        assert_eq!((diagnosis.status, place.hop, place.at.as_str()), (Status::Fault, HopKind::Nic, "eth1"));
        assert!(diagnosis.causes.is_empty());
        assert!(diagnosis.instances.iter().all(|instance| instance.state == InstanceState::Dark));
        assert_eq!(ExitCode::of(&diagnosis), ExitCode::Critical);
        assert!(diagnosis.headline.starts_with("3 of 3 instances dark: frames die between eth1.1102 and eth1"), "{}", diagnosis.headline);
    }

    #[test]
    fn an_answer_that_gets_stuck_on_its_way_back_tells_the_device_too() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            crossed(seen, 0, &["eth1", "eth1.1102"], Part::Answer);
        });
        let place = diagnosis.place.unwrap();
        assert_eq!((place.hop, place.at.as_str()), (HopKind::UplinkPort, "eth1.1102"));
        assert!(place.because.contains("never at br1102"), "{}", place.because);
    }

    #[test]
    fn one_instance_whose_answers_never_reach_the_bridge() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
            silent_instance(seen, 1, "10.68.16.11");
            crossed(seen, 1, &["vnet1"], Part::Answer);
        });
        let dark: Vec<_> =
            diagnosis.instances.iter().filter(|instance| instance.state == InstanceState::Dark).map(|one| one.name.as_str()).collect();
        assert_eq!(dark, ["instance-00000002"]);
        assert_eq!(diagnosis.place.unwrap().hop, HopKind::TapPort);
    }

    #[test]
    fn a_gateway_that_others_hear_from_is_not_silent() {
        healthy(&diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            let port = seen.link_mut("vnet1").index;
            let mut reply = darkport_model::HeardArp::request(
                port,
                darkport_model::MacAddr([2, 0, 0, 0, 0, 9]),
                [10, 68, 16, 1].into(),
                [10, 68, 16, 11].into(),
            );
            (reply.reply, reply.outgoing) = (true, true);
            seen.probes.heard.arp.push(reply);
        }));
    }

    #[test]
    fn what_an_instance_asks_and_the_bridge_keeps() {
        let fault = |seen: &mut crate::testing::Seen| {
            asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
            overheard_request(seen, "vnet1", [0xfa, 0x16, 0x3e, 0, 0, 2], "10.68.16.11", "10.68.16.1");
            seen.probes.heard.arp[0].frames = 5;
        };
        let diagnosis = diagnosed(nova_network(3), fault);
        assert_eq!(diagnosis.place.unwrap().because, "instance-00000002 asked for 10.68.16.1 5 times: seen at vnet1, never at eth1.1102");
        healthy(&diagnosed(nova_network(3), |seen| {
            fault(seen);
            let mut left = seen.probes.heard.arp[0].clone();
            (left.link, left.outgoing) = (seen.link_mut("eth1.1102").index, true);
            seen.probes.heard.arp.push(left);
        }));
    }

    #[test]
    fn a_port_that_spanning_tree_still_opens_is_on_its_way() {
        healthy(&diagnosed(nova_network(3), |seen| {
            if let darkport_model::LinkKind::Bridge { stp, .. } = &mut seen.link_mut("br1102").kind {
                *stp = true;
            }
            seen.port_mut("eth1.1102").state = darkport_model::StpState::Learning;
            silent_gateway(seen, &["br1102"]);
        }));
    }

    #[test]
    fn silence_that_was_not_listened_to_well_says_nothing() {
        healthy(&diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            seen.probes.arp[0].unheard = true;
        }));
    }
}
