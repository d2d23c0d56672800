//! `tap-wrong-bridge`: the tap is a port of another bridge than its domain asks for.

use darkport_model::{Certainty, Effect, Finding, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::ports::firewall_bridge_way_up;
use crate::scene::{Scene, cited};
use crate::wiring::is_bridge;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "tap-wrong-bridge",
        hop: HopKind::Tap,
        what: "The instance's tap is a port of another bridge than its domain asks for: it is on somebody else's network.",
        proof: "The tap's master is not the bridge of the domain's XML, and does not lead there either.",
        fix: "ip link set TAP master BRIDGE",
        reboot_helps: None,
        reboot: "it stops every instance, and starts those that are set to start at boot; moving the tap takes a second",
        reference: "linux, net/bridge/br_if.c; libvirt, formatdomain: bridge to LAN",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut right = 0;
    for subject in scene.running() {
        for nic in &subject.nics {
            let (Some(tap), Some(wanted)) = (nic.live_tap(), nic.wanted_bridge) else { continue };
            // A tap on a switch of another kind (Open vSwitch, a VRF) is wired by rules that are not looked at here.
            let Some(bridge) = scene.wiring.bridge_of(tap) else { continue };
            let bridge_is_there = scene.wiring.named(&wanted.value).is_some_and(is_bridge);
            let firewall = firewall_bridge_way_up(&bridge.name).is_some();
            if !bridge_is_there || firewall || scene.bridges_from(bridge).iter().any(|passed| passed.name == wanted.value) {
                right += 1;
                continue;
            }
            let summary =
                format!("{}, the tap of {}, is a port of {} and belongs in {}", tap.name, subject.name, bridge.name, wanted.value);
            findings.push(
                Finding::new(CAUSE.explanation.code, HopKind::Tap, &tap.name, Certainty::Proven, Effect::Dark, summary)
                    .affecting(vec![subject.name.clone()])
                    .seen(format!("the master of {} is {}", tap.name, bridge.name), "netlink link dump")
                    .seen(format!("it ought to be in {}", cited(wanted)), "inventory")
                    .fixed_by(command(
                        scene,
                        format!("ip link set {} master {}", quoted(&tap.name), quoted(&wanted.value)),
                        format!("moves {} from {} to {}", tap.name, bridge.name, wanted.value),
                        format!("ip link set {} master {}", quoted(&tap.name), quoted(&bridge.name)),
                    )),
            );
        }
    }
    if findings.is_empty() && right == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("all {right} taps whose bridge is known are in it"))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, nova_network, only};

    #[test]
    fn a_tap_in_another_bridge_is_moved_back() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            let other = seen.add_bridge("br9");
            seen.link_mut("vnet2").master = Some(other);
        });
        let cause = only(&diagnosis, "tap-wrong-bridge");
        assert_eq!(cause.explains, ["instance-00000003"]);
        assert_eq!(cause.fix.steps[0].undo.as_deref(), Some("ip link set vnet2 master br9"));
    }
}
