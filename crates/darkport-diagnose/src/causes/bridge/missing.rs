//! `bridge-missing`: the bridge that instances belong in does not exist.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, quoted, step};
use crate::scene::Scene;
use crate::wanted::has_foreign_switch;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "bridge-missing",
        hop: HopKind::Bridge,
        what: "The bridge that instances belong in was deleted or renamed: their taps are ports of nothing, and so is the uplink.",
        proof: "Domains' XML names a bridge, no interface has that name, and the taps have no master.",
        fix: "make the bridge again, then put uplink and taps into it",
        reboot_helps: Some(true),
        reboot: "the network configuration would make the bridge again; by hand it takes a few commands and no instance is stopped",
        reference: "linux, net/bridge/br_if.c (br_dev_delete)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    if has_foreign_switch(&scene.wiring) {
        return Outcome::NotApplicable;
    }
    let mut gone: Vec<(&str, Vec<(&str, String)>)> = Vec::new();
    let mut there = 0;
    for subject in scene.running() {
        for nic in &subject.nics {
            let (Some(tap), Some(wanted)) = (nic.live_tap(), nic.wanted_bridge) else { continue };
            if scene.wiring.named(&wanted.value).is_some() || tap.master.is_some() {
                there += 1;
                continue;
            }
            let orphan = (tap.name.as_str(), subject.name.clone());
            match gone.iter_mut().find(|(bridge, _)| *bridge == wanted.value) {
                Some((_, orphans)) => orphans.push(orphan),
                None => gone.push((&wanted.value, vec![orphan])),
            }
        }
    }
    if gone.is_empty() && there == 0 {
        return Outcome::NotApplicable;
    }
    let findings = gone.into_iter().map(|(bridge, orphans)| finding(scene, bridge, &orphans)).collect();
    Outcome::found_or(findings, || "the bridges that instances belong in exist".to_owned())
}

fn finding(scene: &Scene<'_>, bridge: &str, orphans: &[(&str, String)]) -> Finding {
    let name = quoted(bridge);
    let make = format!("ip link add name {name} type bridge forward_delay 0 && ip link set {name} up");
    let mut steps = vec![step(scene, make, format!("makes {bridge} anew"), Some(format!("ip link del {name}")))];
    let intents = scene.seen.inventory.intents.iter().filter(|intent| intent.bridge == bridge);
    let uplinks = intents.filter_map(|intent| scene.wiring.named(&intent.uplink)).map(|link| link.name.as_str());
    for port in uplinks.chain(orphans.iter().map(|(tap, _)| *tap)) {
        let port_word = quoted(port);
        let join = format!("ip link set {port_word} master {name}");
        steps.push(step(scene, join, format!("makes {port} a port of {bridge}"), Some(format!("ip link set {port_word} nomaster"))));
    }
    Finding::new(
        CAUSE.explanation.code,
        HopKind::Bridge,
        bridge,
        Certainty::Proven,
        Effect::Dark,
        format!("the bridge {bridge}, which {} instances belong in, does not exist", orphans.len()),
    )
    .affecting(orphans.iter().map(|(_, instance)| instance.clone()).collect())
    .seen(format!("no interface is called {bridge}"), "netlink link dump")
    .seen(
        format!("the taps of its instances have no master, {} first", orphans.first().map_or("none", |(tap, _)| tap)),
        "netlink link dump",
    )
    .fixed_by(Fix::steps(steps))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, nova_network, only};

    #[test]
    fn a_deleted_bridge_is_made_again_before_its_ports_join() {
        let diagnosis = diagnosed(nova_network(2), |seen| {
            seen.links.retain(|link| link.name != "br1102");
            for link in &mut seen.links {
                link.master = None;
            }
        });
        let cause = only(&diagnosis, "bridge-missing");
        assert_eq!(cause.explains.len(), 2);
        let runs: Vec<_> = cause.fix.steps.iter().map(|step| step.run.as_str()).collect();
        assert!(runs[0].starts_with("ip link add name br1102 type bridge"), "{runs:?}");
        assert_eq!(runs[1..3], ["ip link set eth1.1102 master br1102", "ip link set vnet0 master br1102"]);
    }
}
