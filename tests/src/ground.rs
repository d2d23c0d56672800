//! Runs a job on a ground and hands each result on as it comes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::agent;
use crate::error::{Doing, LabError, Result};
use crate::image;
use crate::prepare::{Cache, run};
use crate::qemu::{Size, Vm, initrd};
use crate::scenario::{Ground, Scenario};
use crate::wire::{Event, Job};

/// One scenario may keep the VM silent this long.
const SCENARIO_LIMIT: Duration = Duration::from_secs(180);

/// What a run needs.
pub(crate) struct Setup<'a> {
    /// The cache.
    pub(crate) cache: &'a Cache,
    /// The `darkport` that is tested.
    pub(crate) darkport: &'a Path,
    /// How big a VM is.
    pub(crate) size: Size,
    /// Have darkport save its observation and hand it on.
    pub(crate) observations: bool,
}

/// A directory that goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(cache: &Cache) -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("lab-run-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // Somebody else may have prepared the cache, and own it.
        let dirs = [cache.dir.join(&name), std::env::temp_dir().join(&name)];
        let made = dirs.iter().find(|dir| fs::create_dir(dir).is_ok());
        made.cloned().map(Self).ok_or_else(|| {
            LabError::Broken(format!("neither {} nor {} can be written to", cache.dir.display(), std::env::temp_dir().display()))
        })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Plays the scenarios; `on_event` sees each event.
pub(crate) fn play(setup: &Setup<'_>, ground: Ground, scenarios: Vec<Scenario>, on_event: &mut dyn FnMut(Event)) -> Result<()> {
    let scratch = Scratch::new(setup.cache)?;
    let job = serde_json::to_vec(&Job { scenarios, keep_observations: setup.observations })
        .map_err(|e| LabError::Broken(format!("writing the job: {e}")))?;
    match ground {
        Ground::Vm => in_vm(setup, &scratch.0, job, on_event),
        Ground::Host => on_host(setup, &scratch.0, &job, on_event),
    }
}

/// The binaries that go in beside the job.
fn binaries(setup: &Setup<'_>) -> Result<Vec<(&'static str, Vec<u8>)>> {
    let read = |path: &Path| fs::read(path).doing(|| format!("reading {}", path.display()));
    let own = std::env::current_exe().doing(|| "finding this program".into())?;
    let mut files = vec![("usr/lib/lab/lab", read(&own)?), ("usr/local/bin/darkport", read(setup.darkport)?)];
    let bridge = setup.darkport.with_file_name("darkport-bridge");
    if bridge.exists() {
        files.push(("usr/local/bin/darkport-bridge", read(&bridge)?));
    }
    Ok(files)
}

fn in_vm(setup: &Setup<'_>, scratch: &Path, job: Vec<u8>, on_event: &mut dyn FnMut(Event)) -> Result<()> {
    let mut files: Vec<_> = binaries(setup)?.into_iter().map(|(name, data)| (name, 0o755, data)).collect();
    files.push(("usr/lib/lab/job.json", 0o644, job));
    let image = scratch.join("initrd");
    initrd(setup.cache, &image, &files)?;
    drop(files);
    let mut vm = Vm::boot(setup.cache, &image, setup.size)?;
    eprintln!("lab: VM up ({})", vm.accelerator);
    loop {
        if take(&vm.line(SCENARIO_LIMIT)?, on_event)? {
            return Ok(());
        }
    }
}

/// Hands an event on; true when it was the last.
fn take(line: &str, on_event: &mut dyn FnMut(Event)) -> Result<bool> {
    match serde_json::from_str(line).map_err(|e| LabError::Broken(format!("the agent sent `{line}`: {e}")))? {
        Event::Bye => Ok(true),
        Event::Failed { why } => Err(LabError::Broken(why)),
        event => {
            on_event(event);
            Ok(false)
        }
    }
}

fn on_host(setup: &Setup<'_>, scratch: &Path, job: &[u8], on_event: &mut dyn FnMut(Event)) -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(LabError::Broken("--ground host needs root".into()));
    }
    let root = scratch.join("root");
    // The tree without the kernel's modules, which belong to another kernel.
    run(Command::new("cp").arg("-a").arg(setup.cache.stage()).arg(&root))?;
    let _ = fs::remove_dir_all(root.join("lib/modules"));
    // What loads and unloads modules would do it to the machine.
    let _ = fs::remove_file(root.join("bin/kmod"));
    for (name, data) in binaries(setup)? {
        fs::write(root.join(name), data).doing(|| format!("writing {name}"))?;
        image::executable(&root.join(name))?;
    }
    fs::write(root.join("usr/lib/lab/job.json"), job).doing(|| "writing the job".into())?;
    image::guest(setup.cache, &root.join("usr/lib/lab/guest.cpio"))?;
    fs::copy(setup.cache.kernel(), root.join("usr/lib/lab/vmlinuz")).doing(|| "copying the kernel".into())?;
    fs::create_dir_all(root.join("usr/lib/lab/qemu")).doing(|| "making a directory for QEMU".into())?;
    let mut child = Command::new(root.join("usr/lib/lab/lab"))
        .env(agent::QEMU_VARIABLE, setup.cache.host_root())
        .arg("ground")
        .arg(&root)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .doing(|| "starting on the machine's own kernel".into())?;
    let result = child.stdout.take().map_or(Ok(false), |out| {
        for line in BufReader::new(out).lines() {
            if take(&line.doing(|| "reading results".into())?, on_event)? {
                return Ok(true);
            }
        }
        Ok(false)
    });
    if !matches!(result, Ok(true)) {
        let _ = child.kill();
    }
    let status = child.wait().doing(|| "waiting for the scenarios".into())?;
    match result {
        Ok(true) => Ok(()),
        Ok(false) => Err(LabError::Broken(format!("the agent ended early ({status})"))),
        Err(error) => Err(error),
    }
}

/// The steps that this binary takes as another process; returns the exit code.
pub(crate) fn step(arguments: &[String]) -> Option<i32> {
    let strings: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
    let result = match strings.as_slice() {
        [] if std::process::id() == 1 => {
            agent::vm_init();
            return Some(1);
        }
        ["ground", root] => agent::ground(root),
        ["host-ground", root] if std::process::id() == 1 => agent::host_ground(root).map(|()| 0),
        _ => return agent::applet(arguments),
    };
    Some(result.unwrap_or_else(|error| {
        eprintln!("lab: {error}");
        1
    }))
}
