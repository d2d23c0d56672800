//! Whom to ask for, from what was read and overheard: pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr};

use darkport_model::{Carrier, Gap, GapReason, HeardArp, IfIndex, Instance, Link, LinkKind, MacAddr, Observation, Source, Whom};

/// Strangers beyond the uplinks that are asked whether they live, where the gateway does not answer.
const STRANGERS: usize = 4;

/// An address to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) address: Ipv4Addr,
    pub(super) whom: Whom,
    /// Who ought to have it.
    pub(super) mac: Option<MacAddr>,
    /// The tap that it ought to be behind.
    pub(super) tap: Option<IfIndex>,
}

/// What is to be asked on one bridge.
#[derive(Debug)]
pub(super) struct Errand<'a> {
    pub(super) bridge: &'a Link,
    pub(super) mac: MacAddr,
    pub(super) questions: Vec<Question>,
    /// How many ports the bridge has: a question to everybody goes out by each.
    pub(super) ports: usize,
    /// This host's own addresses, which are nobody to ask for.
    own: HashSet<IpAddr>,
    /// The taps of instances on it, by their guests' addresses.
    guests: HashMap<MacAddr, (IfIndex, &'a str)>,
}

/// What is known before anything is overheard, a bridge each, and the bridges that cannot be asked on.
pub(super) fn errands(seen: &Observation) -> (Vec<Errand<'_>>, Vec<Gap>) {
    let links: HashMap<IfIndex, &Link> = seen.links.iter().map(|link| (link.index, link)).collect();
    let names: HashMap<&str, &Link> = seen.links.iter().map(|link| (link.name.as_str(), link)).collect();
    let mut found: BTreeMap<IfIndex, Errand<'_>> = BTreeMap::new();
    let mut gaps = BTreeMap::new();
    for instance in seen.inventory.instances.iter().filter(|instance| runs(instance)) {
        for nic in &instance.nics {
            let Some(tap) = nic.tap.as_ref().and_then(|tap| names.get(tap.value.as_str())) else { continue };
            let Some(bridge) = tap.master.and_then(|master| links.get(&master)).copied() else { continue };
            let mac = match asks_on(bridge) {
                Ok(mac) => mac,
                Err(why) => {
                    gaps.insert(bridge.index, Gap::new(Source::Probes, format!("ARP on {}", bridge.name), GapReason::NotAsked, why));
                    continue;
                }
            };
            let errand = found.entry(bridge.index).or_insert_with(|| Errand::new(seen, bridge, mac));
            let guest = nic.mac.as_ref().map(|mac| mac.value);
            if let Some(guest) = guest {
                errand.guests.insert(guest, (tap.index, &instance.name));
            }
            for address in nic.addresses.iter().filter_map(|fact| ipv4(fact.value)) {
                errand.add(address, Whom::Instance(instance.name.clone()), guest, Some(tap.index));
            }
            for gateway in nic.gateways.iter().filter_map(|fact| ipv4(fact.value)) {
                errand.add(gateway, Whom::Gateway, None, None);
            }
        }
    }
    (found.into_values().collect(), gaps.into_values().collect())
}

