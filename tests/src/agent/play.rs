//! Plays one scenario: build, check that it is healthy, break it, see who is really dark, run darkport.

use std::fs;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use serde_json::Value;

use super::guest::{Pulse, ping_all};
use super::host::{Host, signal};
use super::patch;
use super::world::World;
use crate::error::{Doing, LabError, Result};
use crate::scenario::{HostName, Scenario, Truth};
use crate::wire::Run;

/// A shell command of a scenario may take this long.
const COMMAND_LIMIT: Duration = Duration::from_secs(20);
/// darkport may take this long before it is ended.
const DARKPORT_LIMIT: Duration = Duration::from_secs(100);
/// The data centre has this long to become healthy.
const HEALTH_LIMIT: Duration = Duration::from_secs(15);
/// The same with a guest whose kernel has to boot, emulated.
const GUEST_LIMIT: Duration = Duration::from_secs(90);
/// What is kept of an output.
const OUTPUT_LIMIT: u64 = 16 << 20;
/// Where programs are in the lab.
pub(super) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Plays a scenario; what goes wrong in the lab itself ends up in `broken`.
pub(super) fn play(scenario: &Scenario, keep_observation: bool) -> Run {
    let mut run = Run::default();
    let start = Instant::now();
    if let Err(error) = play_into(scenario, keep_observation, &mut run) {
        run.broken = Some(error.to_string());
    }
    for command in &scenario.after {
        if let Err(error) = shell(command) {
            run.broken.get_or_insert(error.to_string());
        }
    }
    run.total_seconds = start.elapsed().as_secs_f64();
    run
}

fn play_into(scenario: &Scenario, keep_observation: bool, run: &mut Run) -> Result<()> {
    let mut clock = Instant::now();
    let mut phase = |run: &mut Run, name: &str| {
        run.phases.push((name.to_owned(), clock.elapsed().as_secs_f64()));
        clock = Instant::now();
    };
    let mut world = World::build(scenario)?;
    run.instances = match scenario.run_on {
        HostName::Virt1012 => world.instances.iter().map(|i| i.name.clone()).collect(),
        HostName::Virt1011 => world.neighbours.iter().map(|g| g.identity.name.clone()).collect(),
        HostName::Labnet1001 => Vec::new(),
    };
    phase(run, "build");
    for command in &scenario.before {
        shell(command)?;
    }
    wait_until_healthy(&world, if scenario.guest.is_some() { GUEST_LIMIT } else { HEALTH_LIMIT })?;
    phase(run, "health");
    let pulse = if scenario.idle { None } else { Some(Pulse::start(&world.guests)?) };
    for command in &scenario.fault {
        shell(command)?;
    }
    if let (Some(wire), Some(rate)) = (&world.wire, scenario.wire_errors) {
        wire.errors(rate);
    }
    let background = scenario.background.iter().map(|command| Background::start(command)).collect::<Result<Vec<_>>>()?;
    thread::sleep(Duration::from_millis(scenario.settle_ms));
    world.reap();
    phase(run, "fault");
    if scenario.truth != Truth::Skip && !scenario.bare {
        find_truth(&world, run);
    }
    phase(run, "truth");
    let host = world.host(scenario.run_on)?;
    for (path, text) in &scenario.files {
        host.write(path, text)?;
    }
    diagnose(scenario, host, keep_observation, run)?;
    phase(run, "darkport");
    drop(background);
    drop(pulse);
    drop(world);
    phase(run, "teardown");
    Ok(())
}

fn wait_until_healthy(world: &World, limit: Duration) -> Result<()> {
    let until = Instant::now() + limit;
    for guests in [&world.guests, &world.neighbours] {
        loop {
            let reached = ping_all(guests, 1, Duration::from_millis(700));
            let silent: Vec<_> =
                guests.iter().zip(&reached).filter(|(_, r)| r.small == 0 || r.full == 0).map(|(g, _)| g.identity.name.as_str()).collect();
            if silent.is_empty() {
                break;
            }
            if Instant::now() > until {
                return Err(LabError::Broken(format!("before the fault, no answer from the gateway to {}", silent.join(", "))));
            }
        }
    }
    Ok(())
}

fn find_truth(world: &World, run: &mut Run) {
    const ROUNDS: u16 = 4;
    let reached = ping_all(&world.guests, ROUNDS, Duration::from_millis(600));
    for (guest, reached) in world.guests.iter().zip(reached) {
        if reached.small == 0 {
            run.truth_dark.push(guest.identity.name.clone());
        } else if reached.small < ROUNDS || reached.full == 0 {
            run.truth_degraded.push(guest.identity.name.clone());
        }
    }
}

