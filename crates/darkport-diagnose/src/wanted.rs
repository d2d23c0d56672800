//! The uplink that a bridge ought to have, and how sure that is.

use darkport_model::{Carrier, Certainty, Link, LinkKind, Vid};

use crate::ports::firewall_bridge_way_up;
use crate::wiring::{Wiring, is_bridge, is_nic_name};

/// The device that ought to be a bridge's uplink.
pub(crate) struct Wanted<'a> {
    pub(crate) name: String,
    pub(crate) link: Option<&'a Link>,
    pub(crate) vid: Option<Vid>,
    pub(crate) parent: Option<String>,
    /// What says so.
    pub(crate) because: String,
    /// How much that is worth.
    pub(crate) certainty: Certainty,
}

pub(crate) fn wanted<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    let inventory = &wiring.seen.inventory;
    if inventory.isolated.iter().any(|name| name.value == bridge.name) {
        return None;
    }
    by_configuration(wiring, bridge)
        .or_else(|| by_firewall(wiring, bridge))
        .or_else(|| by_number(wiring, bridge))
        .or_else(|| by_missing_number(wiring, bridge))
        .or_else(|| by_elimination(wiring, bridge))
}

/// The host's own configuration names it.
fn by_configuration<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    let intents: Vec<_> = wiring.seen.inventory.intents.iter().filter(|intent| intent.bridge == bridge.name).collect();
    let intent = intents.iter().find(|intent| wiring.named(&intent.uplink).is_some()).or(intents.first())?;
    let (parent, vid) = split_name(&intent.uplink);
    let because = format!("{} wants {} in {}", intent.place, intent.uplink, bridge.name);
    let named = wiring.named(&intent.uplink);
    // A device that was made a member of a bond since is reached by the bond.
    if let Some(bond) = named.and_then(|link| wiring.master(link)).filter(|master| matches!(master.kind, LinkKind::Bond { .. })) {
        let because = format!("{because}, and {} is a member of {} now", intent.uplink, bond.name);
        return Some(Wanted { name: bond.name.clone(), link: Some(bond), vid: None, parent: None, because, certainty: Certainty::Likely });
    }
    Some(Wanted {
        name: named.map_or_else(|| intent.uplink.clone(), |link| link.name.clone()),
        link: named,
        vid: intent.vid.or(vid),
        parent: intent.parent.clone().or_else(|| parent.map(str::to_owned)),
        because,
        certainty: Certainty::Proven,
    })
}

/// A firewall bridge's way up is called after it.
fn by_firewall<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    let name = firewall_bridge_way_up(&bridge.name)?;
    let link = wiring.named(&name)?;
    let because = format!("{name} is the way up of {} by its name", bridge.name);
    Some(Wanted { name, link: Some(link), vid: None, parent: None, because, certainty: Certainty::Proven })
}

/// The bridge is called after a VLAN (`br1102`) and a device of that VLAN is there that serves nothing else.
fn by_number<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    let vid = number_in_name(&bridge.name).filter(|_| !wiring.is_addressed(bridge))?;
    let carries =
        |link: &&Link| matches!(link.kind, LinkKind::Vlan { vid: has, .. } if has == vid || split_name(&link.name).1 == Some(vid));
    let free = |link: &&Link| {
        // In another bridge it may be right where it is, unless nobody uses that bridge.
        let elsewhere = wiring
            .bridge_of(link)
            .is_some_and(|other| other.index != bridge.index && wiring.ports(other.index).iter().any(|port| port.index != link.index));
        !wiring.is_addressed(link) && !elsewhere
    };
    let link = wiring.seen.links.iter().find(|link| carries(link) && free(link))?;
    Some(Wanted {
        name: link.name.clone(),
        link: Some(link),
        vid: Some(vid),
        parent: split_name(&link.name).0.map(str::to_owned),
        because: format!("{} carries the number of {}", link.name, bridge.name),
        certainty: Certainty::Proven,
    })
}

