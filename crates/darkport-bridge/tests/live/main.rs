//! The inspector against a live kernel, in namespaces that the tests make and that vanish with them.
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests run commands, and a panic is how they fail"
)]

mod against_iproute2;
mod common;
mod two_looks;
