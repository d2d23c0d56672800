//! One instance out of what several sources say of it.

use std::collections::HashMap;

use darkport_model::{Fact, FactSource, Instance, Nic};

/// Puts together what several sources say: instances are the same when their UUIDs are, or their names where one has no UUID.
/// Interfaces are the same when their MACs are, or else by their taps, or else by their order. Of each fact the most trusted source is kept
/// ([`FactSource`] in its order). The outcome does not depend on the order of sources, and is sorted by name.
///
/// Which interfaces there are, libvirt's live XML knows best, where there is one: a command line misses those that were plugged in
/// since, the persistent XML may have some that come with the next start.
pub fn merge(mut parts: Vec<Instance>) -> Vec<Instance> {
    // The live XML first, since it decides about interfaces; then by trust.
    parts.sort_by_cached_key(|part| {
        (origin(part) != Some(FactSource::LiveXml), origin(part).is_none(), origin(part), part.uuid.is_none(), part.name.clone())
    });
    let mut merged: Vec<Merged> = Vec::new();
    let mut by_uuid: HashMap<String, usize> = HashMap::new();
    let mut by_name: HashMap<String, usize> = HashMap::new();
    for part in parts {
        let same_uuid = part.uuid.as_ref().and_then(|uuid| by_uuid.get(uuid));
        let same_name = by_name.get(&part.name).filter(|_| !part.name.is_empty());
        let fits = |index: &&usize| merged.get(**index).is_some_and(|known| known.instance.uuid.is_none() || part.uuid.is_none());
        let index = same_uuid.or_else(|| same_name.filter(fits)).copied().unwrap_or(merged.len());
        if index == merged.len() {
            merged.push(Merged { instance: Instance::named(part.name.clone()), closed: false });
        }
        if let Some(known) = merged.get_mut(index) {
            known.join(part);
            let known = &known.instance;
            if let Some(uuid) = &known.uuid {
                by_uuid.entry(uuid.clone()).or_insert(index);
            }
            by_name.entry(known.name.clone()).or_insert(index);
        }
    }
    let mut merged: Vec<Instance> = merged.into_iter().map(|merged| merged.instance).collect();
    merged.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
    merged
}

/// The source that an instance's own facts come from; the tun's owner is told by way of the process.
fn origin(part: &Instance) -> Option<FactSource> {
    let running = part.running.iter().map(|fact| fact.source);
    let nics = part.nics.iter().flat_map(|nic| {
        let text = [&nic.tap, &nic.bridge, &nic.filter].into_iter().flatten().map(|fact| fact.source);
        text.chain(nic.mac.iter().map(|fact| fact.source))
    });
    running.chain(nics).map(|source| source.max(FactSource::QemuProcess)).min()
}

struct Merged {
    instance: Instance,
    /// The live XML has said which interfaces there are.
    closed: bool,
}

impl Merged {
    fn join(&mut self, part: Instance) {
        let known = &mut self.instance;
        let is_live = origin(&part) == Some(FactSource::LiveXml);
        if known.name.is_empty() {
            known.name = part.name;
        }
        known.uuid = known.uuid.take().or(part.uuid);
        known.display_name = known.display_name.take().or(part.display_name);
        known.pid = known.pid.or(part.pid);
        known.manager = known.manager.or(part.manager);
        known.vmid = known.vmid.or(part.vmid);
        better(&mut known.running, part.running);
        better(&mut known.paused, part.paused);
        join_nics(&mut known.nics, part.nics, self.closed);
        self.closed |= is_live;
    }
}

/// Whether two interfaces are one.
type Rule<'a> = &'a dyn Fn(&Nic, &Nic) -> bool;

fn join_nics(known: &mut Vec<Nic>, part: Vec<Nic>, closed: bool) {
    let by_mac = |a: &Nic, b: &Nic| a.mac.is_some() && value(a.mac.as_ref()) == value(b.mac.as_ref());
    // Two MACs that differ are two interfaces; where one is unknown, the tap tells, or else the order.
    let may_be_same = |a: &Nic, b: &Nic| a.mac.is_none() || b.mac.is_none();
    let tap = |nic: &Nic| nic.tap.as_ref().map(|fact| fact.value.clone());
    let by_tap = |a: &Nic, b: &Nic| may_be_same(a, b) && tap(a).is_some() && tap(a) == tap(b);
    let rules: [Rule; 3] = [&by_mac, &by_tap, &may_be_same];

    let mut taken = vec![false; known.len()];
    let mut left = part;
    for rule in rules {
        for nic in std::mem::take(&mut left) {
            let free = known.iter_mut().zip(&mut taken).find(|(other, taken)| !**taken && rule(&nic, other));
            if let Some((other, taken)) = free {
                *taken = true;
                join_nic(other, nic);
            } else {
                left.push(nic);
            }
        }
    }
    if !closed {
        known.append(&mut left);
    }
}

fn join_nic(known: &mut Nic, part: Nic) {
    better(&mut known.mac, part.mac);
    better(&mut known.tap, part.tap);
    better(&mut known.bridge, part.bridge);
    better(&mut known.vid, part.vid);
    better(&mut known.mtu, part.mtu);
    better(&mut known.link_down, part.link_down);
    better(&mut known.filter, part.filter);
    unite(&mut known.addresses, part.addresses);
    unite(&mut known.gateways, part.gateways);
}

/// Adds what is not there yet.
fn unite<T: PartialEq>(known: &mut Vec<Fact<T>>, part: Vec<Fact<T>>) {
    for fact in part {
        if !known.iter().any(|other| other.value == fact.value) {
            known.push(fact);
        }
    }
}

fn value<T: Copy>(fact: Option<&Fact<T>>) -> Option<T> {
    fact.map(|fact| fact.value)
}

/// Keeps the more trusted of two facts.
fn better<T>(known: &mut Option<Fact<T>>, other: Option<Fact<T>>) {
    if let Some(other) = other {
        if known.as_ref().is_none_or(|fact| other.source < fact.source) {
            *known = Some(other);
        }
    }
}

#[cfg(test)]
#[path = "merge_tests.rs"]
mod tests;
