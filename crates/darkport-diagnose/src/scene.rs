//! The observation as a scene: which instances there are, on which bridges, and by which way their frames reach the wire.

use std::collections::{HashMap, HashSet};

use darkport_model::{Address, Certainty, Effect, Fact, FdbEntry, IfIndex, Link, MacAddr, Observation, Port, PortVlan, Vid};

use crate::ports::{Role, firewall_bridge_way_up, role};
use crate::subject::{Attachment, Subject, subjects};
use crate::uplink::{Chain, chain};
use crate::wanted::{Wanted, wanted};
use crate::wiring::{Wiring, is_bridge};

/// An observation with the lookups and relations that checks need. Everything borrows from the observation.
pub(crate) struct Scene<'a> {
    pub(crate) seen: &'a Observation,
    pub(crate) wiring: Wiring<'a>,
    pub(crate) subjects: Vec<Subject<'a>>,
    pub(crate) segments: Vec<Segment<'a>>,
    /// Where each bridge's frames go on to, where a local veth leads to another bridge.
    next: HashMap<IfIndex, &'a Link>,
    segment_at: HashMap<IfIndex, usize>,
    vlans: HashMap<IfIndex, Vec<&'a PortVlan>>,
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
    /// The host's own default route leaves by it.
    default_route: bool,
    /// Those of its uplinks' ports that the configuration puts into it.
    configured: HashSet<IfIndex>,
    /// Running instances on it: index of subject and of attachment.
    members: Vec<(usize, usize)>,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(seen: &'a Observation) -> Self {
        let wiring = Wiring::new(seen);
        let subjects = subjects(&wiring);
        let next = next_bridges(&wiring);
        let mut vlans: HashMap<IfIndex, Vec<&PortVlan>> = HashMap::new();
        for vlan in &seen.port_vlans {
            vlans.entry(vlan.port).or_default().push(vlan);
        }
        let mut scene = Self { seen, wiring, subjects, segments: Vec::new(), next, segment_at: HashMap::new(), vlans, fdb: HashMap::new() };
        scene.segments = scene.find_segments();
        scene.segment_at = scene.segments.iter().enumerate().map(|(at, segment)| (segment.bridge.index, at)).collect();
        scene.fdb = scene.find_own_entries();
        scene
    }

    /// The segment of a bridge.
    pub(crate) fn segment(&self, bridge: IfIndex) -> Option<&Segment<'a>> {
        self.segments.get(*self.segment_at.get(&bridge)?)
    }

    /// The forwarding entries of an instance's address on a bridge.
    pub(crate) fn entries(&self, bridge: IfIndex, mac: MacAddr) -> &[&'a FdbEntry] {
        self.fdb.get(&(bridge, mac)).map_or(&[], Vec::as_slice)
    }

    /// The VLANs of a port.
    pub(crate) fn vlans_of(&self, port: IfIndex) -> impl Iterator<Item = &'a PortVlan> {
        self.vlans.get(&port).into_iter().flatten().copied()
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
        while let Some(next) = way.last().and_then(|last| self.next.get(&last.index)) {
            // Eight is far beyond any real layout; a ring of veths must end somewhere.
            if way.len() >= 8 || way.iter().any(|passed| passed.index == next.index) {
                break;
            }
            way.push(next);
        }
        way
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
                let intents = self.seen.inventory.intents.iter().filter(|intent| intent.bridge == bridge.name);
                let intended = intents.filter_map(|intent| self.wiring.named(&intent.uplink)).map(|link| link.index);
                let configured = intended.filter(|index| uplinks.iter().any(|chain| chain.port.index == *index)).collect();
                let wanted = wanted(&self.wiring, bridge);
                let detached = wanted.as_ref().and_then(|wanted| wanted.link).filter(|_| uplinks.is_empty());
                Segment {
                    bridge,
                    wanted_way: detached.map(|link| chain(&self.wiring, link)),
                    wanted,
                    uplinks,
                    addresses: self.wiring.addresses(bridge).collect(),
                    default_route: self.wiring.has_default_route(bridge),
                    configured,
                    members: members.remove(&bridge.index).unwrap_or_default(),
                }
            })
            .collect()
    }

    /// The bridges that an attachment's frames pass, or would if its tap were where it belongs.
    pub(crate) fn bridges_of(&self, nic: &Attachment<'a>) -> Vec<&'a Link> {
        let wanted = nic.wanted_bridge.and_then(|fact| self.wiring.named(&fact.value)).filter(|link| is_bridge(link));
        let mut actual = nic.bridge.map(|bridge| self.bridges_from(bridge)).unwrap_or_default();
        let Some(wanted) = wanted.filter(|wanted| !actual.iter().any(|bridge| bridge.index == wanted.index)) else { return actual };
        // A firewall bridge stands before the bridge that the domain names, and may have lost it.
        if actual.first().is_none_or(|first| firewall_bridge_way_up(&first.name).is_none()) {
            actual.clear();
        }
        actual.extend(self.bridges_from(wanted));
        actual
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
    /// The ways that frames leave by, or ought to: the configured ones where there are any, else all; and where the bridge has none at
    /// all, the way from the device that it wants.
    pub(crate) fn ways(&self) -> impl Iterator<Item = &Chain<'a>> {
        let counts = |chain: &&Chain<'a>| self.configured.is_empty() || self.configured.contains(&chain.port.index);
        self.uplinks.iter().filter(counts).chain(&self.wanted_way)
    }

    /// Whether no way out is open. Where one of several is, instances get through.
    pub(crate) fn is_cut(&self) -> bool {
        let mut ways = self.ways().peekable();
        ways.peek().is_some() && ways.all(|chain| !chain.is_open())
    }

    /// How sure a cut is: another, unforeseen way that is open leaves a doubt.
    pub(crate) fn certainty(&self) -> Certainty {
        if self.uplinks.iter().any(Chain::is_open) { Certainty::Likely } else { Certainty::Proven }
    }

    /// What it does to instances when no way out is open: a host that routes for them itself still answers.
    pub(crate) fn effect(&self) -> Effect {
        if self.addresses.is_empty() || self.default_route { Effect::Dark } else { Effect::Degraded }
    }

    /// Whether the bridge has no way out and nothing says that it ought to have one.
    pub(crate) fn is_internal(&self) -> bool {
        self.ways().next().is_none() && self.wanted.is_none() && self.addresses.is_empty()
    }

    /// Its uplinks with their port settings.
    pub(crate) fn uplink_ports(&self) -> impl Iterator<Item = (&'a Link, &'a Port)> {
        self.uplinks.iter().filter_map(|chain| Some((chain.port, chain.port.port.as_ref()?)))
    }
}

/// For each bridge, the bridge that a local veth takes its frames on to.
fn next_bridges<'a>(wiring: &Wiring<'a>) -> HashMap<IfIndex, &'a Link> {
    let bridges = wiring.seen.links.iter().filter(|link| is_bridge(link));
    let next = |bridge: &Link| {
        let mut ports = wiring.ports(bridge.index).iter();
        ports.find_map(|port| wiring.peer(port).filter(|_| role(wiring, port) == Role::Uplink).and_then(|far| wiring.bridge_of(far)))
    };
    bridges.filter_map(|bridge| Some((bridge.index, next(bridge)?))).collect()
}

/// The value of a fact and where it stands, for a sentence: `br1102 (/run/libvirt/qemu/i-1.xml)`.
pub(crate) fn cited<T: std::fmt::Display>(fact: &Fact<T>) -> String {
    format!("{} ({})", fact.value, fact.place)
}
