//! `bridge-mac-changed`: the bridge took the address of a new port, and neighbours still hold the old one.

use std::net::IpAddr;

use darkport_model::{Certainty, Counters, Effect, Finding, Fix, HopKind, Link, MacAddr, Source};

use crate::check::{Definition, Explanation, Outcome, quoted, step};
use crate::scene::{Scene, Segment};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "bridge-mac-changed",
        hop: HopKind::Bridge,
        what: "A bridge whose address nobody pinned takes the lowest of its ports' addresses. When a port with a lower one joins, or that port \
               leaves, the address changes, and everybody who holds the old one in his ARP table (instances, routers) sends into the void until the entry runs out.",
        proof: "The bridge carries an IP address and its own is not pinned, its IPv6 link-local address still tells the former one (RFC 4291, \
                appendix A), and what instances send is flooded among them instead of coming up to the host.",
        fix: "ip link set BRIDGE address MAC (pins the former address)",
        reboot_helps: Some(true),
        reboot: "ports would join in another order; pinning the address takes a second and lasts",
        reference: "linux, net/bridge/br_stp_if.c (br_stp_recalculate_bridge_id)",
    },
    needs: &[Source::Links, Source::Addresses],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let addressed: Vec<_> = scene.segments.iter().filter(|segment| !segment.addresses.is_empty()).collect();
    if addressed.is_empty() {
        let bare = "no bridge with instances carries an address of the host: nobody sends to the bridge's own address";
        return if scene.segments.is_empty() { Outcome::NotApplicable } else { Outcome::RuledOut(bare.to_owned()) };
    }
    if addressed.iter().any(|segment| segment.bridge.counters.last.is_none()) {
        return Outcome::Unknown("a second look at the bridges' counters".to_owned());
    }
    let findings = addressed.iter().filter_map(|segment| changed(scene, segment)).collect();
    Outcome::found_or(findings, || {
        "frames reach the bridges that carry an IP address, or their address is the one they came up with".to_owned()
    })
}

/// Frames that instances sent, that came up to the bridge's own address, and that were handed to instances. Those to an address that
/// nobody has are flooded to all the others and do not come up.
struct Flow {
    sent: u64,
    came_up: u64,
    handed: u64,
}

fn flow(scene: &Scene<'_>, segment: &Segment<'_>) -> Option<Flow> {
    let total = |read: fn(&Counters) -> u64| {
        let rises = scene.members(segment).filter_map(|(_, nic)| nic.live_tap()).filter_map(|tap| tap.counters.rise(read));
        rises.fold(0, u64::saturating_add)
    };
    let came_up = segment.bridge.counters.rise(|count| count.rx_packets)?;
    Some(Flow { sent: total(|count| count.rx_packets), came_up, handed: total(|count| count.tx_packets) })
}

/// Frames in a window from which on their fate tells something.
const FEWEST: u64 = 5;

fn changed(scene: &Scene<'_>, segment: &Segment<'_>) -> Option<Finding> {
    let bridge = segment.bridge;
    let now = bridge.mac.filter(|_| bridge.mac_pinned != Some(true))?;
    let former = former_address(scene, bridge, now)?;
    let ports = scene.wiring.ports(bridge.index);
    let owner = ports.iter().find(|port| port.mac == Some(former));
    // A bridge is born with a random address (locally administered), which no neighbour ever held.
    if owner.is_none() && former.0[0] & 2 != 0 {
        return None;
    }
    // The kernel keeps the former link-local address for ever: that frames do not come up shows that the change hurts now.
    let Flow { sent, came_up, handed } = flow(scene, segment)?;
    let lost = sent >= FEWEST && came_up.saturating_mul(2) < sent && handed.saturating_mul(2) > sent.saturating_mul(3);
    if !lost {
        return None;
    }
    let name = &bridge.name;
    let gateway = segment.addresses.first().map(|address| address.prefix.address().to_string()).unwrap_or_default();
    let source =
        ports.iter().find(|port| port.mac == Some(now)).map(|port| format!(", that of its port {}", port.name)).unwrap_or_default();
    let whose = owner.map(|port| format!(", that of {}", port.name)).unwrap_or_default();
    Some(
        Finding::new(
            CAUSE.explanation.code,
            HopKind::Bridge,
            name,
            Certainty::Likely,
            Effect::Dark,
            format!("{name} changed its address from {former} to {now}: whoever holds the old one for {gateway} sends into the void"),
        )
        .affecting(scene.names_on(segment))
        .seen(format!("the address of {name} is {now}{source}, and is not pinned"), "netlink link dump")
        .seen(format!("its IPv6 link-local address was made from {former}{whose}"), "netlink address dump")
        .seen(
            format!("instances sent {sent} frames in the window, {came_up} came up to {name}, and {handed} were handed out to the others"),
            "netlink counters, two looks",
        )
        .fixed_by(Fix::steps(vec![step(
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
    use crate::testing::{count, diagnosed, healthy, nova_network, only, with_address};

    const FORMER: MacAddr = MacAddr([0x40, 0xa8, 0xf0, 0x38, 0x35, 0x89]);
    const LOWER: MacAddr = MacAddr([0x02, 0, 0, 0, 0, 1]);

    fn joined(pinned: bool, handed: u64) -> darkport_model::Diagnosis {
        diagnosed(nova_network(3), |seen| {
            with_address(seen, "br1102", "10.68.16.1/21");
            with_address(seen, "br1102", "fe80::42a8:f0ff:fe38:3589/64");
            seen.link_mut("vnet1").mac = Some(LOWER);
            seen.link_mut("eth1.1102").mac = Some(FORMER);
            for tap in ["vnet0", "vnet1", "vnet2"] {
                count(seen.link_mut(tap), |last| (last.rx_packets, last.tx_packets) = (10, handed));
            }
            let bridge = seen.link_mut("br1102");
            bridge.mac = Some(LOWER);
            bridge.mac_pinned = Some(pinned);
        })
    }

    #[test]
    fn the_link_local_address_tells_the_former_one() {
        let diagnosis = joined(false, 20);
        let cause = only(&diagnosis, "bridge-mac-changed");
        assert_eq!(cause.fix.steps[0].run, format!("ip link set br1102 address {FORMER}"));
    }

    #[test]
    fn a_pinned_address_does_not_change_by_itself() {
        healthy(&joined(true, 20));
    }

    #[test]
    fn a_change_of_long_ago_that_hurts_nobody_is_none() {
        healthy(&joined(false, 9));
    }

    #[test]
    fn eui64_is_undone() {
        assert_eq!(from_eui64(FORMER.eui64()), Some(FORMER));
        assert_eq!(from_eui64([1; 8]), None);
    }
}
