//! From answers to findings: pure.

use std::collections::{BTreeMap, HashMap};

use darkport_model::{Fdb, IfIndex, Link, LinkKind, MacAddr};

use super::machine::Machine;
use super::plan::Target;
use super::report::{HolderSeen, HostState, SweepFinding, SweptHost};
use super::state::{Holder, Outcome, State};

/// A host with more addresses than this on one interface is worth a look.
const MANY: usize = 16;

/// Which port a hardware address is behind.
#[derive(Debug, Default)]
pub(super) struct Ports {
    /// Where everything comes in, when the interface is no bridge.
    all: Option<String>,
    by_mac: HashMap<MacAddr, String>,
}

impl Ports {
    /// By the forwarding database of `device`, or `device` itself where it is no bridge.
    pub(super) fn of(device: &Link, links: &[Link], fdbs: &[Fdb]) -> Self {
        if !matches!(device.kind, LinkKind::Bridge { .. }) {
            return Self { all: Some(device.name.clone()), by_mac: HashMap::new() };
        }
        let names: HashMap<IfIndex, &str> = links.iter().map(|link| (link.index, link.name.as_str())).collect();
        let entries = fdbs.iter().filter(|fdb| fdb.bridge == device.index).flat_map(|fdb| &fdb.entries);
        let by_mac = entries.filter_map(|entry| Some((entry.mac, (*names.get(&entry.port)?).to_owned()))).collect();
        Self { all: None, by_mac }
    }

    fn of_mac(&self, mac: MacAddr) -> Option<String> {
        self.all.clone().or_else(|| self.by_mac.get(&mac).cloned())
    }
}

/// What the machine knows, as a report tells it. Where answers were `lost` on this host, silence says nothing.
pub(super) fn hosts(machine: &Machine, ports: &Ports, lost: bool) -> Vec<SweptHost> {
    let plan = machine.plan();
    let told = |outcome: Outcome| match outcome {
        Outcome::Open => HostState::Undecided,
        Outcome::Answered(_) => HostState::Answered,
        Outcome::Silent if lost => HostState::Undecided,
        Outcome::Silent => HostState::Silent,
        Outcome::NotAsked => HostState::NotAsked,
    };
    let time = |outcome: Outcome| match outcome {
        Outcome::Answered(Some(rtt)) => u64::try_from(rtt.as_micros()).ok(),
        _ => None,
    };
    let one = |(target, state): (&Target, &State)| SweptHost {
        address: target.address,
        name: target.name.clone(),
        expected: target.expected,
        state: match told(state.arp) {
            _ if plan.is_own(target.address) => HostState::Own,
            // Time was over while the one who ought to answer was still being asked.
            HostState::Undecided if !state.holders.is_empty() => HostState::Answered,
            told => told,
        },
        holders: state.holders.iter().map(|holder| seen(holder, ports)).collect(),
        tries: state.arp_tries,
        rtt_us: time(state.arp),
        icmp: plan.settings.icmp.then(|| told(state.echo)),
        icmp_rtt_us: time(state.echo),
    };
    plan.targets.iter().zip(machine.states()).map(one).collect()
}

fn seen(holder: &Holder, ports: &Ports) -> HolderSeen {
    HolderSeen {
        mac: holder.mac,
        frame_from: (holder.frame_from != holder.mac).then_some(holder.frame_from),
        port: ports.of_mac(holder.frame_from),
    }
}