/// What overhearing adds: instances' own addresses, the gateway that they ask for, strangers who live.
pub(super) fn overheard(errand: &Errand<'_>, heard: &[HeardArp], ports: &HashSet<IfIndex>, gateway_answers: bool) -> Vec<Question> {
    let known: HashSet<Ipv4Addr> = errand.questions.iter().map(|question| question.address).collect();
    let mut more = Errand { own: errand.own.clone(), questions: Vec::new(), guests: HashMap::new(), ..*errand };
    more.own.extend(known.iter().map(|known| IpAddr::V4(*known)));
    let asked: HashSet<&str> = errand.questions.iter().filter_map(|question| whose(&question.whom)).collect();
    let mut wanted: BTreeMap<Ipv4Addr, BTreeSet<MacAddr>> = BTreeMap::new();
    let mut guests: HashSet<Ipv4Addr> = HashSet::new();
    let said = |one: &&HeardArp| !one.outgoing && !one.sender.is_unspecified() && one.sender_mac.is_unicast();
    for one in heard.iter().filter(said) {
        let Some((tap, name)) = errand.guests.get(&one.sender_mac).filter(|(tap, _)| *tap == one.link) else { continue };
        guests.insert(one.sender);
        if !asked.contains(name) {
            more.add(one.sender, Whom::Instance((*name).to_owned()), Some(one.sender_mac), Some(*tap));
        }
        if !one.reply && one.target != one.sender {
            wanted.entry(one.target).or_default().insert(one.sender_mac);
        }
    }
    // What the filter's parameters name may serve addresses only, and be off: then the guests' own word counts.
    let at_home = |address: &Ipv4Addr| guests.contains(address) || known.contains(address);
    let gateway = wanted.iter().filter(|(address, askers)| askers.len() >= 2 && !at_home(address)).max_by_key(|(_, askers)| askers.len());
    let gateway = gateway.map(|(address, _)| *address).filter(|_| !gateway_answers);
    if let Some(gateway) = gateway {
        more.add(gateway, Whom::Gateway, None, None);
    }
    if !gateway_answers {
        let stranger =
            |one: &&HeardArp| ports.contains(&one.link) && !errand.guests.contains_key(&one.sender_mac) && one.sender_mac != errand.mac;
        let strangers: BTreeSet<Ipv4Addr> = heard.iter().filter(said).filter(stranger).map(|one| one.sender).collect();
        for stranger in strangers.into_iter().filter(|one| Some(*one) != gateway && !at_home(one)).take(STRANGERS) {
            more.add(stranger, Whom::Other, None, None);
        }
    }
    more.questions
}

impl<'a> Errand<'a> {
    fn new(seen: &Observation, bridge: &'a Link, mac: MacAddr) -> Self {
        let own = seen.addresses.iter().map(|address| address.prefix.address()).collect();
        let mut errand =
            Self { bridge, mac, questions: Vec::new(), ports: seen.ports_of(bridge.index).count(), own, guests: HashMap::new() };
        let default = seen.routes.iter().filter(|route| route.link == Some(bridge.index) && route.destination.length() == 0);
        for gateway in default.filter_map(|route| route.gateway).filter_map(ipv4) {
            errand.add(gateway, Whom::Gateway, None, None);
        }
        errand
    }

    fn add(&mut self, address: Ipv4Addr, whom: Whom, mac: Option<MacAddr>, tap: Option<IfIndex>) {
        let askable = !address.is_unspecified() && !address.is_broadcast() && !address.is_multicast() && !address.is_loopback();
        if askable && !self.own.contains(&address.into()) && !self.questions.iter().any(|known| known.address == address) {
            self.questions.push(Question { address, whom, mac, tap });
        }
    }

    pub(super) fn taps(&self) -> impl Iterator<Item = IfIndex> {
        self.guests.values().map(|(tap, _)| *tap)
    }
}

/// The address that a bridge asks from, or why it cannot.
fn asks_on(bridge: &Link) -> Result<MacAddr, &'static str> {
    match bridge.kind {
        // The bridge itself is a member of its own default VLAN only, so that nothing that it sends reaches the instances' one.
        LinkKind::Bridge { vlan_filtering: true, .. } => Err("it filters VLANs, and this host is no member of the instances' one"),
        LinkKind::Bridge { .. } if !bridge.admin_up || bridge.carrier == Carrier::Down => Err("it is down, so that nothing can be sent"),
        LinkKind::Bridge { .. } => bridge.mac.filter(|mac| mac.is_unicast()).ok_or("it has no hardware address"),
        _ => Err("it is no bridge of this kernel's"),
    }
}

pub(crate) fn runs(instance: &Instance) -> bool {
    instance.is_running() == Some(true) && !instance.paused.as_ref().is_some_and(|fact| fact.value)
}

fn whose(whom: &Whom) -> Option<&str> {
    match whom {
        Whom::Instance(name) => Some(name),
        _ => None,
    }
}

