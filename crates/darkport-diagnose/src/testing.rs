//! A healthy host to break: the incident's deployment as an observation.

use std::ops::{Deref, DerefMut};

use darkport_model::{
    Address, ArpAnswer, ArpProbe, Carrier, Cause, Claim, Counters, Crossing, Diagnosis, Fact, FactSource, Fdb, FdbEntry, FdbKind, HeardArp,
    IfIndex, Instance, Intent, Link, LinkKind, MacAddr, Nic, Observation, OperState, Part, Port, PortVlan, Qdisc, QdiscStats, Status,
    SyntheticRun, SyntheticTest, TestKind, Vid, Whom,
};

use crate::diagnose;

/// An observation with handles for what tests change.
pub(crate) struct Seen(Observation);

impl Deref for Seen {
    type Target = Observation;
    fn deref(&self) -> &Observation {
        &self.0
    }
}

impl DerefMut for Seen {
    fn deref_mut(&mut self) -> &mut Observation {
        &mut self.0
    }
}

impl Seen {
    pub(crate) fn link_mut(&mut self, name: &str) -> &mut Link {
        self.links.iter_mut().find(|link| link.name == name).unwrap()
    }

    pub(crate) fn port_mut(&mut self, name: &str) -> &mut Port {
        self.link_mut(name).port.as_mut().unwrap()
    }

    pub(crate) fn add(&mut self, name: &str, kind: LinkKind) -> &mut Link {
        let index = self.links.iter().map(|link| link.index.0).max().unwrap_or(0) + 1;
        let mut link = Link::new(index, name);
        link.kind = kind;
        link.mtu = 1500;
        (link.admin_up, link.carrier, link.oper_state) = (true, Carrier::Up, OperState::Up);
        link.counters.last = Some(Counters::default());
        self.links.push(link);
        self.links.last_mut().unwrap()
    }

    pub(crate) fn join(&mut self, name: &str, bridge: &str) {
        let master = self.link_mut(bridge).index;
        let link = self.link_mut(name);
        link.master = Some(master);
        link.port = Some(Port::forwarding());
    }

    pub(crate) fn add_bridge(&mut self, name: &str) -> IfIndex {
        self.add(name, bridge(false)).index
    }

    pub(crate) fn add_uplink(&mut self, bridge: &str, name: &str) {
        self.add(name, LinkKind::Physical);
        self.join(name, bridge);
    }

    pub(crate) fn rename(&mut self, from: &str, to: &str) {
        self.link_mut(from).name = to.into();
        for nic in self.0.inventory.instances.iter_mut().flat_map(|instance| &mut instance.nics) {
            if nic.bridge.as_ref().is_some_and(|fact| fact.value == from) {
                nic.bridge = Some(Fact::new(to.into(), FactSource::LiveXml, "i.xml"));
            }
        }
    }

    pub(crate) fn stop(&mut self, name: &str) {
        let instance = self.inventory.instances.iter_mut().find(|instance| instance.name == name).unwrap();
        instance.running = Some(Fact::new(false, FactSource::PersistentXml, "i.xml"));
    }
}

fn bridge(filtering: bool) -> LinkKind {
    let mut kind = LinkKind::bridge();
    if let LinkKind::Bridge { vlan_filtering, default_pvid, .. } = &mut kind {
        (*vlan_filtering, *default_pvid) = (filtering, Vid::try_from(1).ok());
    }
    kind
}

fn empty(bridge_name: &str, filtering: bool) -> Seen {
    let mut seen = Seen(Observation::default());
    seen.host.name = "virt1012".into();
    seen.window_ms = Some(2000);
    seen.add("lo", LinkKind::Loopback);
    seen.add(bridge_name, bridge(filtering));
    let index = seen.link_mut(bridge_name).index;
    let mut fdb = Fdb::default();
    fdb.bridge = index;
    seen.fdbs.push(fdb);
    seen
}

pub(crate) fn vlan_on(seen: &mut Seen, name: &str, vid: u16, parent: &str, bridge: &str) {
    let below = seen.link_mut(parent).index;
    let link = seen.add(name, LinkKind::Vlan { vid: vid.try_into().unwrap(), protocol: "802.1Q".into() });
    link.lower = Some(below);
    seen.join(name, bridge);
    seen.inventory.intents.push(Intent::new(bridge, name, "/etc/nova/nova.conf:12"));
}

