//! `uplink-not-in-bridge`: the bridge has lost its way out.

use darkport_model::{Effect, Finding, Fix, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, blinds, command, quoted};
use crate::scene::{Scene, Segment};
use crate::uplink::Obstacle;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "uplink-not-in-bridge",
        hop: HopKind::UplinkPort,
        what: "The device that carries the instances' VLAN is a port of no bridge: instances reach each other and nobody else. nova-network puts it \
               back at the next instance plug or nova-compute start, so where a new instance is dark too, this is not the whole of it.",
        proof: "The device that the configuration (or the bridge's own number) names as uplink has no master, and the bridge with the taps has no uplink.",
        fix: "ip link set UPLINK master BRIDGE",
        reboot_helps: Some(true),
        reboot: "it would apply the network configuration again; putting the port back takes a second",
        reference: "linux, net/bridge/br_if.c; nova 2014.1.4, nova/network/linux_net.py (ensure_bridge)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut joined = Vec::new();
    let mut unread = None;
    for segment in &scene.segments {
        let bridge = &segment.bridge.name;
        findings.extend(loose_ends(scene, segment));
        if let Some(chain) = segment.ways().find(|chain| chain.port.master == Some(segment.bridge.index)) {
            joined.push(format!("{} is a port of {bridge}", chain.port.name));
            continue;
        }
        let Some(wanted) = &segment.wanted else {
            unread = unread.or_else(|| scene.seen.gaps_in(Source::Intents).find(|gap| blinds(gap)));
            continue;
        };
        let Some(uplink) = wanted.link.filter(|uplink| uplink.master.is_none()) else { continue };
        let name = &uplink.name;
        findings.push(
            Finding::new(
                CAUSE.explanation.code,
                HopKind::UplinkPort,
                name,
                wanted.certainty,
                segment.effect(),
                format!("{name}, the uplink of {bridge}, is a port of no bridge: instances on {bridge} reach nobody beyond this host"),
            )
            .affecting(scene.names_on(segment))
            .seen(format!("{name} has no master"), "netlink link dump")
            .seen(
                format!("{bridge} has {} ports and none is an uplink", scene.wiring.ports(segment.bridge.index).len()),
                "netlink link dump",
            )
            .seen(wanted.because.clone(), "configuration and names")
            .fixed_by(joining(scene, name, bridge)),
        );
    }
    if let (true, Some(gap)) = (findings.is_empty(), unread) {
        return Outcome::Unknown(gap.to_string());
    }
    if findings.is_empty() && joined.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || crate::uplink::listed(&joined))
}

/// Veths between two bridges whose far end has fallen out of its bridge.
fn loose_ends(scene: &Scene<'_>, segment: &Segment<'_>) -> Vec<Finding> {
    let loose = |obstacle: &Obstacle<'_>| if let Obstacle::Loose(far) = *obstacle { Some(far.name.clone()) } else { None };
    let ends = segment.ways().filter(|_| segment.is_cut()).flat_map(|chain| &chain.obstacles).filter_map(loose);
    let home = scene.members(segment).find_map(|(_, nic)| nic.wanted_bridge).map(|fact| fact.value.as_str());
    let finding = |far: String| {
        let fix = match home.filter(|home| *home != segment.bridge.name) {
            Some(home) => joining(scene, &far, home),
            None => Fix::advice(format!("find the bridge that {far} belongs in, then: ip link set {} master BRIDGE", quoted(&far))),
        };
        Finding::new(
            CAUSE.explanation.code,
            HopKind::UplinkPort,
            &far,
            segment.certainty(),
            segment.effect(),
            format!("{far}, the far end of the way out of {}, is a port of no bridge", segment.bridge.name),
        )
        .affecting(scene.names_on(segment))
        .seen(format!("{far} has no master"), "netlink link dump")
        .fixed_by(fix)
    };
    ends.map(finding).collect()
}

fn joining(scene: &Scene<'_>, port: &str, bridge: &str) -> Fix {
    command(
        scene,
        format!("ip link set {} master {}", quoted(port), quoted(bridge)),
        format!("makes {port} a port of {bridge}"),
        format!("ip link set {} nomaster", quoted(port)),
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only, with_address};
    use darkport_model::Certainty;

    #[test]
    fn a_detached_uplink_darkens_all() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.link_mut("eth1.1102").master = None);
        let cause = only(&diagnosis, "uplink-not-in-bridge");
        assert_eq!((cause.certainty, cause.explains.len()), (Certainty::Proven, 3));
        assert_eq!(cause.fix.steps[0].run, "ip link set eth1.1102 master br1102");
        assert_eq!(cause.fix.steps[0].undo.as_deref(), Some("ip link set eth1.1102 nomaster"));
        assert!(cause.ruled_out.iter().any(|rival| rival.code == "uplink-no-carrier"), "{:?}", cause.ruled_out);
    }

    #[test]
    fn the_number_of_the_bridge_is_enough_without_configuration() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            seen.inventory.intents.clear();
            seen.link_mut("eth1.1102").master = None;
        });
        assert_eq!(only(&diagnosis, "uplink-not-in-bridge").certainty, Certainty::Proven);
    }

    #[test]
    fn a_routed_bridge_needs_no_uplink() {
        healthy(&diagnosed(nova_network(3), |seen| {
            seen.inventory.intents.clear();
            seen.links.retain(|link| !link.name.starts_with("eth1"));
            seen.rename("br1102", "virbr0");
            with_address(seen, "virbr0", "192.168.122.1/24");
        }));
    }
}
