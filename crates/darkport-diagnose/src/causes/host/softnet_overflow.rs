//! `softnet-overflow`: a processor's receive backlog overflows.

use darkport_model::{Certainty, Effect, Finding, HopKind, Source};

use crate::check::{Definition, Explanation, Outcome, command, percent, proven_share};
use crate::scene::Scene;

/// Fewer packets dropped in a window are a burst.
const FEWEST: u64 = 10;
/// The share of dropped packets from which on users notice.
const SHARE: f64 = 0.05;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "softnet-overflow",
        hop: HopKind::Host,
        what: "Packets arrive faster than a processor takes them from its backlog queue, and the rest is dropped: a flood, all interrupts on one \
               processor, or a queue that is too short.",
        proof: "The dropped column of softnet_stat rose within the window by more than one in twenty packets.",
        fix: "sysctl -w net.core.netdev_max_backlog=N; spread the load (RPS)",
        reboot_helps: Some(false),
        reboot: "the load and the limits are the same after it",
        reference: "linux, net/core/dev.c (enqueue_to_backlog), net/core/net-procfs.c (softnet_seq_show)",
    },
    needs: &[Source::Softnet],
    worst: Effect::Degraded,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let cpus = &scene.seen.host.softnet;
    if cpus.is_empty() || scene.segments.is_empty() {
        return Outcome::NotApplicable;
    }
    let rises: Option<Vec<(u64, u64, u64)>> =
        cpus.iter().map(|cpu| Some((cpu.dropped.rise(|n| *n)?, cpu.processed.rise(|n| *n)?, cpu.time_squeeze.rise(|n| *n)?))).collect();
    let Some(rises) = rises else { return Outcome::Unknown("a second look at softnet_stat".to_owned()) };
    let add = |sum: (u64, u64, u64), rise: &(u64, u64, u64)| {
        (sum.0.saturating_add(rise.0), sum.1.saturating_add(rise.1), sum.2.saturating_add(rise.2))
    };
    let (dropped, processed, squeezed) = rises.iter().fold((0, 0, 0), add);
    let offered = dropped.saturating_add(processed);
    if dropped < FEWEST || proven_share(dropped, offered) < SHARE {
        return Outcome::RuledOut(format!("{dropped} of {offered} packets were dropped from the receive backlog in the window"));
    }
    let backlog = scene.seen.host.sysctl("net/core/netdev_max_backlog").and_then(|value| u64::try_from(value).ok()).unwrap_or(1000);
    let raised = backlog.saturating_mul(10).max(10_000);
    let finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Host,
        "softnet",
        // The backlog is the whole machine's: whose packets it dropped is not told.
        Certainty::Likely,
        Effect::Degraded,
        format!("the receive backlog overflows: {} of all packets are dropped", percent(dropped, offered)),
    )
    .affecting(scene.running_names())
    .seen(format!("{dropped} of {offered} packets dropped in the window, {squeezed} times work was left over"), "/proc/net/softnet_stat")
    .seen(format!("net.core.netdev_max_backlog is {backlog}"), "/proc/sys")
    .fixed_by(
        command(
            scene,
            format!("sysctl -w net.core.netdev_max_backlog={raised}"),
            format!("lets {raised} packets wait for a processor"),
            format!("sysctl -w net.core.netdev_max_backlog={backlog}"),
        )
        .and("find where the packets come from (a flood among the instances?) and spread the load over processors"),
    );
    Outcome::Found(vec![finding])
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only};
    use darkport_model::{Sampled, SoftnetCpu};

    fn cpu(dropped: (u64, u64), processed: (u64, u64)) -> SoftnetCpu {
        let sampled = |(first, last)| {
            let mut sampled = Sampled::once(first);
            sampled.last = Some(last);
            sampled
        };
        let mut cpu = SoftnetCpu::default();
        cpu.dropped = sampled(dropped);
        cpu.processed = sampled(processed);
        cpu.time_squeeze = sampled((0, 0));
        cpu
    }

    #[test]
    fn drops_within_the_window_count() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.host.softnet = vec![cpu((0, 900), (0, 3000)), cpu((0, 0), (0, 50))]);
        assert_eq!(only(&diagnosis, "softnet-overflow").explains.len(), 3);
    }

    #[test]
    fn drops_since_boot_do_not() {
        healthy(&diagnosed(nova_network(3), |seen| seen.host.softnet = vec![cpu((70_000, 70_001), (0, 3000))]));
    }
}
