//! `darkport`: look, judge, tell.

use std::io;
use std::path::Path;
use std::time::Duration;

use clap::Parser as _;
use clap::error::ErrorKind;
use darkport::Observer;
use darkport::model::{ExitCode, Gap, GapReason, Observation, Source};

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
    let mut asked = Lists::Used;
    let seen = match &args.from {
        Some(path) => match input::load(path) {
            Ok(seen) => seen,
            Err(error) => return Ok(output::fail("darkport", &error, LOAD_NEXT)),
        },
        None => match look(args) {
            Ok((seen, lists)) => {
                asked = lists;
                seen
            }
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
    Ok(kept.flatten().unwrap_or_else(|| asked.temper(ExitCode::of(&diagnosis))))
}

/// What became of the lists that the caller named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lists {
    /// All were read, or none was named.
    Used,
    /// One was not understood in full: what it has beyond that is not known.
    Garbled,
    /// One could not be read at all: darkport could not do what it was asked.
    Unread,
}

impl Lists {
    /// Tells of those that could not be read. Those that were not understood are told with the diagnosis, place by place.
    fn of(seen: &Observation) -> Self {
        let state = |gap: &Gap| match gap.reason {
            GapReason::Absent | GapReason::Permission | GapReason::Failed => {
                output::fail("darkport", &UnreadList(gap.what.clone(), gap.why.clone()), LIST_NEXT);
                Self::Unread
            }
            _ => Self::Garbled,
        };
        seen.gaps_in(Source::Claims).map(state).max().unwrap_or(Self::Used)
    }

    /// The exit code: a list that the caller relies on and that was not used is never OK, and CRITICAL always wins.
    fn temper(self, code: ExitCode) -> ExitCode {
        match (self, code) {
            (Self::Garbled, ExitCode::Ok) | (Self::Unread, ExitCode::Ok | ExitCode::Warning) => ExitCode::Unknown,
            _ => code,
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("failed to read the list {0}: {1}")]
struct UnreadList(String, String);

const LIST_NEXT: &str =
    "Next: name a file that is there and readable, or pipe the list in: nova list --all-tenants --host HOST | darkport --instances -";

const LOAD_NEXT: &str = "Next: `darkport --save FILE` on the host in question writes such a file.";

/// None when it worked.
fn keep(path: &Path, seen: &Observation) -> Option<ExitCode> {
    let error = input::save(path, seen).err()?;
    Some(output::fail("darkport", &error, "Next: name a file in a directory that exists, is writable and has room."))
}

fn look(args: &Diagnose) -> Result<(Observation, Lists), ExitCode> {
    let mut observer = observer(&args.look);
    let mut lists = Lists::Used;
    for path in &args.instances {
        if input::is_stdin(path) {
            match input::read(path) {
                Ok(bytes) => observer = observer.claims("standard input", bytes),
                Err(error) => {
                    output::fail("darkport", &error, LIST_NEXT);
                    lists = Lists::Unread;
                }
            }
        } else {
            observer = observer.claims_file(path);
        }
    }
    if let Some(host) = &args.asked_host {
        observer = observer.asked_host(host);
    }
    let seen = observer.observe().map_err(|error| cannot_look("darkport", &error))?;
    // Its line of progress goes before anything else is said.
    drop(observer);
    if !args.instances.is_empty() {
        lists = lists.max(Lists::of(&seen));
    }
    Ok((seen, lists))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_not_used_is_never_ok() {
        use ExitCode::{Critical, Ok, Unknown, Warning};
        for (lists, codes) in [
            (Lists::Used, [Ok, Warning, Critical, Unknown]),
            (Lists::Garbled, [Unknown, Warning, Critical, Unknown]),
            (Lists::Unread, [Unknown, Unknown, Critical, Unknown]),
        ] {
            assert_eq!([Ok, Warning, Critical, Unknown].map(|code| lists.temper(code)), codes, "{lists:?}");
        }
        let mut seen = Observation::default();
        assert_eq!(Lists::of(&seen), Lists::Used);
        for (reason, lists) in
            [(GapReason::Malformed, Lists::Garbled), (GapReason::Absent, Lists::Unread), (GapReason::TooLarge, Lists::Unread)]
        {
            seen.gaps.push(Gap::new(Source::Claims, "list.txt", reason, "why"));
            assert_eq!(Lists::of(&seen), lists, "the worst of them counts");
        }
    }
}
