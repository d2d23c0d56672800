//! The probes on this machine's kernel: a bridge and guests in namespaces of the test's own.
#![allow(clippy::disallowed_methods, reason = "a test builds its ground with iproute2")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod common;
mod dhcp;
mod drops;
mod examine;
mod guests;
mod hostile;
mod socket;
mod sweep;
mod synthetic;
