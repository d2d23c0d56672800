//! `uplink-in-wrong-bridge`: the uplink is a port of another bridge than the instances.

use darkport_model::{Effect, Finding, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "uplink-in-wrong-bridge",
        hop: HopKind::UplinkPort,
        what: "The device that carries the instances' VLAN is a port, but of another bridge than the one with their taps.",
        proof: "The uplink's master is not the bridge that the configuration (or the bridge's own number) wants, and that bridge has no uplink.",
        fix: "ip link set UPLINK master BRIDGE",
        reboot_helps: Some(true),
        reboot: "it would apply the network configuration again; moving the port takes a second",
        reference: "linux, net/bridge/br_if.c; nova 2014.1.4, nova/network/linux_net.py (\"is already a member of a bridge\")",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut right = 0;
    for segment in &scene.segments {
        if !segment.uplinks.is_empty() {
            right += 1;
            continue;
        }
        let Some((wanted, uplink)) = segment.wanted.as_ref().and_then(|wanted| Some((wanted, wanted.link?))) else { continue };
        let Some(other) = scene.wiring.bridge_of(uplink).filter(|other| other.index != segment.bridge.index) else { continue };
        let (name, bridge) = (&uplink.name, &segment.bridge.name);
        findings.push(
            Finding::new(
                CAUSE.explanation.code,
                HopKind::UplinkPort,
                name,
                wanted.certainty,
                segment.effect(),
                format!("{name}, the uplink of {bridge}, is a port of {} instead", other.name),
            )
            .affecting(scene.names_on(segment))
            .seen(format!("the master of {name} is {}", other.name), "netlink link dump")
            .seen(wanted.because.clone(), "configuration and names")
            .fixed_by(command(
                scene,
                format!("ip link set {} master {}", quoted(name), quoted(bridge)),
                format!("moves {name} from {} to {bridge}", other.name),
                format!("ip link set {} master {}", quoted(name), quoted(&other.name)),
            )),
        );
    }
    if findings.is_empty() && right == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || {
        format!("{right} of {} bridges with instances have an uplink, and no other's is in a wrong one", scene.segments.len())
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, nova_network, only};

    #[test]
    fn an_uplink_in_another_bridge_is_moved_back() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            let other = seen.add_bridge("br9");
            seen.link_mut("eth1.1102").master = Some(other);
        });
        let cause = only(&diagnosis, "uplink-in-wrong-bridge");
        assert_eq!(cause.fix.steps[0].run, "ip link set eth1.1102 master br1102");
        assert_eq!(cause.explains.len(), 3);
    }
}
