//! `tap-queue-stalled`: the tap is full and the guest takes nothing out.

use std::collections::HashSet;

use darkport_model::{Carrier, Certainty, Effect, Finding, HopKind, Link, Qdisc, Source};

use super::super::host::guests_stalled::stall;
use super::restart;
use crate::check::{Definition, Explanation, Outcome};
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
        reboot_helps: None,
        reboot: "it stops every instance, and starts those that are set to start at boot; starting this one is enough, unless all of them stall",
        reference: "linux, drivers/net/tun.c (tun_net_xmit drops when the ring is full; tun_do_read counts what is taken)",
    },
    needs: &[Source::Links, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let (mut taps, mut looked) = (0, 0);
    // What stalls many at once is one cause of its own.
    let all = stall(scene);
    let common: HashSet<&str> = all.stalled.iter().filter(|_| all.is_common()).map(|(subject, _)| subject.name.as_str()).collect();
    for subject in scene.running() {
        if common.contains(subject.name.as_str()) {
            continue;
        }
        for tap in subject.live_taps() {
            taps += 1;
            looked += usize::from(tap.counters.last.is_some());
            let Some(lost) = stalled(scene, tap) else { continue };
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
            findings.push(finding.fixed_by(restart(scene, subject)));
        }
    }
    match (findings.is_empty(), taps, looked) {
        (false, ..) => Outcome::Found(findings),
        (true, ..) if !common.is_empty() => {
            Outcome::RuledOut(format!("{} instances stall at once: that is one cause, not many", common.len()))
        }
        (true, 0, _) => Outcome::NotApplicable,
        (true, _, 0) => Outcome::Unknown("a second look at the taps' counters".to_owned()),
        _ => Outcome::RuledOut(format!("no tap of {looked} dropped frames while its guest took none")),
    }
}

/// Frames lost at a tap that is full, within a window in which nothing was taken out of it. Newer kernels drop at the tap itself; older
/// ones stop its queue, so that the queueing discipline before it fills and drops. A guest that never sent anything may not have come so
/// far as to take something.
pub(crate) fn stalled(scene: &Scene<'_>, tap: &Link) -> Option<u64> {
    let works = tap.admin_up && tap.carrier != Carrier::Down;
    let untouched = tap.counters.rise(|count| count.tx_packets)? == 0;
    let default_kind = |kind: &str| matches!(kind, "pfifo_fast" | "pfifo" | "fq_codel" | "mq" | "fq");
    let full = |qdisc: &&Qdisc| qdisc.link == tap.index && default_kind(&qdisc.kind) && qdisc.stats.latest().queued_packets > 0;
    let queued = || scene.seen.qdiscs.iter().filter(full).filter_map(|qdisc| qdisc.stats.rise(|stats| stats.drops)).max();
    let at_tap = tap.counters.rise(|count| count.tx_dropped)?;
    let lost = if at_tap >= LOST || !untouched { at_tap } else { queued()? };
    let began = tap.counters.latest().rx_packets > 0;
    (works && began && untouched && lost >= LOST).then_some(lost)
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
        let full = |seen: &mut crate::testing::Seen, spoke: u64| {
            seen.link_mut("vnet1").counters.first.rx_packets = spoke;
            count(seen.link_mut("vnet1"), |last| last.tx_dropped += 40);
        };
        let diagnosis = diagnosed(nova_network(2), |seen| full(seen, 9));
        assert_eq!(only(&diagnosis, "tap-queue-stalled").explains, ["instance-00000002"]);
        // One that still boots takes nothing yet.
        healthy(&diagnosed(nova_network(2), |seen| full(seen, 0)));
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
