//! `switch-silent`: the NIC has carrier and sends, and not one frame comes in.

use darkport_model::{Effect, Finding, Fix, HopKind, Source};

use super::{Beyond, Unanswered, answered, unanswered};
use crate::beyond::Rx;
use crate::check::{Definition, Explanation, Outcome, quoted};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "switch-silent",
        hop: HopKind::Wire,
        what: "The NIC has carrier and sends, but nothing at all comes in: no answer, no broadcast of others. The switch port is isolated, \
               blocked by its own spanning tree or storm control, or the switch itself forwards nothing; a NIC whose receiving side is stuck \
               looks the same from here.",
        proof: "Questions for the gateway leave by the NIC, none is answered, and its receive counter stands still while it has carrier.",
        fix: "look at the switch port; where it is in order, take the NIC down and up",
        reboot_helps: None,
        reboot: "it bounces the link, which revives a stuck NIC and some error-disabled ports; a switch that is broken stays so",
        reference: "linux, Documentation/networking/statistics.rst (rx_packets: good packets received by the interface)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let found = unanswered(scene);
    let findings: Vec<_> =
        found.iter().filter(|found| found.beyond == Beyond::Frames(Rx::Nothing)).map(|found| finding(scene, found)).collect();
    match (findings.is_empty(), found.first(), answered(scene)) {
        (false, ..) => Outcome::Found(findings),
        (true, Some(found), _) => Outcome::RuledOut(format!("{} receives frames", found.nic.name)),
        (true, None, Some(because)) => Outcome::RuledOut(because),
        (true, None, None) => Outcome::NotApplicable,
    }
}

fn finding(scene: &Scene<'_>, found: &Unanswered<'_, '_>) -> Finding {
    let nic = &found.nic.name;
    let sent = found.nic.counters.rise(|count| count.tx_packets).unwrap_or_default();
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Wire,
        "wire",
        found.certainty,
        Effect::Dark,
        format!("{nic} has carrier and sends, and nothing comes in from the switch"),
    );
    found.told(finding, scene).seen(format!("{nic} sent {sent} frames in the window and received none"), "netlink counters, two looks").fixed_by(
        Fix::advice(format!(
            "look at the switch port of {nic}: isolated, blocked by spanning tree, error-disabled? If it is in order there, the NIC is stuck: \
             `ip link set {0} down; ip link set {0} up` (it cuts off everything else on {nic} for seconds)",
            quoted(nic)
        )),
    )
}

#[cfg(test)]
mod tests {
    use crate::testing::{asked, diagnosed, healthy, nova_network, only, passed, silent_gateway};
    use darkport_model::{HopKind, Whom};

    #[test]
    fn a_nic_that_hears_nothing_while_the_gateway_is_silent() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            passed(seen, "eth1", 0, 40);
        });
        let cause = only(&diagnosis, "switch-silent");
        assert_eq!((cause.hop, cause.explains.len()), (HopKind::Wire, 3));
    }

    #[test]
    fn a_quiet_network_whose_gateway_answers_is_healthy() {
        healthy(&diagnosed(nova_network(3), |seen| {
            asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
            passed(seen, "eth1", 0, 40);
        }));
    }

    #[test]
    fn what_stops_the_question_on_this_host_is_named_instead() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102"]);
            seen.link_mut("eth1.1102").master = None;
        });
        only(&diagnosis, "uplink-not-in-bridge");
    }
}
