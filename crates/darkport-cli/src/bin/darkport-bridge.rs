//! Shows this host's bridges.

use std::process::ExitCode;

fn main() -> ExitCode {
    darkport_cli::darkport_bridge()
}
