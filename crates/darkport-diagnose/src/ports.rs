//! Which ports of a bridge face instances and which lead towards the wire.

use darkport_model::{Link, LinkKind};

use crate::wiring::{Wiring, is_nic_name, leads_nowhere};

/// The side that a port of a bridge faces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// An instance, or a bridge with instances.
    Guest,
    /// The wire, or a bridge that leads there.
    Uplink,
    /// Nothing at all.
    Nowhere,
}

/// Tells a port's side: by the configuration's word, by the inventory's, by its kind, and last by its name, since a veth can be either.
pub(crate) fn role(wiring: &Wiring<'_>, port: &Link) -> Role {
    if wiring.is_intended(port) {
        return Role::Uplink;
    }
    match port.kind {
        LinkKind::Tun { .. } => Role::Guest,
        LinkKind::Veth if wiring.is_known_tap(port) => Role::Guest,
        LinkKind::Veth => veth_role(wiring, port),
        _ if leads_nowhere(port) => Role::Nowhere,
        _ => Role::Uplink,
    }
}

fn veth_role(wiring: &Wiring<'_>, port: &Link) -> Role {
    // Where only names tell (one bridge is gone, or neither has a way out of its own), they are those of Proxmox and neutron.
    let named = if is_link_up(&port.name) || is_nic_name(&port.name) { Role::Uplink } else { Role::Guest };
    let far = wiring.peer(port).and_then(|far| wiring.bridge_of(far));
    let (Some(far), Some(near)) = (far, wiring.bridge_of(port)) else { return named };
    match (wiring.leads_out(near), wiring.leads_out(far)) {
        (false, true) => Role::Uplink,
        (true, false) => Role::Guest,
        _ => named,
    }
}

/// The end of a veth that a firewall bridge sends up by: Proxmox' `fwln`, neutron's `qvb`.
fn is_link_up(name: &str) -> bool {
    name.starts_with("fwln") || name.starts_with("qvb")
}

/// A bridge between one tap and its real bridge, made for firewall rules: Proxmox' `fwbr101i0`, neutron's `qbr…`. Its way up is called
/// after it.
pub(crate) fn firewall_bridge_way_up(bridge: &str) -> Option<String> {
    let (prefix, way) = [("fwbr", "fwln"), ("qbr", "qvb")].into_iter().find(|(prefix, _)| bridge.starts_with(prefix))?;
    Some(format!("{way}{}", bridge.strip_prefix(prefix)?))
}
