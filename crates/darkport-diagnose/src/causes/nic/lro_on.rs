//! `lro-on-bridged-nic`: the NIC merges received packets, which a bridge cannot pass on.

use darkport_model::{Certainty, Effect, Finding, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::Scene;
use crate::uplink::Chain;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "lro-on-bridged-nic",
        hop: HopKind::Nic,
        what: "Large receive offload is on at a NIC below a bridge: packets that the NIC merged are too large for instances' taps and are dropped or come \
               through at a crawl. Kernels from 4.4 on keep it off below a bridge by themselves; older ones let it be set again.",
        proof: "ethtool shows the feature rx-lro on.",
        fix: "ethtool -K NIC lro off",
        reboot_helps: Some(true),
        reboot: "joining the bridge turns it off at boot; turning it off by hand takes a second",
        reference: "linux, net/core/dev.c (dev_disable_lro, netdev_sync_upper_features), net/bridge/br_forward.c (skb_warn_if_lro)",
    },
    needs: &[Source::Links, Source::Ethtool],
    worst: Effect::Degraded,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut off = Vec::new();
    for segment in &scene.segments {
        for link in segment.ways().flat_map(Chain::all) {
            let name = &link.name;
            match scene.seen.host.ethtool.get(name).and_then(|told| told.features.get("rx-lro")) {
                Some(true) => findings.push(
                    Finding::new(
                        CAUSE.explanation.code,
                        Chain::hop(link),
                        name,
                        Certainty::Likely,
                        Effect::Degraded,
                        format!("{name} merges received packets (LRO), and {} cannot pass those on", segment.bridge.name),
                    )
                    .affecting(scene.names_on(segment))
                    .seen(format!("feature rx-lro of {name} is on"), "ethtool")
                    .fixed_by(command(
                        scene,
                        format!("ethtool -K {} lro off", quoted(name)),
                        format!("{name} stops merging received packets"),
                        format!("ethtool -K {} lro on", quoted(name)),
                    )),
                ),
                Some(false) => off.push(name.as_str()),
                None => {}
            }
        }
    }
    if findings.is_empty() && off.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("LRO is off on {}", crate::uplink::listed(&off)))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, nova_network, only};
    use darkport_model::Ethtool;

    #[test]
    fn lro_below_a_bridge_is_turned_off() {
        let diagnosis = diagnosed(nova_network(2), |seen| {
            let mut told = Ethtool::default();
            told.features.insert("rx-lro".into(), true);
            seen.host.ethtool.insert("eth1".into(), told);
        });
        assert_eq!(only(&diagnosis, "lro-on-bridged-nic").fix.steps[0].run, "ethtool -K eth1 lro off");
    }
}
