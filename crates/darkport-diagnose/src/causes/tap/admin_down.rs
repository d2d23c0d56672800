//! `tap-admin-down`: somebody set the tap down.

use darkport_model::{Certainty, Effect, Finding, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "tap-admin-down",
        hop: HopKind::Tap,
        what: "The instance's tap is administratively down: nothing goes through it in either direction.",
        proof: "The tap has no IFF_UP while its instance runs, and libvirt was not told to keep the link down.",
        fix: "ip link set TAP up",
        reboot_helps: None,
        reboot: "it stops every instance, and starts those that are set to start at boot; setting the tap up takes a second",
        reference: "linux, net/core/dev.c (__dev_close_many)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut up = 0;
    for subject in scene.running() {
        for tap in subject.live_taps() {
            if tap.admin_up {
                up += 1;
                continue;
            }
            let summary = format!("{}, the tap of {}, is set down", tap.name, subject.name);
            findings.push(
                Finding::new(CAUSE.explanation.code, HopKind::Tap, &tap.name, Certainty::Proven, Effect::Dark, summary)
                    .affecting(vec![subject.name.clone()])
                    .seen(format!("{} is administratively down", tap.name), "netlink link dump")
                    .fixed_by(command(
                        scene,
                        format!("ip link set {} up", quoted(&tap.name)),
                        format!("sets {} up", tap.name),
                        format!("ip link set {} down", quoted(&tap.name)),
                    )),
            );
        }
    }
    if findings.is_empty() && up == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("all {up} taps are up"))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only};
    use darkport_model::{Carrier, Fact, FactSource};

    #[test]
    fn a_tap_that_is_down_is_not_also_said_to_lack_a_reader() {
        let diagnosis = diagnosed(nova_network(2), |seen| {
            let tap = seen.link_mut("vnet0");
            tap.admin_up = false;
            tap.carrier = Carrier::Down;
        });
        assert_eq!(only(&diagnosis, "tap-admin-down").explains, ["instance-00000001"]);
    }

    #[test]
    fn a_link_that_libvirt_keeps_down_is_no_fault() {
        healthy(&diagnosed(nova_network(2), |seen| {
            seen.link_mut("vnet0").admin_up = false;
            seen.inventory.instances[0].nics[0].link_down = Some(Fact::new(true, FactSource::LiveXml, "i.xml"));
        }));
    }
}
