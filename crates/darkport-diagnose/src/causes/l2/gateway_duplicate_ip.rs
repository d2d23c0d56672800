//! `gateway-duplicate-ip`: two stations say that they are the gateway.

use darkport_model::{ArpAnswer, ArpProbe, Certainty, Effect, Finding, Fix, HopKind, MacAddr, Source};

use super::{place, told};
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::{Scene, Segment};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "gateway-duplicate-ip",
        hop: HopKind::Gateway,
        what: "Two stations answer for the gateway's address. Instances that believe the wrong one send everything to it, and which one each believes \
               changes from minute to minute.",
        proof: "Questions for the gateway are answered from two hardware addresses. Routers that share an address by VRRP, HSRP or GLBP answer with a \
                hardware address made for that, and do not count.",
        fix: "find who has the other hardware address (the port is named), and take the address from it",
        reboot_helps: Some(false),
        reboot: "the impostor is elsewhere, or an instance that would start again",
        reference: "RFC 5227, 2.4 (conflict); RFC 5798, 7.3 (virtual router MAC address)",
    },
    needs: &[Source::Links],
    worst: Effect::Degraded,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let asked: Vec<_> = scene.segments.iter().filter_map(|segment| Some((segment, scene.gateway(segment)?))).collect();
    let findings: Vec<_> = asked.iter().filter_map(|(segment, probe)| finding(scene, segment, probe)).collect();
    match asked.first() {
        None => Outcome::NotApplicable,
        Some((_, probe)) => Outcome::found_or(findings, || format!("nobody else answers for {}", probe.target)),
    }
}

fn finding(scene: &Scene<'_>, segment: &Segment<'_>, probe: &ArpProbe) -> Option<Finding> {
    let real: Vec<&ArpAnswer> = probe.answers.iter().filter(|answer| !is_virtual(answer.mac)).collect();
    let [first, second, ..] = real.as_slice() else { return None };
    // Whoever answers by a tap of this host is an instance, and no gateway.
    let impostor = real.iter().find(|answer| place(scene, answer).0 == HopKind::TapPort).unwrap_or(second);
    let (_, at) = place(scene, impostor);
    let gateway = probe.target;
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Gateway,
        gateway.to_string(),
        Certainty::Proven,
        Effect::Degraded,
        format!("{} stations answer for the gateway {gateway}: {} and {}", real.len(), told(scene, first), told(scene, second)),
    );
    let advice = format!(
        "find the one with {} (at {at}) and take {gateway} from it; `bridge fdb show | grep {}` follows it",
        impostor.mac, impostor.mac
    );
    let finding =
        real.iter().fold(finding, |finding, answer| finding.seen(format!("{gateway} is at {}", told(scene, answer)), "ARP, traced"));
    Some(finding.affecting(scene.names_on(segment)).fixed_by(Fix::advice(advice)))
}

/// Hardware addresses of a router that is several: VRRP and CARP (RFC 5798), VRRP for IPv6, HSRP 1 and 2, GLBP (Cisco).
fn is_virtual(mac: MacAddr) -> bool {
    matches!(
        mac.0,
        [0x00, 0x00, 0x5e, 0x00, 0x01 | 0x02, _]
            | [0x00, 0x00, 0x0c, 0x07, 0xac, _]
            | [0x00, 0x00, 0x0c, 0x9f, 0xf0..=0xff, _]
            | [0x00, 0x07, 0xb4, 0x00, _, _]
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::{asked, diagnosed, healthy, nova_network, only};
    use darkport_model::{Certainty, InstanceState, Whom};

    #[test]
    fn two_who_answer_are_one_too_many() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9], [0xfa, 0x16, 0x3e, 0, 0, 2]]);
            seen.probes.arp[0].answers[1].came_in_by = Some(seen.link_mut("vnet1").index);
        });
        let cause = only(&diagnosis, "gateway-duplicate-ip");
        assert_eq!(cause.certainty, Certainty::Proven);
        assert!(cause.summary.contains("fa:16:3e:00:00:02 by vnet1"), "{}", cause.summary);
        assert!(diagnosis.instances.iter().all(|instance| instance.state == InstanceState::Degraded));
    }

    #[test]
    fn routers_that_share_an_address_on_purpose_are_healthy() {
        for shared in [[0, 0, 0x5e, 0, 1, 7], [0, 0, 0x0c, 7, 0xac, 1]] {
            healthy(&diagnosed(nova_network(3), |seen| asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9], shared])));
        }
    }
}
