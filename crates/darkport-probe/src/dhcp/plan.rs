//! What is asked, and how long.

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::{IpPrefix, MacAddr, Vid};

/// How to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DhcpSettings {
    /// DISCOVERs before silence is believed: at 0, 0.5, 1.5, 3 s, and then every two seconds.
    pub tries: u8,
    /// How long to go on listening after the first DISCOVER where somebody offered, for further servers. A server may look for three seconds
    /// whether an address is in use before it offers it (dnsmasq, `src/config.h`, `PING_WAIT`).
    pub collect: Duration,
    /// How long to wait where nobody offers, or one that ought to does not.
    pub deadline: Duration,
}

impl Default for DhcpSettings {
    fn default() -> Self {
        Self { tries: 6, collect: Duration::from_secs(4), deadline: Duration::from_secs(10) }
    }
}

/// Whether a lease is taken. It is given back at once in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TakeLease {
    /// No: offers only.
    #[default]
    No,
    /// The first offer, of an expected server where there are such.
    Offered,
    /// This address, as an instance that remembers it from before it rebooted (INIT-REBOOT, RFC 2131, 4.3.2): a server that knows better
    /// refuses it.
    Remembered(Ipv4Addr),
}

/// Everything that the machine needs to know: no more is read from anywhere.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DhcpPlan {
    /// The client's hardware address.
    pub mac: MacAddr,
    /// The hardware address that the frames come from: the client's, unless somebody else is to be played.
    pub frame_from: MacAddr,
    /// The client's identifier (option 61).
    pub client_id: Option<Vec<u8>>,
    /// The VLAN to ask in.
    pub vid: Option<Vid>,
    /// The conversation's number, which nobody else can know beforehand: an answer without it is not one.
    pub xid: u32,
    /// The servers that ought to answer.
    pub expected: Vec<Ipv4Addr>,
    /// The network that offers ought to be of.
    pub network: Option<IpPrefix>,
    /// An address that the asking host has itself in this segment: with it silent servers are asked by DHCPINFORM whether they live.
    pub inform: Option<Ipv4Addr>,
    /// Whether to take a lease.
    pub lease: TakeLease,
    /// How.
    pub settings: DhcpSettings,
}

impl DhcpPlan {
    /// A client with this address that takes no lease and expects nobody in particular.
    pub fn new(mac: MacAddr, xid: u32) -> Self {
        Self {
            mac,
            frame_from: mac,
            client_id: None,
            vid: None,
            xid,
            expected: Vec::new(),
            network: None,
            inform: None,
            lease: TakeLease::No,
            settings: DhcpSettings::default(),
        }
    }
}
