//! `neighbour-table-overflow`: the kernel has no room for another neighbour.

use std::collections::HashSet;
use std::net::IpAddr;

use darkport_model::{Certainty, Effect, Finding, HopKind, NeighbourState, NeighbourTable, Source};

use crate::check::{Definition, Explanation, Outcome, command};
use crate::scene::Scene;
use crate::subject::Subject;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "neighbour-table-overflow",
        hop: HopKind::Host,
        what: "The ARP table of a host that routes for instances is full: it cannot learn further neighbours, and packets to those are dropped.",
        proof: "table_fulls rises within the window; on kernels without that counter, as many entries as gc_thresh3 allows.",
        fix: "sysctl -w net.ipv4.neigh.default.gc_thresh3=N (and gc_thresh2, gc_thresh1 in proportion)",
        reboot_helps: Some(true),
        reboot: "the table starts empty and fills again; raising the limits takes a second and keeps it from coming back",
        reference: "linux, net/core/neighbour.c (neigh_alloc: \"neighbor table overflow!\")",
    },
    needs: &[Source::Neighbours, Source::Sysctls],
    worst: Effect::Degraded,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let addressed: Vec<_> = scene.segments.iter().filter(|segment| !segment.addresses.is_empty()).collect();
    let Some(table) = &scene.seen.host.arp_table else { return Outcome::NotApplicable };
    let entries = (*table.entries.latest()).max(table.entries.first);
    let risen = table.stats.as_ref().and_then(|stats| stats.rise(|sum| sum.table_fulls.unwrap_or(0)));
    let counted = table.stats.as_ref().is_some_and(|stats| stats.first.table_fulls.is_some());
    let at_limit = table.gc_thresh3 > 0 && entries >= table.gc_thresh3;
    let certainty = match risen {
        Some(fulls) if fulls > 0 && counted => Certainty::Proven,
        _ if at_limit && !counted => Certainty::Likely,
        _ => return Outcome::RuledOut(format!("{entries} of {} neighbours, and no entry was refused in the window", table.gc_thresh3)),
    };
    let known: HashSet<IpAddr> = scene
        .seen
        .neighbours
        .iter()
        .filter(|neighbour| neighbour.mac.is_some() && !matches!(neighbour.state, NeighbourState::Failed | NeighbourState::Incomplete))
        .map(|neighbour| neighbour.address)
        .collect();
    let mut names = Vec::new();
    for segment in addressed {
        names.extend(
            scene.members(segment).filter(|(subject, _)| !is_known(scene, subject, &known)).map(|(subject, _)| subject.name.clone()),
        );
    }
    names.dedup();
    let effect = if names.is_empty() { Effect::None } else { Effect::Degraded };
    Outcome::Found(vec![finding(scene, table, entries, risen.filter(|_| counted), certainty, effect).affecting(names)])
}

/// Whether the table already holds one of an instance's addresses, so that it is not refused.
fn is_known(scene: &Scene<'_>, subject: &Subject<'_>, known: &HashSet<IpAddr>) -> bool {
    let nics = subject.instance.iter().flat_map(|instance| &instance.nics);
    let own = nics.flat_map(|nic| &nic.addresses).map(|fact| fact.value);
    let uuid = subject.instance.and_then(|instance| instance.uuid.as_ref());
    let claims = scene.seen.inventory.claims.iter().filter(|claim| uuid.is_some() && claim.uuid.as_ref() == uuid);
    own.chain(claims.flat_map(|claim| claim.addresses.iter().copied())).any(|address| known.contains(&address))
}

fn finding(scene: &Scene<'_>, table: &NeighbourTable, entries: u64, risen: Option<u64>, certainty: Certainty, effect: Effect) -> Finding {
    let raised = table.gc_thresh3.saturating_mul(8).max(8192);
    let set = |one: u64, two: u64, three: u64| {
        format!(
            "sysctl -w net.ipv4.neigh.default.gc_thresh3={three} net.ipv4.neigh.default.gc_thresh2={two} net.ipv4.neigh.default.gc_thresh1={one}"
        )
    };
    let mut finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Host,
        "arp_cache",
        certainty,
        effect,
        format!("the ARP table is full ({entries} entries, limit {}): this host cannot learn where instances are", table.gc_thresh3),
    )
    .seen(format!("{entries} entries in use, gc_thresh3 is {}", table.gc_thresh3), "/proc/net/stat/arp_cache");
    if let Some(risen) = risen {
        finding = finding.seen(format!("{risen} entries were refused in the window (table_fulls)"), "/proc/net/stat/arp_cache");
    }
    finding.fixed_by(command(
        scene,
        set(raised / 4, raised / 2, raised),
        format!("makes room for {raised} neighbours"),
        set(table.gc_thresh1, table.gc_thresh2, table.gc_thresh3),
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, nova_network, only, with_address};
    use darkport_model::{Certainty, NeighbourTable, NeighbourTableStats, Sampled};

    fn table(entries: u64, fulls: Option<(u64, u64)>) -> NeighbourTable {
        let mut table = NeighbourTable::default();
        (table.gc_thresh1, table.gc_thresh2, table.gc_thresh3) = (128, 512, 1024);
        table.entries = Sampled::once(entries);
        let stats = |fulls| {
            let mut stats = NeighbourTableStats::default();
            stats.table_fulls = fulls;
            stats
        };
        let mut sampled = Sampled::once(stats(fulls.map(|(first, _)| first)));
        sampled.last = Some(stats(fulls.map(|(_, last)| last)));
        table.stats = Some(sampled);
        table
    }

    #[test]
    fn refused_entries_are_proof() {
        let diagnosis = diagnosed(nova_network(2), |seen| {
            with_address(seen, "br1102", "10.68.16.1/21");
            seen.host.arp_table = Some(table(1000, Some((3, 40))));
        });
        assert_eq!(only(&diagnosis, "neighbour-table-overflow").certainty, Certainty::Proven);
    }

    #[test]
    fn refusals_of_long_ago_are_none_now() {
        healthy(&diagnosed(nova_network(2), |seen| {
            with_address(seen, "br1102", "10.68.16.1/21");
            seen.host.arp_table = Some(table(1024, Some((40, 40))));
        }));
    }

    #[test]
    fn old_kernels_tell_by_the_limit_only() {
        let diagnosis = diagnosed(nova_network(2), |seen| {
            with_address(seen, "br1102", "10.68.16.1/21");
            seen.host.arp_table = Some(table(1024, None));
        });
        assert_eq!(only(&diagnosis, "neighbour-table-overflow").certainty, Certainty::Likely);
    }
}
