//! `dhcp-reply-lost`: a server's offer comes into this host and does not reach who asked.

use darkport_model::{Certainty, Crossing, Effect, Finding, Fix, HopKind, Part, Source, TestKind};

use super::played;
use crate::check::{Definition, Explanation, Outcome};
use crate::played::test;
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "dhcp-reply-lost",
        hop: HopKind::Bridge,
        what: "A DHCP server answers, its offer comes in by the uplink, and between there and the instance's tap it is dropped: by a rule of ebtables, \
               nftables or libvirt's filters, or by a tc filter. Instances that run go dark when their leases end; new ones come up without an address.",
        proof: "The offers to a played instance were seen at the uplink and never at its own port, while the gateway's ARP answers reach it.",
        fix: "find the rule: ebtables -L --Lc, nft list ruleset, tc filter show, with the counter that rises while an instance asks",
        reboot_helps: None,
        reboot: "it drops rules that were added by hand, and brings back those that a service adds",
        reference: "RFC 2131, 3.1; linux, net/bridge/br_forward.c (NF_BR_FORWARD)",
    },
    needs: &[Source::Links],
    worst: Effect::None,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let (mut findings, mut answered) = (Vec::new(), 0);
    for (segment, run) in played(scene) {
        let Some(dhcp) = test(run, TestKind::Dhcp) else { continue };
        if !dhcp.failed() {
            answered += usize::from(dhcp.passed > 0);
            continue;
        }
        let whole = test(run, TestKind::ArpGateway).is_some_and(|test| test.passed > 0);
        // What is for everybody comes up to the bridge's own device as well, which leads nowhere.
        let came = |one: &&Crossing| one.part == Part::Answer && !one.outgoing && one.link != segment.bridge.index;
        let delivered = dhcp.way.iter().any(|one| one.part == Part::Answer && Some(one.link) == run.port);
        // The innermost device of this host that an offer came in by.
        let last = dhcp.way.iter().rev().find(came).and_then(|one| Some((scene.wiring.link(one.link)?, one.frames)));
        let Some((link, frames)) = last.filter(|_| whole && !delivered) else { continue };
        let finding = Finding::new(
            CAUSE.explanation.code,
            scene.hop_of(link),
            &link.name,
            Certainty::Likely,
            Effect::None,
            format!("a DHCP server's offers come in by {} and never reach the instance on {} that asked", link.name, segment.bridge.name),
        )
        .affecting(scene.names_on(segment))
        .seen(format!("{frames} offers were seen at {}, none at the port of the played instance", link.name), "DHCP, traced")
        .seen("ARP answers of the gateway did reach it".to_owned(), "ARP, traced");
        findings.push(finding.fixed_by(Fix::advice(format!(
            "look for a rule between {} and the taps whose counter rises while an instance asks: ebtables -L --Lc; nft list ruleset; tc -s filter show dev {0} ingress",
            link.name
        ))));
    }
    match (findings.is_empty(), answered) {
        (false, _) => Outcome::Found(findings),
        (true, 0) => Outcome::NotApplicable,
        (true, _) => Outcome::RuledOut(format!("{answered} played instances were offered an address")),
    }
}

#[cfg(test)]
mod tests {
    use darkport_model::{Crossing, IfIndex, Part, Status, TestKind};

    use crate::testing::{diagnosed, healthy, nova_network, only, plays};

    fn offers(seen: &mut crate::testing::Seen, at: &[&str]) {
        let links: Vec<IfIndex> = at.iter().map(|name| if *name == "port" { IfIndex(77) } else { seen.link_mut(name).index }).collect();
        let dhcp = &mut seen.probes.synthetic[0].tests[0];
        dhcp.way = links.into_iter().map(|link| Crossing::new(link, link == IfIndex(77), Part::Answer)).collect();
    }

    #[test]
    fn an_offer_that_gets_no_further_than_the_uplink() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            plays(seen, &[(TestKind::Dhcp, 4, 0), (TestKind::ArpGateway, 5, 5)]);
            offers(seen, &["eth1", "eth1.1102", "br1102"]);
        });
        assert_eq!((only(&diagnosis, "dhcp-reply-lost").at.as_str(), diagnosis.status), ("eth1.1102", Status::Fault));
    }

    #[test]
    fn no_offer_at_all_is_what_strangers_get_of_nova() {
        healthy(&diagnosed(nova_network(3), |seen| plays(seen, &[(TestKind::Dhcp, 4, 0), (TestKind::ArpGateway, 5, 5)])));
    }

    #[test]
    fn a_late_offer_that_arrived_is_not_lost() {
        healthy(&diagnosed(nova_network(3), |seen| {
            plays(seen, &[(TestKind::Dhcp, 4, 0), (TestKind::ArpGateway, 5, 5)]);
            offers(seen, &["eth1", "eth1.1102", "port"]);
        }));
    }
}