pub(crate) fn ipv4(address: IpAddr) -> Option<Ipv4Addr> {
    match address {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkport_model::{Address, Fact, FactSource, Nic};

    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn guest(number: u8) -> MacAddr {
        MacAddr([0xfa, 0x16, 0x3e, 0, 0, number])
    }

    fn fact<T>(value: T) -> Fact<T> {
        Fact::new(value, FactSource::LiveXml, "i.xml")
    }

    /// br1102 with eth1 (2) and two instances on vnet1 (11), vnet2 (12).
    fn host() -> Observation {
        let mut seen = Observation::default();
        let mut bridge = Link::new(1, "br1102");
        (bridge.kind, bridge.admin_up, bridge.mac) = (LinkKind::bridge(), true, Some(MacAddr([2, 0, 0, 0, 0, 1])));
        let mut uplink = Link::new(2, "eth1");
        uplink.master = Some(bridge.index);
        seen.links = vec![bridge, uplink];
        for number in [1, 2] {
            let mut tap = Link::new(10 + u32::from(number), format!("vnet{number}"));
            tap.master = Some(IfIndex(1));
            seen.links.push(tap);
            let mut instance = Instance::named(format!("i-{number}"));
            instance.running = Some(fact(true));
            let mut nic = Nic::default();
            (nic.tap, nic.mac) = (Some(fact(format!("vnet{number}"))), Some(fact(guest(number))));
            instance.nics.push(nic);
            seen.inventory.instances.push(instance);
        }
        seen
    }

    #[test]
    fn what_the_inventory_knows_is_asked_for_once() {
        let mut seen = host();
        for (number, instance) in seen.inventory.instances.iter_mut().enumerate() {
            let last = u8::try_from(number).unwrap() + 10;
            instance.nics[0].addresses.push(fact(Ipv4Addr::new(10, 0, 0, last).into()));
            instance.nics[0].gateways.push(fact(GATEWAY.into()));
        }
        let (errands, gaps) = errands(&seen);
        let asked: Vec<_> =
            errands[0].questions.iter().map(|question| (question.address.octets()[3], question.tap.map(|tap| tap.0))).collect();
        assert_eq!((asked.as_slice(), gaps.len()), (&[(10, Some(11)), (1, None), (11, Some(12))][..], 0));
        seen.addresses.push(Address::new(IfIndex(1), "10.0.0.1/24".parse().unwrap()));
        let (errands, _) = super::errands(&seen);
        assert!(errands[0].questions.iter().all(|question| question.whom != Whom::Gateway), "our own address is nobody to ask for");
    }

    #[test]
    fn a_bridge_that_is_down_or_filters_vlans_is_a_gap() {
        let mut seen = host();
        seen.links[0].admin_up = false;
        let (errands, gaps) = errands(&seen);
        assert!(errands.is_empty());
        assert_eq!((gaps.len(), gaps[0].reason), (1, GapReason::NotAsked));
    }

    #[test]
    fn the_address_that_two_guests_ask_for_is_the_gateway() {
        let seen = host();
        let (errands, _) = errands(&seen);
        let says = |number: u8, target| {
            HeardArp::request(IfIndex(10 + u32::from(number)), guest(number), Ipv4Addr::new(10, 0, 0, 20 + number), target)
        };
        let ports = HashSet::from([IfIndex(2)]);
        let one = overheard(&errands[0], &[says(1, GATEWAY)], &ports, false);
        assert_eq!(one.iter().map(|question| &question.whom).collect::<Vec<_>>(), [&Whom::Instance("i-1".into())]);
        let both = overheard(&errands[0], &[says(1, GATEWAY), says(2, GATEWAY)], &ports, false);
        assert!(both.iter().any(|question| question.whom == Whom::Gateway && question.address == GATEWAY));
        let mut forged = says(1, GATEWAY);
        forged.link = IfIndex(12);
        assert!(overheard(&errands[0], &[forged], &ports, false).is_empty(), "a guest speaks by its own tap only");
    }

    #[test]
    fn strangers_are_asked_when_the_gateway_is_silent() {
        let seen = host();
        let (errands, _) = errands(&seen);
        let stranger = HeardArp::request(IfIndex(2), MacAddr([2, 9, 9, 9, 9, 9]), Ipv4Addr::new(10, 0, 0, 77), GATEWAY);
        let ports = HashSet::from([IfIndex(2)]);
        assert_eq!(overheard(&errands[0], std::slice::from_ref(&stranger), &ports, false)[0].whom, Whom::Other);
        assert!(overheard(&errands[0], &[stranger], &ports, true).is_empty());
    }
}
