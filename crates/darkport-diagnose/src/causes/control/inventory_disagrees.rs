//! `inventory-disagrees`: the control plane says something else than this host.

use darkport_model::{Certainty, Claim, Effect, Finding, Fix, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;
use crate::subject::{Life, Subject};

/// Sentences kept as evidence; the rest is counted.
const TOLD: usize = 100;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "inventory-disagrees",
        hop: HopKind::Control,
        what: "The control plane's list and this host do not agree: an instance runs here that nova places elsewhere, nova calls one ACTIVE that does not run, \
               or hypervisor_hostname still names the host of before a migration. No frame is lost by it, but whoever trusts the list looks on the wrong host.",
        proof: "The instance's row, held against libvirt's domains and qemu's processes.",
        fix: "trust the hypervisor; correct the row (nova reset-state, instances.host and instances.node)",
        reboot_helps: Some(false),
        reboot: "the control plane's database stays as it is",
        reference: "nova 2014.1.4, nova/api/openstack/compute/contrib/extended_server_attributes.py (host, hypervisor_hostname = instance['node'])",
    },
    needs: &[Source::Instances, Source::Claims],
    worst: Effect::None,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let claims = &scene.seen.inventory.claims;
    if claims.is_empty() {
        return Outcome::NotApplicable;
    }
    let here = short(&scene.seen.host.name);
    let mut sentences = Vec::new();
    let mut names = Vec::new();
    let (mut placeless, mut concerned) = (0, 0);
    for claim in claims {
        let subject = scene.subjects.iter().find(|subject| is_same(subject, claim));
        let said = disagreement(claim, subject, here);
        match (subject, place_of(claim)) {
            (None, None) => placeless += 1,
            (None, Some(place)) if short(place) != here => {}
            _ => concerned += 1,
        }
        if let (true, Some(name)) = (!said.is_empty(), subject.map(|subject| subject.name.clone()).or_else(|| name_of(claim))) {
            names.push(name);
        }
        sentences.extend(said.into_iter().map(|sentence| (sentence, claim.place.clone())));
    }
    if sentences.is_empty() && placeless > 0 {
        let all = claims.len();
        return Outcome::Unknown(format!(
            "{placeless} of {all} rows name no host and no instance of this one: --asked-host HOST says whose list it is"
        ));
    }
    if sentences.is_empty() {
        let about =
            if concerned == 0 { "none is about this host".to_owned() } else { format!("{concerned} are about this host, and agree") };
        return Outcome::RuledOut(format!("of {} rows of the control plane, {about}", claims.len()));
    }
    let count = names.len();
    let noun = if count == 1 { "instance" } else { "instances" };
    let summary = format!(
        "the control plane is mistaken about {count} {noun}: {}",
        sentences.first().map(|(first, _)| first.as_str()).unwrap_or_default()
    );
    let mut finding =
        Finding::new(CAUSE.explanation.code, HopKind::Control, "control plane", Certainty::Proven, Effect::None, summary).affecting(names);
    let more = sentences.len().saturating_sub(TOLD);
    for (sentence, place) in sentences.into_iter().take(TOLD) {
        finding = finding.seen(sentence, place);
    }
    if more > 0 {
        finding = finding.seen(format!("and {more} more disagreements"), "control plane");
    }
    Outcome::Found(vec![finding.fixed_by(Fix::advice(
        "trust what runs on the hypervisor; correct the rows (nova reset-state --active ID, instances.host and instances.node)",
    ))])
}

