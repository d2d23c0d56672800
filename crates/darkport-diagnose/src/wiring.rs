//! Which link stands on, belongs to and is called what: the lookups that everything above them shares.

use std::collections::{HashMap, HashSet};

use darkport_model::{Address, IfIndex, Link, LinkKind, Observation, RouteKind};

/// The links of an observation, by index, by name and by master, and which of them the inventory and the configuration name.
pub(crate) struct Wiring<'a> {
    pub(crate) seen: &'a Observation,
    by_index: HashMap<IfIndex, &'a Link>,
    by_name: HashMap<&'a str, &'a Link>,
    ports: HashMap<IfIndex, Vec<&'a Link>>,
    carries: HashSet<IfIndex>,
    taps: HashSet<&'a str>,
    intended: HashSet<&'a str>,
    leads_out: HashSet<IfIndex>,
}

impl<'a> Wiring<'a> {
    pub(crate) fn new(seen: &'a Observation) -> Self {
        let mut ports: HashMap<IfIndex, Vec<&Link>> = HashMap::new();
        let mut by_name = HashMap::new();
        for link in &seen.links {
            if let Some(master) = link.master {
                ports.entry(master).or_default().push(link);
            }
            for name in &link.alt_names {
                by_name.entry(name.as_str()).or_insert(link);
            }
        }
        by_name.extend(seen.links.iter().map(|link| (link.name.as_str(), link)));
        let nics = seen.inventory.instances.iter().flat_map(|instance| &instance.nics);
        let mut wiring = Self {
            seen,
            by_index: seen.links.iter().map(|link| (link.index, link)).collect(),
            by_name,
            ports,
            carries: seen.links.iter().filter(|link| !link.lower_elsewhere).filter_map(|link| link.lower).collect(),
            taps: nics.filter_map(|nic| nic.tap.as_ref()).map(|tap| tap.value.as_str()).collect(),
            intended: HashSet::new(),
            leads_out: HashSet::new(),
        };
        // The configuration may call a device by another of its names.
        let intended = seen.inventory.intents.iter().filter_map(|intent| wiring.named(&intent.uplink)).map(|link| link.name.as_str());
        wiring.intended = intended.collect();
        wiring.leads_out = seen.links.iter().filter(|link| is_bridge(link) && wiring.has_way_out(link)).map(|link| link.index).collect();
        wiring
    }

    pub(crate) fn link(&self, index: IfIndex) -> Option<&'a Link> {
        self.by_index.get(&index).copied()
    }

    /// The link of this name, or else the one with this as an alternative name.
    pub(crate) fn named(&self, name: &str) -> Option<&'a Link> {
        self.by_name.get(name).copied()
    }

    pub(crate) fn master(&self, link: &Link) -> Option<&'a Link> {
        self.link(link.master?)
    }

    /// The bridge that a link is a port of.
    pub(crate) fn bridge_of(&self, link: &Link) -> Option<&'a Link> {
        self.master(link).filter(|master| is_bridge(master))
    }

    /// The ports of a bridge, the members of a bond.
    pub(crate) fn ports(&self, master: IfIndex) -> &[&'a Link] {
        self.ports.get(&master).map_or(&[], Vec::as_slice)
    }

    /// The device below, where it is in this namespace.
    pub(crate) fn lower(&self, link: &Link) -> Option<&'a Link> {
        if link.lower_elsewhere { None } else { self.link(link.lower?) }
    }

    /// The other end of a veth whose ends are both here.
    pub(crate) fn peer(&self, link: &Link) -> Option<&'a Link> {
        (link.kind == LinkKind::Veth).then(|| self.lower(link)).flatten()
    }

    /// Whether another device stands on this one.
    pub(crate) fn carries(&self, link: &Link) -> bool {
        self.carries.contains(&link.index)
    }

    /// Whether the inventory names this device as an instance's tap.
    pub(crate) fn is_known_tap(&self, link: &Link) -> bool {
        self.taps.contains(link.name.as_str())
    }

    /// Whether the configuration names this device as a bridge's uplink.
    pub(crate) fn is_intended(&self, link: &Link) -> bool {
        self.intended.contains(link.name.as_str())
    }

    /// Whether a bridge has a port that can be nothing but a way to the wire.
    pub(crate) fn leads_out(&self, bridge: &Link) -> bool {
        self.leads_out.contains(&bridge.index)
    }

    fn has_way_out(&self, bridge: &Link) -> bool {
        self.ports(bridge.index).iter().any(|port| {
            let nic_like = port.kind == LinkKind::Veth && is_nic_name(&port.name);
            self.is_intended(port) || ((!port.is_guest_facing() || nic_like) && !leads_nowhere(port))
        })
    }

    /// The host's own addresses on a link that others can reach: all but link-local ones.
    pub(crate) fn addresses(&self, link: &Link) -> impl Iterator<Item = &'a Address> {
        self.seen.addresses.iter().filter(move |address| address.link == link.index && is_routable(address))
    }

    pub(crate) fn is_addressed(&self, link: &Link) -> bool {
        self.addresses(link).next().is_some()
    }

    /// Whether the host's own default route leaves by this link: then the gateway is beyond it.
    pub(crate) fn has_default_route(&self, link: &Link) -> bool {
        let mut routes = self.seen.routes.iter();
        routes.any(|route| route.kind == RouteKind::Unicast && route.destination.length() == 0 && route.link == Some(link.index))
    }
}

/// Whether a link is a bridge.
pub(crate) fn is_bridge(link: &Link) -> bool {
    matches!(link.kind, LinkKind::Bridge { .. })
}

/// Devices without another side: a dummy in a bridge holds it up and leads nowhere.
pub(crate) fn leads_nowhere(link: &Link) -> bool {
    matches!(&link.kind, LinkKind::Other { name } if name == "dummy" || name == "ifb")
}

/// Names that the kernel, udev and bonding give to NICs (systemd.net-naming-scheme(7)); containers and labs have veths so named.
pub(crate) fn is_nic_name(name: &str) -> bool {
    let base = name.split(['.', '@']).next().unwrap_or(name);
    let after = |prefix: &&str, first: fn(&char) -> bool| {
        base.strip_prefix(*prefix).is_some_and(|rest| rest.chars().next().as_ref().is_some_and(first))
    };
    ["eth", "bond", "team"].iter().any(|prefix| after(prefix, char::is_ascii_digit))
        || ["eno", "ens", "enp", "enx", "enP"].iter().any(|prefix| after(prefix, char::is_ascii_hexdigit))
}

fn is_routable(address: &Address) -> bool {
    match address.prefix.address() {
        std::net::IpAddr::V4(v4) => !v4.is_link_local() && !v4.is_loopback(),
        // fe80::/10; the standard library's own test is newer than the MSRV allows to rely on.
        std::net::IpAddr::V6(v6) => v6.segments().first().is_some_and(|first| first & 0xffc0 != 0xfe80) && !v6.is_loopback(),
    }
}

#[cfg(test)]
mod tests {
    use super::is_nic_name;

    #[test]
    fn nics_are_known_by_name() {
        for nic in ["eth0", "eth1.1102", "enp3s0f0", "eno1", "bond0", "enx001122334455"] {
            assert!(is_nic_name(nic), "{nic}");
        }
        for other in ["vnet0", "veth1a2b", "ethX", "tap101i0", "fwpr101p0", "bondage", ""] {
            assert!(!is_nic_name(other), "{other}");
        }
    }
}
