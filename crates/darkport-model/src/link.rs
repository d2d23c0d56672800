//! Interfaces: what the kernel's `RTM_GETLINK` tells of each (linux, `include/uapi/linux/if_link.h`).

use serde::{Deserialize, Serialize};

use crate::ids::{IfIndex, MacAddr, Vid};
use crate::sample::Sampled;

/// One interface of one network namespace.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Link {
    /// Its number; unique in its namespace for as long as it lives.
    pub index: IfIndex,
    /// Its name.
    pub name: String,
    /// Other names it answers to (`IFLA_PROP_LIST`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alt_names: Vec<String>,
    /// What kind of device it is, with what only that kind has.
    pub kind: LinkKind,
    /// Its hardware address now.
    pub mac: Option<MacAddr>,
    /// Its factory address (`IFLA_PERM_ADDRESS`), where the driver tells.
    pub permanent_mac: Option<MacAddr>,
    /// Whether somebody set the address by hand (`/sys/class/net/NAME/addr_assign_type` is 3, `NET_ADDR_SET`); none where unknown.
    /// A bridge whose address was never set takes the lowest of its ports' (linux, `net/bridge/br_stp_if.c`).
    pub mac_pinned: Option<bool>,
    /// Largest packet it takes, in bytes without the Ethernet header.
    pub mtu: u32,
    /// `IFF_UP`: somebody wants it up.
    pub admin_up: bool,
    /// `IFF_PROMISC`, as set by a person or program; what bridges and captures ask for shows in `promiscuity` only.
    pub promisc: bool,
    /// How many users asked for promiscuous mode (`IFLA_PROMISCUITY`); none on kernels before 3.10.
    pub promiscuity: Option<u32>,
    /// Whether a signal is there.
    pub carrier: Carrier,
    /// RFC 2863 state.
    pub oper_state: OperState,
    /// How often the carrier came or went (`IFLA_CARRIER_CHANGES`).
    pub carrier_changes: Option<u32>,
    /// The bridge or bond it is a port of (`IFLA_MASTER`).
    pub master: Option<IfIndex>,
    /// The device it stands on: a VLAN's parent, a veth's peer (`IFLA_LINK`).
    pub lower: Option<IfIndex>,
    /// Set when `lower` lies in another namespace (`IFLA_LINK_NETNSID`): then its index says nothing here.
    pub lower_elsewhere: bool,
    /// What it is as a port of a bridge.
    pub port: Option<Port>,
    /// What it is as a member of a bond.
    pub bond_slave: Option<BondSlaveState>,
    /// Transmit queue length, in packets.
    pub tx_queue_len: Option<u32>,
    /// Its counters; 64 bits wide.
    pub counters: Sampled<Counters>,
    /// Attributes that this version of darkport does not know, kept as they came.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<UnknownAttribute>,
}

impl Link {
    /// A link that is down and bare but for its identity.
    pub fn new(index: u32, name: impl Into<String>) -> Self {
        Self { index: IfIndex(index), name: name.into(), ..Self::default() }
    }

    /// Whether an instance's frames can come out of this device: a tap, or a veth, macvtap and the like that containers use.
    pub fn is_guest_facing(&self) -> bool {
        matches!(self.kind, LinkKind::Tun { tap: true, .. } | LinkKind::Veth)
    }
}

