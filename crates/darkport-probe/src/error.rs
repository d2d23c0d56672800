//! Why a probe could not begin or had to stop.

use std::io;

use darkport_bridge::BridgeError;
use darkport_model::IpPrefix;

/// Why a probe gave no answer. What goes wrong in its course is a [`Gap`](darkport_model::Gap) in the report instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The namespace or its interfaces cannot be looked at.
    #[error("failed to look at the interfaces")]
    Look(#[from] BridgeError),
    /// The interfaces could not be read.
    #[error("failed to read the interfaces: {0}")]
    Links(String),
    /// There is no such interface.
    #[error("there is no interface {0:?} here")]
    NoDevice(String),
    /// The interface is down, so that nothing can be sent.
    #[error("the interface {0:?} is down")]
    Down(String),
    /// The interface has no carrier (a bridge: no port that has one), and the kernel lets frames vanish that are sent on it (linux,
    /// `net/sched/sch_generic.c`, `noop_enqueue`).
    #[error("the interface {0:?} has no carrier")]
    NoCarrier(String),
    /// The interface is not an Ethernet one.
    #[error("the interface {0:?} has no Ethernet address")]
    NotEthernet(String),
    /// There is nobody to ask for.
    #[error("there are no addresses to ask for")]
    NoTargets,
    /// There are too many to ask for.
    #[error("{found} addresses are more than the {most} that a sweep takes")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many are taken.
        most: usize,
    },
    /// ARP and its kind know IPv4 only.
    #[error("{0} is not an IPv4 prefix")]
    NotIpv4(IpPrefix),
    /// The kernel runs spanning tree on the bridge: a new port would forward after half a minute only, and every bridge of the network would
    /// be told to forget what it has learned (IEEE 802.1D, topology change).
    #[error("the bridge {0:?} runs spanning tree: a new port would make the whole network forget its addresses")]
    SpanningTree(String),
    /// The bridge takes its address from its ports (linux, `net/bridge/br_stp_if.c`, `br_stp_recalculate_bridge_id`), and none of them has
    /// one that is sure to be lower than a synthetic instance's.
    #[error("the bridge {0:?} has no port but would take its address from the new one")]
    TakesAddress(String),
    /// A synthetic instance could not be made.
    #[error("failed to make a synthetic instance on {device:?}")]
    Make {
        /// The bridge.
        device: String,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel's drops cannot be watched.
    #[error("failed to {doing}")]
    Trace {
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The packet socket could not be had.
    #[error("failed to open a packet socket on {device:?}")]
    Open {
        /// The interface.
        device: String,
        /// What the system said.
        source: io::Error,
    },
}

impl ProbeError {
    /// Whether more rights would help (`CAP_NET_RAW`; `CAP_SYS_ADMIN` for another namespace).
    pub fn needs_privilege(&self) -> bool {
        match self {
            Self::Look(error) => error.needs_privilege(),
            Self::Open { source, .. } | Self::Make { source, .. } | Self::Trace { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }
}
