//! The parts that an observation is read in.

use std::fmt;

use darkport_model::{Gap, GapReason, Observation, Source};

/// A part of the host that is read as one, and can be left out as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reader {
    /// Interfaces, bridges, VLANs, addresses, neighbours, routes, counters: over netlink.
    Bridge,
    /// The rest of the host: settings, tables, bonding, ethtool, pressure, processes.
    Host,
    /// What ought to be here: libvirt's XML, qemu processes, the control plane's lists, the host's network configuration.
    Inventory,
    /// Who answers: ARP from this host to its instances and the gateway, and what is overheard. The one reader that sends anything.
    Probes,
}

impl Reader {
    /// All of them, in the order in which they read.
    pub const ALL: [Self; 4] = [Self::Bridge, Self::Host, Self::Inventory, Self::Probes];

    /// What it fills in, each of which is missing when it does not read.
    fn sources(self) -> &'static [Source] {
        match self {
            Self::Bridge => {
                &[Source::Links, Source::Qdiscs, Source::Fdb, Source::BridgeVlans, Source::Addresses, Source::Neighbours, Source::Routes]
            }
            Self::Host => &[
                Source::Host,
                Source::Sysctls,
                Source::Conntrack,
                Source::Softnet,
                Source::Snmp,
                Source::Bonding,
                Source::Ethtool,
                Source::Pressure,
                Source::Processes,
            ],
            Self::Inventory => &[Source::Instances, Source::Claims, Source::Intents],
            Self::Probes => &[Source::Probes],
        }
    }

    /// Notes that nothing of it was read.
    pub(crate) fn missing(self, seen: &mut Observation, reason: GapReason, why: &str) {
        seen.gaps.extend(self.sources().iter().map(|source| Gap::new(*source, self.to_string(), reason, why)));
    }
}

impl fmt::Display for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge => "interfaces and bridges",
            Self::Host => "host settings and processes",
            Self::Inventory => "instances and configuration",
            Self::Probes => "who answers",
        })
    }
}
