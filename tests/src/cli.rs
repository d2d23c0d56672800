//! The command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};

use crate::error::{Doing, LabError, Result};
use crate::fleet::{self, News};
use crate::ground::{self, Setup};
use crate::judge::{Verdict, judge};
use crate::offline;
use crate::prepare::{Cache, target_dir};
use crate::qemu::Size;
use crate::report::{Report, Sums};
use crate::scenario::{Ground, Scenario, load};
use crate::wire::Run;

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
    Prepare {
        /// Where to keep all that; beneath cargo's target directory otherwise.
        #[arg(long, value_name = "DIR")]
        cache: Option<PathBuf>,
    },
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
    /// Diagnose each observation on this machine too, which must give the same answer.
    #[arg(long)]
    offline: bool,
    /// How many VMs run side by side; as many as there are processors otherwise, two at most.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Where `lab prepare` kept what it fetched.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Only scenarios whose name contains this.
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// A VM's memory in MiB.
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
        Sub::Prepare { cache } => Cache::at(cache.as_deref()).and_then(|cache| cache.prepare()).map(|()| true),
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
    let target = target_dir().join("x86_64-unknown-linux-gnu/release/darkport");
    if target.exists() {
        return Ok(target);
    }
    Err(LabError::Broken(format!("{} is missing: build it, or name another with --darkport", target.display())))
}

/// How many grounds side by side, and how big each VM is. The machine's own kernel is one, and so is that ground.
fn fleet_size(arguments: &RunArguments, scenarios: usize) -> (usize, Size) {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let jobs = if arguments.ground == Ground::Host { 1 } else { arguments.jobs.unwrap_or(processors.min(2)).clamp(1, scenarios.max(1)) };
    (jobs, Size { memory: arguments.memory, processors: (processors / jobs).clamp(1, 2) })
}

fn run(arguments: &RunArguments) -> Result<bool> {
    let filter = arguments.filter.as_deref().unwrap_or_default();
    let scenarios: Vec<Scenario> = load(&or_own(&arguments.paths))?.into_iter().filter(|s| s.name.contains(filter)).collect();
    if scenarios.is_empty() {
        return Err(LabError::Scenario(format!("no scenario's name contains \"{filter}\"")));
    }
    let darkport = arguments.darkport.clone().map_or_else(built_darkport, Ok)?;
    let cache = Cache::at(arguments.cache.as_deref())?;
    cache.prepare()?;
    let start = Instant::now();
    let mut results = Results {
        arguments,
        darkport: &darkport,
        scenarios: &scenarios,
        report: Report::new(arguments.json),
        waiting: BTreeMap::new(),
        verdicts: Vec::new(),
    };
    let mut todo = Vec::new();
    for (place, scenario) in scenarios.iter().enumerate() {
        match scenario.not_on(arguments.ground) {
            Some(reason) => results.add(place, Verdict::skipped(scenario, reason), &[]),
            None => todo.push((place, scenario.clone())),
        }
    }
    let (jobs, size) = fleet_size(arguments, todo.len());
    let setup =
        Setup { cache: &cache, darkport: &darkport, size, observations: arguments.offline || arguments.keep_observations.is_some() };
    let mut kept = Ok(());
    fleet::play(&setup, arguments.ground, todo, jobs, |news| {
        if let Err(error) = results.take(news) {
            kept = Err(error);
        }
    })?;
    kept?;
    let sums = Sums::of(&results.verdicts);
    results.report.sums(&sums, start.elapsed().as_secs_f64());
    if sums.ran == 0 {
        return Err(LabError::Broken("no scenario could run on this ground".into()));
    }
    Ok(sums.ok == sums.ran)
}

/// The verdicts, shown in the order of the scenarios' names, whichever ends first.
struct Results<'a> {
    arguments: &'a RunArguments,
    darkport: &'a Path,
    scenarios: &'a [Scenario],
    report: Report,
    /// Those that came before their turn, with where their time went.
    waiting: BTreeMap<usize, (Verdict, String)>,
    verdicts: Vec<Verdict>,
}

impl Results<'_> {
    fn add(&mut self, place: usize, verdict: Verdict, phases: &[(String, f64)]) {
        let phases: Vec<_> = phases.iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
        self.waiting.insert(place, (verdict, phases.join(" · ")));
        while let Some((verdict, phases)) = self.waiting.remove(&self.verdicts.len()) {
            self.report.line(&verdict);
            if self.arguments.timings && !phases.is_empty() {
                eprintln!("      {phases}");
            }
            self.verdicts.push(verdict);
        }
    }

    fn take(&mut self, news: News) -> Result<()> {
        let (News::Begun(place) | News::Ended(place, _) | News::Lost(place, _)) = news;
        let Some(scenario) = self.scenarios.get(place) else { return Ok(()) };
        match news {
            News::Begun(_) => self.report.progress(self.verdicts.len() + self.waiting.len() + 1, self.scenarios.len(), &scenario.name),
            News::Lost(_, why) => self.add(place, Verdict::failed(scenario, format!("lab broken: {why}")), &[]),
            News::Ended(_, run) => {
                let mut verdict = judge(scenario, &run);
                let kept = keep(self.arguments, self.darkport, scenario, &run, &mut verdict);
                self.add(place, verdict, &run.phases);
                return kept;
            }
        }
        Ok(())
    }
}

/// Keeps what was asked for, and diagnoses the observation here.
fn keep(arguments: &RunArguments, darkport: &Path, scenario: &Scenario, run: &Run, verdict: &mut Verdict) -> Result<()> {
    let write = |dir: &Path, extension: &str, text: &str| {
        fs::create_dir_all(dir).doing(|| format!("making {}", dir.display()))?;
        let path = dir.join(format!("{}.{extension}", scenario.name.replace('/', "-")));
        fs::write(&path, text).doing(|| format!("writing {}", path.display())).map(|()| path)
    };
    if let Some(dir) = &arguments.keep_outputs {
        write(dir, "stdout", &run.stdout)?;
        write(dir, "stderr", &run.stderr)?;
    }
    let Some(observation) = &run.observation else {
        if arguments.offline && run.broken.is_none() {
            verdict.add_offline(Some("offline: darkport saved no observation".into()));
        }
        return Ok(());
    };
    let scratch = std::env::temp_dir().join(format!("lab-offline-{}", std::process::id()));
    let path = write(arguments.keep_observations.as_ref().unwrap_or(&scratch), "json", observation)?;
    if arguments.offline {
        verdict.add_offline(offline::differs(darkport, &path, &run.stdout)?);
    }
    let _ = fs::remove_dir_all(&scratch);
    Ok(())
}
