//! Embeds darkport in another tool: look, judge, act on the answer.

use std::time::Duration;

fn main() -> Result<(), darkport::ObserveError> {
    let seen = darkport::Observer::new().window(Duration::from_secs(1)).on_progress(|step| eprintln!("{step} …")).observe()?;
    let diagnosis = darkport::diagnose(&seen);
    println!("{:?}: {}", diagnosis.status, diagnosis.headline);
    for cause in &diagnosis.causes {
        println!("{} ({}) at {}", cause.code, cause.certainty, cause.at);
        cause.fix.steps.iter().for_each(|step| println!("  {}: {}", step.on, step.run));
    }
    Ok(())
}
