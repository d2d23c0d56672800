//! The demo where nothing can be built: an observation that was recorded, diagnosed now.

use std::io;

use darkport::model::{ExitCode, Observation};

use crate::output;
use crate::report::{Style, render};

/// Recorded by the lab; see `recorded/README.md`.
const RECORDED: &str = include_str!("../../recorded/uplink-not-in-bridge.json");
const BROKEN: &str = "uplink-not-in-bridge";

pub(super) fn run(why: &str, style: &Style) -> io::Result<ExitCode> {
    let seen = match Observation::from_json(RECORDED) {
        Ok(seen) => seen,
        Err(error) => return Ok(output::fail("darkport demo", &error, "This is a fault in darkport itself.")),
    };
    let told = format!(
        "NOT LIVE: {why}.\nWhat follows is a replay: an observation that the project's lab recorded at {} with darkport {},\n\
         on a Debian kernel in a VM where {BROKEN} was broken for real; it is diagnosed now.\n\n",
        seen.taken_at, seen.darkport
    );
    output::print(&told)?;
    let diagnosis = darkport::diagnose(&seen);
    output::print(&render(&diagnosis, style))?;
    let right = diagnosis.causes.first().is_some_and(|cause| cause.code == BROKEN);
    let verdict = if right { "right" } else { "WRONG" };
    output::print(&format!("\nverdict    {verdict}: {BROKEN} is what was broken\n"))?;
    Ok(if right { ExitCode::Ok } else { ExitCode::Critical })
}
