//! The command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::error::{Doing, LabError, Result};
use crate::ground::{self, Setup};
use crate::judge::{Verdict, judge};
use crate::prepare::Cache;
use crate::report::{Report, Sums};
use crate::scenario::{Ground, Scenario, load};
use crate::wire::{Event, Run};

/// Breaks a data centre in a VM, on purpose, and checks what darkport says about it.
///
/// Exit code: 0 when all scenarios hold, 1 when some do not, 2 when the lab or a scenario file cannot be used.
#[derive(Parser)]
#[command(name = "lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Sub,
}

#[derive(Subcommand)]
enum Sub {
    /// Fetch QEMU, a kernel and guest tools (once; needs the network, no root, installs nothing).
    Prepare,
    /// Run scenarios.
    Run(RunArguments),
    /// Check scenario files without running them.
    Check {
        /// Files or directories.
        paths: Vec<PathBuf>,
    },
}

#[derive(clap::Args)]
struct RunArguments {
    /// Where: in a VM, or in namespaces of this machine (root).
    #[arg(long, value_enum, default_value = "vm")]
    ground: Ground,
    /// The static `darkport` binary to test.
    #[arg(long)]
    darkport: Option<PathBuf>,
    /// One JSON object a line, a scenario each.
    #[arg(long)]
    json: bool,
    /// Keep each observation that darkport made, as DIR/NAME.json.
    #[arg(long, value_name = "DIR")]
    keep_observations: Option<PathBuf>,
    /// Keep darkport's full output, as DIR/NAME.{stdout,stderr}.
    #[arg(long, value_name = "DIR")]
    keep_outputs: Option<PathBuf>,
    /// Only scenarios whose name contains this.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// The VM's memory in MiB.
    #[arg(long, default_value = "768")]
    memory: u32,
    /// Show where each scenario's time went.
    #[arg(long)]
    timings: bool,
    /// Scenario files, or directories of them; the tree's own otherwise.
    paths: Vec<PathBuf>,
}

/// The whole program.
pub(crate) fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(code) = ground::step(&arguments) {
        return ExitCode::from(u8::try_from(code).unwrap_or(1));
    }
    let result = match Arguments::parse().command {
        Sub::Prepare => Cache::locate().prepare().map(|()| true),
        Sub::Run(arguments) => run(&arguments),
        Sub::Check { paths } => load(&or_own(&paths)).map(|scenarios| {
            println!("{} scenarios", scenarios.len());
            true
        }),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::from(2)
        }
    }
}

fn or_own(paths: &[PathBuf]) -> Vec<PathBuf> {
    if paths.is_empty() { vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")] } else { paths.to_vec() }
}

/// The binary that a release build makes.
fn built_darkport() -> Result<PathBuf> {
    let target = Cache::locate().dir.parent().unwrap_or(Path::new(".")).join("x86_64-unknown-linux-gnu/release/darkport");
    if target.exists() {
        return Ok(target);
    }
    Err(LabError::Broken(format!("{} is missing: build it, or name another with --darkport", target.display())))
}

fn run(arguments: &RunArguments) -> Result<bool> {
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let scenarios: Vec<Scenario> = load(&or_own(&arguments.paths))?.into_iter().filter(|s| s.name.contains(filter)).collect();
    if scenarios.is_empty() {
        return Err(LabError::Scenario(format!("no scenario's name contains \"{filter}\"")));
    }
    let darkport = arguments.darkport.clone().map_or_else(built_darkport, Ok)?;
    let cache = Cache::locate();
    cache.prepare()?;
    let report = Report::new(arguments.json);
    let start = Instant::now();
    let all = scenarios.len();
    let mut verdicts = Vec::new();
    let mut todo = Vec::new();
    for scenario in scenarios {
        if let Some(reason) = scenario.not_on(arguments.ground) {
            let verdict = Verdict::skipped(&scenario, reason);
            report.line(&verdict);
            verdicts.push(verdict);
        } else {
            todo.push(scenario);
        }
    }
    let mut kept = Ok(());
    let mut boots = 0;
    // A scenario that takes the VM with it must not take the others: they get a VM of their own.
    while !todo.is_empty() {
        let setup = Setup { cache: &cache, darkport: &darkport, memory: arguments.memory };
        boots += 1;
        let mut begun = 0;
        let mut done = 0;
        let result =
            ground::play(&setup, arguments.ground, todo.clone(), arguments.keep_observations.is_some(), &mut |event| match event {
                Event::Start { index } => {
                    begun = index + 1;
                    report.progress(verdicts.len() + 1, all, todo.get(index).map_or("", |s| s.name.as_str()));
                }
                Event::Done { index, run } => {
                    let Some(scenario) = todo.get(index) else { return };
                    let verdict = judge(scenario, &run);
                    report.line(&verdict);
                    if arguments.timings {
                        let phases: Vec<_> = run.phases.iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
                        eprintln!("      {}", phases.join(" · "));
                    }
                    if let Err(error) = keep(arguments, scenario, &run) {
                        kept = Err(error);
                    }
                    verdicts.push(verdict);
                    done = index + 1;
                }
                Event::Up { .. } | Event::Bye | Event::Failed { .. } => {}
            });
        let Err(error) = result else { break };
        // Without a scenario to blame, or again and again, it is the lab.
        if begun == 0 || boots > 5 {
            return Err(error);
        }
        for scenario in todo.drain(..begun).skip(done) {
            let verdict = Verdict::failed(&scenario, format!("lab broken: {error}"));
            report.line(&verdict);
            verdicts.push(verdict);
        }
    }
    kept?;
    let sums = Sums::of(&verdicts);
    report.sums(&sums, start.elapsed().as_secs_f64());
    if sums.ran == 0 {
        return Err(LabError::Broken("no scenario could run on this ground".into()));
    }
    Ok(sums.ok == sums.ran)
}

fn keep(arguments: &RunArguments, scenario: &Scenario, run: &Run) -> Result<()> {
    let write = |dir: &Path, extension: &str, text: &str| {
        fs::create_dir_all(dir).doing(|| format!("making {}", dir.display()))?;
        let path = dir.join(format!("{}.{extension}", scenario.name.replace('/', "-")));
        fs::write(&path, text).doing(|| format!("writing {}", path.display()))
    };
    if let (Some(dir), Some(observation)) = (&arguments.keep_observations, &run.observation) {
        write(dir, "json", observation)?;
    }
    if let Some(dir) = &arguments.keep_outputs {
        write(dir, "stdout", &run.stdout)?;
        write(dir, "stderr", &run.stderr)?;
    }
    Ok(())
}
