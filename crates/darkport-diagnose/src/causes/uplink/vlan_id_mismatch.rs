//! `vlan-id-mismatch`: the uplink carries another VLAN than the instances' network.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Link, LinkKind, Source, Vid};

use crate::check::{Definition, Explanation, Outcome, quoted, step};
use crate::scene::{Scene, Segment};
use crate::wanted::{number_in_name, split_name};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "vlan-id-mismatch",
        hop: HopKind::VlanDevice,
        what: "The bridge's VLAN device tags with another id than the network has: frames go out into a VLAN where nobody answers.",
        proof: "The device's VLAN id differs from what the configuration says, or from its own name and its bridge's.",
        fix: "make the device again with the right id",
        reboot_helps: Some(true),
        reboot: "it would apply the network configuration again, if that is right",
        reference: "linux, net/8021q/vlan_dev.c; vlan-interfaces(5)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut right = Vec::new();
    for segment in &scene.segments {
        for chain in segment.ways() {
            let LinkKind::Vlan { vid, .. } = chain.port.kind else { continue };
            match wanted(scene, segment, chain.port) {
                Some((other, because, certainty)) if other != vid => {
                    findings.push(finding(scene, segment, chain.port, vid, other, &because, certainty));
                }
                _ => right.push(format!("{} carries VLAN {vid}", chain.port.name)),
            }
        }
    }
    if findings.is_empty() && right.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || crate::uplink::listed(&right))
}

/// The VLAN that an uplink ought to carry, and what says so.
fn wanted(scene: &Scene<'_>, segment: &Segment<'_>, port: &Link) -> Option<(Vid, String, Certainty)> {
    let configured = scene.seen.inventory.intents.iter().find_map(|intent| {
        let vid = intent.vid.filter(|_| intent.uplink == port.name && intent.bridge == segment.bridge.name)?;
        Some((vid, format!("{} gives {} VLAN {vid}", intent.place, intent.uplink), Certainty::Proven))
    });
    configured.or_else(|| {
        let named = split_name(&port.name).1?;
        let bridge_agrees = number_in_name(&segment.bridge.name) == Some(named);
        let because = if bridge_agrees {
            format!("{} and {} are called after VLAN {named}", port.name, segment.bridge.name)
        } else {
            format!("{} is called after VLAN {named}", port.name)
        };
        Some((named, because, if bridge_agrees { Certainty::Proven } else { Certainty::Possible }))
    })
}

fn finding(scene: &Scene<'_>, segment: &Segment<'_>, port: &Link, has: Vid, should: Vid, because: &str, certainty: Certainty) -> Finding {
    let name = &port.name;
    let below = scene.wiring.lower(port).map_or("NIC", |below| below.name.as_str());
    let protocol = match &port.kind {
        LinkKind::Vlan { protocol, .. } if protocol != "802.1Q" => format!(" protocol {protocol}"),
        _ => String::new(),
    };
    let add = |vid: Vid| format!("ip link add link {} name {} mtu {} type vlan{protocol} id {vid}", quoted(below), quoted(name), port.mtu);
    let del = format!("ip link del {}", quoted(name));
    let join = format!("ip link set {} master {} up", quoted(name), quoted(&segment.bridge.name));
    Finding::new(
        CAUSE.explanation.code,
        HopKind::VlanDevice,
        name,
        certainty,
        Effect::Dark,
        format!("{name} tags with VLAN {has}, but the network is VLAN {should}"),
    )
    .affecting(scene.names_on(segment))
    .seen(format!("the VLAN id of {name} is {has}"), "netlink link dump")
    .seen(because, "configuration and names")
    .fixed_by(Fix::steps(vec![step(
        scene,
        format!("{del} && {} && {join}", add(should)),
        format!("makes {name} again with VLAN id {should}"),
        Some(format!("{del} && {} && {join}", add(has))),
    )]))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only};
    use darkport_model::{Certainty, LinkKind};

    fn tag(seen: &mut crate::testing::Seen, with: u16) {
        if let LinkKind::Vlan { vid, .. } = &mut seen.link_mut("eth1.1102").kind {
            *vid = with.try_into().unwrap();
        }
    }

    #[test]
    fn a_device_with_another_id_is_made_again() {
        let diagnosis = diagnosed(nova_network(3), |seen| tag(seen, 1103));
        let cause = only(&diagnosis, "vlan-id-mismatch");
        assert_eq!((cause.certainty, cause.explains.len()), (Certainty::Proven, 3));
        assert!(cause.fix.steps[0].run.contains("mtu 1500 type vlan id 1102"), "{:?}", cause.fix);
    }

    #[test]
    fn a_bridge_may_be_called_what_it_likes() {
        healthy(&diagnosed(nova_network(3), |seen| {
            seen.inventory.intents.clear();
            seen.rename("br1102", "br100");
        }));
    }
}
