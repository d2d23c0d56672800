//! What a sweep found.

use std::net::Ipv4Addr;

use darkport_model::{Gap, MacAddr, Vid};
use serde::Serialize;

/// What a sweep found. As JSON its times are microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SweepReport {
    /// The interface that was asked on.
    pub device: String,
    /// The VLAN that was asked in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vid: Option<Vid>,
    /// The targets in the order of their addresses.
    pub hosts: Vec<SweptHost>,
    /// What is not as it ought to be.
    pub findings: Vec<SweepFinding>,
    /// What could not be asked, heard or read. Where answers were lost on this host, or time was over, silence is
    /// [`Undecided`](HostState::Undecided).
    pub gaps: Vec<Gap>,
    /// How it went.
    pub stats: SweepStats,
}

impl SweepReport {
    /// How many hosts are in a state.
    pub fn count(&self, state: HostState) -> usize {
        self.hosts.iter().filter(|host| host.state == state).count()
    }

    /// How many of the addresses that ought to be in use are in a state.
    pub fn count_expected(&self, state: HostState) -> usize {
        self.hosts.iter().filter(|host| host.expected && host.state == state).count()
    }
}

/// How a sweep went.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
#[non_exhaustive]
pub struct SweepStats {
    /// From the first question to the end.
    pub took_us: u64,
    /// Frames that went to everybody, each of which a bridge delivers to all ports.
    pub broadcasts: u64,
    /// Frames that went to one.
    pub unicasts: u64,
    /// Answers to questions of this sweep.
    pub answers: u64,
    /// Frames that looked like answers and answer nothing that was asked.
    pub strays: u64,
    /// Answers that this host had no room for (`PACKET_STATISTICS`).
    pub dropped: u64,
    /// The smoothed round-trip time of ARP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// The share of tries that got no answer from addresses that did answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
}

/// One target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SweptHost {
    /// The address.
    pub address: Ipv4Addr,
    /// Whose it is, as far as the caller said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether somebody ought to have it.
    pub expected: bool,
    /// Whether somebody has it.
    pub state: HostState,
    /// Who has it: one, in good order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub holders: Vec<HolderSeen>,
    /// ARP questions sent.
    pub tries: u8,
    /// ARP's round-trip time, where the first try was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_us: Option<u64>,
    /// What became of the ICMP echo; none when none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp: Option<HostState>,
    /// The echo's round-trip time, where its last try was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_rtt_us: Option<u64>,
}

/// What is known of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum HostState {
    /// Somebody answered.
    Answered,
    /// Nobody answered, asked as often as it takes.
    Silent,
    /// Time was over, or answers were lost on this host.
    Undecided,
    /// It is this host's own.
    Own,
    /// It could not be asked: an echo needs an address to come from and one to go to.
    NotAsked,
}

/// One who says that it has an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct HolderSeen {
    /// The hardware address that it names.
    pub mac: MacAddr,
    /// The hardware address that its frames come from, where that is another: somebody answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frame_from: Option<MacAddr>,
    /// The bridge port that its frames come in on, by the bridge's forwarding database; the interface itself where that is no bridge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<String>,
}

/// Something that is not as it ought to be. `kind` tells which in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SweepFinding {
    /// Several say that they have one address.
    DuplicateAddress {
        /// The address.
        address: Ipv4Addr,
        /// They.
        holders: Vec<HolderSeen>,
    },
    /// Somebody else has an address of this host.
    OwnAddressTaken {
        /// The address.
        address: Ipv4Addr,
        /// They.
        holders: Vec<HolderSeen>,
    },
    /// Another hardware address than the inventory's answers.
    UnexpectedMac {
        /// The address.
        address: Ipv4Addr,
        /// Whose it is, as far as the caller said.
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The hardware address that ought to.
        expected: MacAddr,
        /// Those that do.
        holders: Vec<HolderSeen>,
    },
    /// One hardware address answers for more addresses than a host has: proxy ARP, or somebody who takes all.
    OneForMany {
        /// It.
        holder: HolderSeen,
        /// For how many.
        count: usize,
        /// The first of them.
        first: Ipv4Addr,
        /// The last of them.
        last: Ipv4Addr,
    },
}
