//! `known-bad-kernel`: the running kernel has a published bug whose symptom is seen.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Host, Source};

use super::guests_stalled::stall;
use crate::check::{Definition, Explanation, Outcome, step};
use crate::scene::Scene;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "known-bad-kernel",
        hop: HopKind::Host,
        what: "The running kernel has a published bug that makes guests malfunction, and they do: a reason beneath the stall that is seen, not another fault.",
        proof: "Kernel release and distribution are in the range of a published bug, what the bug needs is switched on, and its symptom is there. A kernel alone \
                is never a finding.",
        fix: "the work-around of that bug; then the distribution's newer kernel and a reboot at leisure",
        reboot_helps: Some(true),
        reboot: "it frees the guests for now; into the same kernel the bug comes back",
        reference: "https://bugs.launchpad.net/ubuntu/+source/linux/+bug/1346917",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

/// A published bug of a distribution's kernel that stalls guests.
struct Bug {
    /// What `/proc/version` has in it on that distribution.
    distribution: &'static str,
    /// The series: what the release begins with.
    series: &'static str,
    /// The first build of the series that has it mended: the number after `series`.
    mended_in: u32,
    /// Whether what the bug needs is there.
    needs: fn(&Host) -> Option<String>,
    what: &'static str,
    reference: &'static str,
    workaround: Workaround,
}

struct Workaround {
    run: &'static str,
    changes: &'static str,
    undo: &'static str,
}

/// Only what is published, with its source.
static BUGS: &[Bug] = &[Bug {
    distribution: "Ubuntu",
    series: "3.13.0-",
    mended_in: 46,
    needs: merging,
    what: "kernels of Ubuntu 14.04 before 3.13.0-46 have a bug in same-page merging (KSM) that makes guests malfunction",
    // Wikimedia's operations-puppet refuses to install nova-compute on such kernels and names the bug.
    reference: "https://bugs.launchpad.net/ubuntu/+source/linux/+bug/1346917",
    workaround: Workaround {
        run: "echo 0 > /sys/kernel/mm/ksm/run",
        changes: "stops page merging; what is merged stays",
        undo: "echo 1 > /sys/kernel/mm/ksm/run",
    },
}];

fn merging(host: &Host) -> Option<String> {
    let ksm = host.ksm.as_ref().filter(|ksm| ksm.run == 1 && ksm.pages_sharing > 0)?;
    Some(format!("same-page merging runs, {} pages share others", ksm.pages_sharing))
}

impl Bug {
    fn is_in(&self, host: &Host) -> bool {
        let build = host.kernel.strip_prefix(self.series).map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or(rest));
        let build = build.and_then(|digits| digits.parse::<u32>().ok());
        host.kernel_build.contains(self.distribution) && build.is_some_and(|build| build < self.mended_in)
    }
}

fn check(scene: &Scene<'_>) -> Outcome {
    let host = &scene.seen.host;
    if host.kernel.is_empty() {
        return Outcome::NotApplicable;
    }
    let stall = stall(scene);
    let mut findings = Vec::new();
    for bug in BUGS.iter().filter(|bug| bug.is_in(host) && !stall.stalled.is_empty()) {
        let Some(needed) = (bug.needs)(host) else { continue };
        let mut names: Vec<String> = stall.stalled.iter().map(|(subject, _)| subject.name.clone()).collect();
        names.dedup();
        // One guest may hang by itself; many at once on a kernel that is known for it hardly do.
        let certainty = if stall.is_common() { Certainty::Likely } else { Certainty::Possible };
        let Workaround { run, changes, undo } = bug.workaround;
        let finding = Finding::new(
            CAUSE.explanation.code,
            HopKind::Host,
            &host.kernel,
            certainty,
            Effect::Dark,
            format!("{} runs here: {}", host.kernel, bug.what),
        )
        .affecting(names)
        .seen(format!("the kernel is {} ({})", host.kernel, bug.distribution), "uname, /proc/version")
        .seen(needed, "/sys/kernel/mm/ksm")
        .seen(format!("{} taps take nothing in the window although they have frames", stall.stalled.len()), "netlink counters, two looks")
        .seen(bug.what, bug.reference);
        let fix = Fix::steps(vec![step(scene, run.to_owned(), changes, Some(undo.to_owned()))]);
        findings.push(finding.fixed_by(fix.and(format!("then the distribution's kernel {}{} or a newer one", bug.series, bug.mended_in))));
    }
    Outcome::found_or(findings, || format!("no published bug of {} has its symptom here", host.kernel))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Seen, count, diagnosed, healthy, nova_network, only};
    use darkport_model::{Certainty, Ksm};

    fn bad_kernel(seen: &mut Seen) {
        seen.host.kernel = "3.13.0-45-generic".into();
        seen.host.kernel_build =
            "Linux version 3.13.0-45-generic (buildd@kapok) (gcc 4.8.2 (Ubuntu 4.8.2-19ubuntu1)) #74-Ubuntu SMP".into();
        let mut ksm = Ksm::default();
        (ksm.run, ksm.pages_sharing) = (1, 70_000);
        seen.host.ksm = Some(ksm);
    }

    fn full(seen: &mut Seen, guests: usize) {
        for at in 0..guests {
            let tap = seen.link_mut(&format!("vnet{at}"));
            tap.counters.first.rx_packets = 900;
            count(tap, |last| last.tx_dropped += 40);
        }
    }

    #[test]
    fn it_stands_beneath_the_stall_that_is_seen() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            bad_kernel(seen);
            full(seen, 3);
        });
        let codes: Vec<_> = diagnosis.causes.iter().map(|cause| (cause.code.as_str(), cause.certainty)).collect();
        assert_eq!(codes, [("guests-stalled", Certainty::Proven), ("known-bad-kernel", Certainty::Likely)]);
    }

    #[test]
    fn a_kernel_alone_is_healthy() {
        healthy(&diagnosed(nova_network(3), bad_kernel));
    }

    #[test]
    fn the_same_stall_on_a_mended_kernel_or_without_merging_is_not_its_doing() {
        let others: [fn(&mut Seen); 3] = [
            |seen| seen.host.kernel = "3.13.0-46-generic".into(),
            |seen| seen.host.kernel_build = "Linux version 3.13.0-45 (somebody) #1 SMP".into(),
            |seen| seen.host.ksm = None,
        ];
        for other in others {
            let diagnosis = diagnosed(nova_network(3), |seen| {
                bad_kernel(seen);
                full(seen, 3);
                other(seen);
            });
            only(&diagnosis, "guests-stalled");
        }
    }
}
