//! `darkport`: look, judge, tell.

use std::io;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use darkport::model::{Diagnosis, ExitCode, Gap, GapReason, Observation, Source, Status};
use darkport::probe::Capture;
use darkport::{Observer, Reader};

use crate::args::{Command, Darkport, Diagnose, Look};
use crate::output::{self, Progress};
use crate::report::{Style, render};
use crate::{demo, explain, input, json};

/// What the binary `darkport` does: its arguments come from the command line, its answer goes to standard output.
pub fn darkport() -> std::process::ExitCode {
    let code = match Darkport::try_parse() {
        Err(error) => usage(&error),
        Ok(Darkport { diagnose, .. }) if diagnose.from.is_some() && !diagnose.instances.is_empty() => usage(&Darkport::command().error(
            ErrorKind::ArgumentConflict,
            "a saved observation takes no list: give it when saving, as in\n  darkport --instances LIST --save FILE",
        )),
        Ok(args) => finish("darkport", run(args)),
    };
    code.into()
}

fn run(args: Darkport) -> io::Result<ExitCode> {
    match args.command {
        None => diagnose(&args.diagnose),
        Some(Command::Explain { codes }) => explain::run(&codes),
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
    let (seen, frames) = match &args.from {
        Some(path) => match input::load(path) {
            Ok(seen) => (seen, Capture::default()),
            Err(error) => return Ok(output::fail("darkport", &error, LOAD_NEXT)),
        },
        None => match look(args) {
            Ok(looked) => looked,
            Err(code) => return Ok(code),
        },
    };
    // Kept before anything is shown: the observation is what cannot be had again.
    let kept = args.save.as_deref().and_then(|path| keep(input::save(path, &seen)));
    let kept = args.pcap.as_deref().and_then(|path| keep(input::save_frames(path, &frames))).or(kept);
    let mut diagnosis = darkport::diagnose(&seen);
    let lists = Lists::of(&seen, !args.instances.is_empty());
    lists.temper(&mut diagnosis);
    if args.json {
        output::print(&json::line(&diagnosis)?)?;
    } else {
        let style = Style::of_stdout(args.verbose);
        let style = if args.from.is_none() { style.looked_here() } else { style };
        output::print(&render(&diagnosis, &style))?;
    }
    Ok(kept.unwrap_or_else(|| lists.code(ExitCode::of(&diagnosis))))
}

/// What became of the lists that the caller named, here or where the observation was made.
#[derive(Debug, Clone, Copy)]
enum Lists<'a> {
    /// All were read, or none was named.
    Used,
    /// One was not understood in full: what it has beyond that is not known.
    Garbled(&'a Gap),
    /// One could not be read at all: darkport could not do what it was asked.
    Unread(&'a Gap),
}

impl<'a> Lists<'a> {
    /// The worst of them. Where the observation comes from elsewhere and none is `named` here, instances and lists that were missed
    /// together tell of no list.
    fn of(seen: &'a Observation, named: bool) -> Self {
        let together = |gap: &Gap| seen.gaps_in(Source::Instances).any(|other| other.what == gap.what);
        let list = |gap: &&Gap| gap.reason != GapReason::NotAsked && (named || !together(gap));
        let mut gaps = seen.gaps_in(Source::Claims).filter(list).peekable();
        let first = gaps.peek().copied();
        gaps.find(|gap| unread(gap)).map(Self::Unread).or(first.map(Self::Garbled)).unwrap_or(Self::Used)
    }

    /// A list that the caller relies on and that was not used is never healthy.
    fn temper(self, diagnosis: &mut Diagnosis) {
        if let (Self::Garbled(gap) | Self::Unread(gap), Status::Healthy) = (self, diagnosis.status) {
            diagnosis.status = Status::Undetermined;
            diagnosis.headline = format!("the list {} could not be used: {}", gap.what, gap.why);
        }
    }

    /// The exit code: darkport did not do what it was asked, but CRITICAL always wins.
    fn code(self, code: ExitCode) -> ExitCode {
        match (self, code) {
            (Self::Unread(_), ExitCode::Warning) => ExitCode::Unknown,
            _ => code,
        }
    }
}

fn unread(gap: &Gap) -> bool {
    matches!(gap.reason, GapReason::Absent | GapReason::Permission | GapReason::Failed)
}

#[derive(Debug, thiserror::Error)]
#[error("failed to read the list {0}: {1}")]
struct UnreadList(String, String);

const LIST_NEXT: &str =
    "Next: name a file that is there and readable, or pipe the list in: nova list --all-tenants --host HOST | darkport --instances -";

const LOAD_NEXT: &str = "Next: `darkport --save FILE` on the host in question writes such a file.";

/// None when it worked.
fn keep(saved: Result<(), input::FileError>) -> Option<ExitCode> {
    let error = saved.err()?;
    Some(output::fail("darkport", &error, "Next: name a file in a directory that exists, is writable and has room."))
}

fn look(args: &Diagnose) -> Result<(Observation, Capture), ExitCode> {
    let mut observer = observer(&args.look);
    let mut unreadable = None;
    for path in &args.instances {
        if input::is_stdin(path) {
            match input::read(path) {
                Ok(bytes) => observer = observer.claims("standard input", bytes),
                Err(error) => unreadable = Some(Gap::new(Source::Claims, "standard input", GapReason::Failed, error.why())),
            }
        } else {
            observer = observer.claims_file(path);
        }
    }
    if args.no_probes {
        observer = observer.readers(&[Reader::Bridge, Reader::Host, Reader::Inventory]);
    }
    if args.deep && args.allow_changes {
        observer = observer.allow_changes(darkport::probe::AllowChanges::asked_for());
    }
    if args.pcap.is_some() {
        observer = observer.keep_frames();
    }
    if let Some(host) = &args.asked_host {
        observer = observer.asked_host(host);
    }
    let mut seen = observer.observe().map_err(|error| cannot_look("darkport", &error))?;
    let frames = observer.frames();
    // Its line of progress goes before anything else is said.
    drop(observer);
    seen.gaps.extend(unreadable);
    // Those that were not understood are told with the diagnosis, place by place.
    let named = !args.instances.is_empty();
    for gap in seen.gaps_in(Source::Claims).filter(|gap| named && unread(gap)) {
        output::fail("darkport", &UnreadList(gap.what.clone(), gap.why.clone()), LIST_NEXT);
    }
    Ok((seen, frames))
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

/// A namespace's error names it itself, and one that is none is told in words.
pub(crate) fn cannot_look(program: &str, error: &darkport::ObserveError) -> ExitCode {
    let darkport::ObserveError::Namespace { namespace, source, .. } = error else { return output::fail(program, error, "") };
    let cause = std::error::Error::source(source).and_then(|cause| cause.downcast_ref::<io::Error>());
    // setns(2): EINVAL is for a descriptor that is no namespace of this kind.
    if cause.is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidInput) {
        return output::fail(program, &NoNamespace(namespace.clone()), "Next: name a file under /run/netns, or the number of a process.");
    }
    let next = match (source.needs_privilege(), nix::unistd::geteuid().is_root()) {
        (true, false) => "Next: run it as root.",
        (true, true) => "Next: run it outside of any container: this root may not enter it.",
        (false, _) => "Next: check that the process or the file under /run/netns is still there.",
    };
    output::fail(program, source, next)
}

#[derive(Debug, thiserror::Error)]
#[error("{0} is no network namespace")]
struct NoNamespace(String);

#[cfg(test)]
mod tests {
    use darkport::model::InstanceState;

    use super::*;

    #[test]
    fn a_list_that_was_not_used_is_never_ok() {
        let answer = |seen: &Observation, status, state| {
            let mut diagnosis = Diagnosis::default();
            diagnosis.status = status;
            let mut verdict = darkport::model::InstanceVerdict::default();
            verdict.state = state;
            diagnosis.instances.push(verdict);
            let lists = Lists::of(seen, false);
            lists.temper(&mut diagnosis);
            (lists.code(ExitCode::of(&diagnosis)), diagnosis.headline)
        };
        let mut seen = Observation::default();
        seen.gaps = [Source::Instances, Source::Claims].map(|source| Gap::new(source, "both", GapReason::Deadline, "late")).to_vec();
        assert_eq!(answer(&seen, Status::Healthy, InstanceState::Fine).0, ExitCode::Ok, "no list was named");
        assert!(matches!(Lists::of(&seen, true), Lists::Garbled(_)), "one was");
        seen.gaps.clear();
        let list = |name: &str, reason| Gap::new(Source::Claims, name, reason, "why");
        for (gap, codes) in [
            (list("none", GapReason::NotAsked), [ExitCode::Ok, ExitCode::Warning, ExitCode::Critical]),
            (list("torn.txt", GapReason::Malformed), [ExitCode::Unknown, ExitCode::Warning, ExitCode::Critical]),
            (list("gone.txt", GapReason::Absent), [ExitCode::Unknown, ExitCode::Unknown, ExitCode::Critical]),
            (list("wide.txt", GapReason::TooLarge), [ExitCode::Unknown, ExitCode::Unknown, ExitCode::Critical]),
        ] {
            seen.gaps.push(gap);
            let healthy = answer(&seen, Status::Healthy, InstanceState::Fine);
            let told =
                [healthy.0, answer(&seen, Status::Fault, InstanceState::Degraded).0, answer(&seen, Status::Fault, InstanceState::Dark).0];
            assert_eq!(told, codes, "the worst of them counts: {:?}", seen.gaps);
            let worst = ["", "torn.txt", "gone.txt", "gone.txt"][seen.gaps.len() - 1];
            assert_eq!(healthy.1, if worst.is_empty() { String::new() } else { format!("the list {worst} could not be used: why") });
        }
    }
}
