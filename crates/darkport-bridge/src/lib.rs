//! What the kernel knows of a host's interfaces, bridges and tables, read over netlink into a [`darkport_model::Observation`].
//!
//! ```no_run
//! use darkport_bridge::{Inspector, Namespace, in_namespace};
//! use darkport_model::Observation;
//!
//! let mut seen = Observation::default();
//! in_namespace(&Namespace::Current, || Inspector::open().map(|mut inspector| inspector.observe(&mut seen)))??;
//! println!("{} links, {} gaps", seen.links.len(), seen.gaps.len());
//! # Ok::<(), darkport_bridge::BridgeError>(())
//! ```
//!
//! [`Inspector::observe`] takes the first look and [`Inspector::observe_again`] the second one, a window later, so that counters
//! become rates. Whatever could not be read is a [`darkport_model::Gap`] in the observation; the only errors are a socket or a
//! namespace that cannot be had at all. Nothing here is asynchronous, prints, changes the host or panics.
//!
//! Decoding is apart from the socket: [`decode`] takes the bytes of a recorded dump, so that tests and fuzzing need neither rights
//! nor a kernel.
#![allow(clippy::disallowed_methods, reason = "this crate observes")]

mod again;
mod brforward;
mod decode;
mod dump;
mod error;
mod fdb;
mod inspector;
mod namespace;
mod request;
mod socket;
mod sysfs;
mod wire;

pub use brforward::{PortNumbers, decode_brforward};
pub use decode::decode;
pub use error::BridgeError;
pub use inspector::Inspector;
pub use namespace::{Namespace, in_namespace};
