//! `bridge-mac-changed`: the bridge took the address of a new port, and neighbours still hold the old one.

use std::net::IpAddr;

use darkport_model::{Certainty, Effect, Finding, HopKind, Link, MacAddr, Source};

use crate::check::{Definition, Explanation, Outcome, quoted, step};
use crate::scene::{Scene, Segment};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "bridge-mac-changed",
        hop: HopKind::Bridge,
        what: "A bridge whose address nobody pinned takes the lowest of its ports' addresses. When a port with a lower one joins, or that port \
               leaves, the address changes, and everybody who holds the old one in his ARP table (instances, routers) sends into the void until the entry runs out.",
        proof: "The bridge carries an IP address, its own address is not pinned and is that of a guest-facing port, and its IPv6 link-local \
                address still tells the former one (RFC 4291, appendix A).",
        fix: "ip link set BRIDGE address MAC (pins the former address)",
        reboot_helps: Some(true),
        reboot: "ports would join in another order; pinning the address takes a second and lasts",
        reference: "linux, net/bridge/br_stp_if.c (br_stp_recalculate_bridge_id)",
    },
    needs: &[Source::Links, Source::Addresses],
    worst: Effect::Degraded,
    follows_from: &[],
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let addressed: Vec<_> = scene.segments.iter().filter(|segment| !segment.addresses.is_empty()).collect();
    if addressed.is_empty() {
        let bare = "no bridge with instances carries an address of the host: nobody sends to the bridge's own address";
        return if scene.segments.is_empty() { Outcome::NotApplicable } else { Outcome::RuledOut(bare.to_owned()) };
    }
    let findings = addressed.iter().filter_map(|segment| changed(scene, segment)).collect();
    Outcome::found_or(findings, || {
        "the addresses of bridges that carry an IP address are pinned, or what they were when the bridge came up".to_owned()
    })
}

fn changed(scene: &Scene<'_>, segment: &Segment<'_>) -> Option<Finding> {
    let bridge = segment.bridge;
    let now = bridge.mac?;
    if bridge.mac_pinned == Some(true) {
        return None;
    }
    let source = scene.wiring.ports(bridge.index).iter().find(|port| port.mac == Some(now) && port.is_guest_facing())?;
    let former = former_address(scene, bridge, now)?;
    let name = &bridge.name;
    let gateway = segment.addresses.first().map(|address| address.prefix.address().to_string()).unwrap_or_default();
    let owner = scene.wiring.ports(bridge.index).iter().find(|port| port.mac == Some(former));
    let whose = owner.map(|port| format!(", that of {}", port.name)).unwrap_or_default();
    Some(
        Finding::new(
            CAUSE.explanation.code,
            HopKind::Bridge,
            name,
            Certainty::Likely,
            Effect::Degraded,
            format!("{name} changed its address from {former} to {now} when {} joined: whoever holds the old one for {gateway} sends into the void", source.name),
        )
        .affecting(scene.names_on(segment))
        .seen(format!("the address of {name} is {now}, that of its port {}, and is not pinned", source.name), "netlink link dump")
        .seen(format!("its IPv6 link-local address was made from {former}{whose}"), "netlink address dump")
        .fixed_by(darkport_model::Fix::steps(vec![step(
            scene,
            format!("ip link set {} address {former}", quoted(name)),
            format!("{name} answers at its former address again, and keeps it whatever ports come and go"),
            Some(format!("ip link set {} address {now}", quoted(name))),
        )])),
    )
}

/// The address that the bridge had when its link-local address was made: the kernel does not make it anew when the address changes.
fn former_address(scene: &Scene<'_>, bridge: &Link, now: MacAddr) -> Option<MacAddr> {
    let identifiers =
        scene.seen.addresses.iter().filter(|address| address.link == bridge.index).filter_map(|address| match address.prefix.address() {
            IpAddr::V6(v6) if v6.segments().first() == Some(&0xfe80) => {
                let octets = v6.octets();
                <[u8; 8]>::try_from(octets.get(8..)?).ok()
            }
            _ => None,
        });
    let macs: Vec<MacAddr> = identifiers.filter_map(from_eui64).collect();
    if macs.contains(&now) { None } else { macs.first().copied() }
}

fn from_eui64(identifier: [u8; 8]) -> Option<MacAddr> {
    let [a, b, c, 0xff, 0xfe, d, e, f] = identifier else { return None };
    Some(MacAddr([a ^ 2, b, c, d, e, f]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{diagnosed, healthy, nova_network, only, with_address};

    const FORMER: MacAddr = MacAddr([0x40, 0xa8, 0xf0, 0x38, 0x35, 0x89]);
    const LOWER: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 1]);

    fn joined(pinned: bool) -> darkport_model::Diagnosis {
        diagnosed(nova_network(2), |seen| {
            with_address(seen, "br1102", "10.68.16.1/21");
            with_address(seen, "br1102", "fe80::42a8:f0ff:fe38:3589/64");
            seen.link_mut("vnet1").mac = Some(LOWER);
            let bridge = seen.link_mut("br1102");
            bridge.mac = Some(LOWER);
            bridge.mac_pinned = Some(pinned);
        })
    }

    #[test]
    fn the_link_local_address_tells_the_former_one() {
        let diagnosis = joined(false);
        let cause = only(&diagnosis, "bridge-mac-changed");
        assert_eq!(cause.fix.steps[0].run, format!("ip link set br1102 address {FORMER}"));
    }

    #[test]
    fn a_pinned_address_does_not_change_by_itself() {
        healthy(&joined(true));
    }

    #[test]
    fn eui64_is_undone() {
        assert_eq!(from_eui64(FORMER.eui64()), Some(FORMER));
        assert_eq!(from_eui64([1; 8]), None);
    }
}
