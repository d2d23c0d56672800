//! What could not be read, as a fact of its own.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Something that the observation lacks, and why. A check whose input is a gap answers *unknown*, never *fine*.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Gap {
    /// The part of the observation that is missing or not to be relied on.
    pub source: Source,
    /// The object: a file, a netlink dump, a device.
    pub what: String,
    /// The kind of reason.
    pub reason: GapReason,
    /// The reason in words, with the system's error where there was one.
    pub why: String,
}

impl Gap {
    /// A gap in `source`: reading `what` failed for `reason`, in words `why`.
    pub fn new(source: Source, what: impl Into<String>, reason: GapReason, why: impl Into<String>) -> Self {
        Self { source, what: what.into(), reason, why: why.into() }
    }

    /// The gap that an I/O error leaves, its reason told from the error's kind.
    pub fn from_io(source: Source, what: impl Into<String>, error: &std::io::Error) -> Self {
        let reason = match error.kind() {
            std::io::ErrorKind::PermissionDenied => GapReason::Permission,
            std::io::ErrorKind::NotFound => GapReason::Absent,
            _ => GapReason::Failed,
        };
        Self::new(source, what, reason, error.to_string())
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

/// The parts of an observation that can be missing on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Source {
    /// Interfaces and their counters.
    Links,
    /// Queueing disciplines.
    Qdiscs,
    /// A bridge's forwarding database.
    Fdb,
    /// VLAN membership of bridge ports.
    BridgeVlans,
    /// Addresses of interfaces.
    Addresses,
    /// The neighbour (ARP, NDP) table.
    Neighbours,
    /// Routes and policy rules.
    Routes,
    /// Kernel settings under `/proc/sys`.
    Sysctls,
    /// Connection tracking.
    Conntrack,
    /// Per-CPU receive backlog statistics.
    Softnet,
    /// Protocol counters (`/proc/net/snmp`, `/proc/net/netstat`).
    Snmp,
    /// Bonding state.
    Bonding,
    /// Driver, link speed and offload features.
    Ethtool,
    /// Memory, I/O and CPU pressure; KSM.
    Pressure,
    /// Processes and their threads.
    Processes,
    /// Instances: libvirt's domain XML, qemu processes.
    Instances,
    /// What the control plane says.
    Claims,
    /// What the host's network configuration says.
    Intents,
    /// Host name, kernel version, boot time.
    Host,
    /// Frames that darkport itself sends, and the answers.
    Probes,
    /// Frames that the kernel drops, and why.
    Drops,
    /// An instance that darkport plays itself.
    Synthetic,
    /// Firewall rules that drop frames.
    Rules,
}

/// Why something could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum GapReason {
    /// It needs rights that the caller does not have.
    Permission,
    /// It is not there: this kernel or this host has none.
    Absent,
    /// It changed faster than it could be read (`NLM_F_DUMP_INTR` after bounded retries), so what was read may be torn.
    Torn,
    /// It came, went or was renamed between the two looks: the newest state is told, and nothing of its rates.
    Changed,
    /// It was there and could not be understood.
    Malformed,
    /// It was larger than what is read, so the rest is missing.
    TooLarge,
    /// The deadline came first.
    Deadline,
    /// It was not asked for.
    NotAsked,
    /// The system gave another error.
    Failed,
}
