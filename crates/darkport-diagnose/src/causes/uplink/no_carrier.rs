//! `uplink-no-carrier`: the NIC hears nothing.

use darkport_model::{Carrier, Certainty, Effect, Finding, Fix, HopKind, LinkKind, Source};

use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;
use crate::uplink::Chain;

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
    follows_from: &["uplink-admin-down", "bond-no-active-slave"],
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut heard = Vec::new();
    for segment in &scene.segments {
        let silent = |chain: &&Chain<'_>| chain.bottom().admin_up && chain.bottom().carrier == Carrier::Down;
        let ways = segment.ways_to_wire().count();
        if ways == 0 || segment.ways_to_wire().filter(silent).count() < ways {
            heard.extend(segment.ways_to_wire().filter(|chain| !silent(chain)).map(|chain| chain.bottom().name.as_str()));
            continue;
        }
        for chain in segment.ways_to_wire().filter(|chain| !matches!(chain.bottom().kind, LinkKind::Bond { .. })) {
            let nic = chain.bottom();
            let (name, bridge) = (&nic.name, &segment.bridge.name);
            let mut finding = Finding::new(
                CAUSE.explanation.code,
                Chain::hop(nic),
                name,
                Certainty::Proven,
                Effect::Dark,
                format!("{name}, the NIC below {bridge}, has no link"),
            )
            .affecting(scene.names_on(segment))
            .seen(format!("{name} is up and has no carrier"), "netlink link dump");
            if let Some(changes) = nic.carrier_changes {
                finding = finding.seen(format!("its carrier changed {changes} times since boot"), "netlink link dump");
            }
            let beside: Vec<_> = scene
                .seen
                .links
                .iter()
                .filter(|link| link.kind == LinkKind::Physical && link.carrier == Carrier::Up)
                .map(|link| link.name.as_str())
                .collect();
            let bypass = if beside.is_empty() {
                String::new()
            } else {
                format!("; {} has link and could carry the VLAN meanwhile", crate::uplink::listed(&beside))
            };
            findings.push(
                finding.fixed_by(Fix::advice(format!("check cable, transceiver and switch port of {name} (ethtool {name}){bypass}"))),
            );
        }
    }
    if findings.is_empty() && heard.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("{} has carrier", crate::uplink::listed(&heard)))
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
