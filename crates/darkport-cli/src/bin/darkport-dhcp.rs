//! Asks for an address as an instance does.

use std::process::ExitCode;

fn main() -> ExitCode {
    darkport_cli::darkport_dhcp()
}
