//! From nothing to a place where scenarios can run: as the VM's first process, or in fresh namespaces of the machine.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::reboot::{RebootMode, reboot};
use nix::unistd::{chdir, pivot_root};

use super::{host, machine, play, world};
use crate::error::{Doing, LabError, Result};
use crate::wire::{Event, Job};

/// Where the binary lies in the lab's tree.
pub(crate) const BINARY: &str = "/usr/lib/lab/lab";
/// The job.
pub(crate) const JOB: &str = "/usr/lib/lab/job.json";
/// Names the unpacked QEMU, for a scenario with a real guest.
pub(crate) const QEMU_VARIABLE: &str = "LAB_QEMU";
/// Says that the kernel is the machine's own, so that nothing here may change it.
pub(super) const SHARED_VARIABLE: &str = "LAB_SHARED_KERNEL";
/// The VM's way out.
const PORT: &str = "/dev/vport0p1";
const NOTHING: Option<&str> = None;
/// Loaded at boot; the kernel asks for the rest when a device of that kind is made.
const MODULES: &[&str] = &["virtio_pci", "virtio_console", "tun"];

/// Events, one JSON object a line.
struct Events<W: Write>(W);

impl<W: Write> Events<W> {
    fn send(&mut self, event: &Event) -> Result<()> {
        let doing = || "sending an event".to_owned();
        serde_json::to_writer(&mut self.0, event).map_err(|e| LabError::Broken(format!("writing an event: {e}")))?;
        self.0.write_all(b"\n").doing(doing)?;
        self.0.flush().doing(doing)
    }
}

fn mount_as(kind: &str, onto: &str) -> Result<()> {
    fs::create_dir_all(onto).doing(|| format!("making {onto}"))?;
    mount(Some(kind), onto, Some(kind), MsFlags::empty(), NOTHING).doing(|| format!("mounting {kind} on {onto}"))
}

/// Leaves writable of `/proc/sys` and `/sys` what belongs to a network namespace; the kernel itself refuses there what is
/// not its own (`ensure_safe_net_sysctl`, since 5.12).
pub(super) fn protect_machine() -> Result<()> {
    if std::env::var_os(SHARED_VARIABLE).is_none() {
        return Ok(());
    }
    let bind = |path: &str, flags: MsFlags| {
        mount(Some(path), path, NOTHING, MsFlags::MS_BIND, NOTHING)?;
        mount(NOTHING, path, NOTHING, MsFlags::MS_BIND | MsFlags::MS_REMOUNT | flags, NOTHING)
    };
    for (all, own) in [("/proc/sys", "/proc/sys/net"), ("/sys", "/sys/devices/virtual/net")] {
        bind(all, MsFlags::MS_RDONLY)
            .and_then(|()| bind(own, MsFlags::empty()))
            .doing(|| format!("keeping {all} from being written to"))?;
    }
    if Path::new("/proc/sysrq-trigger").exists() {
        bind("/proc/sysrq-trigger", MsFlags::MS_RDONLY).doing(|| "keeping /proc/sysrq-trigger from being written to".into())?;
    }
    Ok(())
}

/// The VM's first process; powers the VM off when it is done.
pub(crate) fn vm_init() {
    if let Err(error) = vm() {
        eprintln!("lab: {error}");
    }
    nix::unistd::sync();
    let _ = reboot(RebootMode::RB_POWER_OFF);
}

fn vm() -> Result<()> {
    mount_as("devtmpfs", "/dev")?;
    mount_as("proc", "/proc")?;
    mount_as("sysfs", "/sys")?;
    for dir in ["/run", "/tmp"] {
        mount_as("tmpfs", dir)?;
    }
    let _ = symlink("/proc/self/fd", "/dev/fd");
    fs::create_dir_all("/dev/net").doing(|| "making /dev/net".into())?;
    let status = Command::new("/sbin/modprobe").arg("-a").args(MODULES).status().doing(|| "loading modules".into())?;
    if !status.success() {
        return Err(LabError::Broken("the modules for the VM's own devices do not load".into()));
    }
    // The port's node is there before it can be opened.
    let port = (0..500)
        .find_map(|_| File::options().write(true).open(PORT).map_err(|_| thread::sleep(Duration::from_millis(10))).ok())
        .ok_or_else(|| LabError::Broken(format!("{PORT} cannot be opened")))?;
    serve(BufWriter::new(port))
}

