//! Embeds darkport in another tool: look, judge, act on the answer.
#![allow(clippy::print_stdout, reason = "an example shows what it got")]

use std::time::Duration;

fn main() -> Result<(), darkport::ObserveError> {
    let seen = darkport::Observer::new().window(Duration::from_secs(1)).observe()?;
    let diagnosis = darkport::diagnose(&seen);
    println!("{:?}: {}", diagnosis.status, diagnosis.headline);
    for cause in &diagnosis.causes {
        println!("{} ({}) at {}: {:?}", cause.code, cause.certainty, cause.at, cause.fix.steps);
    }
    Ok(())
}
