//! `uplink-admin-down`: a device between the bridge and the wire is set down.

use darkport_model::{Effect, Finding, HopKind, Link, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::{Scene, Segment};
use crate::uplink::{Chain, Obstacle, listed};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "uplink-admin-down",
        hop: HopKind::Nic,
        what: "The NIC below the bridge's uplink, or the uplink itself, is administratively down. With a NIC the kernel sets the VLANs on it down too, \
               and raises them again with it. nova-network tries to set the VLAN up and ignores that this fails.",
        proof: "The lowest device on the way that has no IFF_UP.",
        fix: "ip link set DEVICE up",
        reboot_helps: Some(true),
        reboot: "it would apply the network configuration again; setting the device up takes a second",
        reference: "linux, net/8021q/vlan.c (vlan_device_event), vlan_dev.c (vlan_dev_open returns ENETDOWN)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut up = Vec::new();
    for segment in &scene.segments {
        // With two ways out, one that is open is enough.
        if !segment.is_cut() {
            up.extend(segment.ways().filter(|chain| chain.is_open()).map(|chain| chain.port.name.as_str()));
            continue;
        }
        for obstacle in segment.ways().flat_map(|chain| &chain.obstacles) {
            if let Obstacle::Down(device) = obstacle {
                findings.push(finding(scene, segment, device));
            }
        }
    }
    if findings.is_empty() && up.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("{} and what is below are up", listed(&up)))
}

fn finding(scene: &Scene<'_>, segment: &Segment<'_>, device: &Link) -> Finding {
    let (name, bridge) = (&device.name, &segment.bridge.name);
    let on_top = scene.seen.links.iter().filter(|link| link.lower == Some(device.index) && !link.lower_elsewhere && !link.admin_up);
    let above: Vec<_> = on_top.map(|link| link.name.as_str()).collect();
    let mut finding = Finding::new(
        CAUSE.explanation.code,
        Chain::hop(device),
        name,
        segment.certainty(),
        segment.effect(),
        format!("{name}, on the way from {bridge} to the wire, is set down"),
    )
    .affecting(scene.names_on(segment))
    .seen(format!("{name} is administratively down"), "netlink link dump");
    if !above.is_empty() {
        finding = finding.seen(format!("so are the devices on it: {}", listed(&above)), "netlink link dump");
    }
    finding.fixed_by(command(
        scene,
        format!("ip link set {} up", quoted(name)),
        format!("sets {name} up; the kernel raises the VLANs on it"),
        format!("ip link set {} down", quoted(name)),
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, nova_network, only};
    use darkport_model::{Carrier, HopKind, OperState, StpState};

    #[test]
    fn the_lowest_device_that_is_down_is_named() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            for name in ["eth1", "eth1.1102"] {
                let link = seen.link_mut(name);
                (link.admin_up, link.carrier, link.oper_state) = (false, Carrier::Unknown, OperState::Down);
            }
            seen.port_mut("eth1.1102").state = StpState::Disabled;
        });
        let cause = only(&diagnosis, "uplink-admin-down");
        assert_eq!((cause.at.as_str(), cause.hop), ("eth1", HopKind::Nic));
        assert_eq!(cause.fix.steps[0].run, "ip link set eth1 up");
    }

    #[test]
    fn two_ways_that_are_shut_differently_are_both_named() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            seen.inventory.intents.clear();
            seen.add_uplink("br1102", "eth2");
            seen.link_mut("eth1").admin_up = false;
            seen.link_mut("eth2").carrier = Carrier::Down;
        });
        let codes: Vec<_> = diagnosis.causes.iter().map(|cause| cause.code.as_str()).collect();
        assert_eq!(codes, ["uplink-admin-down", "uplink-no-carrier"]);
    }

    #[test]
    fn the_vlan_device_alone_can_be_down() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.link_mut("eth1.1102").admin_up = false);
        assert_eq!(only(&diagnosis, "uplink-admin-down").hop, HopKind::VlanDevice);
    }
}
