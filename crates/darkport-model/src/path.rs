//! The way of an instance's frames, hop by hop.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{IfIndex, MacAddr};

/// The way from one interface of an instance towards the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Path {
    /// The instance's name.
    pub instance: String,
    /// The guest's address on this interface.
    pub mac: Option<MacAddr>,
    /// The hops, the guest's side first.
    pub hops: Vec<Hop>,
}

impl Path {
    /// The way of `instance`'s frames through these hops.
    pub fn new(instance: impl Into<String>, mac: Option<MacAddr>, hops: Vec<Hop>) -> Self {
        Self { instance: instance.into(), mac, hops }
    }
}

/// One device or place on a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Hop {
    /// What it is on this path.
    pub kind: HopKind,
    /// Its name: a device's, or a word for a place that is none.
    pub name: String,
    /// Its interface, where it is one and exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<IfIndex>,
    /// What is known of it.
    pub state: HopState,
}

impl Hop {
    /// A hop that nothing is known against.
    pub fn new(kind: HopKind, name: impl Into<String>, link: Option<IfIndex>) -> Self {
        Self { kind, name: name.into(), link, state: HopState::Fine }
    }
}

/// What is known of a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HopState {
    /// Nothing wrong was found.
    Fine,
    /// Not looked at, or beyond what can be seen from here.
    Unseen,
    /// Frames are lost here now and then.
    Lossy,
    /// Frames die here.
    Broken,
}

/// What a hop is. The order is the order along the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HopKind {
    /// The instance itself.
    Guest,
    /// Its tap, or the veth that takes a tap's place.
    Tap,
    /// The tap as a port of its bridge.
    TapPort,
    /// The bridge.
    Bridge,
    /// The bridge's port towards the wire.
    UplinkPort,
    /// The VLAN device that the uplink is.
    VlanDevice,
    /// A bond below it.
    Bond,
    /// The NIC.
    Nic,
    /// Cable and switch.
    Wire,
    /// The network host.
    NetworkHost,
    /// The gateway's address.
    Gateway,
    /// This host as a whole: its kernel, its tables, its memory.
    Host,
    /// The control plane: no frame passes it.
    Control,
}

impl HopKind {
    /// The name that JSON and scenario files use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Tap => "tap",
            Self::TapPort => "tap-port",
            Self::Bridge => "bridge",
            Self::UplinkPort => "uplink-port",
            Self::VlanDevice => "vlan-device",
            Self::Bond => "bond",
            Self::Nic => "nic",
            Self::Wire => "wire",
            Self::NetworkHost => "network-host",
            Self::Gateway => "gateway",
            Self::Host => "host",
            Self::Control => "control",
        }
    }
}

impl fmt::Display for HopKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
