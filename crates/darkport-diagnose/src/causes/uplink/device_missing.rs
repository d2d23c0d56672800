//! `uplink-device-missing`: the uplink does not exist.

use darkport_model::{Effect, Finding, Fix, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, quoted, step};
use crate::scene::Scene;
use crate::wanted::Wanted;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "uplink-device-missing",
        hop: HopKind::VlanDevice,
        what: "The device that carries the instances' VLAN is gone: deleted, or its NIC was taken away or renamed. nova-network does not make it again.",
        proof: "The bridge has taps only, its configuration or number names a VLAN, and no device carries that VLAN.",
        fix: "ip link add link NIC name NIC.VID type vlan id VID; ip link set NIC.VID master BRIDGE up",
        reboot_helps: Some(true),
        reboot: "it would apply the network configuration again; making the device takes a second",
        reference: "linux, net/8021q/vlan.c (NETDEV_UNREGISTER); nova 2014.1.4, nova/network/linux_net.py",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut present = 0;
    for segment in &scene.segments {
        let Some(wanted) = segment.wanted.as_ref().filter(|wanted| wanted.link.is_none() && segment.uplinks.is_empty()) else {
            present += 1;
            continue;
        };
        let (name, bridge) = (&wanted.name, &segment.bridge.name);
        let hop = if wanted.vid.is_some() { HopKind::VlanDevice } else { HopKind::Nic };
        let mut finding = Finding::new(
            CAUSE.explanation.code,
            hop,
            name,
            wanted.certainty,
            segment.effect(),
            format!("{name}, the uplink of {bridge}, does not exist"),
        )
        .affecting(scene.names_on(segment))
        .seen(format!("no interface is called {name}, and {bridge} has no uplink"), "netlink link dump")
        .seen(wanted.because.clone(), "configuration and names");
        if let Some(parent) = &wanted.parent {
            let there = if scene.wiring.named(parent).is_some() { "is there" } else { "is not there either: renamed, or the card is gone" };
            finding = finding.seen(format!("{parent}, the device below it, {there}"), "netlink link dump");
        }
        findings.push(finding.fixed_by(fix(scene, wanted, bridge)));
    }
    if findings.is_empty() && present == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || "no uplink that a bridge ought to have is missing".to_owned())
}

fn fix(scene: &Scene<'_>, wanted: &Wanted<'_>, bridge: &str) -> Fix {
    let name = quoted(&wanted.name);
    let parent = wanted.parent.as_ref().filter(|parent| scene.wiring.named(parent).is_some());
    let (Some(parent), Some(vid)) = (parent, wanted.vid) else {
        return Fix::advice(format!("find where {} went (ip -d link; dmesg; lspci), rename it back or bring its driver back", wanted.name));
    };
    Fix::steps(vec![
        step(
            scene,
            format!("ip link add link {} name {name} type vlan id {vid}", quoted(parent)),
            format!("makes {} anew", wanted.name),
            Some(format!("ip link del {name}")),
        ),
        step(
            scene,
            format!("ip link set {name} master {} up", quoted(bridge)),
            format!("makes {} a port of {bridge} and sets it up", wanted.name),
            Some(format!("ip link set {name} nomaster")),
        ),
    ])
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, nova_network, only};
    use darkport_model::{Certainty, HopKind, Status};

    #[test]
    fn a_deleted_vlan_device_is_made_again() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.links.retain(|link| link.name != "eth1.1102"));
        let cause = only(&diagnosis, "uplink-device-missing");
        assert_eq!((cause.certainty, cause.hop), (Certainty::Proven, HopKind::VlanDevice));
        assert_eq!(cause.fix.steps[0].run, "ip link add link eth1 name eth1.1102 type vlan id 1102");
    }

    #[test]
    fn without_configuration_the_number_of_the_bridge_makes_it_possible_and_a_sibling_likely() {
        let missing = |seen: &mut crate::testing::Seen| {
            seen.inventory.intents.clear();
            seen.links.retain(|link| link.name != "eth1.1102");
        };
        let alone = diagnosed(nova_network(3), missing);
        assert_eq!((alone.status, only(&alone, "uplink-device-missing").certainty), (Status::Undetermined, Certainty::Possible));
        let beside = diagnosed(nova_network(3), |seen| {
            missing(seen);
            seen.add_bridge("br1103");
            crate::testing::vlan_on(seen, "eth1.1103", 1103, "eth1", "br1103");
        });
        assert_eq!(only(&beside, "uplink-device-missing").certainty, Certainty::Likely);
    }
}
