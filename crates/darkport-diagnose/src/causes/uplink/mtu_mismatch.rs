//! `mtu-mismatch`: a device on the way takes smaller packets than the instances send.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Link, LinkKind, Source, TestKind};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::played::test;
use crate::scene::{Scene, Segment};
use crate::uplink::Chain;

/// So many echoes are not all lost by chance where one frame in twenty is.
const ENOUGH: u32 = 3;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "mtu-mismatch",
        hop: HopKind::VlanDevice,
        what: "A device on the way takes smaller packets than the instances' taps: small packets (ping, ssh's greeting) pass, full-size ones are \
               dropped by the bridge without an error to anybody.",
        proof: "The MTU of a device between bridge and wire is smaller than that of a running instance's tap (or than its domain's XML says); or \
                a played instance's small echoes to the gateway are answered and its full-size ones are not.",
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
        let Some(widest) = wide.iter().map(|(mtu, _)| *mtu).max() else {
            findings.extend(beyond(scene, segment));
            continue;
        };
        let names = wide.into_iter().map(|(_, name)| name).collect();
        findings.push(finding(scene, narrowest, &segment.bridge.name, widest, names));
    }
    if findings.is_empty() && looked == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || "no device between an instance's tap and the wire takes smaller packets than the tap".to_owned())
}

/// What a played instance met with beyond this host. A bridge of jumbo frames says nothing: instances may be
/// told a smaller MTU than it has.
fn beyond(scene: &Scene<'_>, segment: &Segment<'_>) -> Option<Finding> {
    let run = scene.played(segment).next().filter(|_| segment.bridge.mtu <= 1500)?;
    let (ping, full) = (test(run, TestKind::PingGateway)?, test(run, TestKind::FullMtu)?);
    if ping.passed < ENOUGH || full.tries < ENOUGH || !full.failed() {
        return None;
    }
    let gateway = full.target.map(|target| target.to_string()).unwrap_or_default();
    let summary = format!(
        "packets of {} bytes get no answer of the gateway {gateway}, small ones do: something beyond takes less",
        segment.bridge.mtu
    );
    let seen =
        format!("{} of {} small echoes were answered, 0 of {} full-size ones that may not be cut", ping.passed, ping.tries, full.tries);
    let fix =
        Fix::advice("compare the MTU of the switch ports, of the network host's NIC, VLAN and bridge: ping -M do -s 1472 from hop to hop");
    let finding = Finding::new(CAUSE.explanation.code, HopKind::Wire, "wire", Certainty::Likely, Effect::Degraded, summary);
    Some(finding.affecting(scene.names_on(segment)).seen(seen, "ICMP, as an instance").fixed_by(fix))
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
    use crate::testing::{diagnosed, healthy, nova_network, only, plays};
    use darkport_model::{Certainty, Effect, HopKind, TestKind};

    #[test]
    fn a_narrow_uplink_loses_full_packets() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.link_mut("eth1.1102").mtu = 1400);
        let cause = only(&diagnosis, "mtu-mismatch");
        assert_eq!((cause.at.as_str(), cause.effect), ("eth1.1102", Effect::Degraded));
        assert_eq!(cause.fix.steps[0].run, "ip link set eth1.1102 mtu 1500");
    }

    #[test]
    fn full_packets_that_get_lost_beyond_this_host() {
        let echoes = |full| [(TestKind::PingGateway, 5, 5), (TestKind::FullMtu, 5, full)];
        let diagnosis = diagnosed(nova_network(3), |seen| plays(seen, &echoes(0)));
        let cause = only(&diagnosis, "mtu-mismatch");
        assert_eq!((cause.hop, cause.certainty), (HopKind::Wire, Certainty::Likely));
        healthy(&diagnosed(nova_network(3), |seen| plays(seen, &echoes(3))));
        // What is narrow here explains it.
        let here = diagnosed(nova_network(3), |seen| {
            seen.link_mut("eth1.1102").mtu = 1400;
            plays(seen, &echoes(0));
        });
        assert_eq!(only(&here, "mtu-mismatch").at, "eth1.1102");
        // Jumbo frames need not reach the gateway.
        healthy(&diagnosed(nova_network(3), |seen| {
            for name in ["br1102", "eth1.1102", "eth1"] {
                seen.link_mut(name).mtu = 9000;
            }
            plays(seen, &echoes(0));
        }));
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
