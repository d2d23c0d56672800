//! `stp-port-blocked`: a port is kept from passing frames.

use darkport_model::{Certainty, Effect, Finding, HopKind, Link, LinkKind, Source, StpState};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::Scene;
use crate::uplink::{Obstacle, is_shut};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "stp-port-blocked",
        hop: HopKind::UplinkPort,
        what: "A bridge port that instances need is not forwarding: the spanning tree keeps it shut because it sees a loop or a better root, \
               or somebody set its state by hand.",
        proof: "The port's state is blocking, or is listening or learning while no spanning tree runs; and no other uplink forwards.",
        fix: "Find the loop or the new root; where no spanning tree runs, bridge link set dev PORT state 3.",
        reboot_helps: None,
        reboot: "a spanning tree would come to the same answer again; a state set by hand is gone after it, and mended in a second",
        reference: "linux, net/bridge/br_stp.c; include/uapi/linux/if_bridge.h (BR_STATE_*)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    for segment in &scene.segments {
        if segment.is_cut() {
            for obstacle in segment.ways().flat_map(|chain| &chain.obstacles) {
                if let Obstacle::Shut(port) = obstacle {
                    let (certainty, effect) = (segment.certainty(), segment.effect());
                    findings.push(finding(scene, port, HopKind::UplinkPort, scene.names_on(segment), certainty, effect));
                }
            }
        }
        for (subject, nic) in scene.members(segment) {
            let shut = |tap: &&Link| tap.master == Some(segment.bridge.index) && is_shut(tap, segment.bridge);
            if let Some(tap) = nic.live_tap().filter(shut) {
                findings.push(finding(scene, tap, HopKind::TapPort, vec![subject.name.clone()], Certainty::Proven, Effect::Dark));
            }
        }
    }
    if findings.is_empty() && scene.segments.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || "no instance's port is shut, and no bridge's only way out".to_owned())
}

fn finding(scene: &Scene<'_>, port: &Link, hop: HopKind, affects: Vec<String>, certainty: Certainty, effect: Effect) -> Finding {
    let master = scene.wiring.bridge_of(port);
    let bridge = master.map_or("its bridge", |bridge| bridge.name.as_str());
    let stp = matches!(master.map(|bridge| &bridge.kind), Some(LinkKind::Bridge { stp: true, .. }));
    let state = port.port.as_ref().map(|port| format!("{:?}", port.state).to_lowercase()).unwrap_or_default();
    let name = &port.name;
    let fix = if stp {
        command(
            scene,
            format!("ip link set {} type bridge stp_state 0", quoted(bridge)),
            format!("turns spanning tree off on {bridge}: only after the second way to the same network is unplugged, or it loops"),
            format!("ip link set {} type bridge stp_state 1", quoted(bridge)),
        )
        .and("first find why the spanning tree shuts the port: a loop (a second cable or a guest that bridges) or a better root")
    } else {
        command(
            scene,
            format!("bridge link set dev {} state 3", quoted(name)),
            format!("lets {name} forward"),
            format!("bridge link set dev {} state {}", quoted(name), number(port)),
        )
    };
    let summary = if stp {
        format!("spanning tree keeps {name}, a port of {bridge}, shut")
    } else {
        format!("{name}, a port of {bridge}, was set to {state} by hand")
    };
    Finding::new(CAUSE.explanation.code, hop, name, certainty, effect, summary)
        .affecting(affects)
        .seen(format!("the state of {name} is {state}"), "netlink link dump")
        .seen(format!("spanning tree on {bridge} is {}", if stp { "on" } else { "off" }), "netlink link dump")
        .fixed_by(fix)
}

/// `BR_STATE_*` of a port, for the command that takes the fix back.
fn number(port: &Link) -> u8 {
    match port.port.as_ref().map(|port| port.state) {
        Some(StpState::Listening) => 1,
        Some(StpState::Learning) => 2,
        Some(StpState::Forwarding) => 3,
        Some(StpState::Blocking) => 4,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only};
    use darkport_model::{HopKind, LinkKind, StpState};

    #[test]
    fn a_blocked_uplink_darkens_all() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.port_mut("eth1.1102").state = StpState::Blocking);
        let cause = only(&diagnosis, "stp-port-blocked");
        assert_eq!((cause.hop, cause.explains.len()), (HopKind::UplinkPort, 3));
        assert_eq!(cause.fix.steps[0].run, "bridge link set dev eth1.1102 state 3");
    }

    #[test]
    fn a_tap_that_is_still_learning_is_on_its_way() {
        healthy(&diagnosed(nova_network(3), |seen| {
            if let LinkKind::Bridge { stp, .. } = &mut seen.link_mut("br1102").kind {
                *stp = true;
            }
            seen.port_mut("vnet1").state = StpState::Learning;
        }));
    }

    #[test]
    fn the_configured_uplink_may_not_be_in_favour_of_another() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            seen.add_uplink("br1102", "eth2");
            seen.port_mut("eth1.1102").state = StpState::Blocking;
        });
        assert_eq!(only(&diagnosis, "stp-port-blocked").certainty, darkport_model::Certainty::Likely);
    }

    #[test]
    fn one_of_two_uplinks_may_be_blocked() {
        healthy(&diagnosed(nova_network(3), |seen| {
            seen.inventory.intents.clear();
            seen.add_uplink("br1102", "eth2");
            seen.port_mut("eth1.1102").state = StpState::Blocking;
        }));
    }
}
