//! darkport's vocabulary: what is known about one host at one moment ([`Observation`]), and what follows from it ([`Diagnosis`]).
//!
//! This crate does no I/O and reads no clock. Both values are plain data with a versioned JSON form: an observation saved on a
//! dark hypervisor diagnoses to the same answer on any other machine, years later.
//!
//! ```
//! use darkport_model::{Link, LinkKind, Observation};
//!
//! let mut seen = Observation::default();
//! let mut uplink = Link::new(3, "eth1.1102");
//! uplink.kind = LinkKind::Vlan { vid: 1102.try_into()?, protocol: "802.1Q".into() };
//! seen.links.push(uplink);
//! let text = seen.to_json();
//! assert_eq!(Observation::from_json(&text)?, seen);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod diagnosis;
mod exit;
mod gap;
mod host;
mod ids;
mod inventory;
mod l2;
mod l3;
mod link;
mod observation;
mod path;
mod played;
mod probes;
mod process;
mod sample;
mod text;
mod trace;

pub use diagnosis::{
    Cause, Certainty, Diagnosis, Effect, Evidence, Finding, Fix, InstanceState, InstanceVerdict, Place, Reboot, RuledOut, Status, Step,
    Undecided,
};
pub use exit::ExitCode;
pub use gap::{Gap, GapReason, Source};
pub use host::{
    Bond, BondSlave, Conntrack, ConntrackStats, DropRule, Ethtool, Host, Ksm, NeighbourTable, NeighbourTableStats, Pressure, SoftnetCpu,
};
pub use ids::{IfIndex, IpPrefix, MacAddr, ParseIdError, Timestamp, Vid};
pub use inventory::{Claim, Fact, FactSource, Instance, Intent, Inventory, Manager, Nic};
pub use l2::{Fdb, FdbEntry, FdbKind, FdbSource, PortVlan};
pub use l3::{Address, Neighbour, NeighbourState, Route, RouteKind, Rule};
pub use link::{BondSlaveState, Carrier, Counters, Link, LinkKind, OperState, Port, Qdisc, QdiscStats, StpState, UnknownAttribute};
pub use observation::{LoadError, Observation, SCHEMA, SchemaVersion};
pub use path::{Hop, HopKind, HopState, Path};
pub use played::{PlayedInstance, PlayedTest};
pub use probes::{
    ArpAnswer, ArpProbe, Crossing, DhcpLease, DhcpOffer, DhcpOption, DhcpProbe, Heard, HeardArp, HeardDhcp, KernelDrop, Origin, Part,
    Probes, SyntheticRun, SyntheticTest, TestKind, Whom,
};
pub use process::{Process, ProcessRole, Thread};
pub use sample::Sampled;
pub use text::{bounded, printable};
pub use trace::Trace;