fn instances(seen: &mut Seen, count: u8, bridge: &str) {
    for at in 0..count {
        let (mac, tap) = (guest_mac(at), format!("vnet{at}"));
        seen.add(&tap, LinkKind::Tun { tap: true, persist: true, multi_queue: false, queues: None }).mac = Some(mac.with_first_byte(0xfe));
        seen.join(&tap, bridge);
        let mut instance = Instance::named(format!("instance-{:08x}", at + 1));
        instance.uuid = Some(uuid(at + 1));
        instance.running = Some(Fact::new(true, FactSource::LiveXml, "i.xml"));
        let mut nic = Nic::default();
        nic.mac = Some(Fact::new(mac, FactSource::LiveXml, "i.xml"));
        nic.tap = Some(Fact::new(tap, FactSource::LiveXml, "i.xml"));
        nic.bridge = Some(Fact::new(bridge.into(), FactSource::LiveXml, "i.xml"));
        instance.nics.push(nic);
        seen.inventory.instances.push(instance);
    }
}

fn guest_mac(at: u8) -> MacAddr {
    MacAddr([0xfa, 0x16, 0x3e, 0, 0, at + 1])
}

fn uuid(number: u8) -> String {
    format!("00000000-0000-4000-8000-{number:012x}")
}

/// eth1 ← eth1.1102 ← br1102 ← vnet0 …
pub(crate) fn nova_network(count: u8) -> Seen {
    let mut seen = empty("br1102", false);
    seen.add("eth1", LinkKind::Physical);
    vlan_on(&mut seen, "eth1.1102", 1102, "eth1", "br1102");
    instances(&mut seen, count, "br1102");
    seen
}

/// eth1, eth2 ← bond0 ← bond0.1102 ← br1102 ← vnet0 …
pub(crate) fn bonded(count: u8) -> Seen {
    let mut seen = empty("br1102", false);
    let bond = seen.add("bond0", LinkKind::Bond { mode: "active-backup".into(), active_slave: None, miimon_ms: 100 }).index;
    for name in ["eth1", "eth2"] {
        seen.add(name, LinkKind::Physical).master = Some(bond);
    }
    vlan_on(&mut seen, "bond0.1102", 1102, "bond0", "br1102");
    instances(&mut seen, count, "br1102");
    seen
}

/// eth1 ← vmbr0 (filters VLANs) ← vnet0 … in VLAN 1102.
pub(crate) fn vlan_aware(count: u8) -> Seen {
    let mut seen = empty("vmbr0", true);
    seen.add_uplink("vmbr0", "eth1");
    instances(&mut seen, count, "vmbr0");
    let vlan = |vid: u16| Vid::try_from(vid).unwrap();
    let uplink = seen.link_mut("eth1").index;
    seen.port_vlans.push(PortVlan::new(uplink, vlan(1), true, true));
    seen.port_vlans.push(PortVlan::new(uplink, vlan(1102), false, false));
    for at in 0..count {
        let tap = seen.link_mut(&format!("vnet{at}")).index;
        seen.port_vlans.push(PortVlan::new(tap, vlan(1102), true, true));
    }
    seen
}

pub(crate) fn diagnosed(mut seen: Seen, fault: impl FnOnce(&mut Seen)) -> Diagnosis {
    fault(&mut seen);
    diagnose(&seen)
}

/// The one cause that a diagnosis names.
pub(crate) fn only(diagnosis: &Diagnosis, code: &str) -> Cause {
    let codes: Vec<_> = diagnosis.causes.iter().map(|cause| cause.code.as_str()).collect();
    assert_eq!(codes, [code], "{}", diagnosis.headline);
    diagnosis.causes[0].clone()
}

pub(crate) fn healthy(diagnosis: &Diagnosis) {
    assert_eq!(diagnosis.status, Status::Healthy, "{}: {:?}, undecided {:?}", diagnosis.headline, diagnosis.causes, diagnosis.undecided);
}

