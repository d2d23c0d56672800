//! `mtu-mismatch`: a device on the way takes smaller packets than the instances send.

use darkport_model::{Certainty, Effect, Finding, HopKind, Link, LinkKind, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::Scene;
use crate::uplink::Chain;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "mtu-mismatch",
        hop: HopKind::VlanDevice,
        what: "A device on the way takes smaller packets than the instances' taps: small packets (ping, ssh's greeting) pass, full-size ones are \
               dropped by the bridge without an error to anybody.",
        proof: "The MTU of a device between bridge and wire is smaller than that of a running instance's tap (or than its domain's XML says).",
        fix: "ip link set DEVICE mtu MTU",
        reboot_helps: Some(true),
        reboot: "it would apply the network configuration again, if that is right; setting the MTU takes a second",
        reference: "linux, net/bridge/br_forward.c (br_dev_queue_push_xmit, is_skb_forwardable)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Degraded,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut looked = 0;
    for segment in &scene.segments {
        // Tunnels take less than the wire by nature, and instances are told so by DHCP.
        let narrow =
            segment.ways().flat_map(Chain::all).filter(|link| !matches!(link.kind, LinkKind::Vxlan { .. } | LinkKind::Other { .. }));
        let Some(narrowest) = narrow.min_by_key(|link| link.mtu) else { continue };
        looked += 1;
        let mut wide: Vec<(u32, String)> = Vec::new();
        for (subject, nic) in scene.members(segment) {
            let Some(tap) = nic.live_tap() else { continue };
            // A guest that is told nothing else sends what Ethernet takes, however wide its tap.
            let wants = nic.wanted_mtu.map_or(tap.mtu.min(1500), |fact| fact.value.min(tap.mtu));
            // libvirt, Proxmox and qemu give a tap the MTU that its bridge has then; what a container's veth has says less, unless the
            // narrow device is narrower than the one that it stands on.
            let telling = subject.instance.is_some() || scene.wiring.lower(narrowest).is_some_and(|below| below.mtu > narrowest.mtu);
            if wants > narrowest.mtu && telling {
                wide.push((wants, subject.name.clone()));
            }
        }
        let Some(widest) = wide.iter().map(|(mtu, _)| *mtu).max() else { continue };
        let names = wide.into_iter().map(|(_, name)| name).collect();
        findings.push(finding(scene, narrowest, &segment.bridge.name, widest, names));
    }
    if findings.is_empty() && looked == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || "no device between an instance's tap and the wire takes smaller packets than the tap".to_owned())
}

fn finding(scene: &Scene<'_>, narrow: &Link, bridge: &str, widest: u32, names: Vec<String>) -> Finding {
    let name = &narrow.name;
    let mut finding = Finding::new(
        CAUSE.explanation.code,
        Chain::hop(narrow),
        name,
        Certainty::Likely,
        Effect::Degraded,
        format!("{name} takes packets of {} bytes, but instances on {bridge} send up to {widest}: full-size packets die", narrow.mtu),
    )
    .affecting(names)
    .seen(format!("the MTU of {name} is {}", narrow.mtu), "netlink link dump")
    .seen(format!("the MTU of instances' taps is {widest}"), "netlink link dump");
    let below = scene.wiring.lower(narrow).filter(|below| below.mtu < widest);
    if let Some(below) = below {
        finding = finding.seen(format!("{} below it has {} too", below.name, below.mtu), "netlink link dump");
    }
    let at_first = below.map(|below| format!("ip link set {} mtu {widest} && ", quoted(&below.name))).unwrap_or_default();
    finding.fixed_by(command(
        scene,
        format!("{at_first}ip link set {} mtu {widest}", quoted(name)),
        format!("lets packets of {widest} bytes pass {name}; the switch must take them too"),
        format!("ip link set {} mtu {}", quoted(name), narrow.mtu),
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only};
    use darkport_model::Effect;

    #[test]
    fn a_narrow_uplink_loses_full_packets() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.link_mut("eth1.1102").mtu = 1400);
        let cause = only(&diagnosis, "mtu-mismatch");
        assert_eq!((cause.at.as_str(), cause.effect), ("eth1.1102", Effect::Degraded));
        assert_eq!(cause.fix.steps[0].run, "ip link set eth1.1102 mtu 1500");
    }

    #[test]
    fn a_wide_tap_alone_says_nothing_of_what_its_guest_sends() {
        healthy(&diagnosed(nova_network(3), |seen| seen.link_mut("vnet1").mtu = 9000));
    }

    #[test]
    fn a_wider_uplink_is_fine() {
        healthy(&diagnosed(nova_network(3), |seen| {
            seen.link_mut("eth1").mtu = 9000;
            seen.link_mut("eth1.1102").mtu = 9000;
        }));
    }
}