/// Plays the job in the place that was made ready.
fn serve(out: impl Write) -> Result<()> {
    let mut events = Events(out);
    let uptime = fs::read_to_string("/proc/uptime").unwrap_or_default();
    let uptime = uptime.split(' ').next().and_then(|u| u.parse().ok()).unwrap_or(0.0);
    events.send(&Event::Up { uptime })?;
    let result = play_all(&mut events);
    match result {
        Ok(()) => events.send(&Event::Bye),
        Err(error) => events.send(&Event::Failed { why: error.to_string() }),
    }
}

fn play_all<W: Write>(events: &mut Events<W>) -> Result<()> {
    let text = fs::read_to_string(JOB).doing(|| format!("reading {JOB}"))?;
    let job: Job = serde_json::from_str(&text).map_err(|e| LabError::Broken(format!("{JOB}: {e}")))?;
    for (name, target) in [(machine::PROGRAM, BINARY), ("/usr/bin/on", BINARY), ("/usr/bin/blast", BINARY)] {
        let _ = fs::remove_file(name);
        // A link of the file itself, so that /proc/PID/exe shows this name.
        fs::hard_link(target, name).or_else(|_| fs::copy(target, name).map(drop)).doing(|| format!("making {name}"))?;
    }
    world::prepare_directories()?;
    for (index, scenario) in job.scenarios.iter().enumerate() {
        events.send(&Event::Start { index })?;
        let run = play::play(scenario, job.keep_observations);
        events.send(&Event::Done { index, run: Box::new(run) })?;
    }
    host::unbind_file("/run/netns/lab");
    Ok(())
}

/// First step on the machine's own kernel: fresh namespaces, and this binary as their first process.
pub(crate) fn ground(root: &str) -> Result<i32> {
    unshare(
        CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC,
    )
    .doing(|| "making namespaces of our own (root is needed)".into())?;
    let mut child = Command::new("/proc/self/exe")
        .arg("host-ground")
        .arg(root)
        .env(SHARED_VARIABLE, "1")
        .spawn()
        .doing(|| "starting in them".into())?;
    Ok(child.wait().doing(|| "waiting for the scenarios".into())?.code().unwrap_or(1))
}

/// Second step: the lab's own file tree as root, then the scenarios. Whatever happens, the namespaces end with this process.
pub(crate) fn host_ground(root: &str) -> Result<()> {
    let doing = || "making the lab's file tree the root".to_owned();
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING).doing(doing)?;
    mount(Some(root), root, NOTHING, MsFlags::MS_BIND, NOTHING).doing(doing)?;
    let root = Path::new(root);
    mount(Some("/dev"), &root.join("dev"), NOTHING, MsFlags::MS_BIND | MsFlags::MS_REC, NOTHING).doing(doing)?;
    if let Some(qemu) = std::env::var_os(QEMU_VARIABLE) {
        let onto = root.join(machine::REAL_QEMU.trim_start_matches('/'));
        mount(Some(Path::new(&qemu)), &onto, NOTHING, MsFlags::MS_BIND, NOTHING).doing(doing)?;
    }
    chdir(root).doing(doing)?;
    pivot_root(".", "mnt").doing(doing)?;
    chdir("/").doing(doing)?;
    mount_as("proc", "/proc")?;
    mount_as("sysfs", "/sys")?;
    umount2("/mnt", MntFlags::MNT_DETACH).doing(doing)?;
    for dir in ["/run", "/tmp"] {
        mount_as("tmpfs", dir)?;
    }
    protect_machine()?;
    super::net::Rtnl::open()?.up("lo", None)?;
    serve(BufWriter::new(std::io::stdout()))
}