/// Kinds of device (`IFLA_INFO_KIND`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum LinkKind {
    /// A device without a kind: a NIC, mostly.
    #[default]
    Physical,
    /// The loopback device.
    Loopback,
    /// A bridge.
    Bridge {
        /// Whether the spanning tree protocol runs (in the kernel or in a daemon).
        stp: bool,
        /// Whether ports have VLAN tables that are enforced.
        vlan_filtering: bool,
        /// The PVID that a new port gets; none when new ports get no VLAN at all.
        default_pvid: Option<Vid>,
        /// Seconds in listening and in learning state, in hundredths.
        forward_delay_cs: u32,
        /// Seconds until a learned entry is forgotten, in hundredths.
        ageing_cs: u32,
        /// Whether multicast snooping is on.
        mcast_snooping: bool,
        /// Whether a multicast querier runs on this bridge.
        mcast_querier: bool,
        /// Whether frames of this bridge go through iptables by its own switch (`nf_call_iptables`), beside the sysctl.
        nf_call_iptables: bool,
        /// The same for `ip6tables`.
        nf_call_ip6tables: bool,
        /// The same for `arptables`.
        nf_call_arptables: bool,
    },
    /// An 802.1Q or 802.1ad VLAN on `lower`.
    Vlan {
        /// Its VLAN id.
        vid: Vid,
        /// `802.1Q` or `802.1ad`.
        protocol: String,
    },
    /// A tun or tap device.
    Tun {
        /// Whether it carries Ethernet frames (tap) rather than packets (tun).
        tap: bool,
        /// Whether it outlives its readers.
        persist: bool,
        /// Whether it has several queues.
        multi_queue: bool,
        /// How many queues are attached, where the kernel tells (`IFLA_TUN_NUM_QUEUES`).
        queues: Option<u32>,
    },
    /// One end of a virtual cable.
    Veth,
    /// A bond.
    Bond {
        /// Mode by name: `active-backup`, `802.3ad`, …
        mode: String,
        /// The member that carries traffic, in modes with one.
        active_slave: Option<IfIndex>,
        /// Milliseconds between link checks; 0 is never.
        miimon_ms: u32,
    },
    /// A macvlan on `lower`.
    Macvlan {
        /// `bridge`, `private`, `vepa`, `passthru`, `source`.
        mode: String,
    },
    /// A macvtap on `lower`.
    Macvtap {
        /// As for macvlan.
        mode: String,
    },
    /// A VXLAN tunnel.
    Vxlan {
        /// Its network identifier.
        vni: u32,
    },
    /// Any other kind, by the kernel's name for it.
    Other {
        /// The kernel's name.
        name: String,
    },
}

impl LinkKind {
    /// A bridge that neither runs spanning tree nor filters VLANs, and forwards at once: what nova-network and libvirt make.
    pub fn bridge() -> Self {
        Self::Bridge {
            stp: false,
            vlan_filtering: false,
            default_pvid: None,
            forward_delay_cs: 0,
            ageing_cs: 30_000,
            mcast_snooping: true,
            mcast_querier: false,
            nf_call_iptables: false,
            nf_call_ip6tables: false,
            nf_call_arptables: false,
        }
    }
}

/// Whether a device hears a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Carrier {
    /// A signal is there.
    Up,
    /// None. For a tap: nobody reads it.
    Down,
    /// Not known; a device that is not up does not tell.
    #[default]
    Unknown,
}

/// `IFLA_OPERSTATE` (RFC 2863; linux, `Documentation/networking/operstates.rst`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OperState {
    /// The driver does not say.
    #[default]
    Unknown,
    /// Not there.
    NotPresent,
    /// Down.
    Down,
    /// The device below is down.
    LowerLayerDown,
    /// In a test.
    Testing,
    /// Waiting, for instance for authentication.
    Dormant,
    /// Up.
    Up,
}

/// What a link is as a port of a bridge (`IFLA_BRPORT_*`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own in the kernel, and any of them can be set with any other")]
pub struct Port {
    /// Its number on the bridge.
    pub number: Option<u16>,
    /// Its spanning tree state.
    pub state: StpState,
    /// Whether addresses are learned on it.
    pub learning: bool,
    /// Whether unicast frames to unknown addresses go out of it.
    pub unicast_flood: bool,
    /// Whether multicast frames without a listener go out of it.
    pub mcast_flood: bool,
    /// Whether broadcasts go out of it.
    pub bcast_flood: bool,
    /// Whether it talks to ports only that are not isolated.
    pub isolated: bool,
    /// Whether only frames from addresses with an entry are let in.
    pub locked: bool,
    /// Whether frames may go back out of the port they came in by.
    pub hairpin: bool,
    /// Whether it drops spanning tree's own frames and is disabled when one comes.
    pub bpdu_guard: bool,
    /// Whether the bridge answers ARP on its behalf.
    pub neigh_suppress: bool,
    /// Whether its VLAN tunnel mapping is on.
    pub vlan_tunnel: bool,
}

