//! The rest of a host, beyond its interfaces: settings, tables, counters, bonding, offloads, pressure, and the processes that matter.
//!
//! [`HostReader`] fills [`Observation::host`](darkport_model::Observation::host) and says in
//! [`Observation::gaps`](darkport_model::Observation::gaps) what it could not read. It judges nothing. Every source has a module of
//! its own, in which a pure parser stands apart from the reading.
//!
//! ```no_run
//! use darkport_host::HostReader;
//! use darkport_model::Observation;
//!
//! let mut seen = Observation::default();
//! // The links come first, from darkport-bridge: they say whose settings to ask for.
//! let mut host = HostReader::new();
//! host.observe(&mut seen);
//! std::thread::sleep(std::time::Duration::from_secs(1));
//! host.observe_again(&mut seen);
//! println!("{} runs {}", seen.host.name, seen.host.kernel);
//! ```
#![allow(clippy::disallowed_methods, reason = "this crate observes")]

mod bonding;
mod columns;
mod conntrack;
mod ethtool;
#[doc(hidden)]
pub mod fuzzing;
mod interfaces;
mod kernel;
mod look;
mod memory;
mod neighbour;
mod netlink;
mod process;
mod program;
mod reader;
mod rules;
mod snmp;
mod softnet;
mod sysctl;

pub use reader::HostReader;
