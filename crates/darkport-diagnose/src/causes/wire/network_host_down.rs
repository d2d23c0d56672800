//! `network-host-down`: the VLAN is alive, and nobody on it answers for the gateway.

use std::net::Ipv4Addr;

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Source};

use super::{Beyond, Unanswered, answered, unanswered};
use crate::beyond::Rx;
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;
use crate::uplink::listed;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "network-host-down",
        hop: HopKind::NetworkHost,
        what: "The gateway's address answers nobody: the network host is down, cut off, or has lost the address. Instances on every \
               hypervisor of this network are dark alike; nothing is wrong here.",
        proof: "Questions for the gateway leave and none is answered, while others on the VLAN answer this host or ask for the gateway in vain \
                themselves.",
        fix: "go to the network host: power, its NIC, the bridge, the gateway's address on it; run darkport there",
        reboot_helps: Some(false),
        reboot: "the fault is on another host",
        reference: "RFC 826; nova/network/linux_net.py (the gateway's address is the bridge's on the network host)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let found = unanswered(scene);
    let in_question = |found: &&Unanswered<'_, '_>| matches!(found.beyond, Beyond::Others(_) | Beyond::Frames(Rx::SameVlan | Rx::Unknown));
    let findings: Vec<_> = found.iter().filter(in_question).map(|found| finding(scene, found)).collect();
    match (findings.is_empty(), found.first(), answered(scene)) {
        (false, ..) => Outcome::Found(findings),
        (true, Some(found), _) => Outcome::RuledOut(format!("nothing of the VLAN comes in by {}: it is nearer than that", found.nic.name)),
        (true, None, Some(because)) => Outcome::RuledOut(because),
        (true, None, None) => Outcome::NotApplicable,
    }
}

fn finding(scene: &Scene<'_>, found: &Unanswered<'_, '_>) -> Finding {
    let gateway = found.probe.target;
    let (certainty, beside) = match &found.beyond {
        Beyond::Others(others) => (found.certainty, others_told(others)),
        Beyond::Frames(Rx::SameVlan) => {
            (Certainty::Possible, "frames of the VLAN come in, but whether ours reach their senders is not known".to_owned())
        }
        Beyond::Frames(_) => (Certainty::Possible, "whether anybody else on the VLAN is alive could not be told".to_owned()),
    };
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::NetworkHost,
        gateway.to_string(),
        certainty,
        Effect::Dark,
        format!("nobody answers for the gateway {gateway}, and the wire is alive"),
    );
    found.told(finding, scene).seen(beside, "ARP, asked and overheard").fixed_by(Fix::advice(format!(
        "go to the network host that holds {gateway}: is it up, its NIC, its bridge, the address on it? Other hypervisors' instances must be dark \
         as well; if they are not, look at the switch between"
    )))
}

fn others_told(others: &[Ipv4Addr]) -> String {
    format!("others on the VLAN are alive and without the gateway too, or answer this host: {}", listed(others))
}

#[cfg(test)]
mod tests {
    use crate::testing::{asked, asking_in_vain, count, diagnosed, nova_network, only, overheard_request, passed, silent_gateway};
    use darkport_model::{Certainty, InstanceState, Status, Whom};

    #[test]
    fn others_who_answer_show_that_the_wire_is_alive() {
        let others = |seen: &mut crate::testing::Seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            asked(seen, "10.68.17.7", Whom::Other, &[[2, 0, 0, 0, 0, 7]]);
            passed(seen, "eth1", 25, 40);
        };
        let diagnosis = diagnosed(nova_network(3), |seen| {
            others(seen);
            asking_in_vain(seen, 3, 1);
        });
        assert_eq!(only(&diagnosis, "network-host-down").certainty, Certainty::Likely);
        // Without instances that want it, it may be a gateway that answers no question from 0.0.0.0.
        assert_eq!(only(&diagnosed(nova_network(3), others), "network-host-down").certainty, Certainty::Possible);
    }

    #[test]
    fn others_who_ask_in_vain_show_it_too() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            overheard_request(seen, "eth1.1102", [2, 0, 0, 0, 0, 7], "10.68.17.7", "10.68.16.1");
            seen.probes.heard.arp[0].frames = 2;
        });
        assert_eq!(only(&diagnosis, "network-host-down").certainty, Certainty::Likely);
    }

    #[test]
    fn one_who_asks_once_may_have_been_answered() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            overheard_request(seen, "eth1.1102", [2, 0, 0, 0, 0, 7], "10.68.17.7", "10.68.16.1");
            passed(seen, "eth1", 25, 40);
        });
        assert_ne!(diagnosis.causes.first().map(|cause| cause.certainty), Some(Certainty::Likely), "{}", diagnosis.headline);
    }

    #[test]
    fn without_others_it_is_one_of_several_and_all_are_dark() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            passed(seen, "eth1", 25, 40);
            count(seen.link_mut("eth1.1102"), |last| last.rx_packets += 20);
            asking_in_vain(seen, 3, 1);
        });
        assert_eq!(diagnosis.status, Status::Ambiguous, "{}", diagnosis.headline);
        assert_eq!(only(&diagnosis, "network-host-down").certainty, Certainty::Possible);
        assert!(diagnosis.instances.iter().all(|instance| instance.state == InstanceState::Dark));
        assert_eq!(diagnosis.place.unwrap().at, "wire");
        assert_eq!(diagnosis.reboot.unwrap().helps, None, "nothing is known well enough to advise against one");
    }
}
