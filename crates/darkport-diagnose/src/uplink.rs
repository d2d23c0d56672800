//! A bridge's way to the wire: the one it has, and the one it ought to have.

use std::fmt::Display;

use darkport_model::{HopKind, Link, LinkKind, Vid};

use crate::ports::is_nic_name;
use crate::wiring::Wiring;

/// The way from a bridge port down to the NICs.
pub(crate) struct Chain<'a> {
    /// The port of the bridge.
    pub(crate) port: &'a Link,
    /// The port's device and all below it, top first: VLAN, bond, NIC.
    pub(crate) devices: Vec<&'a Link>,
    /// The members, where one of the devices is a bond; they are not among `devices`.
    pub(crate) slaves: Vec<&'a Link>,
    /// The bridge that the port leads to, where it is a veth between two bridges.
    pub(crate) leads_to: Option<&'a Link>,
}

impl<'a> Chain<'a> {
    /// The bond in it.
    pub(crate) fn bond(&self) -> Option<&'a Link> {
        self.devices.iter().copied().find(|link| matches!(link.kind, LinkKind::Bond { .. }))
    }

    /// The lowest device; the bond where there is one.
    pub(crate) fn bottom(&self) -> &'a Link {
        self.devices.last().copied().unwrap_or(self.port)
    }

    /// All devices, the bond's members included.
    pub(crate) fn all(&self) -> impl Iterator<Item = &'a Link> {
        self.devices.iter().chain(&self.slaves).copied()
    }

    /// What one of its devices is on the path.
    pub(crate) fn hop(device: &Link) -> HopKind {
        match device.kind {
            LinkKind::Vlan { .. } => HopKind::VlanDevice,
            LinkKind::Bond { .. } => HopKind::Bond,
            _ => HopKind::Nic,
        }
    }
}

pub(crate) fn chain<'a>(wiring: &Wiring<'a>, port: &'a Link) -> Chain<'a> {
    let mut devices = vec![port];
    // VLAN on VLAN on bond is the deepest that is seen; eight ends any ring.
    while let Some(below) = devices.last().filter(|link| matches!(link.kind, LinkKind::Vlan { .. })).and_then(|link| wiring.lower(link)) {
        if devices.len() >= 8 {
            break;
        }
        devices.push(below);
    }
    let bond = devices.last().filter(|link| matches!(link.kind, LinkKind::Bond { .. }));
    let slaves = bond.map(|bond| wiring.ports(bond.index).to_vec()).unwrap_or_default();
    let far = (port.kind == LinkKind::Veth).then(|| wiring.lower(port)).flatten();
    let leads_to = far.and_then(|far| wiring.bridge_of(far));
    Chain { port, devices, slaves, leads_to }
}

/// The device that ought to be a bridge's uplink.
pub(crate) struct Wanted<'a> {
    pub(crate) name: String,
    pub(crate) link: Option<&'a Link>,
    pub(crate) vid: Option<Vid>,
    pub(crate) parent: Option<String>,
    /// What says so.
    pub(crate) because: String,
    /// Whether that leaves no doubt.
    pub(crate) sure: bool,
}

pub(crate) fn wanted<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    by_configuration(wiring, bridge)
        .or_else(|| by_number(wiring, bridge))
        .or_else(|| by_missing_number(wiring, bridge))
        .or_else(|| by_elimination(wiring, bridge))
}

/// The host's own configuration names it.
fn by_configuration<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    let intents: Vec<_> = wiring.seen.inventory.intents.iter().filter(|intent| intent.bridge == bridge.name).collect();
    let present = |name: &str| wiring.named(name);
    let intent = intents.iter().find(|intent| present(&intent.uplink).is_some()).or(intents.first())?;
    let (parent, vid) = split_name(&intent.uplink);
    Some(Wanted {
        name: intent.uplink.clone(),
        link: present(&intent.uplink),
        vid: intent.vid.or(vid),
        parent: intent.parent.clone().or_else(|| parent.map(str::to_owned)),
        because: format!("{} wants {} in {}", intent.place, intent.uplink, bridge.name),
        sure: true,
    })
}

/// The bridge is called after a VLAN (`br1102`) and a device of that VLAN is there.
fn by_number<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    let vid = number_in_name(&bridge.name)?;
    let named_after =
        |link: &&Link| matches!(link.kind, LinkKind::Vlan { vid: has, .. } if has == vid) || split_name(&link.name).1 == Some(vid);
    let link = wiring.seen.links.iter().filter(|link| matches!(link.kind, LinkKind::Vlan { .. })).find(named_after)?;
    let (parent, _) = split_name(&link.name);
    Some(Wanted {
        name: link.name.clone(),
        link: Some(link),
        vid: Some(vid),
        parent: parent.map(str::to_owned),
        because: format!("{} carries the number of {}", link.name, bridge.name),
        sure: true,
    })
}

