//! The rest of a host: kernel, settings, tables, pressure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::ids::{MacAddr, Timestamp};
use crate::process::Process;
use crate::sample::Sampled;

/// What is known about a host beyond its interfaces. What could not be read is absent here and a gap in the observation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Kernel release (`uname -r`).
    pub kernel: String,
    /// Kernel version line (`/proc/version`), which names the distribution's build.
    pub kernel_build: String,
    /// When it booted.
    pub boot_time: Option<Timestamp>,
    /// How many processors are online.
    pub cpus: Option<u32>,
    /// Settings by their name under `/proc/sys`, with slashes: `net/ipv4/ip_forward`.
    pub sysctls: BTreeMap<String, String>,
    /// Connection tracking; none where the kernel has it not loaded.
    pub conntrack: Option<Conntrack>,
    /// The IPv4 neighbour table's size and statistics.
    pub arp_table: Option<NeighbourTable>,
    /// Per-CPU receive backlog.
    pub softnet: Vec<SoftnetCpu>,
    /// Protocol counters by their name: `Ip.InDiscards`, `TcpExt.IPReversePathFilter`.
    pub snmp: Sampled<BTreeMap<String, u64>>,
    /// Bonds by name.
    pub bonds: BTreeMap<String, Bond>,
    /// What ethtool tells, by interface name.
    pub ethtool: BTreeMap<String, Ethtool>,
    /// Pressure stall information by resource: `memory`, `io`, `cpu`.
    pub pressure: BTreeMap<String, Pressure>,
    /// Memory in all, in KiB.
    pub memory_total_kib: Option<u64>,
    /// Memory that could be had without swapping, in KiB.
    pub memory_available_kib: Option<u64>,
    /// Kernel same-page merging.
    pub ksm: Option<Ksm>,
    /// Processes that matter.
    pub processes: Vec<Process>,
    /// Firewall rules of bridges and interfaces that drop frames.
    pub drop_rules: Vec<DropRule>,
}

impl Host {
    /// A setting as a number; none where it is absent or not a number.
    pub fn sysctl(&self, name: &str) -> Option<i64> {
        self.sysctls.get(name)?.trim().parse().ok()
    }
}

/// A firewall rule that drops what it fits, in a table of the families `bridge` or `netdev` (nftables, or ebtables).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DropRule {
    /// `bridge` or `netdev`.
    pub family: String,
    /// The table's name.
    pub table: String,
    /// The chain's name.
    pub chain: String,
    /// What it fits and does, as the program prints it, its counter left out.
    pub text: String,
    /// Packets that it fitted, where it counts them.
    #[serde(default)]
    pub packets: Option<Sampled<u64>>,
}

impl DropRule {
    /// A rule that counts nothing.
    pub fn new(family: impl Into<String>, table: impl Into<String>, chain: impl Into<String>, text: impl Into<String>) -> Self {
        Self { family: family.into(), table: table.into(), chain: chain.into(), text: text.into(), packets: None }
    }
}

/// The connection tracking table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Conntrack {
    /// Entries in use.
    pub count: Sampled<u64>,
    /// Entries there can be.
    pub max: u64,
    /// Hash buckets.
    pub buckets: Option<u64>,
    /// What went wrong; none where `/proc/net/stat/nf_conntrack` could not be read.
    pub stats: Option<Sampled<ConntrackStats>>,
}

/// Sums over all processors of `/proc/net/stat/nf_conntrack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct ConntrackStats {
    /// Packets dropped since no entry could be made.
    pub drop: u64,
    /// Entries thrown out early to make room.
    pub early_drop: u64,
    /// Insertions that failed.
    pub insert_failed: u64,
    /// Packets that fit no connection.
    pub invalid: u64,
}

/// A neighbour table's limits and state.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct NeighbourTable {
    /// Entries in use, of all namespaces (`/proc/net/stat/arp_cache`).
    pub entries: Sampled<u64>,
    /// Below this nothing is thrown out.
    pub gc_thresh1: u64,
    /// Above this entries are thrown out after five seconds.
    pub gc_thresh2: u64,
    /// There are never more.
    pub gc_thresh3: u64,
    /// Statistics; none where the file could not be read.
    pub stats: Option<Sampled<NeighbourTableStats>>,
}

/// Sums over all processors of `/proc/net/stat/arp_cache`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct NeighbourTableStats {
    /// Times that a new entry found the table full (`table_fulls`; not on every kernel).
    pub table_fulls: Option<u64>,
    /// Entries made.
    pub allocs: u64,
    /// Addresses that never answered.
    pub res_failed: u64,
    /// Packets thrown away while their neighbour was being asked; none where the numbers came over netlink, which does not tell it.
    pub unresolved_discards: Option<u64>,
}

/// One processor's line of `/proc/net/softnet_stat`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct SoftnetCpu {
    /// Packets taken.
    pub processed: Sampled<u64>,
    /// Packets dropped since the backlog was full.
    pub dropped: Sampled<u64>,
    /// Times that work was left over when the time was up.
    pub time_squeeze: Sampled<u64>,
}

/// `/proc/net/bonding/NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Bond {
    /// Mode in the kernel's words.
    pub mode: String,
    /// The member that carries traffic, by name.
    pub active_slave: Option<String>,
    /// Whether the bond as a whole has link.
    pub mii_up: bool,
    /// The active aggregator of LACP.
    pub aggregator: Option<u16>,
    /// The LACP partner's address; all zero when no partner answers.
    pub partner_mac: Option<MacAddr>,
    /// Its members.
    pub slaves: Vec<BondSlave>,
}

/// One member of a bond.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct BondSlave {
    /// Its name.
    pub name: String,
    /// Whether it has link.
    pub mii_up: bool,
    /// How often it lost it.
    pub link_failures: u64,
    /// Its aggregator, in mode 802.3ad.
    pub aggregator: Option<u16>,
}

/// Driver, link and offloads of one interface.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Ethtool {
    /// The driver's name.
    pub driver: Option<String>,
    /// Link speed in Mbit/s.
    pub speed_mbit: Option<u32>,
    /// `full` or `half`.
    pub duplex: Option<String>,
    /// Features by the kernel's name (`rx-lro`, `rx-vlan-filter`, …): whether each is on.
    pub features: BTreeMap<String, bool>,
}

/// `/proc/pressure/*`: the share of the last ten seconds, in percent, in which somebody had to wait.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Pressure {
    /// Some task waited.
    pub some_avg10: f64,
    /// All tasks waited.
    pub full_avg10: f64,
}

/// `/sys/kernel/mm/ksm`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Ksm {
    /// 0 stopped, 1 running, 2 stopped and unmerged.
    pub run: u8,
    /// Pages that are shared.
    pub pages_shared: u64,
    /// Places that share them.
    pub pages_sharing: u64,
    /// Full passes over memory.
    pub full_scans: Sampled<u64>,
}
