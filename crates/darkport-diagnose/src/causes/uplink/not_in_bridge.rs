//! `uplink-not-in-bridge`: the bridge has lost its way out.

use darkport_model::{Certainty, Effect, Finding, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::Scene;

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
    follows_from: &[],
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut joined = Vec::new();
    for segment in &scene.segments {
        let bridge = &segment.bridge.name;
        if let Some(chain) = segment.uplinks.first() {
            joined.push(format!("{} is a port of {bridge}", chain.port.name));
            continue;
        }
        let Some((wanted, uplink)) = segment.wanted.as_ref().and_then(|wanted| Some((wanted, wanted.link?))) else { continue };
        if uplink.master.is_some() {
            continue;
        }
        let name = &uplink.name;
        let certainty = if wanted.sure { Certainty::Proven } else { Certainty::Likely };
        findings.push(
            Finding::new(
                CAUSE.explanation.code,
                HopKind::UplinkPort,
                name,
                certainty,
                Effect::Dark,
                format!("{name}, the uplink of {bridge}, is a port of no bridge: instances on {bridge} reach nobody beyond this host"),
            )
            .affecting(scene.names_on(segment))
            .seen(format!("{name} has no master"), "netlink link dump")
            .seen(
                format!("{bridge} has {} ports and none is an uplink", scene.wiring.ports(segment.bridge.index).len()),
                "netlink link dump",
            )
            .seen(wanted.because.clone(), "configuration and names")
            .fixed_by(command(
                scene,
                format!("ip link set {} master {}", quoted(name), quoted(bridge)),
                format!("makes {name} a port of {bridge}"),
                format!("ip link set {} nomaster", quoted(name)),
            )),
        );
    }
    if findings.is_empty() && joined.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || crate::uplink::listed(&joined))
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
