//! `tap-no-reader`: nobody reads the tap.

use darkport_model::{Carrier, Certainty, Effect, Finding, HopKind, LinkKind, Source};

use super::restart;
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "tap-no-reader",
        hop: HopKind::Tap,
        what: "No process has the instance's tap open: qemu is gone or let go of it, and the tap outlived it.",
        proof: "A tun device has carrier exactly while a process is attached to it; this one is up without carrier.",
        fix: "Start that instance again (virsh start, nova reboot).",
        reboot_helps: None,
        reboot: "it stops every instance, and starts those that are set to start at boot; starting this one is enough",
        reference: "linux, drivers/net/tun.c (tun_attach: netif_carrier_on; __tun_detach: netif_carrier_off)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut read = 0;
    for subject in scene.running() {
        for tap in subject.live_taps() {
            let LinkKind::Tun { queues, .. } = tap.kind else { continue };
            if !tap.admin_up || tap.carrier != Carrier::Down {
                read += 1;
                continue;
            }
            let mut finding = Finding::new(
                CAUSE.explanation.code,
                HopKind::Tap,
                &tap.name,
                Certainty::Proven,
                Effect::Dark,
                format!("no process reads {}, the tap of {}", tap.name, subject.name),
            )
            .affecting(vec![subject.name.clone()])
            .seen(format!("{} is up and has no carrier: nothing is attached to it", tap.name), "netlink link dump");
            if queues == Some(0) {
                finding = finding.seen(format!("{} has no queue attached", tap.name), "netlink link dump");
            }
            if let Some(pid) = subject.lost_process(scene.seen) {
                finding = finding.seen(format!("process {pid} of {} is gone", subject.name), "/proc");
            }
            findings.push(finding.fixed_by(restart(scene, subject)));
        }
    }
    if findings.is_empty() && read == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("each of the {read} taps that are up has a reader"))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only};
    use darkport_model::Carrier;

    #[test]
    fn a_tap_without_carrier_has_no_reader() {
        let diagnosis = diagnosed(nova_network(2), |seen| seen.link_mut("vnet0").carrier = Carrier::Down);
        assert_eq!(only(&diagnosis, "tap-no-reader").explains, ["instance-00000001"]);
    }

    #[test]
    fn an_instance_that_is_off_has_none_to_have() {
        healthy(&diagnosed(nova_network(2), |seen| {
            seen.link_mut("vnet0").carrier = Carrier::Down;
            seen.stop("instance-00000001");
        }));
    }
}
