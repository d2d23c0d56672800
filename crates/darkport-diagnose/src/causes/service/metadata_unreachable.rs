//! `metadata-unreachable`: the gateway is reached, and 169.254.169.254 is not.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Source, TestKind};

use super::{nova_servers, played};
use crate::check::{Definition, Explanation, Outcome};
use crate::played::test;
use crate::scene::Scene;

/// So many connections are not all lost by chance where one packet in twenty is.
const ENOUGH: u32 = 3;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "metadata-unreachable",
        hop: HopKind::NetworkHost,
        what: "The metadata service does not take connections from instances: nova-api-metadata is down, or the network host's DNAT of \
               169.254.169.254:80 is gone. Instances that run are not touched; new ones come up without keys and names.",
        proof: "A played instance reaches the gateway by ping, and no connection to 169.254.169.254, port 80, is taken.",
        fix: "on the network host: iptables -t nat -S nova-network-PREROUTING; is something listening on the port it leads to (8775)?",
        reboot_helps: Some(false),
        reboot: "the fault is on the network host",
        reference: "nova/network/linux_net.py (metadata_forward: DNAT of 169.254.169.254/32, port 80, to metadata_host:metadata_port)",
    },
    needs: &[Source::Links],
    worst: Effect::None,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let (mut findings, mut taken) = (Vec::new(), 0);
    for (segment, run) in played(scene) {
        let reached = test(run, TestKind::PingGateway).is_some_and(|test| test.passed > 0);
        // Only nova's instances count on it.
        let Some(metadata) = test(run, TestKind::Metadata).filter(|_| reached && !nova_servers(scene, segment).is_empty()) else {
            continue;
        };
        taken += usize::from(metadata.passed > 0);
        if !metadata.failed() || metadata.tries < ENOUGH {
            continue;
        }
        let finding = Finding::new(
            CAUSE.explanation.code,
            HopKind::NetworkHost,
            "169.254.169.254",
            Certainty::Likely,
            Effect::None,
            format!("the metadata service takes no connection from {}, though the gateway answers there", segment.bridge.name),
        )
        .affecting(scene.names_on(segment))
        .seen(format!("{} connections to 169.254.169.254, port 80: {}", metadata.tries, metadata.detail), "TCP, as an instance");
        findings.push(finding.fixed_by(Fix::advice(
            "on the network host: iptables -t nat -S | grep 169.254.169.254, and whether something listens on the port that it leads to (nova-api-metadata, 8775)",
        )));
    }
    match (findings.is_empty(), taken) {
        (false, _) => Outcome::Found(findings),
        (true, 0) => Outcome::NotApplicable,
        (true, _) => Outcome::RuledOut("the metadata service takes connections".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use darkport_model::{ExitCode, TestKind};

    use crate::testing::{diagnosed, healthy, nova_network, of_nova, only, plays};

    const REFUSED: [(TestKind, u32, u32); 3] = [(TestKind::ArpGateway, 5, 5), (TestKind::PingGateway, 5, 5), (TestKind::Metadata, 5, 0)];

    #[test]
    fn the_gateway_is_reached_and_the_service_is_not() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            of_nova(seen);
            plays(seen, &REFUSED);
        });
        only(&diagnosis, "metadata-unreachable");
        assert_eq!(ExitCode::of(&diagnosis), ExitCode::Warning, "no instance is cut off");
    }

    #[test]
    fn who_knows_no_metadata_misses_none() {
        healthy(&diagnosed(nova_network(3), |seen| plays(seen, &REFUSED)));
        healthy(&diagnosed(nova_network(3), |seen| {
            of_nova(seen);
            plays(seen, &[(TestKind::ArpGateway, 5, 5), (TestKind::PingGateway, 5, 5), (TestKind::Metadata, 0, 0)]);
        }));
    }
}
