//! `proxy-arp-hijack`: one station answers for many others' addresses.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Source, Whom};

use super::{MANY, impostors, place, told};
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;
use crate::uplink::listed;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "proxy-arp-hijack",
        hop: HopKind::Wire,
        what: "One station answers ARP for the addresses of many others: proxy ARP switched on where it must not be, or a guest that takes the whole \
               network's traffic.",
        proof: "Questions for three or more instances' addresses are answered from one hardware address that is none of theirs. The proxy ARP of Linux \
                itself answers no question from 0.0.0.0, which is where ours come from, and is not seen.",
        fix: "on that station: sysctl net.ipv4.conf.DEV.proxy_arp=0; a guest that does it on purpose is to be stopped",
        reboot_helps: Some(false),
        reboot: "the other station goes on",
        reference: "RFC 1027; linux, net/ipv4/arp.c (arp_process: a question from 0.0.0.0 is answered for local addresses only)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    if scene.seen.probes.arp.is_empty() {
        return Outcome::NotApplicable;
    }
    let mut findings = Vec::new();
    for (mac, answers) in impostors(scene).into_iter().filter(|(_, answers)| answers.len() >= MANY) {
        let Some((_, first)) = answers.first() else { continue };
        let (hop, at) = place(scene, first);
        let names: Vec<String> = answers.iter().filter_map(|(probe, _)| whose(&probe.whom)).collect();
        let alone = answers.iter().all(|(probe, _)| probe.answers.len() == 1);
        let finding = Finding::new(
            CAUSE.explanation.code,
            hop,
            at.clone(),
            Certainty::Proven,
            if alone { Effect::Dark } else { Effect::Degraded },
            format!("{} answers for the addresses of {}", told(scene, first), listed(&names)),
        );
        let finding = answers.iter().take(4).fold(finding, |finding, (probe, answer)| {
            finding.seen(format!("{} is at {}", probe.target, told(scene, answer)), "ARP, traced")
        });
        let advice = format!("find the one with {mac} (at {at}) and turn proxy ARP off there, or stop it");
        findings.push(finding.affecting(names).fixed_by(Fix::advice(advice)));
    }
    Outcome::found_or(findings, || "nobody answers for the addresses of several others".to_owned())
}

fn whose(whom: &Whom) -> Option<String> {
    match whom {
        Whom::Instance(name) => Some(name.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{asked, diagnosed, nova_network, only};
    use darkport_model::{HopKind, Whom};

    #[test]
    fn one_who_answers_for_all() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            for number in 1..=3u8 {
                let name = format!("instance-{number:08x}");
                asked(
                    seen,
                    &format!("10.68.16.{}", 9 + number),
                    Whom::Instance(name),
                    &[[0xfa, 0x16, 0x3e, 0, 0, number], [2, 0, 0, 0, 0, 7]],
                );
            }
        });
        let cause = only(&diagnosis, "proxy-arp-hijack");
        assert_eq!((cause.explains.len(), cause.hop), (3, HopKind::Wire));
    }
}
