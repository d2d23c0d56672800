//! `darkport-sweep`: who answers.

mod args;
mod targets;
mod text;
mod verdict;

use std::io;
use std::time::Duration;

use clap::Parser as _;
use darkport::model::{ExitCode, Gap, GapReason, Observation, Source};
use darkport::probe::{ProbeError, Settings, Sweep, SweepReport, Target};
use darkport::{Observer, Reader};
use serde::Serialize;

use crate::output::{self, Progress};
use crate::{app, input, json};
use args::DarkportSweep;

/// What the binary `darkport-sweep` does: its arguments come from the command line, its answer goes to standard output.
pub fn darkport_sweep() -> std::process::ExitCode {
    let code = match DarkportSweep::try_parse() {
        Err(error) => app::usage(&error),
        Ok(args) => app::finish("darkport-sweep", run(&args)),
    };
    code.into()
}

/// Everything that was asked, on one interface or several.
struct Answer {
    sweeps: Vec<SweepReport>,
    gaps: Vec<Gap>,
}

fn run(args: &DarkportSweep) -> io::Result<ExitCode> {
    let mut answer = Answer { sweeps: Vec::new(), gaps: Vec::new() };
    let plan = match plan(args, &mut answer.gaps) {
        Ok(plan) => plan,
        Err(code) => return Ok(code),
    };
    for (device, targets) in plan {
        match sweep(args, &device, targets) {
            Ok(report) => answer.sweeps.push(report),
            // One bridge of several that cannot be asked is a gap; the only one is a failure.
            Err(error) if args.interface.is_none() && !error.needs_privilege() => {
                answer.gaps.push(Gap::new(Source::Probes, format!("sweep on {device}"), GapReason::Failed, error.to_string()));
            }
            Err(error) => return Ok(output::fail("darkport-sweep", &error, next(&error))),
        }
    }
    let verdict = verdict::judge(&answer, args.warning, args.critical);
    if args.output.json {
        output::print(&lines(&answer)?)?;
    } else if args.output.nagios {
        output::print(&verdict::nagios(&answer, &verdict, args.warning, args.critical))?;
    } else {
        output::print(&text::table(&answer, &verdict, args.output.verbose))?;
    }
    Ok(verdict.code)
}

/// Whom to ask on which interface.
fn plan(args: &DarkportSweep, gaps: &mut Vec<Gap>) -> Result<Vec<(String, Vec<Target>)>, ExitCode> {
    let fail = |error: &dyn std::error::Error| output::fail("darkport-sweep", error, "");
    let mut named = targets::named(&args.targets).map_err(|error| fail(&error))?;
    if let Some(path) = &args.list {
        let bytes = input::read(path).map_err(|error| fail(&error))?;
        named.extend(targets::listed(&input::show(path), &bytes).map_err(|error| fail(error.as_ref()))?);
    }
    match (&args.interface, named.is_empty()) {
        (Some(device), false) => Ok(vec![(device.clone(), named)]),
        (None, false) => Err(fail(&Whereto)),
        (device, true) => {
            let seen = inventory(args)?;
            let (by_bridge, unknown) = targets::instances(&seen);
            gaps.extend(seen.gaps.into_iter().filter(|gap| gap.source == Source::Instances && gap.reason != GapReason::NotAsked));
            if unknown > 0 {
                let why =
                    format!("of {unknown} interfaces of instances neither file nor list tells address and bridge: they are not asked for");
                gaps.push(Gap::new(Source::Instances, "addresses", GapReason::Absent, why));
            }
            let wanted = by_bridge.into_iter().filter(|(bridge, _)| device.as_ref().is_none_or(|device| device == bridge));
            Ok(wanted.collect())
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("on which interface? Name it with -i")]
struct Whereto;

fn inventory(args: &DarkportSweep) -> Result<Observation, ExitCode> {
    let mut observer = Observer::new().readers(&[Reader::Bridge, Reader::Inventory]).window(Duration::ZERO).deadline(args.deadline);
    if let Some(namespace) = &args.netns {
        observer = observer.namespace(namespace.clone());
    }
    observer.observe().map_err(|error| app::cannot_look("darkport-sweep", &error))
}

fn sweep(args: &DarkportSweep, device: &str, targets: Vec<Target>) -> Result<SweepReport, ProbeError> {
    let mut settings = Settings::default();
    settings.rate = args.rate.unwrap_or_else(|| Settings::rate_for(targets.len()));
    settings.tries = args.tries;
    settings.deadline = args.deadline;
    settings.icmp = args.icmp;
    settings.direct = args.direct;
    let mut sweep = Sweep::on(device).targets(targets).settings(settings);
    if let Some(vid) = args.vlan {
        sweep = sweep.vlan(vid);
    }
    if let Some(namespace) = &args.netns {
        sweep = sweep.namespace(namespace.clone());
    }
    if let Some(source) = args.source {
        sweep = sweep.source(source);
    }
    let mut progress = Progress::new(false);
    sweep.on_progress(move |far| progress.step(&format!("{} of {} addresses", far.settled, far.targets))).run()
}

fn next(error: &ProbeError) -> &'static str {
    match error {
        _ if error.needs_privilege() => "Next: run it as root, or with CAP_NET_RAW.",
        ProbeError::NoDevice(_) => "Next: `ip link` lists the interfaces; --netns looks into another namespace.",
        ProbeError::Down(_) | ProbeError::NoCarrier(_) => "Next: `darkport` tells why nobody can be reached over it.",
        _ => "",
    }
}

#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    device: &'a str,
    #[serde(flatten)]
    value: &'a T,
}

/// A line for each address, finding and gap, and one for each sweep.
fn lines(answer: &Answer) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for sweep in &answer.sweeps {
        let device = sweep.device.as_str();
        for value in &sweep.hosts {
            text.push_str(&json::line(&Line { kind: "host", device, value })?);
        }
        for value in &sweep.findings {
            text.push_str(&json::line(&Line { kind: "finding", device, value })?);
        }
        for value in &sweep.gaps {
            text.push_str(&json::line(&Line { kind: "gap", device, value })?);
        }
        text.push_str(&json::line(&Line { kind: "sweep", device, value: &sweep.stats })?);
    }
    for value in &answer.gaps {
        text.push_str(&json::line(&Line { kind: "gap", device: "", value })?);
    }
    Ok(text)
}
