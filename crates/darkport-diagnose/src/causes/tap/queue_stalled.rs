//! `tap-queue-stalled`: the tap is full and the guest takes nothing out.

use darkport_model::{Certainty, Effect, Finding, Fix, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, quoted, step};
use crate::scene::Scene;

/// Frames lost at one tap within the window that are no accident.
const LOST: u64 = 3;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "tap-queue-stalled",
        hop: HopKind::Tap,
        what: "Frames for the instance pile up at its tap and are thrown away: qemu or its vhost worker has stopped taking them.",
        proof: "Within the window frames were dropped at the tap and not one was taken out of it.",
        fix: "Find what qemu or vhost waits for (threads in state D); start that instance again.",
        reboot_helps: Some(true),
        reboot: "it would start every instance anew; starting this one is enough, unless all of them stall",
        reference: "linux, drivers/net/tun.c (tun_net_xmit drops when the ring is full; tun_do_read counts what is taken)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    follows_from: &["tap-admin-down", "tap-no-reader"],
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut looked = 0;
    for subject in scene.running() {
        for tap in subject.live_taps() {
            let rises = (tap.counters.rise(|count| count.tx_dropped), tap.counters.rise(|count| count.tx_packets));
            let (Some(lost), Some(taken)) = rises else { continue };
            looked += 1;
            if lost < LOST || taken > 0 {
                continue;
            }
            let mut finding = Finding::new(
                CAUSE.explanation.code,
                HopKind::Tap,
                &tap.name,
                Certainty::Proven,
                Effect::Dark,
                format!("{} takes nothing out of its tap {}, which is full", subject.name, tap.name),
            )
            .affecting(vec![subject.name.clone()])
            .seen(format!("{lost} frames dropped at {} in the window, none taken out", tap.name), "netlink counters, two looks");
            for thread in stuck_threads(scene, subject.instance.and_then(|instance| instance.pid)) {
                finding = finding.seen(thread, "/proc");
            }
            let name = quoted(&subject.name);
            findings.push(finding.fixed_by(Fix::steps(vec![step(
                scene,
                format!("virsh destroy {name}; virsh start {name}"),
                format!("starts {} anew; what ran inside it is lost as by a power cut", subject.name),
                None,
            )])));
        }
    }
    if !findings.is_empty() {
        return Outcome::Found(findings);
    }
    match (looked, scene.running().next()) {
        (0, None) => Outcome::NotApplicable,
        (0, Some(_)) => Outcome::Unknown("a second look at the taps' counters".to_owned()),
        _ => Outcome::RuledOut(format!("no tap of {looked} dropped frames while its guest took none")),
    }
}

/// Threads of the instance's process that stop or wait without being interruptible, as sentences.
fn stuck_threads(scene: &Scene<'_>, pid: Option<u32>) -> Vec<String> {
    let process = scene.seen.host.processes.iter().find(|process| Some(process.pid) == pid);
    let threads = process.into_iter().flat_map(|process| &process.threads);
    let stuck = threads.filter(|thread| thread.state.first == *thread.state.latest() && matches!(thread.state.first, 'D' | 'T' | 't'));
    let told = stuck.take(4).map(|thread| {
        let waits = thread.waits_in.as_ref().map(|at| format!(" in {at}")).unwrap_or_default();
        format!("thread {} ({}) is in state {}{waits}", thread.tid, thread.name, thread.state.first)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use crate::testing::{count, diagnosed, healthy, nova_network, only};

    #[test]
    fn a_full_tap_that_nobody_empties_is_stalled() {
        let diagnosis = diagnosed(nova_network(2), |seen| count(seen.link_mut("vnet1"), |last| last.tx_dropped += 40));
        assert_eq!(only(&diagnosis, "tap-queue-stalled").explains, ["instance-00000002"]);
    }

    #[test]
    fn a_guest_that_is_merely_slow_is_not() {
        healthy(&diagnosed(nova_network(2), |seen| {
            count(seen.link_mut("vnet1"), |last| {
                last.tx_dropped += 40;
                last.tx_packets += 900;
            });
        }));
    }

    #[test]
    fn drops_from_before_the_window_say_nothing() {
        healthy(&diagnosed(nova_network(2), |seen| {
            let tap = seen.link_mut("vnet1");
            tap.counters.first.tx_dropped = 4000;
            count(tap, |_| {});
        }));
    }
}
