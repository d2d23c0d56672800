//! `rogue-dhcp-server`: somebody offers addresses whom nova does not know.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Source};

use super::{nova_servers, played};
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "rogue-dhcp-server",
        hop: HopKind::Wire,
        what: "A DHCP server that is not nova's offers addresses on the instances' network: a guest, or a stranger behind the uplink. Instances that boot \
               or renew may take its address and gateway and go dark; those that run keep theirs for now.",
        proof: "A played instance had an offer of a server that none of the instances' filters names (DHCPSERVER in libvirt's XML).",
        fix: "stop that server; the frame's hardware address says behind which port it is (bridge fdb show)",
        reboot_helps: Some(false),
        reboot: "the server is somebody else's",
        reference: "RFC 2131, 3.1 (a client takes any offer); nova/virt/libvirt/vif.py (parameter DHCPSERVER of the filter)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::None,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let (mut findings, mut known) = (Vec::new(), 0);
    for (segment, run) in played(scene) {
        let expected = nova_servers(scene, segment);
        if expected.is_empty() {
            continue;
        }
        for offer in &run.offers {
            if expected.contains(&offer.server.into()) {
                known += 1;
                continue;
            }
            let guest = scene.members(segment).find(|(_, nic)| nic.mac == Some(offer.frame_from));
            let (hop, at, who) = match guest.and_then(|(subject, nic)| Some((subject, nic.live_tap()?))) {
                Some((subject, tap)) => (HopKind::TapPort, tap.name.clone(), format!("{} at {}", subject.name, tap.name)),
                None => (HopKind::Wire, "wire".to_owned(), format!("somebody at {}", offer.frame_from)),
            };
            let finding = Finding::new(
                CAUSE.explanation.code,
                hop,
                at,
                Certainty::Likely,
                Effect::None,
                format!("{who} offers addresses on {} as DHCP server {}, which nova does not know", segment.bridge.name, offer.server),
            )
            .affecting(scene.names_on(segment))
            .seen(format!("{} offers {} from {}", offer.server, offer.address, offer.frame_from), "DHCP, as an instance")
            .seen(format!("instances' filters name {}", crate::uplink::listed(&expected.iter().collect::<Vec<_>>())), "libvirt's XML");
            findings.push(finding.fixed_by(Fix::advice(format!(
                "find and stop it: bridge fdb show | grep {} says behind which port it is",
                offer.frame_from
            ))));
        }
    }
    match (findings.is_empty(), known) {
        (false, _) => Outcome::Found(findings),
        (true, 0) => Outcome::NotApplicable,
        (true, _) => Outcome::RuledOut("all offers are of the server that the instances' filters name".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use darkport_model::{DhcpOffer, HopKind, MacAddr, TestKind};

    use crate::testing::{Seen, diagnosed, healthy, nova_network, of_nova, only, plays};

    fn offered(seen: &mut Seen, server: [u8; 4], from: [u8; 6]) {
        plays(seen, &[(TestKind::Dhcp, 4, 4), (TestKind::ArpGateway, 5, 5)]);
        seen.probes.synthetic[0].offers.push(DhcpOffer::new(server.into(), MacAddr(from), [10, 68, 16, 99].into()));
    }

    #[test]
    fn a_stranger_and_a_guest_that_offer_addresses() {
        for (from, hop) in [([2, 0, 0, 0, 0, 0x66], HopKind::Wire), ([0xfa, 0x16, 0x3e, 0, 0, 2], HopKind::TapPort)] {
            let diagnosis = diagnosed(nova_network(3), |seen| {
                of_nova(seen);
                offered(seen, [10, 68, 16, 66], from);
            });
            assert_eq!(only(&diagnosis, "rogue-dhcp-server").hop, hop);
        }
    }

    #[test]
    fn the_server_that_the_filters_name_and_hosts_that_name_none() {
        healthy(&diagnosed(nova_network(3), |seen| {
            of_nova(seen);
            offered(seen, [10, 68, 16, 1], [2, 0, 0, 0, 0, 9]);
        }));
        healthy(&diagnosed(nova_network(3), |seen| offered(seen, [10, 68, 16, 66], [2, 0, 0, 0, 0, 0x66])));
    }
}
