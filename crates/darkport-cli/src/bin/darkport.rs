//! Tells why the instances on this host lost the network.

use std::process::ExitCode;

fn main() -> ExitCode {
    darkport_cli::darkport()
}
