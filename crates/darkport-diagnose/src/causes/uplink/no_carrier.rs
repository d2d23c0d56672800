//! `uplink-no-carrier`: the NIC hears nothing.

use darkport_model::{Carrier, Effect, Finding, Fix, HopKind, Link, LinkKind, Source};

use crate::check::{Definition, Explanation, Outcome, quoted};
use crate::scene::{Scene, Segment};
use crate::uplink::{Chain, Obstacle, listed};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "uplink-no-carrier",
        hop: HopKind::Nic,
        what: "The NIC below the bridge's uplink has no link: cable, transceiver, or a switch port that is shut (also by error-disable).",
        proof: "The NIC is up and has no carrier.",
        fix: "plug the cable, or have the switch port opened; a bypass is the VLAN on another NIC",
        reboot_helps: None,
        reboot: "a link that bounces can clear an error-disabled switch port; a dead cable stays dead",
        reference: "linux, net/bridge/br_if.c (br_port_carrier_check)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut heard = Vec::new();
    for segment in &scene.segments {
        if !segment.is_cut() {
            heard.extend(segment.ways().filter(|chain| chain.is_open()).map(|chain| chain.bottom().name.as_str()));
            continue;
        }
        for obstacle in segment.ways().flat_map(|chain| &chain.obstacles) {
            if let Obstacle::Silent(nic) = obstacle {
                findings.push(finding(scene, segment, nic));
            }
        }
    }
    if findings.is_empty() && heard.is_empty() {
        let up = |segment: &Segment<'_>| segment.ways().any(|chain| chain.bottom().carrier == Carrier::Up);
        let any = scene.segments.iter().any(up);
        return if any { Outcome::RuledOut("the NIC has carrier".to_owned()) } else { Outcome::NotApplicable };
    }
    Outcome::found_or(findings, || format!("{} has carrier", listed(&heard)))
}

fn finding(scene: &Scene<'_>, segment: &Segment<'_>, nic: &Link) -> Finding {
    let (name, bridge) = (&nic.name, &segment.bridge.name);
    let mut finding = Finding::new(
        CAUSE.explanation.code,
        Chain::hop(nic),
        name,
        segment.certainty(),
        segment.effect(),
        format!("{name}, the NIC below {bridge}, has no link"),
    )
    .affecting(scene.names_on(segment))
    .seen(format!("{name} is up and has no carrier"), "netlink link dump");
    if let Some(changes) = nic.carrier_changes {
        finding = finding.seen(format!("its carrier changed {changes} times since boot"), "netlink link dump");
    }
    let hears = |link: &&Link| link.kind == LinkKind::Physical && link.carrier == Carrier::Up;
    let beside: Vec<_> = scene.seen.links.iter().filter(hears).map(|link| link.name.as_str()).collect();
    let bypass =
        if beside.is_empty() { String::new() } else { format!("; {} has link and could carry the VLAN meanwhile", listed(&beside)) };
    let advice = format!("check cable, transceiver and switch port of {name} (ethtool {}){bypass}", quoted(name));
    finding.fixed_by(Fix::advice(advice))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, nova_network, only};
    use darkport_model::{Carrier, HopKind, OperState, StpState};

    #[test]
    fn a_nic_without_link_darkens_all() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            for name in ["eth1", "eth1.1102"] {
                let link = seen.link_mut(name);
                (link.carrier, link.oper_state) = (Carrier::Down, OperState::LowerLayerDown);
            }
            seen.port_mut("eth1.1102").state = StpState::Disabled;
        });
        let cause = only(&diagnosis, "uplink-no-carrier");
        assert_eq!((cause.at.as_str(), cause.hop, cause.explains.len()), ("eth1", HopKind::Nic, 3));
    }
}
