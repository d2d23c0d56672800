//! `tap-not-in-bridge`: the tap is a port of no bridge.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Link, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::{Scene, cited};
use crate::subject::{Attachment, xml_knows};
use crate::wiring::is_bridge;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "tap-not-in-bridge",
        hop: HopKind::Tap,
        what: "The instance's tap is a port of no bridge: whatever it sends ends at the host. Happens when a bridge is deleted and made again \
               (a network restart, NetworkManager, networkd): restarting nova does not put old taps back, a new instance works.",
        proof: "The tap has no master, while the domain's XML names a bridge (or the other instances' taps share one).",
        fix: "ip link set TAP master BRIDGE",
        reboot_helps: None,
        reboot: "it stops every instance, and starts those that are set to start at boot; putting the tap back takes a second",
        reference: "linux, net/bridge/br_if.c; libvirt commit 85bcc022; ganeti issue 336",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut attached = 0;
    for subject in scene.running() {
        for nic in &subject.nics {
            let Some(tap) = nic.live_tap() else { continue };
            if tap.master.is_some() {
                attached += 1;
                continue;
            }
            let Some((bridge, because, certainty)) = home(scene, nic) else {
                findings.extend(homeless(scene, nic, tap, &subject.name));
                continue;
            };
            let summary = format!("{}, the tap of {}, is a port of no bridge; it belongs in {bridge}", tap.name, subject.name);
            findings.push(
                Finding::new(CAUSE.explanation.code, HopKind::Tap, &tap.name, certainty, Effect::Dark, summary)
                    .affecting(vec![subject.name.clone()])
                    .seen(format!("{} has no master", tap.name), "netlink link dump")
                    .seen(because, "inventory")
                    .fixed_by(command(
                        scene,
                        format!("ip link set {} master {}", quoted(&tap.name), quoted(&bridge)),
                        format!("makes {} a port of {bridge}", tap.name),
                        format!("ip link set {} nomaster", quoted(&tap.name)),
                    )),
            );
        }
    }
    if findings.is_empty() && attached == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("all {attached} taps are ports of a bridge"))
}

/// A tap that is in no bridge, of which nothing says where it belongs: it may be routed, or cut off.
fn homeless(scene: &Scene<'_>, nic: &Attachment<'_>, tap: &Link, instance: &str) -> Option<Finding> {
    let routed = scene.wiring.is_addressed(tap)
        || scene.seen.routes.iter().any(|route| {
            route.link == Some(tap.index) && route.destination.length() > 0 && route.table == 254 && route.destination.address().is_ipv4()
        });
    let told = nic.wanted_bridge.is_some() || nic.tap_name.is_none_or(xml_knows);
    (!routed && !told).then(|| {
        let name = &tap.name;
        Finding::new(
            CAUSE.explanation.code,
            HopKind::Tap,
            name,
            Certainty::Possible,
            Effect::Dark,
            format!("{name}, the tap of {instance}, is a port of no bridge, and nothing here says which it belongs in"),
        )
        .affecting(vec![instance.to_owned()])
        .seen(format!("{name} has no master"), "netlink link dump")
        .fixed_by(Fix::advice(format!("find the instance's bridge, then: ip link set {} master BRIDGE", quoted(name))))
    })
}

/// The bridge that a lone tap belongs in: its domain's word, or else the one that all other instances share.
fn home(scene: &Scene<'_>, nic: &Attachment<'_>) -> Option<(String, String, Certainty)> {
    if let Some(wanted) = nic.wanted_bridge {
        // A switch of another kind, or a bridge that is gone, is another cause's matter.
        scene.wiring.named(&wanted.value).filter(|link| is_bridge(link))?;
        return Some((wanted.value.clone(), format!("it ought to be in {}", cited(wanted)), Certainty::Proven));
    }
    // A domain whose XML names no bridge is routed, or wired by somebody else; so is a tap with an address.
    let tap = nic.tap?;
    if nic.tap_name.is_none_or(xml_knows) || scene.wiring.is_addressed(tap) {
        return None;
    }
    let [only] = scene.segments.as_slice() else { return None };
    // One that is there by itself shows no custom.
    let siblings = scene.members(only).filter(|(subject, _)| subject.instance.is_some()).count();
    let name = &only.bridge.name;
    (siblings > 1).then(|| (name.clone(), format!("every other instance's tap is in {name}"), Certainty::Likely))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only};
    use darkport_model::{Fact, FactSource, Status};

    #[test]
    fn a_detached_tap_darkens_its_own_instance() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.link_mut("vnet1").master = None);
        let cause = only(&diagnosis, "tap-not-in-bridge");
        assert_eq!(cause.explains, ["instance-00000002"]);
        assert_eq!(cause.fix.steps[0].run, "ip link set vnet1 master br1102");
    }

    #[test]
    fn many_detached_taps_are_one_cause() {
        let diagnosis = diagnosed(nova_network(4), |seen| {
            seen.link_mut("vnet1").master = None;
            seen.link_mut("vnet2").master = None;
        });
        assert_eq!(only(&diagnosis, "tap-not-in-bridge").fix.steps.len(), 2);
    }

    #[test]
    fn a_lone_tap_of_which_nothing_is_known_leaves_the_answer_open() {
        let alone = |seen: &mut crate::testing::Seen| {
            seen.link_mut("vnet0").master = None;
            let nic = &mut seen.inventory.instances[0].nics[0];
            nic.bridge = None;
            nic.tap = Some(Fact::new("vnet0".into(), FactSource::TunOwner, "/proc/7/fdinfo/3"));
        };
        assert_eq!(diagnosed(nova_network(1), alone).status, Status::Undetermined);
        healthy(&diagnosed(nova_network(1), |seen| {
            alone(seen);
            crate::testing::with_address(seen, "vnet0", "10.0.0.1/32");
        }));
    }

    #[test]
    fn an_instance_that_is_off_needs_no_bridge() {
        healthy(&diagnosed(nova_network(3), |seen| {
            seen.link_mut("vnet1").master = None;
            seen.stop("instance-00000002");
        }));
    }
}