/// Sets a link's second reading: the first, changed.
pub(crate) fn count(link: &mut Link, change: impl FnOnce(&mut Counters)) {
    let mut last = link.counters.first;
    change(&mut last);
    link.counters.last = Some(last);
}

pub(crate) fn learn(seen: &mut Seen, guest: usize, port: &str, kind: FdbKind) {
    let port = seen.link_mut(port).index;
    seen.fdbs[0].entries.push(FdbEntry::new(guest_mac(u8::try_from(guest).unwrap()), port, kind));
}

pub(crate) fn with_address(seen: &mut Seen, link: &str, prefix: &str) {
    let index = seen.link_mut(link).index;
    seen.addresses.push(Address::new(index, prefix.parse().unwrap()));
}

pub(crate) fn qdisc(seen: &mut Seen, link: &str, kind: &str, passed: u64, dropped: u64) {
    let mut qdisc = Qdisc::default();
    qdisc.link = seen.link_mut(link).index;
    qdisc.kind = kind.into();
    let mut last = QdiscStats::default();
    (last.packets, last.drops) = (passed, dropped);
    qdisc.stats.last = Some(last);
    seen.qdiscs.push(qdisc);
}

/// A row of the control plane about instance `number`.
pub(crate) fn row(seen: &mut Seen, number: u8, host: &str, node: &str, status: &str) {
    let mut claim = Claim::default();
    claim.uuid = Some(uuid(number));
    claim.name = Some(format!("vm{number}"));
    claim.host = Some(host.into());
    claim.hypervisor_hostname = Some(node.into());
    claim.status = Some(status.into());
    claim.place = format!("list.json:{number}");
    seen.inventory.claims.push(claim);
}

/// A question on the first bridge, and who answered each time.
pub(crate) fn asked(seen: &mut Seen, target: &str, whom: Whom, answers: &[[u8; 6]]) {
    let bridge = seen.links.iter().find(|link| matches!(link.kind, LinkKind::Bridge { .. })).unwrap().index;
    let mut probe = ArpProbe::new(bridge, target.parse().unwrap(), whom);
    (probe.sent, probe.answered) = (6, if answers.is_empty() { 0 } else { 6 });
    probe.answers = answers.iter().map(|mac| ArpAnswer::new(MacAddr(*mac))).collect();
    seen.probes.heard.window_ms = Some(2000);
    seen.probes.arp.push(probe);
}

/// Frames of the probe number `at` crossed these devices.
pub(crate) fn crossed(seen: &mut Seen, at: usize, devices: &[&str], part: Part) {
    for name in devices {
        let crossing = Crossing::new(seen.link_mut(name).index, part == Part::Question, part);
        seen.probes.arp[at].way.push(crossing);
    }
}

/// The gateway does not answer; the question was seen leaving by these devices.
pub(crate) fn silent_gateway(seen: &mut Seen, devices: &[&str]) {
    asked(seen, "10.68.16.1", Whom::Gateway, &[]);
    let at = seen.probes.arp.len() - 1;
    crossed(seen, at, devices, Part::Question);
}

/// Instance `guest` does not answer; the question was seen leaving by its tap.
pub(crate) fn silent_instance(seen: &mut Seen, guest: usize, address: &str) {
    let name = seen.inventory.instances[guest].name.clone();
    asked(seen, address, Whom::Instance(name), &[]);
    let at = seen.probes.arp.len() - 1;
    crossed(seen, at, &["br1102", &format!("vnet{guest}")], Part::Question);
}

/// A request that came in by `link`.
pub(crate) fn overheard_request(seen: &mut Seen, link: &str, mac: [u8; 6], sender: &str, target: &str) {
    let link = seen.link_mut(link).index;
    seen.probes.heard.arp.push(HeardArp::request(link, MacAddr(mac), sender.parse().unwrap(), target.parse().unwrap()));
}

/// The first `guests` instances of the first bridge ask for the gateway, each so often; every question leaves by the uplink.
pub(crate) fn asking_in_vain(seen: &mut Seen, guests: u8, times: u32) {
    for at in 0..guests {
        for (link, outgoing) in [(format!("vnet{at}"), false), ("eth1.1102".to_owned(), true)] {
            overheard_request(seen, &link, guest_mac(at).0, &format!("10.68.16.{}", 10 + at), "10.68.16.1");
            if let Some(heard) = seen.probes.heard.arp.last_mut() {
                (heard.outgoing, heard.frames) = (outgoing, times);
            }
        }
    }
}

