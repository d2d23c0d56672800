//! What asking for an address told.

use std::net::Ipv4Addr;

use darkport_model::{DhcpProbe, Gap, IfIndex, IpPrefix, MacAddr};
use serde::Serialize;

/// What came of it. As JSON its times are microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DhcpReport {
    /// The interface that was asked on.
    pub device: String,
    /// What was asked and who answered, as an observation holds it.
    pub probe: DhcpProbe,
    /// What is not as it ought to be.
    pub findings: Vec<DhcpFinding>,
    /// What could not be asked, heard or read.
    pub gaps: Vec<Gap>,
    /// How it went.
    pub stats: DhcpStats,
    /// The names of the interfaces that the probe mentions.
    pub links: Vec<(IfIndex, String)>,
}

impl DhcpReport {
    /// An interface's name.
    pub fn link_name(&self, index: IfIndex) -> Option<&str> {
        self.links.iter().find(|(known, _)| *known == index).map(|(_, name)| name.as_str())
    }

    /// How long the first offer took, in microseconds.
    pub fn first_us(&self) -> Option<u64> {
        self.probe.offers.iter().filter_map(|offer| offer.after_us).min()
    }
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct DhcpStats {
    /// From the first question to the end.
    pub took_us: u64,
    /// Answers to this client.
    pub answers: u32,
    /// Frames of the conversation that are none: own questions, and answers to others.
    pub strays: u32,
    /// Frames that this host had no room for (`PACKET_STATISTICS`).
    pub dropped: u64,
}

/// Something that is not as it ought to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DhcpFinding {
    /// Nobody answers.
    Silence,
    /// A server that ought to offer does not.
    SilentServer {
        /// Which.
        server: Ipv4Addr,
        /// It answered a DHCPINFORM: it lives, and does not know this client.
        alive: bool,
    },
    /// A server offers that nobody expects.
    UnexpectedServer {
        /// Which.
        server: Ipv4Addr,
        /// Where its frames come from.
        frame_from: MacAddr,
        /// By which device of this host they come in.
        came_in_by: Option<IfIndex>,
    },
    /// Several servers offer, and nobody said which ought to.
    SeveralServers {
        /// Which.
        servers: Vec<Ipv4Addr>,
    },
    /// One server's identifier is used from several hardware addresses.
    SharedIdentity {
        /// The identifier.
        server: Ipv4Addr,
        /// Where its frames come from.
        frames_from: Vec<MacAddr>,
    },
    /// An address is offered that is not of the network that it ought to be of.
    WrongSubnet {
        /// By whom.
        server: Ipv4Addr,
        /// The address.
        address: Ipv4Addr,
        /// The network.
        network: IpPrefix,
    },
    /// An offer's UDP checksum is wrong: instances throw it away.
    BadChecksum {
        /// Whose.
        server: Ipv4Addr,
    },
    /// An offer's checksum is left to hardware that it will not pass: an old client that checks the sum for itself (`dhclient` on a
    /// tap with vhost) throws it away, unless a rule of the mangle table fills it in.
    UnfinishedChecksum {
        /// Whose.
        server: Ipv4Addr,
    },
    /// An offer's options are cut short or of impossible length.
    Malformed {
        /// Whose.
        server: Ipv4Addr,
    },
    /// Somebody makes up more offers than are kept.
    Flood {
        /// How many are kept.
        kept: usize,
    },
    /// A server refused the address (DHCPNAK).
    Refused {
        /// Which.
        server: Ipv4Addr,
        /// The address.
        address: Ipv4Addr,
    },
    /// Nobody answered when the address was asked for.
    NoAcknowledgement {
        /// The server that had offered it.
        server: Option<Ipv4Addr>,
        /// The address.
        address: Ipv4Addr,
    },
}
