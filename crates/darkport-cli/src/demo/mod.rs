//! `darkport demo`: a small hypervisor, built live in namespaces of this process alone, broken, diagnosed and mended.
//!
//! Nothing of it is pretended: the bridge, its ports and the guests' packets are the kernel's, the diagnosis is the one that
//! `darkport` makes. Everything lives in namespaces that no file names, so that the kernel removes it when the process ends, however.

mod breaks;
mod ground;
mod replay;
mod town;

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::time::Duration;

use darkport::model::{Cause, Diagnosis, ExitCode, Observation, Status};
use darkport::{Observer, diagnose};

use crate::args::Demo;
use crate::report::{Style, render};
use crate::{input, output};
use breaks::{Break, Choice};
use ground::{DemoError, Ground};
use town::Town;

/// Long enough for rates, short enough for a person who watches.
const WINDOW: Duration = Duration::from_secs(1);
/// A link settles within a second; a slow machine gets more.
const SETTLE: Duration = Duration::from_secs(8);

/// Runs the demo; its code is OK when the diagnosis named what was broken, and the fix that it printed mended it.
pub(crate) fn run(args: &Demo) -> io::Result<ExitCode> {
    let choice = match breaks::choose(&args.cause) {
        Ok(choice) => choice,
        Err(error) => return Ok(output::fail("darkport demo", &error, "Next: `darkport demo --break list` lists what can be broken.")),
    };
    let style = Style::of_stdout(args.verbose);
    if matches!(choice, Choice::List) {
        let town = Ground::enter().and_then(|ground| Town::build(&ground));
        output::print(&breaks::list(town.as_ref().ok()))?;
        return Ok(ExitCode::Ok);
    }
    if args.replay {
        return replay::run("as asked", &style);
    }
    // Opened before this process gets a file tree of its own, in which another directory may stand at that path.
    let save = match args.save.as_deref().map(input::pinned).transpose() {
        Ok(save) => save,
        Err(error) => return Ok(output::fail("darkport demo", &error, "Next: name a file in a directory that exists.")),
    };
    let town = Ground::enter().and_then(|ground| Town::build(&ground));
    match town {
        Err(error) => replay::run(&error.told(), &style),
        Ok(town) => match live(&town, choice, save.as_ref().map(|(_held, path)| path.as_path()), &style) {
            Ok(code) => Ok(code),
            Err(DemoError::Print(error)) => Err(error),
            Err(error) => Ok(output::fail("darkport demo", &error, "")),
        },
    }
}

fn live(town: &Town, choice: Choice, save: Option<&Path>, style: &Style) -> Result<ExitCode, DemoError> {
    say(&town.story())?;
    let before = town.wait_for(town.guests(), SETTLE)?;
    say(&reach("before", before, town))?;
    if before < town.guests() {
        return Err(DemoError::DoesNotWork(before));
    }
    let broken = break_something(town, choice)?;
    if let Some(broken) = &broken {
        say(&format!("broken by  {}   ({})\n", broken.commands(town).join(" && "), broken.code))?;
        let left = town.settled()?;
        say(&reach("", left, town))?;
        if left == town.guests() {
            return Err(DemoError::NotBroken(broken.code));
        }
    }
    say("\ndarkport looks, and is not told what was done:\n\n")?;
    let seen = look(town)?;
    if let Some(path) = save {
        input::save(path, &seen).map_err(DemoError::Save)?;
    }
    let diagnosis = diagnose(&seen);
    say(&render(&diagnosis, &style.clone().looked_here()))?;
    let Some(broken) = broken else { return healthy(&diagnosis) };
    let named = diagnosis.causes.first().filter(|cause| cause.code == broken.code);
    let Some(cause) = named else {
        let first = diagnosis.causes.first().map_or("no cause", |cause| cause.code.as_str());
        say(&format!("\nverdict    WRONG: {} was broken, the diagnosis says {first}\n", broken.code))?;
        return Ok(ExitCode::Critical);
    };
    say(&format!("\nverdict    right: {} is what was broken\n", cause.code))?;
    mend(town, cause)
}

/// Applies the fix as printed, and looks again.
fn mend(town: &Town, cause: &Cause) -> Result<ExitCode, DemoError> {
    if cause.fix.steps.is_empty() {
        say("mended by  nothing: the report names no command for it\n")?;
        return Ok(ExitCode::Warning);
    }
    for step in &cause.fix.steps {
        say(&format!("mended by  {}\n", step.run))?;
        Town::shell(&step.run)?;
    }
    let after = town.wait_for(town.guests(), SETTLE)?;
    say(&reach("", after, town))?;
    let diagnosis = diagnose(&look(town)?);
    say(&format!("darkport   says: {}\n", crate::report::headline(&diagnosis)))?;
    Ok(if after == town.guests() && diagnosis.status == Status::Healthy { ExitCode::Ok } else { ExitCode::Critical })
}

fn healthy(diagnosis: &Diagnosis) -> Result<ExitCode, DemoError> {
    let right = diagnosis.status == Status::Healthy;
    say(if right { "\nverdict    right: nothing was broken\n" } else { "\nverdict    WRONG: nothing was broken\n" })?;
    Ok(if right { ExitCode::Ok } else { ExitCode::Critical })
}

/// What was broken; none for `none`. At random, what this kernel cannot break is passed over.
fn break_something(town: &Town, choice: Choice) -> Result<Option<&'static Break>, DemoError> {
    match choice {
        Choice::Nothing | Choice::List => Ok(None),
        Choice::This(broken) => {
            broken.apply(town)?;
            Ok(Some(broken))
        }
        Choice::Random(order) => {
            let fits = order.into_iter().find(|broken| broken.fits(town));
            let broken = fits.ok_or(DemoError::NothingToBreak)?;
            broken.apply(town)?;
            Ok(Some(broken))
        }
    }
}

fn look(town: &Town) -> Result<Observation, DemoError> {
    let _traffic = town.traffic();
    Observer::new().window(WINDOW).root(town.root()).observe().map_err(DemoError::Observe)
}

fn reach(label: &str, lit: usize, town: &Town) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "{label:10} {lit} of {} instances reach the gateway with a full-size packet", town.guests());
    text
}

fn say(text: &str) -> Result<(), DemoError> {
    output::print(text).map_err(DemoError::Print)
}
