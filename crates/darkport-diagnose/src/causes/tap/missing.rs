//! `tap-missing`: the instance runs, and the device that its frames come out of is gone.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Source};

use super::restart;
use crate::check::{Definition, Explanation, Outcome};
use crate::scene::{Scene, cited};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "tap-missing",
        hop: HopKind::Tap,
        what: "The instance runs, but its tap is not on this host any more: it was renamed, deleted or moved to another network namespace.",
        proof: "libvirt's running domain or the qemu process names a tap, and no interface has that name.",
        fix: "Rename the device back, or detach and attach the instance's interface (virsh detach-interface, attach-interface).",
        reboot_helps: Some(true),
        reboot: "starting the instance again makes a new tap; restarting that instance is enough",
        reference: "libvirt, src/util/virnetdevtap.c; linux, net/core/dev.c (dev_change_net_namespace)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut present = 0;
    for subject in scene.running() {
        for nic in subject.nics.iter().filter(|nic| !nic.down_on_purpose) {
            let (Some(wanted), None) = (nic.tap_name, nic.tap) else {
                present += usize::from(nic.tap.is_some());
                continue;
            };
            let summary = format!("{}, the tap of {}, is not on this host", wanted.value, subject.name);
            let mut finding = Finding::new(CAUSE.explanation.code, HopKind::Tap, &wanted.value, Certainty::Proven, Effect::Dark, summary)
                .affecting(vec![subject.name.clone()])
                .seen(format!("{} runs with tap {}", subject.name, cited(wanted)), "inventory")
                .seen(format!("no interface is called {}", wanted.value), "netlink link dump");
            let advice = format!(
                "find where {} went (ip -d link; ip netns) and rename it back, or detach and attach the interface with virsh",
                wanted.value
            );
            finding.fix = match subject.lost_process(scene.seen) {
                Some(pid) => {
                    finding = finding.seen(format!("process {pid} of {} is gone, and took the tap along", subject.name), "/proc");
                    restart(scene, subject)
                }
                None => Fix::advice(advice),
            };
            findings.push(finding);
        }
    }
    if findings.is_empty() && present == 0 {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || format!("each of the {present} taps that instances ought to have is there"))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, nova_network, only};

    #[test]
    fn a_process_that_died_with_its_tap_is_started_again() {
        let diagnosis = diagnosed(nova_network(2), |seen| {
            seen.links.retain(|link| link.name != "vnet1");
            seen.inventory.instances[1].pid = Some(4711);
        });
        assert!(only(&diagnosis, "tap-missing").evidence.iter().any(|seen| seen.seen.contains("4711")));
    }

    #[test]
    fn a_renamed_tap_is_named_with_its_instance() {
        let cause = only(&diagnosed(nova_network(2), |seen| seen.link_mut("vnet1").name = "gone".into()), "tap-missing");
        assert_eq!((cause.at.as_str(), cause.explains.as_slice()), ("vnet1", &["instance-00000002".to_owned()][..]));
    }
}