/// An instance was played on the first bridge: what it tried, how often, and how often it was answered.
pub(crate) fn plays(seen: &mut Seen, tests: &[(TestKind, u32, u32)]) {
    let bridge = seen.links.iter().find(|link| matches!(link.kind, LinkKind::Bridge { .. })).unwrap().index;
    let mut run = SyntheticRun::new(bridge, MacAddr([2, 0, 0, 0, 0, 0x77]));
    run.port = Some(IfIndex(77));
    let tried = |(kind, tries, passed): &(TestKind, u32, u32)| {
        let mut test = SyntheticTest::new(*kind);
        (test.tries, test.passed) = (*tries, *passed);
        test
    };
    run.tests = tests.iter().map(tried).collect();
    seen.probes.synthetic.push(run);
}

/// The instances' filters name their DHCP server, as nova writes them.
pub(crate) fn of_nova(seen: &mut Seen) {
    for nic in seen.inventory.instances.iter_mut().flat_map(|instance| &mut instance.nics) {
        nic.gateways.push(Fact::new([10, 68, 16, 1].into(), FactSource::LiveXml, "i.xml"));
    }
}

/// Packets that a link received and sent in the window.
pub(crate) fn passed(seen: &mut Seen, link: &str, received: u64, sent: u64) {
    count(seen.link_mut(link), |last| {
        last.rx_packets += received;
        last.tx_packets += sent;
    });
}

mod properties {
    use super::{Seen, bonded, diagnose, nova_network, vlan_aware};
    use darkport_model::{Carrier, IfIndex, LinkKind, Status, StpState};
    use proptest::prelude::*;

    /// One way to spoil an observation: which link, and what happens to it.
    fn spoil(seen: &mut Seen, at: usize, how: u8, value: u32) {
        let count = seen.links.len();
        let Some(link) = seen.links.get_mut(at % count.max(1)) else { return };
        match how {
            0 => link.master = Some(IfIndex(value % 20)),
            1 => link.lower = Some(IfIndex(value % 20)),
            2 => link.admin_up = !link.admin_up,
            3 => link.carrier = Carrier::Down,
            4 => link.kind = LinkKind::Veth,
            5 => link.name = format!("if{}", value % 5),
            6 => link.mtu = value,
            7 => link.index = IfIndex(value % 20),
            8 => {
                link.port = link.port.take().map(|mut port| {
                    (port.state, port.bcast_flood) = (StpState::Blocking, false);
                    port
                });
            }
            9 => {
                link.counters.last = link.counters.last.map(|mut last| {
                    (last.tx_dropped, last.rx_crc_errors, last.rx_packets) = (u64::from(value), u64::MAX, u64::MAX);
                    last
                });
            }
            10 => drop(seen.links.remove(at % count)),
            _ => seen.gaps.clear(),
        }
    }

    proptest! {
        /// Rings of masters, veths to themselves, doubled names and indexes: whatever a file may hold, there is an answer, always the same,
        /// and every instance that it names is one of those it lists.
        #[test]
        fn any_observation_has_an_answer(layout in 0..3, spoils in prop::collection::vec((any::<usize>(), 0u8..12, any::<u32>()), 0..12)) {
            let mut seen = match layout {
                0 => nova_network(3),
                1 => bonded(3),
                _ => vlan_aware(3),
            };
            for (at, how, value) in spoils {
                spoil(&mut seen, at, how, value);
            }
            let diagnosis = diagnose(&seen);
            prop_assert_eq!(&diagnosis, &diagnose(&seen));
            prop_assert!(diagnosis.status != Status::Healthy || diagnosis.causes.is_empty());
            for cause in diagnosis.causes.iter().filter(|cause| cause.code != "inventory-disagrees") {
                for name in &cause.explains {
                    prop_assert!(diagnosis.instances.iter().any(|instance| instance.name == *name), "{} explains {}", cause.code, name);
                }
            }
        }
    }
}
