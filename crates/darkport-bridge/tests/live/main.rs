//! The inspector against a live kernel, in namespaces that the tests make and that vanish with them.
#![allow(clippy::disallowed_methods, reason = "tests run commands")]

mod against_iproute2;
mod common;
mod two_looks;
