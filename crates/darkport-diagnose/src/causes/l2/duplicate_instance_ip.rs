//! `duplicate-instance-ip`: somebody else has an instance's address as well.

use darkport_model::{ArpAnswer, ArpProbe, Certainty, Effect, Finding, Fix, HopKind, Source, Whom};

use super::{MANY, impostors, place, told};
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "duplicate-instance-ip",
        hop: HopKind::Guest,
        what: "Another station answers for an instance's address: a second instance given the same one, a leftover copy after a migration, or a guest that \
               took it. Frames for the instance go to whoever answered last.",
        proof: "A question for the instance's address is answered from a hardware address that is not its own.",
        fix: "stop the other one (its port is named), or give one of them another address",
        reboot_helps: Some(false),
        reboot: "both have the address again afterwards",
        reference: "RFC 5227, 2.4 (conflict)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let asked = scene.seen.probes.arp.iter().filter(|probe| matches!(probe.whom, Whom::Instance(_))).count();
    if asked == 0 {
        return Outcome::NotApplicable;
    }
    let few = impostors(scene).into_values().filter(|answers| answers.len() < MANY).flatten();
    let findings: Vec<_> = few.filter_map(|(probe, answer)| finding(scene, probe, answer)).collect();
    Outcome::found_or(findings, || format!("nobody else answers for one of the {asked} addresses that were asked for"))
}

fn finding(scene: &Scene<'_>, probe: &ArpProbe, answer: &ArpAnswer) -> Option<Finding> {
    let Whom::Instance(name) = &probe.whom else { return None };
    let ((_, at), target) = (place(scene, answer), probe.target);
    let both = probe.answers.len() > 1;
    let effect = if both { Effect::Degraded } else { Effect::Dark };
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Guest,
        name,
        Certainty::Proven,
        effect,
        format!(
            "{}{} answers for {target}, the address of {name}",
            told(scene, answer),
            if both { " also" } else { ", and not the instance itself," }
        ),
    );
    let finding =
        probe.answers.iter().fold(finding, |finding, one| finding.seen(format!("{target} is at {}", told(scene, one)), "ARP, traced"));
    let advice = format!("find the one with {} (at {at}) and stop it, or give it another address", answer.mac);
    Some(finding.affecting(vec![name.clone()]).fixed_by(Fix::advice(advice)))
}

#[cfg(test)]
mod tests {
    use crate::testing::{asked, diagnosed, healthy, nova_network, only};
    use darkport_model::Whom;

    const OWN: [u8; 6] = [0xfa, 0x16, 0x3e, 0, 0, 2];

    fn second() -> Whom {
        Whom::Instance("instance-00000002".into())
    }

    #[test]
    fn two_who_have_one_address() {
        let diagnosis = diagnosed(nova_network(3), |seen| asked(seen, "10.68.16.11", second(), &[OWN, [2, 0, 0, 0, 0, 7]]));
        assert_eq!(only(&diagnosis, "duplicate-instance-ip").explains, ["instance-00000002"]);
    }

    #[test]
    fn a_guest_that_answers_from_another_address_of_its_own_is_healthy() {
        healthy(&diagnosed(nova_network(3), |seen| {
            asked(seen, "10.68.16.11", second(), &[[2, 0, 0, 0, 0, 7]]);
            seen.probes.arp[0].answers[0].came_in_by = Some(seen.link_mut("vnet1").index);
        }));
    }

    #[test]
    fn its_own_answer_alone_is_healthy() {
        healthy(&diagnosed(nova_network(3), |seen| asked(seen, "10.68.16.11", second(), &[OWN])));
    }
}
