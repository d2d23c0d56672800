//! `guest-silent`: frames are handed to the instance, and it never answers.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Link, LinkKind, Source};

use crate::check::{Definition, Explanation, Outcome, quoted};
use crate::reach::{Trail, trail_in};
use crate::scene::Scene;
use crate::subject::{Attachment, Subject};

/// A guest that sent fewer packets than this since its tap was made may still be booting: asking for an address (RFC 2131), for routers
/// and for its own addresses (RFC 4861, 4862) takes that many within the first minutes.
const BOOTED: u64 = 50;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "guest-silent",
        hop: HopKind::Guest,
        what: "Frames for the instance are handed to its tap and taken, and it does not answer: its system hangs, its interface is down or has \
               another address, or its virtual CPUs stand still. The host's network is not the reason.",
        proof: "Questions for its address were seen leaving by its tap, and nothing came back in by it.",
        fix: "look inside: its console (virsh console, VNC); start it again where it hangs",
        reboot_helps: Some(false),
        reboot: "it would restart every other instance as well; this one is enough",
        reference: "RFC 826 (a station answers for its own address); linux, drivers/net/tun.c",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let (mut findings, mut answered, mut booting) = (Vec::new(), 0, 0);
    for subject in scene.running() {
        let mut asked = scene.asked_for(&subject.name).peekable();
        if asked.peek().is_none() {
            continue;
        }
        if !asked.all(darkport_model::ArpProbe::is_silent) {
            answered += 1;
            continue;
        }
        for nic in &subject.nics {
            match verdict(scene, subject, nic) {
                Some(Told::Silent(finding)) => findings.push(finding),
                Some(Told::MayBoot) => booting += 1,
                None => {}
            }
        }
    }
    match (findings.is_empty(), answered, booting) {
        (false, ..) => Outcome::Found(findings),
        (true, 0, 0) => Outcome::NotApplicable,
        (true, _, 0) => Outcome::RuledOut(format!("{answered} instances answer")),
        (true, ..) => Outcome::RuledOut(format!("{answered} instances answer, {booting} that do not may still be booting")),
    }
}

enum Told {
    Silent(Finding),
    MayBoot,
}

fn verdict(scene: &Scene<'_>, subject: &Subject<'_>, nic: &Attachment<'_>) -> Option<Told> {
    let tap = nic.live_tap()?;
    let segment = scene.segment(nic.bridge?.index)?;
    let probe = scene.asked_for(&subject.name).find(|probe| probe.bridge == segment.bridge.index)?;
    let Trail::Left(..) = trail_in(segment, tap, probe) else { return None };
    let talks = |count: fn(&darkport_model::Counters) -> u64| tap.counters.rise(count).is_some_and(|rise| rise > 0);
    if nic.mac.is_some_and(|mac| answered_by_others(scene, tap, mac)) {
        return None;
    }
    if tap.counters.latest().rx_packets < BOOTED {
        return Some(Told::MayBoot);
    }
    // One that sends may have another address than the one that was asked for.
    let certainty = if talks(|count| count.rx_packets) { Certainty::Possible } else { Certainty::Likely };
    let name = &subject.name;
    // Only a tun device counts what its reader takes (linux, drivers/net/tun.c, tun_put_user).
    let untaken = matches!(tap.kind, LinkKind::Tun { .. }) && tap.counters.rise(|count| count.tx_packets) == Some(0);
    let takes = if untaken { "takes nothing from" } else { "is sent frames by" };
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Guest,
        name,
        certainty,
        Effect::Dark,
        format!("{name} {takes} its tap {} and does not answer", tap.name),
    )
    .affecting(vec![name.clone()])
    .seen(format!("asked for {} {} times: every question left by {}, nothing came back", probe.target, probe.sent, tap.name), "ARP, traced")
    .seen(
        format!("{} packets came out of the guest in the window", tap.counters.rise(|count| count.rx_packets).unwrap_or(0)),
        "netlink counters, two looks",
    );
    Some(Told::Silent(
        finding.fixed_by(Fix::advice(format!("look at its console: virsh console {0} (or virsh screenshot {0})", quoted(name)))),
    ))
}

/// Whether the guest was overheard in a conversation: an answer to it went out by its tap. Then it lives, under another address.
fn answered_by_others(scene: &Scene<'_>, tap: &Link, mac: darkport_model::MacAddr) -> bool {
    let heard = &scene.seen.probes.heard.arp;
    let asks = heard.iter().find(|heard| heard.link == tap.index && !heard.outgoing && !heard.reply && heard.sender_mac == mac);
    asks.is_some_and(|asks| {
        heard.iter().any(|heard| heard.link == tap.index && heard.outgoing && heard.reply && heard.sender == asks.target)
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{asked, diagnosed, healthy, nova_network, only, overheard_request, silent_instance};
    use darkport_model::{Certainty, HeardArp, MacAddr, Status, Whom};

    fn spoke_before(seen: &mut crate::testing::Seen, packets: u64) {
        let tap = seen.link_mut("vnet1");
        tap.counters.first.rx_packets = packets;
        tap.counters.last = Some(tap.counters.first);
    }

    #[test]
    fn one_that_takes_frames_and_says_nothing() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_instance(seen, 1, "10.68.16.11");
            asked(seen, "10.68.16.10", Whom::Instance("instance-00000001".into()), &[[0xfa, 0x16, 0x3e, 0, 0, 1]]);
            spoke_before(seen, 4000);
        });
        let cause = only(&diagnosis, "guest-silent");
        assert_eq!((cause.certainty, cause.explains.as_slice()), (Certainty::Likely, &["instance-00000002".to_owned()][..]));
    }

    #[test]
    fn one_that_may_still_be_booting_is_left_alone() {
        healthy(&diagnosed(nova_network(3), |seen| {
            silent_instance(seen, 1, "10.68.16.11");
            spoke_before(seen, 9);
        }));
    }

    #[test]
    fn one_with_another_address_that_is_answered_lives() {
        healthy(&diagnosed(nova_network(3), |seen| {
            silent_instance(seen, 1, "10.68.16.11");
            spoke_before(seen, 4000);
            overheard_request(seen, "vnet1", [0xfa, 0x16, 0x3e, 0, 0, 2], "10.68.16.99", "10.68.16.1");
            let tap = seen.link_mut("vnet1").index;
            let gateway = MacAddr([2, 0, 0, 0, 0, 9]);
            let mut reply = HeardArp::request(tap, gateway, [10, 68, 16, 1].into(), [10, 68, 16, 99].into());
            (reply.reply, reply.outgoing) = (true, true);
            seen.probes.heard.arp.push(reply);
        }));
    }

    #[test]
    fn one_that_is_off_is_not_asked_why() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_instance(seen, 1, "10.68.16.11");
            spoke_before(seen, 4000);
            seen.stop("instance-00000002");
        });
        assert_eq!(diagnosis.status, Status::Healthy);
    }
}
