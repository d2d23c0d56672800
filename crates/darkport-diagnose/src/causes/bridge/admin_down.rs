//! `bridge-admin-down`: somebody set the bridge down.

use darkport_model::{Certainty, Effect, Finding, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::Scene;
use crate::uplink::listed;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "bridge-admin-down",
        hop: HopKind::Bridge,
        what: "The bridge is administratively down: it disables all its ports, and nothing passes.",
        proof: "The bridge has no IFF_UP, and running instances are on it.",
        fix: "ip link set BRIDGE up",
        reboot_helps: Some(true),
        reboot: "the network configuration would set it up; doing so by hand takes a second",
        reference: "linux, net/bridge/br_device.c (br_dev_stop), br_stp_if.c (br_stp_disable_bridge)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    if scene.segments.is_empty() {
        return Outcome::NotApplicable;
    }
    let down = scene.segments.iter().filter(|segment| !segment.bridge.admin_up);
    let findings = down.map(|segment| {
        let name = &segment.bridge.name;
        Finding::new(
            CAUSE.explanation.code,
            HopKind::Bridge,
            name,
            Certainty::Proven,
            Effect::Dark,
            format!("the bridge {name} is set down"),
        )
        .affecting(scene.names_on(segment))
        .seen(format!("{name} is administratively down"), "netlink link dump")
        .fixed_by(command(
            scene,
            format!("ip link set {} up", quoted(name)),
            format!("sets {name} up; its ports start to forward"),
            format!("ip link set {} down", quoted(name)),
        ))
    });
    let names: Vec<_> = scene.segments.iter().map(|segment| segment.bridge.name.as_str()).collect();
    Outcome::found_or(findings.collect(), || format!("up: {}", listed(&names)))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only};

    #[test]
    fn a_bridge_that_is_down_darkens_all_on_it() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.link_mut("br1102").admin_up = false);
        assert_eq!(only(&diagnosis, "bridge-admin-down").explains.len(), 3);
    }

    #[test]
    fn an_unused_bridge_may_be_down() {
        healthy(&diagnosed(nova_network(3), |seen| {
            seen.add_bridge("br9");
            seen.link_mut("br9").admin_up = false;
        }));
    }
}
