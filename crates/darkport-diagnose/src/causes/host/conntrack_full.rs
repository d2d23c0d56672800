//! `conntrack-full`: the connection tracking table has no room for a new flow.

use darkport_model::{Certainty, Conntrack, Effect, Finding, HopKind, LinkKind, Source};

use crate::check::{Definition, Explanation, Outcome, command};
use crate::scene::{Scene, Segment};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "conntrack-full",
        hop: HopKind::Host,
        what: "The kernel's connection tracking table is full: packets of new flows are dropped, flows that are known go on. Bridged frames are tracked \
               too where bridge-nf-call-iptables is on, as nova's and neutron's security groups need.",
        proof: "As many entries as the table takes, and drops that rise within the window.",
        fix: "sysctl -w net.netfilter.nf_conntrack_max=N",
        reboot_helps: Some(true),
        reboot: "the table starts empty and fills again; raising the limit takes a second and keeps it from coming back",
        reference: "linux, net/netfilter/nf_conntrack_core.c (\"table full, dropping packet\")",
    },
    needs: &[Source::Conntrack, Source::Sysctls],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let host = &scene.seen.host;
    let Some(table) = &host.conntrack else {
        return if scene.segments.is_empty() {
            Outcome::NotApplicable
        } else {
            Outcome::RuledOut("connection tracking is not loaded".to_owned())
        };
    };
    let dropped = table.stats.as_ref().and_then(|stats| stats.rise(|sum| sum.drop));
    // The table counts an entry before it looks whether there is room, and throws a few out early: full is within a hundredth.
    let full = |count: u64| table.max > 0 && count.saturating_mul(100) >= table.max.saturating_mul(99);
    let (count, max) = (*table.count.latest(), table.max);
    if !full(count) && !full(table.count.first) {
        return Outcome::RuledOut(format!("{count} of {max} connection tracking entries are in use"));
    }
    let certainty = match (dropped, &table.stats) {
        (Some(0), _) => {
            return Outcome::RuledOut(format!(
                "{count} of {max} connection tracking entries are in use, and none was refused in the window"
            ));
        }
        (Some(_), _) => Certainty::Proven,
        (None, Some(_)) => return Outcome::Unknown("a second look at the connection tracking table, which is nearly full".to_owned()),
        (None, None) => Certainty::Likely,
    };
    let names: Vec<String> =
        scene.segments.iter().filter(|segment| is_tracked(scene, segment)).flat_map(|segment| scene.names_on(segment)).collect();
    let effect = if names.is_empty() { Effect::None } else { Effect::Dark };
    Outcome::Found(vec![finding(scene, table, dropped, certainty, effect).affecting(names)])
}

/// Whether frames of a bridge pass connection tracking: bridged ones through `br_netfilter`, or routed ones through this host.
fn is_tracked(scene: &Scene<'_>, segment: &Segment<'_>) -> bool {
    let all = scene.seen.host.sysctl("net/bridge/bridge-nf-call-iptables") == Some(1);
    let this = matches!(segment.bridge.kind, LinkKind::Bridge { nf_call_iptables: true, .. });
    all || this || !segment.addresses.is_empty()
}

fn finding(scene: &Scene<'_>, table: &Conntrack, dropped: Option<u64>, certainty: Certainty, effect: Effect) -> Finding {
    let (count, max) = (*table.count.latest(), table.max);
    let raised = max.saturating_mul(4).max(65_536);
    let who = if effect == Effect::None { "this host's own new connections fail" } else { "no new connection of an instance gets through" };
    let mut finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Host,
        "nf_conntrack",
        certainty,
        effect,
        format!("the connection tracking table is full ({count} of {max}): {who}"),
    )
    .seen(format!("{count} of {max} entries are in use"), "/proc/sys/net/netfilter/nf_conntrack_count");
    if let Some(dropped) = dropped.filter(|dropped| *dropped > 0) {
        finding = finding.seen(format!("{dropped} packets were dropped for want of an entry in the window"), "/proc/net/stat/nf_conntrack");
    }
    finding.fixed_by(command(
        scene,
        format!("sysctl -w net.netfilter.nf_conntrack_max={raised}"),
        format!(
            "makes room for {raised} entries (about 320 bytes each); /sys/module/nf_conntrack/parameters/hashsize wants a quarter of it"
        ),
        format!("sysctl -w net.netfilter.nf_conntrack_max={max}"),
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only};
    use darkport_model::{Certainty, Conntrack, ConntrackStats, Effect, Sampled, Status};

    fn full(dropped: u64) -> Conntrack {
        let mut table = Conntrack::default();
        table.max = 65_536;
        table.count = Sampled::once(65_536);
        let mut stats = Sampled::once(ConntrackStats::default());
        let mut last = ConntrackStats::default();
        last.drop = dropped;
        stats.last = Some(last);
        table.stats = Some(stats);
        table
    }

    #[test]
    fn a_full_table_darkens_tracked_bridges() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            seen.host.sysctls.insert("net/bridge/bridge-nf-call-iptables".into(), "1".into());
            seen.host.conntrack = Some(full(12));
        });
        let cause = only(&diagnosis, "conntrack-full");
        assert_eq!((cause.certainty, cause.effect, cause.explains.len()), (Certainty::Proven, Effect::Dark, 3));
    }

    #[test]
    fn without_bridge_netfilter_it_is_the_hosts_own_trouble() {
        let diagnosis = diagnosed(nova_network(3), |seen| seen.host.conntrack = Some(full(12)));
        assert_eq!(diagnosis.status, Status::Fault);
        assert_eq!(only(&diagnosis, "conntrack-full").effect, Effect::None);
    }

    #[test]
    fn a_busy_table_is_no_full_one() {
        healthy(&diagnosed(nova_network(3), |seen| {
            let mut table = full(0);
            table.count = Sampled::once(60_000);
            seen.host.conntrack = Some(table);
        }));
    }
}
