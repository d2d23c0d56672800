//! Addresses, neighbours, routes and policy rules.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ids::{IfIndex, IpPrefix, MacAddr};

/// An address of an interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Address {
    /// The interface.
    pub link: IfIndex,
    /// The address with its network's length.
    pub prefix: IpPrefix,
    /// Whether duplicate address detection has not passed it yet, or failed it.
    #[serde(default)]
    pub tentative: bool,
}

impl Address {
    /// An address in use.
    pub fn new(link: IfIndex, prefix: IpPrefix) -> Self {
        Self { link, prefix, tentative: false }
    }
}

/// An entry of the neighbour table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Neighbour {
    /// The interface it is on.
    pub link: IfIndex,
    /// Its address.
    pub address: IpAddr,
    /// Its hardware address, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<MacAddr>,
    /// How far the kernel trusts it.
    pub state: NeighbourState,
}

impl Neighbour {
    /// A neighbour entry.
    pub fn new(link: IfIndex, address: IpAddr, mac: Option<MacAddr>, state: NeighbourState) -> Self {
        Self { link, address, mac, state }
    }
}

/// `NUD_*` (linux, `include/uapi/linux/neighbour.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum NeighbourState {
    /// Asked, no answer yet.
    Incomplete,
    /// Answered lately.
    Reachable,
    /// Answered once.
    Stale,
    /// In use again, about to be asked.
    Delay,
    /// Being asked again.
    Probe,
    /// Asked in vain.
    Failed,
    /// Needs no asking.
    NoArp,
    /// Set by somebody.
    Permanent,
    /// Anything else.
    Other,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Route {
    /// Where to; `0.0.0.0/0` or `::/0` is the default route.
    pub destination: IpPrefix,
    /// By which next hop; none for a network that is on the link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Out of which interface.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<IfIndex>,
    /// Which table: 254 is main.
    pub table: u32,
    /// Metric; the lowest wins.
    #[serde(default)]
    pub metric: u32,
    /// What it does.
    pub kind: RouteKind,
    /// The source address that it prefers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<IpAddr>,
}

impl Route {
    /// A route in the main table.
    pub fn new(destination: IpPrefix, kind: RouteKind) -> Self {
        Self { destination, gateway: None, link: None, table: 254, metric: 0, kind, source: None }
    }
}

/// `RTN_*` (linux, `include/uapi/linux/rtnetlink.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RouteKind {
    /// Passes packets on.
    Unicast,
    /// To this host itself.
    Local,
    /// To all on a link.
    Broadcast,
    /// To a group.
    Multicast,
    /// Drops without a word.
    Blackhole,
    /// Drops and says unreachable.
    Unreachable,
    /// Drops and says prohibited.
    Prohibit,
    /// Any other.
    Other,
}

/// A policy rule: which table a packet is looked up in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Rule {
    /// Lower ones are asked first.
    pub priority: u32,
    /// For packets from here.
    pub from: Option<IpPrefix>,
    /// For packets to here.
    pub to: Option<IpPrefix>,
    /// For packets that came in by this interface.
    pub in_interface: Option<String>,
    /// For packets with this mark.
    pub mark: Option<u32>,
    /// Look here.
    pub table: u32,
    /// What it does: `lookup`, `blackhole`, `unreachable`, `prohibit`, …
    pub action: String,
    /// Whether it is for IPv6.
    pub ipv6: bool,
}