/// The bridge is called after a VLAN that no device carries. Likely where other bridges here are built so; else no more than possible.
fn by_missing_number<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    // nova-network calls its only, untagged bridge br100 (nova, flat_network_bridge): there the number names no VLAN.
    let vid = number_in_name(&bridge.name).filter(|vid| vid.get() >= 10 && vid.get() != 100 && !wiring.is_addressed(bridge))?;
    let pattern = |link: &&Link| {
        let named = matches!(link.kind, LinkKind::Vlan { .. }).then(|| split_name(&link.name).1).flatten();
        named.is_some() && wiring.bridge_of(link).is_some_and(|other| number_in_name(&other.name) == named)
    };
    let sibling = wiring.seen.links.iter().find(pattern).and_then(|link| wiring.lower(link));
    let certainty = if sibling.is_some() { Certainty::Likely } else { Certainty::Possible };
    let parent = sibling.or_else(|| unused(wiring).find(|link| !matches!(link.kind, LinkKind::Vlan { .. }) && vid.get() > 100))?;
    Some(Wanted {
        name: format!("{}.{vid}", parent.name),
        link: None,
        vid: Some(vid),
        parent: Some(parent.name.clone()),
        because: format!("{} is called after VLAN {vid}, and no device carries that VLAN", bridge.name),
        certainty,
    })
}

/// The only device that could be one: a NIC, VLAN or bond that is up, hears a signal, and that nobody uses. A guess, unless the host's
/// own default route shows that the bridge ought to lead out.
fn by_elimination<'a>(wiring: &Wiring<'a>, bridge: &'a Link) -> Option<Wanted<'a>> {
    let leads_out = wiring.has_default_route(bridge);
    let internal = wiring.is_addressed(bridge) || is_made_by_software(&bridge.name);
    // A port that no inventory knows may be the way out itself: somebody's tunnel.
    let unknown_port = wiring.ports(bridge.index).iter().any(|port| !wiring.is_known_tap(port));
    if !leads_out && (internal || unknown_port) {
        return None;
    }
    let mut candidates = unused(wiring);
    let only = candidates.next()?;
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
        certainty: if leads_out { Certainty::Likely } else { Certainty::Possible },
    })
}

/// Devices that could be an uplink and that nothing uses: no master, no address, nothing on top.
fn unused<'a>(wiring: &Wiring<'a>) -> impl Iterator<Item = &'a Link> {
    let device = |link: &&Link| {
        matches!(link.kind, LinkKind::Physical | LinkKind::Vlan { .. } | LinkKind::Bond { .. })
            || (link.kind == LinkKind::Veth && is_nic_name(&link.name))
    };
    wiring.seen.links.iter().filter(device).filter(move |link| {
        let works = link.admin_up && link.carrier != Carrier::Down;
        let used = link.master.is_some() || wiring.is_addressed(link) || wiring.has_default_route(link) || wiring.carries(link);
        works && !used
    })
}

/// Bridges that libvirt, Docker, LXD, LXC, neutron and the like make for themselves: their names' numbers are counts or identifiers.
fn is_made_by_software(name: &str) -> bool {
    ["virbr", "docker", "lxdbr", "lxcbr", "incusbr", "qbr", "brq", "fwbr", "cni", "podman"].iter().any(|prefix| name.starts_with(prefix))
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

/// The VLAN that a bridge is called after: `br1102`, `br-vlan7`. Other names end in digits for other reasons (`virbr2`, `br-9f1c77ab0002`),
/// and numbers below 2 are a count.
pub(crate) fn number_in_name(name: &str) -> Option<Vid> {
    let number = ["br-vlan", "br_vlan", "brvlan", "vlanbr", "bridge", "br-", "br"].iter().find_map(|prefix| name.strip_prefix(prefix))?;
    let plain = !number.is_empty() && number.len() <= 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse::<u16>().ok().filter(|number| plain && *number > 1).and_then(|number| number.try_into().ok())
}

/// Whether anything on this host is a switch that darkport does not look into.
pub(crate) fn has_foreign_switch(wiring: &Wiring<'_>) -> bool {
    let mut links = wiring.seen.links.iter();
    links.any(|link| !is_bridge(link) && matches!(&link.kind, LinkKind::Other { name } if name == "openvswitch"))
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
        assert_eq!(number_in_name("br-vlan7"), vid(7));
        for other in ["vmbr0", "br99999", "br1", "virbr2", "br-9f1c77ab0002", "qbr1a2b3c4d-56", "docker2", "br", "brü7"] {
            assert_eq!(number_in_name(other), None, "{other}");
        }
    }
}
