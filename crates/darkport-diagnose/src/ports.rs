//! Which ports of a bridge face instances and which lead towards the wire.

use darkport_model::{Link, LinkKind};

use crate::wiring::Wiring;

/// The side that a port of a bridge faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// An instance, or a bridge with instances.
    Guest,
    /// The wire, or a bridge that leads there.
    Uplink,
}

/// Tells a port's side: by the configuration's word, by the inventory's, by its kind, and last by its name, since a veth can be either.
pub(crate) fn role(wiring: &Wiring<'_>, port: &Link) -> Role {
    let inventory = &wiring.seen.inventory;
    if inventory.intents.iter().any(|intent| intent.uplink == port.name) {
        return Role::Uplink;
    }
    match port.kind {
        LinkKind::Tun { .. } => Role::Guest,
        LinkKind::Veth => veth_role(wiring, port),
        _ => Role::Uplink,
    }
}

fn veth_role(wiring: &Wiring<'_>, port: &Link) -> Role {
    let claimed = |link: &Link| {
        let mut nics = wiring.seen.inventory.instances.iter().flat_map(|instance| &instance.nics);
        nics.any(|nic| nic.tap.as_ref().is_some_and(|tap| tap.value == link.name))
    };
    if claimed(port) {
        return Role::Guest;
    }
    let far_bridge = wiring.lower(port).and_then(|far| wiring.bridge_of(far));
    match (far_bridge, wiring.master(port)) {
        (Some(far), Some(near)) => {
            let (near_out, far_out) = (leads_out(wiring, near), leads_out(wiring, far));
            // Where neither bridge (or each) has a way out of its own, the names that Proxmox and neutron give decide.
            let up = if near_out == far_out { port.name.starts_with("fwln") || port.name.starts_with("qvb") } else { far_out };
            if up { Role::Uplink } else { Role::Guest }
        }
        _ if is_nic_name(&port.name) => Role::Uplink,
        _ => Role::Guest,
    }
}

/// Whether a bridge has a port that can be nothing but an uplink.
fn leads_out(wiring: &Wiring<'_>, bridge: &Link) -> bool {
    wiring.ports(bridge.index).iter().any(|port| !port.is_guest_facing() || (port.kind == LinkKind::Veth && is_nic_name(&port.name)))
}

/// Names that the kernel, udev and bonding give to NICs (systemd.net-naming-scheme(7)); containers and labs have veths so named.
pub(crate) fn is_nic_name(name: &str) -> bool {
    let base = name.split(['.', '@']).next().unwrap_or(name);
    ["eth", "bond", "team"].iter().any(|prefix| base.strip_prefix(prefix).is_some_and(starts_with_digit))
        || ["eno", "ens", "enp", "enx", "enP"].iter().any(|prefix| base.strip_prefix(prefix).is_some_and(starts_with_hex))
}

fn starts_with_digit(rest: &str) -> bool {
    rest.starts_with(|first: char| first.is_ascii_digit())
}

fn starts_with_hex(rest: &str) -> bool {
    rest.starts_with(|first: char| first.is_ascii_hexdigit())
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
