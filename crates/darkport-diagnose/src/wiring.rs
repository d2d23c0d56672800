//! Which link stands on, belongs to and is called what: the lookups that everything above them shares.

use std::collections::HashMap;

use darkport_model::{IfIndex, Link, LinkKind, Observation};

/// The links of an observation, by index, by name and by master.
pub(crate) struct Wiring<'a> {
    pub(crate) seen: &'a Observation,
    by_index: HashMap<IfIndex, &'a Link>,
    by_name: HashMap<&'a str, &'a Link>,
    ports: HashMap<IfIndex, Vec<&'a Link>>,
}

impl<'a> Wiring<'a> {
    pub(crate) fn new(seen: &'a Observation) -> Self {
        let mut ports: HashMap<IfIndex, Vec<&Link>> = HashMap::new();
        for link in &seen.links {
            if let Some(master) = link.master {
                ports.entry(master).or_default().push(link);
            }
        }
        Self {
            seen,
            by_index: seen.links.iter().map(|link| (link.index, link)).collect(),
            by_name: seen.links.iter().map(|link| (link.name.as_str(), link)).collect(),
            ports,
        }
    }

    pub(crate) fn link(&self, index: IfIndex) -> Option<&'a Link> {
        self.by_index.get(&index).copied()
    }

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
}

/// Whether a link is a bridge.
pub(crate) fn is_bridge(link: &Link) -> bool {
    matches!(link.kind, LinkKind::Bridge { .. })
}
