//! The binaries, end to end.
#![allow(clippy::disallowed_methods, reason = "a test of a program runs it, writes its input and reads what it wrote")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it could not try"
)]

mod deep;
mod demo;
mod dhcp;
mod live;
mod offline;
mod run;
mod sweep;
