//! What a second look adds to the first. Pure.

use std::collections::HashMap;

use darkport_model::{Fdb, FdbKind, Gap, GapReason, IfIndex, Link, MacAddr, Qdisc, Source, Vid};

/// Changes that are told one by one; a host that changes more than that in one window is told so in one line.
const TOLD: usize = 32;

/// Gives `links` their second reading and their newest state.
pub(crate) fn links(links: &mut Vec<Link>, newer: Vec<Link>, gaps: &mut Vec<Gap>) {
    let mut newer: HashMap<IfIndex, Link> = newer.into_iter().map(|link| (link.index, link)).collect();
    let mut changes = Vec::new();
    for link in links.iter_mut() {
        let Some(mut now) = newer.remove(&link.index) else {
            changes.push((link.name.clone(), GapReason::Changed, "it was there at the first look and gone at the second".to_owned()));
            continue;
        };
        if now.name != link.name {
            changes.push((now.name.clone(), GapReason::Changed, format!("at the first look its name was {}", link.name)));
        }
        now.counters.last = Some(std::mem::replace(&mut now.counters.first, link.counters.first));
        now.mac_pinned = link.mac_pinned.filter(|_| now.mac == link.mac);
        if now.master == link.master {
            now.port = now.port.or_else(|| link.port.clone());
        }
        *link = now;
    }
    let mut came: Vec<Link> = newer.into_values().collect();
    came.sort_by_key(|link| link.index);
    for link in &came {
        changes.push((link.name.clone(), GapReason::Changed, "it came between the two looks, so nothing is known of its rates".to_owned()));
    }
    links.append(&mut came);
    let untold = changes.len().saturating_sub(TOLD);
    gaps.extend(changes.into_iter().take(TOLD).map(|(what, reason, why)| Gap::new(Source::Links, what, reason, why)));
    if untold > 0 {
        let why = format!("{untold} more links came, went or were renamed between the two looks");
        gaps.push(Gap::new(Source::Links, "links, second look", GapReason::Changed, why));
    }
}

/// Gives queueing disciplines their second reading. One that came meanwhile is added, one that went has none.
pub(crate) fn qdiscs(qdiscs: &mut Vec<Qdisc>, newer: Vec<Qdisc>) {
    let key = |qdisc: &Qdisc| (qdisc.link, qdisc.handle, qdisc.parent, qdisc.kind.clone());
    let mut newer: HashMap<_, Qdisc> = newer.into_iter().map(|qdisc| (key(&qdisc), qdisc)).collect();
    for qdisc in qdiscs.iter_mut() {
        qdisc.stats.last = newer.remove(&key(qdisc)).map(|now| now.stats.first);
    }
    let mut came: Vec<Qdisc> = newer.into_values().collect();
    came.sort_by_key(|qdisc| (qdisc.link, qdisc.handle, qdisc.parent));
    qdiscs.append(&mut came);
}

/// Replaces a forwarding database by a newer one that remembers where each address was.
///
/// Only addresses that each look shows once can be said to have moved: an address in several VLANs is several entries, which a
/// source without VLANs cannot tell apart.
pub(crate) fn fdb(earlier: &mut Fdb, mut newer: Fdb) {
    let with_vlans = earlier.source == newer.source;
    let key = |mac: MacAddr, vid: Option<Vid>| (mac, vid.filter(|_| with_vlans));
    let mut places: HashMap<(MacAddr, Option<Vid>), Option<IfIndex>> = HashMap::with_capacity(earlier.entries.len());
    for entry in earlier.entries.iter().filter(|entry| entry.kind != FdbKind::Local) {
        places.entry(key(entry.mac, entry.vid)).and_modify(|place| *place = None).or_insert(Some(entry.port));
    }
    let mut seen: HashMap<(MacAddr, Option<Vid>), u32> = HashMap::with_capacity(newer.entries.len());
    for entry in newer.entries.iter().filter(|entry| entry.kind != FdbKind::Local) {
        *seen.entry(key(entry.mac, entry.vid)).or_default() += 1;
    }
    for entry in newer.entries.iter_mut().filter(|entry| entry.kind != FdbKind::Local) {
        let key = key(entry.mac, entry.vid);
        let before = places.get(&key).copied().flatten();
        entry.previous_port = before.filter(|port| *port != entry.port && seen.get(&key) == Some(&1));
    }
    *earlier = newer;
}
