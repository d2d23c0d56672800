//! What a synthetic instance met with, in words: an observation has the numbers ([`SyntheticRun`](crate::SyntheticRun)).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::ids::Vid;
use crate::probes::TestKind;

/// An instance that darkport played on a bridge, where it was allowed to: evidence, and nobody's cause.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct PlayedInstance {
    /// The bridge's name.
    pub bridge: String,
    /// The VLAN that it was in, where the bridge filters VLANs.
    pub vid: Option<Vid>,
    /// The address that it used, where it had one.
    pub address: Option<Ipv4Addr>,
    /// What it tried, in order.
    pub tests: Vec<PlayedTest>,
}

impl PlayedInstance {
    /// One on the bridge of this name.
    pub fn new(bridge: impl Into<String>) -> Self {
        Self { bridge: bridge.into(), ..Self::default() }
    }
}

/// One thing that it tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PlayedTest {
    /// What.
    pub kind: TestKind,
    /// Whom it asked, where that is one.
    #[serde(default)]
    pub target: Option<IpAddr>,
    /// How often it was tried; 0 where it could not be.
    pub tries: u32,
    /// How often it succeeded.
    pub passed: u32,
    /// What was seen, or why it could not be tried.
    #[serde(default)]
    pub seen: String,
    /// The devices that its frames crossed, each with the milliseconds since the first: `its port 0.0, eth1.1102 0.1`. Empty where nothing was followed.
    #[serde(default)]
    pub out: String,
    /// The devices that the answers crossed.
    #[serde(default)]
    pub back: String,
}

impl PlayedTest {
    /// A test of this kind.
    pub fn new(kind: TestKind) -> Self {
        Self { kind, target: None, tries: 0, passed: 0, seen: String::new(), out: String::new(), back: String::new() }
    }
}

impl fmt::Display for TestKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dhcp => "DHCP",
            Self::ArpGateway => "gateway by ARP",
            Self::PingGateway => "gateway by ping",
            Self::FullMtu => "full MTU",
            Self::Metadata => "metadata",
            Self::Dns => "DNS",
            Self::RouterSolicitation => "IPv6 router",
        })
    }
}