/// What a row says that this host knows better, a plain sentence each.
fn disagreement(claim: &Claim, subject: Option<&Subject<'_>>, here: &str) -> Vec<String> {
    let mut said = Vec::new();
    let name = subject.map(|subject| subject.name.clone()).or_else(|| name_of(claim)).unwrap_or_else(|| "an instance".to_owned());
    let node = claim.hypervisor_hostname.as_deref();
    let places_here = place_of(claim).map(|place| short(place) == here);
    let status = claim.status.as_deref().unwrap_or("");
    match subject.map(|subject| subject.life) {
        Some(Life::Runs) if places_here == Some(false) => {
            said.push(format!("{name} runs here, but nova says it is on {}", place_of(claim).unwrap_or_default()));
        }
        Some(Life::Runs) if matches!(status, "SHUTOFF" | "STOPPED" | "DELETED" | "ERROR") => {
            said.push(format!("{name} runs here, but nova calls it {status}"));
        }
        None | Some(Life::Off) if places_here == Some(true) && status == "ACTIVE" => {
            said.push(format!("nova calls {name} ACTIVE on this host, but it does not run here"));
        }
        _ => {}
    }
    let concerns_us = subject.is_some() || places_here == Some(true) || node.is_some_and(|node| short(node) == here);
    if let (Some(host), Some(node), true) = (claim.host.as_deref(), node, concerns_us) {
        if short(host) != short(node) {
            said.push(format!("nova's hypervisor_hostname for {name} is {node}, its host is {host}: left over from a migration"));
        }
    }
    said
}

/// Where a row places its instance. Without `host`, `openstack server list --long` leaves only the node to go by, and `nova list` nothing
/// but what the list was asked for.
fn place_of(claim: &Claim) -> Option<&str> {
    claim.host.as_deref().or(claim.asked_host.as_deref()).or(claim.hypervisor_hostname.as_deref())
}

fn is_same(subject: &Subject<'_>, claim: &Claim) -> bool {
    let instance = subject.instance;
    let uuid = instance.and_then(|instance| instance.uuid.as_deref());
    match (uuid, claim.uuid.as_deref()) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        _ => match &claim.instance_name {
            Some(name) => *name == subject.name,
            None => instance.and_then(|instance| instance.display_name.as_ref()).is_some_and(|name| Some(name) == claim.name.as_ref()),
        },
    }
}

fn name_of(claim: &Claim) -> Option<String> {
    claim.instance_name.clone().or_else(|| claim.name.clone()).or_else(|| claim.uuid.clone())
}

/// A host's name without its domain: nova and the host itself write it with and without.
fn short(host: &str) -> &str {
    host.split('.').next().unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only, row};
    use darkport_model::{Effect, ExitCode};

    #[test]
    fn each_disagreement_is_one_plain_sentence() {
        let diagnosis = diagnosed(nova_network(4), |seen| {
            row(seen, 1, "virt1005", "virt1005", "ACTIVE");
            row(seen, 2, "virt1012", "virt1005.example.org", "ACTIVE");
            row(seen, 3, "virt1012", "virt1012", "SHUTOFF");
            row(seen, 9, "virt1012", "virt1012", "ACTIVE");
        });
        let cause = only(&diagnosis, "inventory-disagrees");
        let sentences: Vec<_> = cause.evidence.iter().map(|seen| seen.seen.as_str()).collect();
        assert_eq!(
            sentences,
            [
                "instance-00000001 runs here, but nova says it is on virt1005",
                "nova's hypervisor_hostname for instance-00000002 is virt1005.example.org, its host is virt1012: left over from a migration",
                "instance-00000003 runs here, but nova calls it SHUTOFF",
                "nova calls vm9 ACTIVE on this host, but it does not run here",
            ]
        );
        assert_eq!((cause.effect, ExitCode::of(&diagnosis)), (Effect::None, ExitCode::Warning));
    }

    #[test]
    fn rows_of_other_hosts_are_none_of_our_business() {
        healthy(&diagnosed(nova_network(2), |seen| {
            row(seen, 1, "virt1012.example.org", "virt1012", "ACTIVE");
            row(seen, 7, "virt1005", "virt1004", "ACTIVE");
        }));
    }

    #[test]
    fn rows_without_a_host_are_not_said_to_agree() {
        let diagnosis = diagnosed(nova_network(1), |seen| {
            row(seen, 7, "", "", "ACTIVE");
            let claim = &mut seen.inventory.claims[0];
            (claim.host, claim.hypervisor_hostname) = (None, None);
        });
        healthy(&diagnosis);
        assert!(diagnosis.undecided[0].missing.contains("--asked-host"), "{:?}", diagnosis.undecided);
    }

    #[test]
    fn an_instance_that_both_call_off_is_fine() {
        healthy(&diagnosed(nova_network(2), |seen| {
            seen.stop("instance-00000002");
            row(seen, 2, "virt1012", "virt1012", "SHUTOFF");
        }));
    }
}
