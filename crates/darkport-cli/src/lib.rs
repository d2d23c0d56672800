//! The darkport binaries, as functions: what each `main` calls, and the text report.
//!
//! Everything that is shown passes [`darkport::model::printable`] and a bound: names, domain XML and tables are written by tenants.
#![allow(clippy::disallowed_methods, reason = "a program reads files and the clock; judging happens in the library")]

mod app;
mod args;
mod bridge;
mod demo;
mod dhcp;
mod explain;
mod input;
mod json;
mod output;
mod report;
mod sweep;

pub use app::darkport;
pub use bridge::darkport_bridge;
pub use dhcp::darkport_dhcp;
pub use report::{Style, render};
pub use sweep::darkport_sweep;