fn shell(command: &str) -> Result<()> {
    let mut child = sh(command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().doing(|| format!("starting `{command}`"))?;
    let (status, out, err) = finish(&mut child, COMMAND_LIMIT)?;
    end_group(&mut child);
    match status {
        Some(0) => Ok(()),
        status => Err(LabError::Command {
            command: command.to_owned(),
            status: status.map_or("no end in time".into(), |code| format!("exit code {code}")),
            output: crate::prepare::tail(&(err + &out), 500),
        }),
    }
}

fn sh(command: &str) -> Command {
    let mut sh = Command::new("/bin/sh");
    sh.arg("-c").arg(command).env_clear().env("PATH", PATH).env("HOME", "/root").current_dir("/").stdin(Stdio::null()).process_group(0);
    sh
}

/// A command that keeps running; it and its children end with the value.
struct Background(Child);

impl Background {
    fn start(command: &str) -> Result<Self> {
        sh(command).stdout(Stdio::null()).spawn().map(Self).doing(|| format!("starting `{command}`"))
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        end_group(&mut self.0);
    }
}

/// Ends a child's whole process group and reaps it: whatever the child left behind is ours now, since we are the first
/// process, and a zombie in a host's process namespace would keep that host from ending.
fn end_group(child: &mut Child) {
    if let Ok(group) = i32::try_from(child.id()) {
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        let _ = child.wait();
        while waitpid(Pid::from_raw(-group), None).is_ok() {}
    }
}

/// Waits for a child, reading what it prints; `None` when it had to be ended.
fn finish(child: &mut Child, limit: Duration) -> Result<(Option<i32>, String, String)> {
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut bytes);
                let _ = std::io::copy(&mut pipe, &mut std::io::sink());
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let out = read(out.map(|p| Box::new(p) as Box<dyn Read + Send>));
    let err = read(err.map(|p| Box::new(p) as Box<dyn Read + Send>));
    let until = Instant::now() + limit;
    let mut status = None;
    while Instant::now() < until {
        status = child.try_wait().doing(|| "waiting for a command".into())?;
        if status.is_some() {
            break;
        }
        thread::sleep(Duration::from_millis(5));
    }
    if status.is_none() {
        signal(child.id(), Signal::SIGKILL);
        let _ = child.wait();
    }
    Ok((status.and_then(|s| s.code()), out.join().unwrap_or_default(), err.join().unwrap_or_default()))
}

fn darkport(scenario: &Scenario, host: &Host, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    let mut command = Command::new("/usr/local/bin/darkport");
    command.args(arguments).env_clear().env("PATH", PATH).env("HOME", "/root").current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    match scenario.user.as_deref() {
        None | Some("root") => {}
        Some(user) => {
            let passwd = fs::read_to_string("/etc/passwd").doing(|| "reading /etc/passwd".into())?;
            let id = passwd
                .lines()
                .map(|line| line.split(':').collect::<Vec<_>>())
                .find_map(|f| if f.first() == Some(&user) { f.get(2).and_then(|id| id.parse().ok()) } else { None })
                .ok_or_else(|| LabError::Broken(format!("no user {user} here")))?;
            command.uid(id).gid(id);
        }
    }
    let mut child = host.namespaces.spawn(&mut command)?;
    finish(&mut child, DARKPORT_LIMIT)
}

fn diagnose(scenario: &Scenario, host: &Host, keep: bool, run: &mut Run) -> Result<()> {
    let saved = format!("/run/lab/{}/tmp/observation.json", host.name);
    let mut arguments = vec!["--json"];
    if keep || scenario.synthetic.is_some() {
        arguments.extend(["--save", "/tmp/observation.json"]);
    }
    arguments.extend(scenario.args.iter().map(String::as_str));
    let start = Instant::now();
    let (mut code, mut out, mut err) = darkport(scenario, host, &arguments)?;
    run.seconds = start.elapsed().as_secs_f64();
    if let Some(text) = &scenario.observation_patch {
        let observation = fs::read_to_string(&saved).doing(|| format!("reading the observation that darkport saved ({})", err.trim()))?;
        let mut value: Value = serde_json::from_str(&observation).map_err(|e| LabError::Broken(format!("the saved observation: {e}")))?;
        let change = serde_json::from_str(text).map_err(|e| LabError::Broken(format!("the observation's patch: {e}")))?;
        patch::merge(&mut value, &change);
        let observation = value.to_string();
        host.write("/tmp/patched.json", &observation)?;
        (code, out, err) = darkport(scenario, host, &["--json", "--from", "/tmp/patched.json"])?;
        run.observation = Some(observation).filter(|_| keep);
    } else if keep {
        run.observation = fs::read_to_string(&saved).ok();
    }
    run.exit_code = code;
    run.stdout = out;
    run.stderr = crate::prepare::tail(&err, 4000);
    Ok(())
}