impl Port {
    /// A port as the kernel makes it: learning, flooding, forwarding.
    pub fn forwarding() -> Self {
        Self { state: StpState::Forwarding, learning: true, unicast_flood: true, mcast_flood: true, bcast_flood: true, ..Self::default() }
    }
}

/// `BR_STATE_*` (linux, `include/uapi/linux/if_bridge.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StpState {
    /// Off: the port is down or has no carrier.
    #[default]
    Disabled,
    /// Waiting, frames dropped.
    Listening,
    /// Learning addresses, frames dropped.
    Learning,
    /// Passing frames.
    Forwarding,
    /// Kept shut by spanning tree or by hand.
    Blocking,
}

/// A member of a bond, as `IFLA_INFO_SLAVE_DATA` tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct BondSlaveState {
    /// Whether it is active (else backup).
    pub active: bool,
    /// Whether the bond's link monitor holds it up.
    pub mii_up: bool,
    /// How often its link failed.
    pub link_failures: u32,
    /// The LACP aggregator it is in, in mode 802.3ad.
    pub aggregator: Option<u16>,
}

/// A link's counters (`IFLA_STATS64`): packets and bytes since the device was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the kernel's own name, told in linux, include/uapi/linux/if_link.h, struct rtnl_link_stats64")]
pub struct Counters {
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_errors: u64,
    pub tx_errors: u64,
    pub rx_dropped: u64,
    pub tx_dropped: u64,
    pub multicast: u64,
    pub collisions: u64,
    pub rx_length_errors: u64,
    pub rx_over_errors: u64,
    pub rx_crc_errors: u64,
    pub rx_frame_errors: u64,
    pub rx_fifo_errors: u64,
    pub rx_missed_errors: u64,
    pub tx_aborted_errors: u64,
    pub tx_carrier_errors: u64,
    pub tx_fifo_errors: u64,
    pub tx_heartbeat_errors: u64,
    pub tx_window_errors: u64,
    pub rx_nohandler: u64,
}

/// A queueing discipline on a link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Qdisc {
    /// The link it is on.
    pub link: IfIndex,
    /// Its kind: `pfifo_fast`, `fq_codel`, `netem`, `ingress`, …
    pub kind: String,
    /// Its handle, major and minor in one number; 0 for one that the kernel made.
    pub handle: u32,
    /// The parent's handle (`ffff:ffff` for root).
    pub parent: u32,
    /// What it counted.
    pub stats: Sampled<QdiscStats>,
}

/// What a queueing discipline counts (`TCA_STATS2`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct QdiscStats {
    /// Packets passed.
    pub packets: u64,
    /// Bytes passed.
    pub bytes: u64,
    /// Packets dropped.
    pub drops: u64,
    /// Times that a limit held a packet back.
    pub overlimits: u64,
    /// Packets waiting now.
    pub queued_packets: u64,
    /// Bytes waiting now.
    pub queued_bytes: u64,
}

/// A netlink attribute that this version does not decode.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct UnknownAttribute {
    /// Its type number.
    pub kind: u16,
    /// Its payload in hexadecimal, cut to 64 bytes.
    pub hex: String,
}

impl UnknownAttribute {
    /// Keeps an attribute, cut to 64 bytes.
    pub fn new(kind: u16, payload: &[u8]) -> Self {
        use std::fmt::Write as _;
        let mut hex = String::new();
        for byte in payload.iter().take(64) {
            let _ = write!(hex, "{byte:02x}");
        }
        Self { kind, hex }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_tagged_by_its_name() {
        let kind = LinkKind::Vlan { vid: 1102.try_into().unwrap(), protocol: "802.1Q".into() };
        assert_eq!(serde_json::to_string(&kind).unwrap(), r#"{"type":"vlan","vid":1102,"protocol":"802.1Q"}"#);
    }
}
