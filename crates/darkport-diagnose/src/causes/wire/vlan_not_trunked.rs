//! `vlan-not-trunked`: the switch does not carry the instances' VLAN on this port.

use darkport_model::{Effect, Finding, Fix, HopKind, Source};

use super::{Beyond, Unanswered, answered, unanswered};
use crate::beyond::Rx;
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "vlan-not-trunked",
        hop: HopKind::Wire,
        what: "The switch port does not carry the instances' VLAN any more: tagged frames leave and are thrown away, and none of that VLAN \
               comes in, while other frames do. A NIC that filters VLANs in hardware and lost this one from its table looks nearly the same: \
               there the frames do arrive at the port.",
        proof: "Questions for the gateway leave with the tag and none is answered; the NIC receives frames, the VLAN device, which received \
                before, none.",
        fix: "have the VLAN allowed on the switch port",
        reboot_helps: Some(false),
        reboot: "the switch's configuration outlives it; it helps only where the NIC's own VLAN filter is what lost the VLAN",
        reference: "IEEE 802.1Q-2022, 8.6.2 (ingress: frames of a VLAN that the port is not a member of are discarded)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let found = unanswered(scene);
    let findings: Vec<_> =
        found.iter().filter(|found| found.beyond == Beyond::Frames(Rx::OtherVlans)).map(|found| finding(scene, found)).collect();
    match (findings.is_empty(), found.first(), answered(scene)) {
        (false, ..) => Outcome::Found(findings),
        (true, Some(found), _) if matches!(found.beyond, Beyond::Frames(Rx::SameVlan) | Beyond::Others(_)) => {
            Outcome::RuledOut(format!("frames of the VLAN come in by {}", found.nic.name))
        }
        (true, Some(found), _) => Outcome::RuledOut(format!("{} receives nothing of other VLANs either", found.nic.name)),
        (true, None, Some(because)) => Outcome::RuledOut(because),
        (true, None, None) => Outcome::NotApplicable,
    }
}

fn finding(scene: &Scene<'_>, found: &Unanswered<'_, '_>) -> Finding {
    let nic = &found.nic.name;
    let vlan = found.vid.map_or_else(|| "the VLAN".to_owned(), |vid| format!("VLAN {vid}"));
    let came = found.nic.counters.rise(|count| count.rx_packets).unwrap_or_default();
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Wire,
        "wire",
        found.certainty,
        Effect::Dark,
        format!("the switch does not carry {vlan} on the port of {nic}: frames leave with the tag, none comes back"),
    );
    let driver = scene.seen.host.ethtool.get(nic);
    let filters = driver.and_then(|told| told.features.get("rx-vlan-filter")).is_some_and(|on| *on);
    let rival = if filters {
        format!(
            "; {nic} filters VLANs in hardware: if the switch does send {vlan}, that table lost it, and `ethtool -K {nic} rx-vlan-filter off` shows it"
        )
    } else {
        String::new()
    };
    found
        .told(finding, scene)
        .seen(
            format!("{nic} received {came} frames in the window, none of them of {vlan}, of which there were some before"),
            "netlink counters, two looks",
        )
        .fixed_by(Fix::advice(format!("have {vlan} allowed on the switch port that {nic} is plugged into{rival}")))
}

#[cfg(test)]
mod tests {
    use crate::testing::{count, diagnosed, nova_network, only, passed, silent_gateway};

    #[test]
    fn other_frames_come_in_but_none_of_this_vlan() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            passed(seen, "eth1", 25, 40);
            seen.link_mut("eth1.1102").counters.first.rx_packets = 9000;
            count(seen.link_mut("eth1.1102"), |last| last.tx_packets += 40);
        });
        let cause = only(&diagnosis, "vlan-not-trunked");
        assert!(cause.summary.contains("VLAN 1102 on the port of eth1"), "{}", cause.summary);
    }
}
