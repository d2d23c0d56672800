//! The observation as a scene: which instances there are, on which bridges, and by which way their frames reach the wire.

use std::collections::{HashMap, HashSet};

use darkport_model::{Address, Fact, FdbEntry, IfIndex, Link, LinkKind, MacAddr, Observation, Port, Vid};

use crate::ports::{Role, role};
use crate::subject::{Attachment, Subject, subjects};
use crate::uplink::{Chain, Wanted, chain, wanted};
use crate::wiring::{Wiring, is_bridge};

/// An observation with the lookups and relations that checks need. Everything borrows from the observation.
pub(crate) struct Scene<'a> {
    pub(crate) seen: &'a Observation,
    pub(crate) wiring: Wiring<'a>,
    pub(crate) subjects: Vec<Subject<'a>>,
    pub(crate) segments: Vec<Segment<'a>>,
    /// Forwarding entries of instances' own addresses, the only ones that any check asks for by address.
    fdb: HashMap<(IfIndex, MacAddr), Vec<&'a FdbEntry>>,
}

/// A bridge that instances' frames pass, with its ways out.
pub(crate) struct Segment<'a> {
    pub(crate) bridge: &'a Link,
    /// Its ways towards the wire, each from the port down to the NIC.
    pub(crate) uplinks: Vec<Chain<'a>>,
    /// The device that ought to be its uplink, as far as anything says.
    pub(crate) wanted: Option<Wanted<'a>>,
    /// The way from that device to the wire, where the bridge has no uplink at all.
    wanted_way: Option<Chain<'a>>,
    /// The host's own addresses on it: then the host itself is, or can be, the instances' gateway.
    pub(crate) addresses: Vec<&'a Address>,
    /// Running instances on it: index of subject and of attachment.
    members: Vec<(usize, usize)>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(seen: &'a Observation) -> Self {
        let wiring = Wiring::new(seen);
        let subjects = subjects(&wiring);
        let mut scene = Self { seen, wiring, subjects, segments: Vec::new(), fdb: HashMap::new() };
        scene.segments = scene.find_segments();
        scene.fdb = scene.find_own_entries();
        scene
    }

    /// The forwarding entries of an instance's address on a bridge.
    pub(crate) fn entries(&self, bridge: IfIndex, mac: MacAddr) -> &[&'a FdbEntry] {
        self.fdb.get(&(bridge, mac)).map_or(&[], Vec::as_slice)
    }

    /// The VLANs of a port: id, whether it is the PVID, whether it leaves untagged.
    pub(crate) fn vlans_of(&self, port: IfIndex) -> impl Iterator<Item = &'a darkport_model::PortVlan> {
        self.seen.port_vlans.iter().filter(move |vlan| vlan.port == port)
    }

    pub(crate) fn pvid(&self, port: IfIndex) -> Option<Vid> {
        self.vlans_of(port).find(|vlan| vlan.pvid).map(|vlan| vlan.first)
    }

    /// Instances that run, each with its attachments.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Subject<'a>> {
        self.subjects.iter().filter(|subject| subject.runs())
    }

    /// The running instances' attachments on a segment.
    pub(crate) fn members(&self, segment: &Segment<'a>) -> impl Iterator<Item = (&Subject<'a>, &Attachment<'a>)> {
        segment.members.iter().filter_map(|&(subject, nic)| {
            let subject = self.subjects.get(subject)?;
            Some((subject, subject.nics.get(nic)?))
        })
    }

    /// The names of the running instances on a segment, each once.
    pub(crate) fn names_on(&self, segment: &Segment<'a>) -> Vec<String> {
        let mut once = HashSet::new();
        self.members(segment).filter(|(subject, _)| once.insert(subject.name.as_str())).map(|(subject, _)| subject.name.clone()).collect()
    }

    /// The names of all running instances.
    pub(crate) fn running_names(&self) -> Vec<String> {
        self.running().map(|subject| subject.name.clone()).collect()
    }

    /// The bridges that frames pass from `bridge` on: itself, and those that a local veth leads to (Proxmox' `fwbr`, neutron's `qbr`).
    pub(crate) fn bridges_from(&self, bridge: &'a Link) -> Vec<&'a Link> {
        let mut way = vec![bridge];
        while let Some(next) = way.last().and_then(|last| self.next_bridge(last)) {
            // Eight is far beyond any real layout; a ring of veths must end somewhere.
            if way.len() >= 8 || way.iter().any(|passed| passed.index == next.index) {
                break;
            }
            way.push(next);
        }
        way
    }

    fn next_bridge(&self, bridge: &Link) -> Option<&'a Link> {
        self.wiring.ports(bridge.index).iter().find_map(|port| {
            let far =
                (role(&self.wiring, port) == Role::Uplink && port.kind == LinkKind::Veth).then(|| self.wiring.lower(port)).flatten()?;
            self.wiring.bridge_of(far)
        })
    }

    fn find_segments(&self) -> Vec<Segment<'a>> {
        let mut order: Vec<&'a Link> = Vec::new();
        let mut members: HashMap<IfIndex, Vec<(usize, usize)>> = HashMap::new();
        for (subject_at, subject) in self.subjects.iter().enumerate() {
            if !subject.runs() {
                continue;
            }
            for (nic_at, nic) in subject.nics.iter().enumerate() {
                for bridge in self.bridges_of(nic) {
                    let list = members.entry(bridge.index).or_insert_with(|| {
                        order.push(bridge);
                        Vec::new()
                    });
                    list.push((subject_at, nic_at));
                }
            }
        }
        order
            .into_iter()
            .map(|bridge| {
                let uplinks: Vec<_> = self
                    .wiring
                    .ports(bridge.index)
                    .iter()
                    .filter(|port| role(&self.wiring, port) == Role::Uplink)
                    .map(|port| chain(&self.wiring, port))
                    .collect();
                let wanted = wanted(&self.wiring, bridge);
                let detached = wanted.as_ref().and_then(|wanted| wanted.link).filter(|_| uplinks.is_empty());
                Segment {
                    bridge,
                    wanted_way: detached.map(|link| chain(&self.wiring, link)),
                    wanted,
                    uplinks,
                    addresses: self.seen.addresses.iter().filter(|address| address.link == bridge.index && is_routable(address)).collect(),
                    members: members.remove(&bridge.index).unwrap_or_default(),
                }
            })
            .collect()
    }

    /// The bridges that an attachment's frames pass, or would if its tap were where it belongs.
    pub(crate) fn bridges_of(&self, nic: &Attachment<'a>) -> Vec<&'a Link> {
        let wanted = nic.wanted_bridge.and_then(|fact| self.wiring.named(&fact.value)).filter(|link| is_bridge(link));
        let actual = nic.bridge.map(|bridge| self.bridges_from(bridge)).unwrap_or_default();
        match wanted {
            Some(wanted) if !actual.iter().any(|bridge| bridge.index == wanted.index) => self.bridges_from(wanted),
            _ => actual,
        }
    }

    fn find_own_entries(&self) -> HashMap<(IfIndex, MacAddr), Vec<&'a FdbEntry>> {
        let own: HashSet<MacAddr> = self.subjects.iter().flat_map(|subject| &subject.nics).filter_map(|nic| nic.mac).collect();
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for fdb in &self.seen.fdbs {
            for entry in fdb.entries.iter().filter(|entry| own.contains(&entry.mac)) {
                found.entry((fdb.bridge, entry.mac)).or_default().push(entry);
            }
        }
        found
    }
}

