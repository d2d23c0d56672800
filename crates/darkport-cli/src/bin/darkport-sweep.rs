//! Asks who answers for which address.

use std::process::ExitCode;

fn main() -> ExitCode {
    darkport_cli::darkport_sweep()
}
