//! Probes: frames as an instance sends them, and what comes back.
//!
//! [`Examiner`] asks what a diagnosis needs to know and changes nothing; [`Sweep`] asks who has which address, [`Dhcp`] who offers one. Beneath it the parts stand alone: [`wire`] turns bytes into values and back, [`Machine`] is the
//! sweep, [`DhcpMachine`] the client, without a socket and without a clock, and [`PacketSocket`] moves many frames with one system call.
//!
//! Nothing here is asynchronous, prints, panics on any frame, makes an interface promiscuous, or fills a table of the kernel's. What
//! could not be sent, heard or read is a [`Gap`](darkport_model::Gap).
#![deny(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "this crate observes")]

mod dhcp;
mod drops;
mod error;
mod examine;
mod pcapng;
mod socket;
mod sweep;
mod synthetic;
mod watch;
pub mod wire;

pub use dhcp::{Dhcp, DhcpAsk, DhcpCounts, DhcpFinding, DhcpMachine, DhcpPlan, DhcpReport, DhcpSettings, DhcpStats, TakeLease};
pub use drops::Drops;
pub use error::ProbeError;
pub use examine::Examiner;
pub use pcapng::Capture;
pub use socket::{Batch, Filter, PacketSocket, PacketType, Received, SocketOptions};
pub use sweep::{
    Ask, Counts, Holder, HolderSeen, HostState, Machine, Next, Outcome, Plan, Settings, State, Sweep, SweepFinding, SweepProgress,
    SweepReport, SweepStats, SweptHost, Target, hosts,
};
pub use synthetic::{AllowChanges, Player, Synthetic};