impl<'a> Segment<'a> {
    /// The ways that lead to a NIC of this host (not through a veth to another bridge): those out of the bridge, or where there
    /// is none, the one that ought to be.
    pub(crate) fn ways_to_wire(&self) -> impl Iterator<Item = &Chain<'a>> {
        self.uplinks.iter().chain(&self.wanted_way).filter(|chain| chain.leads_to.is_none())
    }

    /// The port settings of its uplinks that frames can pass: up and forwarding.
    pub(crate) fn open_uplinks(&self) -> impl Iterator<Item = (&'a Link, &'a Port)> {
        self.uplinks.iter().filter_map(|chain| Some((chain.port, chain.port.port.as_ref()?)))
    }
}

/// The value of a fact and where it stands, for a sentence: `br1102 (/run/libvirt/qemu/i-1.xml)`.
pub(crate) fn cited<T: std::fmt::Display>(fact: &Fact<T>) -> String {
    format!("{} ({})", fact.value, fact.place)
}

fn is_routable(address: &Address) -> bool {
    match address.prefix.address() {
        std::net::IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        // fe80::/10; the standard library's own test is newer than the MSRV allows to rely on.
        std::net::IpAddr::V6(v6) => v6.segments().first().is_some_and(|first| first & 0xffc0 != 0xfe80) && !v6.is_loopback(),
    }
}
