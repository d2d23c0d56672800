//! A bridge's way to the wire: the one it has, and what stands in its way.

use std::fmt::Display;

use darkport_model::{Carrier, HopKind, Link, LinkKind, Port, StpState};

use crate::wiring::Wiring;

/// The way from a bridge port down to the NICs, or through a veth to the next bridge.
pub(crate) struct Chain<'a> {
    /// The port of the bridge.
    pub(crate) port: &'a Link,
    /// The port's device and all below it, top first: VLAN, bond, NIC; or both ends of a veth.
    pub(crate) devices: Vec<&'a Link>,
    /// The members, where one of the devices is a bond; they are not among `devices`.
    pub(crate) slaves: Vec<&'a Link>,
    /// What stands in the way; empty where it is open.
    pub(crate) obstacles: Vec<Obstacle<'a>>,
}

/// What keeps a way shut. Of devices on top of each other the lowest is named, since the others follow it.
#[derive(Clone, Copy)]
pub(crate) enum Obstacle<'a> {
    /// Set down.
    Down(&'a Link),
    /// Up, and hears nothing.
    Silent(&'a Link),
    /// A bond without a member that works.
    NoMember(&'a Link),
    /// A port that its bridge keeps shut.
    Shut(&'a Link),
    /// The far end of a veth between bridges is in no bridge.
    Loose(&'a Link),
}

impl<'a> Chain<'a> {
    pub(crate) fn is_open(&self) -> bool {
        self.obstacles.is_empty()
    }

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
            LinkKind::Veth if !crate::wiring::is_nic_name(&device.name) => HopKind::UplinkPort,
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
    let far = wiring.peer(port);
    devices.extend(far);
    let mut chain = Chain { port, devices, slaves, obstacles: Vec::new() };
    chain.obstacles = obstacles(wiring, &chain, far);
    chain
}

fn obstacles<'a>(wiring: &Wiring<'a>, chain: &Chain<'a>, far: Option<&'a Link>) -> Vec<Obstacle<'a>> {
    let mut found = Vec::new();
    let bottom = chain.bottom();
    if let Some(down) = chain.devices.iter().rev().find(|link| !link.admin_up) {
        found.push(Obstacle::Down(down));
    } else if let Some(bond) = chain.bond().filter(|_| !chain.slaves.iter().any(|slave| works(slave))) {
        found.push(Obstacle::NoMember(bond));
    } else if bottom.carrier == Carrier::Down {
        found.push(Obstacle::Silent(bottom));
    }
    let shut = |link: &&&Link| wiring.bridge_of(link).is_some_and(|bridge| is_shut(link, bridge));
    found.extend([Some(chain.port), far].iter().flatten().find(shut).map(|link| Obstacle::Shut(link)));
    found.extend(far.filter(|far| far.master.is_none()).map(Obstacle::Loose));
    found
}

/// Whether a member of a bond can carry frames.
pub(crate) fn works(slave: &Link) -> bool {
    let held_up = slave.bond_slave.as_ref().is_none_or(|state| state.mii_up);
    slave.admin_up && slave.carrier != Carrier::Down && held_up
}

/// Whether a port's bridge keeps it from passing frames. With spanning tree on, listening and learning pass by themselves within
/// twice the forward delay: a port that just came up, no fault.
pub(crate) fn is_shut(port: &Link, bridge: &Link) -> bool {
    let stp = matches!(bridge.kind, LinkKind::Bridge { stp: true, .. });
    match port.port.as_ref().map(|port| port.state) {
        Some(StpState::Blocking) => true,
        Some(StpState::Listening | StpState::Learning) => !stp,
        _ => false,
    }
}

/// Spanning tree is still opening a port: it forwards by itself in a while.
pub(crate) fn waits(port: &Port) -> bool {
    matches!(port.state, StpState::Listening | StpState::Learning)
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
    use super::listed;

    #[test]
    fn lists_stay_short() {
        assert_eq!(listed(&["a", "b", "c", "d"]), "a, b and 2 more");
        assert_eq!(listed::<&str>(&[]), "none");
    }
}
