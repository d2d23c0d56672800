//! The lab: real kernels, real bridges and VLANs, broken on purpose, and what `darkport` says about them.
//!
//! One static binary is the harness on the machine, the first process inside the VM, and (by the name it is called) the
//! processes that stand in for qemu there. See `README.md` beside this crate for the scenario format.
#![allow(clippy::disallowed_methods, reason = "the lab is a test harness: doing I/O and reading clocks is its job")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program prints")]

mod agent;
mod cli;
mod cpio;
mod error;
mod fleet;
mod ground;
mod image;
mod judge;
mod offline;
mod prepare;
mod qemu;
mod report;
mod scenario;
mod wire;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
