//! `darkport`: look, judge, tell.

use std::io;
use std::path::Path;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind;
use darkport::Observer;
use darkport::model::{ExitCode, Observation};

use crate::args::{Command, Darkport, Diagnose, Look};
use crate::output::{self, Progress};
use crate::report::{Style, render};
use crate::{demo, explain, input, json};

/// What the binary `darkport` does: its arguments come from the command line, its answer goes to standard output.
pub fn darkport() -> std::process::ExitCode {
    let code = match Darkport::try_parse() {
        Err(error) => usage(&error),
        Ok(args) => finish("darkport", run(args)),
    };
    code.into()
}

fn run(args: Darkport) -> io::Result<ExitCode> {
    match args.command {
        None => diagnose(&args.diagnose),
        Some(Command::Explain { code }) => explain::run(code.as_deref()),
        Some(Command::Demo(demo)) => demo::run(&demo),
    }
}

/// `--help` and `--version` are no mistakes; every mistake is UNKNOWN to a monitoring system, and not clap's 2, which is CRITICAL.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Ok,
        _ => ExitCode::Unknown,
    }
}

/// Only standard output can fail here: everything else was told by then.
pub(crate) fn finish(program: &str, result: io::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| output::fail(program, &Unprinted(error), ""))
}

#[derive(Debug, thiserror::Error)]
#[error("failed to print the answer")]
struct Unprinted(#[source] io::Error);

fn diagnose(args: &Diagnose) -> io::Result<ExitCode> {
    let seen = match &args.from {
        Some(path) => match input::load(path) {
            Ok(seen) => seen,
            Err(error) => return Ok(output::fail("darkport", &error, LOAD_NEXT)),
        },
        None => match look(args) {
            Ok(seen) => seen,
            Err(code) => return Ok(code),
        },
    };
    // Kept before anything is shown: the observation is what cannot be had again.
    let kept = args.save.as_deref().map(|path| keep(path, &seen));
    let diagnosis = darkport::diagnose(&seen);
    if args.json {
        output::print(&json::line(&diagnosis)?)?;
    } else {
        output::print(&render(&diagnosis, &Style::of_stdout(args.verbose)))?;
    }
    Ok(kept.flatten().unwrap_or_else(|| ExitCode::of(&diagnosis)))
}

const LOAD_NEXT: &str = "Next: `darkport --save FILE` on the host in question writes such a file.";

/// None when it worked.
fn keep(path: &Path, seen: &Observation) -> Option<ExitCode> {
    let error = input::save(path, seen).err()?;
    Some(output::fail("darkport", &error, "Next: name a file in a directory that exists, is writable and has room."))
}

fn look(args: &Diagnose) -> Result<Observation, ExitCode> {
    let mut observer = observer(&args.look);
    for path in &args.instances {
        if input::is_stdin(path) {
            let bytes = input::read(path).map_err(|error| output::fail("darkport", &error, ""))?;
            observer = observer.claims("standard input", bytes);
        } else {
            observer = observer.claims_file(path);
        }
    }
    if let Some(host) = &args.asked_host {
        observer = observer.asked_host(host);
    }
    observer.observe().map_err(|error| cannot_look("darkport", &error))
}

/// An observer as the command line wants it, with progress for a person who waits.
pub(crate) fn observer(look: &Look) -> Observer {
    let mut observer = Observer::new();
    if let Some(namespace) = &look.netns {
        observer = observer.namespace(namespace.clone());
    }
    if let Some(window) = look.window {
        observer = observer.window(window);
    }
    if let Some(deadline) = look.deadline {
        observer = observer.deadline(deadline);
    }
    let mut progress = Progress::new(look.window.is_none_or(|window| window >= Duration::from_secs(1)));
    observer.on_progress(move |step| progress.step(step))
}

pub(crate) fn cannot_look(program: &str, error: &darkport::ObserveError) -> ExitCode {
    let next = match error {
        darkport::ObserveError::Namespace { .. } => {
            "Next: run it as root, and check that the process or the file under /run/netns is still there."
        }
        _ => "",
    };
    output::fail(program, error, next)
}