/// The bridge is called after a VLAN that no device carries, and there is a NIC that such a device could stand on.
fn by_missing_number<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    // nova-network calls its only, untagged bridge br100 (nova, flat_network_bridge): there the number names no VLAN.
    let vid = number_in_name(&bridge.name).filter(|vid| vid.get() != 100 && !is_addressed(wiring, bridge))?;
    let parents = wiring.seen.links.iter().filter(|link| matches!(link.kind, LinkKind::Vlan { .. })).filter_map(|link| wiring.lower(link));
    let parent = parents.chain(unused(wiring)).find(|link| !matches!(link.kind, LinkKind::Vlan { .. }))?;
    Some(Wanted {
        name: format!("{}.{vid}", parent.name),
        link: None,
        vid: Some(vid),
        parent: Some(parent.name.clone()),
        because: format!("{} is called after VLAN {vid}, and no device carries that VLAN", bridge.name),
        sure: false,
    })
}

/// The only device that could be one: a NIC, VLAN or bond that nobody uses.
fn by_elimination<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    let mut candidates = unused(wiring);
    let only = candidates.next().filter(|_| !is_addressed(wiring, bridge))?;
    if candidates.next().is_some() {
        return None;
    }
    let (parent, vid) = split_name(&only.name);
    Some(Wanted {
        name: only.name.clone(),
        link: Some(only),
        vid,
        parent: parent.map(str::to_owned),
        because: format!("{} is the only device here that nothing uses", only.name),
        sure: false,
    })
}

fn is_addressed(wiring: &Wiring<'_>, link: &Link) -> bool {
    wiring.seen.addresses.iter().any(|address| address.link == link.index && address.prefix.address().is_ipv4())
}

/// Devices that could be an uplink and that nothing uses: no master, no address, nothing on top.
fn unused<'a>(wiring: &Wiring<'a>) -> impl Iterator<Item = &'a Link> {
    let device = |link: &&Link| {
        matches!(link.kind, LinkKind::Physical | LinkKind::Vlan { .. } | LinkKind::Bond { .. })
            || (link.kind == LinkKind::Veth && is_nic_name(&link.name))
    };
    let carries = |link: &Link| wiring.seen.links.iter().any(|other| other.lower == Some(link.index) && !other.lower_elsewhere);
    wiring
        .seen
        .links
        .iter()
        .filter(device)
        .filter(move |link| link.master.is_none() && link.admin_up && !is_addressed(wiring, link) && !carries(link))
}

/// `eth1.1102` is VLAN 1102 on eth1, by the convention of vlan-interfaces(5) and vconfig(8); `vlan1102` names the VLAN only.
pub(crate) fn split_name(name: &str) -> (Option<&str>, Option<Vid>) {
    match name.rsplit_once('.') {
        Some((parent, number)) => match number.parse() {
            Ok(vid) => (Some(parent), Some(vid)),
            Err(_) => (None, None),
        },
        None => (None, name.strip_prefix("vlan").and_then(|number| number.parse().ok())),
    }
}

/// The VLAN that a bridge is called after: `br1102`, `brvlan-7`. Numbers below 2 are more often a count.
pub(crate) fn number_in_name(name: &str) -> Option<Vid> {
    let digits = name.len() - name.trim_end_matches(|last: char| last.is_ascii_digit()).len();
    let (_, number) = name.split_at(name.len() - digits);
    number.parse::<u16>().ok().filter(|number| *number > 1).and_then(|number| number.try_into().ok())
}

/// Names joined for a sentence: `a`, `a and b`, `a, b and 3 more`.
pub(crate) fn listed<T: Display>(items: &[T]) -> String {
    match items {
        [] => "none".to_owned(),
        [one] => one.to_string(),
        [one, two] => format!("{one} and {two}"),
        [one, two, three] => format!("{one}, {two} and {three}"),
        [one, two, rest @ ..] => format!("{one}, {two} and {} more", rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_their_vlan() {
        let vid = |number: u16| Vid::try_from(number).ok();
        assert_eq!(split_name("eth1.1102"), (Some("eth1"), vid(1102)));
        assert_eq!(split_name("bond0.4000"), (Some("bond0"), vid(4000)));
        assert_eq!(split_name("vlan100"), (None, vid(100)));
        assert_eq!(split_name("eth1.x"), (None, None));
        assert_eq!(number_in_name("br1102"), vid(1102));
        assert_eq!(number_in_name("vmbr0"), None);
        assert_eq!(number_in_name("br99999"), None);
        assert_eq!(number_in_name("ü7"), vid(7));
    }

    #[test]
    fn lists_stay_short() {
        assert_eq!(listed(&["a", "b", "c", "d"]), "a, b and 2 more");
        assert_eq!(listed::<&str>(&[]), "none");
    }
}