/// What is not as it ought to be among `hosts`. `expected` tells the inventory's hardware address of a target, in the same order.
pub(super) fn findings(hosts: &[SweptHost], expected: impl Iterator<Item = Option<MacAddr>>) -> Vec<SweepFinding> {
    let mut found = Vec::new();
    let mut by_mac: BTreeMap<MacAddr, Vec<(&SweptHost, &HolderSeen)>> = BTreeMap::new();
    for (host, expected) in hosts.iter().zip(expected) {
        host.holders.iter().for_each(|holder| by_mac.entry(holder.mac).or_default().push((host, holder)));
        let (address, holders) = (host.address, || host.holders.clone());
        if host.state == HostState::Own && !host.holders.is_empty() {
            found.push(SweepFinding::OwnAddressTaken { address, holders: holders() });
        } else if host.holders.iter().any(|holder| host.holders.first().is_some_and(|first| first.mac != holder.mac)) {
            found.push(SweepFinding::DuplicateAddress { address, holders: holders() });
        }
        if let Some(expected) = expected.filter(|expected| host.holders.iter().any(|holder| holder.mac != *expected)) {
            found.push(SweepFinding::UnexpectedMac { address, name: host.name.clone(), expected, holders: holders() });
        }
    }
    let many = by_mac.into_values().filter(|answers| answers.len() > MANY);
    found.extend(many.filter_map(|answers| {
        let ((first, holder), (last, _)) = (answers.first()?, answers.last()?);
        let (first, last) = (first.address, last.address);
        Some(SweepFinding::OneForMany { holder: (*holder).clone(), count: answers.len(), first, last })
    }));
    found
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use darkport_model::{FdbEntry, FdbKind};

    use super::*;

    const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const OTHER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    fn host(last: u8, macs: &[MacAddr]) -> SweptHost {
        SweptHost {
            address: Ipv4Addr::new(10, 0, 0, last),
            name: None,
            expected: false,
            state: if macs.is_empty() { HostState::Silent } else { HostState::Answered },
            holders: macs.iter().map(|mac| HolderSeen { mac: *mac, frame_from: None, port: None }).collect(),
            tries: 1,
            rtt_us: None,
            icmp: None,
            icmp_rtt_us: None,
        }
    }

    #[test]
    fn one_address_one_mac_is_nothing() {
        let hosts: Vec<_> = (1..=16).map(|last| host(last, &[MAC])).chain([host(40, &[])]).collect();
        assert_eq!(findings(&hosts, hosts.iter().map(|_| Some(MAC))), []);
    }

    #[test]
    fn each_disorder_is_found_by_its_name() {
        let mut own = host(3, &[OTHER]);
        own.state = HostState::Own;
        let hosts = [host(1, &[MAC, OTHER]), host(2, &[OTHER]), own];
        let found = findings(&hosts, [None, Some(MAC), None].into_iter());
        assert!(
            matches!(&found[..], [
            SweepFinding::DuplicateAddress { holders, .. },
            SweepFinding::UnexpectedMac { expected: MAC, .. },
            SweepFinding::OwnAddressTaken { .. },
        ] if holders.len() == 2),
            "{found:?}"
        );
        let hosts: Vec<_> = (1..=17).map(|last| host(last, &[MAC])).collect();
        let found = findings(&hosts, hosts.iter().map(|_| None));
        assert!(matches!(&found[..], [SweepFinding::OneForMany { count: 17, .. }]), "{found:?}");
    }

    #[test]
    fn the_port_is_the_bridges_word_for_the_frames_address() {
        let mut bridge = Link::new(7, "br1102");
        let port = Link::new(9, "vnet3");
        let mut fdb = Fdb::default();
        fdb.bridge = bridge.index;
        fdb.entries = vec![FdbEntry::new(OTHER, port.index, FdbKind::Learned)];
        let plain = Ports::of(&bridge, &[], &[]);
        assert_eq!(plain.of_mac(MAC).as_deref(), Some("br1102"));
        bridge.kind = LinkKind::bridge();
        let ports = Ports::of(&bridge, &[bridge.clone(), port], &[fdb]);
        let holder = seen(&Holder { mac: MAC, frame_from: OTHER, answers: 1 }, &ports);
        assert_eq!((holder.port.as_deref(), holder.frame_from), (Some("vnet3"), Some(OTHER)));
    }
}
