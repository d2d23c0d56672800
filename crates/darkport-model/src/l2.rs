//! What bridges know: forwarding database and VLAN tables.

use serde::{Deserialize, Serialize};

use crate::ids::{IfIndex, MacAddr, Vid};

/// One bridge's forwarding database.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Fdb {
    /// The bridge.
    pub bridge: IfIndex,
    /// Where the entries came from, since that decides what they can tell.
    pub source: FdbSource,
    /// The entries.
    pub entries: Vec<FdbEntry>,
}

/// Where forwarding entries were read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FdbSource {
    /// `RTM_GETNEIGH` of family `AF_BRIDGE`: everything, at the cost of ports × entries.
    #[default]
    Netlink,
    /// `/sys/class/net/BR/brforward`: quick, but without VLANs, and static entries can't be told from learned ones
    /// (linux, `net/bridge/br_fdb.c`, `br_fdb_fillbuf`).
    Brforward,
    /// `brforward`, and netlink for those ports whose entries might be static.
    BrforwardThenNetlink,
}

/// One entry: frames to `mac` go out of `port`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct FdbEntry {
    /// The address.
    pub mac: MacAddr,
    /// The port; the bridge's own index for an entry on the bridge itself.
    pub port: IfIndex,
    /// The VLAN, on a bridge with VLAN tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vid: Option<Vid>,
    /// How the entry came to be.
    pub kind: FdbKind,
    /// Hundredths of a second since a frame from the address was last seen, where told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_cs: Option<u32>,
    /// The port that a look one window earlier showed, where it was another: the address moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_port: Option<IfIndex>,
}

impl FdbEntry {
    /// An entry for `mac` on `port`.
    pub fn new(mac: MacAddr, port: IfIndex, kind: FdbKind) -> Self {
        Self { mac, port, vid: None, kind, age_cs: None, previous_port: None }
    }
}

/// How a forwarding entry came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FdbKind {
    /// Learned from a frame; ages out.
    Learned,
    /// Set by somebody; stays (`NUD_NOARP` or `NTF_STICKY`).
    Static,
    /// A port's own address (`NUD_PERMANENT`).
    Local,
    /// Set by somebody outside the bridge who answers for it (`NTF_EXT_LEARNED`).
    External,
}

/// VLANs of one bridge port, as a range from `first` to `last`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct PortVlan {
    /// The port; the bridge's own index for the bridge itself.
    pub port: IfIndex,
    /// The first VLAN.
    pub first: Vid,
    /// The last VLAN; equal to `first` for one alone.
    pub last: Vid,
    /// Whether untagged frames that come in belong to it.
    pub pvid: bool,
    /// Whether frames leave untagged.
    pub untagged: bool,
}

impl PortVlan {
    /// One VLAN on a port.
    pub fn new(port: IfIndex, vid: Vid, pvid: bool, untagged: bool) -> Self {
        Self { port, first: vid, last: vid, pvid, untagged }
    }

    /// Whether `vid` is among them.
    pub fn holds(&self, vid: Vid) -> bool {
        self.first <= vid && vid <= self.last
    }
}
