//! A host of the data centre: network, mounts, processes and name of its own, as a person who logs in there sees them.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, sethostname};

use super::ns::{self, Namespaces};
use crate::error::{Doing, LabError, Result};

/// The argument that makes this binary a host's first process.
pub(crate) const INIT_ARGUMENT: &str = "host-init";
/// What is each host's own, below its directory.
const OWN: &[&str] = &["run", "etc/libvirt", "etc/nova", "etc/network", "var/lib/nova", "var/lib/libvirt", "var/log", "lab", "tmp"];
const NOTHING: Option<&str> = None;

/// A running host.
pub(super) struct Host {
    /// Its name.
    pub(super) name: &'static str,
    /// Its namespaces.
    pub(super) namespaces: Namespaces,
    init: Child,
    dir: PathBuf,
}

/// Binds a file onto a fresh path.
pub(super) fn bind_file(from: &str, onto: &str) -> Result<()> {
    let doing = || format!("binding {from} onto {onto}");
    File::create(onto).doing(doing)?;
    mount(Some(from), onto, NOTHING, MsFlags::MS_BIND, NOTHING).doing(doing)
}

/// Unmounts and removes what `bind_file` made.
pub(super) fn unbind_file(path: &str) {
    let _ = umount2(path, MntFlags::MNT_DETACH);
    let _ = fs::remove_file(path);
}

impl Host {
    /// Starts a host with nothing but a loopback device.
    pub(super) fn boot(name: &'static str) -> Result<Self> {
        let dir = Path::new("/run/lab").join(name);
        for own in OWN {
            fs::create_dir_all(dir.join(own)).doing(|| format!("making {name}'s {own}"))?;
        }
        fs::set_permissions(dir.join("tmp"), fs::Permissions::from_mode(0o1777)).doing(|| format!("opening {name}'s /tmp"))?;
        fs::create_dir_all(dir.join("run/libvirt/qemu")).doing(|| format!("making {name}'s run/libvirt"))?;
        fs::create_dir_all(dir.join("etc/libvirt/qemu")).doing(|| format!("making {name}'s etc/libvirt"))?;
        let mut init = ns::on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWPID)
                .doing(|| format!("making {name}'s namespaces"))?;
            Command::new("/proc/self/exe")
                .arg(INIT_ARGUMENT)
                .arg(name)
                .arg(&dir)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .doing(|| format!("starting {name}"))
        })?;
        let pid = init.id();
        let mut line = String::new();
        if let Some(out) = init.stdout.take() {
            BufReader::new(out).read_line(&mut line).doing(|| format!("waiting for {name}"))?;
        }
        if line.trim() != "up" {
            let _ = init.kill();
            let _ = init.wait();
            return Err(LabError::Broken(format!("{name} did not come up: {}", line.trim())));
        }
        let namespaces = Namespaces::of(pid)?;
        bind_file(&format!("/proc/{pid}/ns/net"), &format!("/run/netns/{name}"))?;
        fs::write(format!("/run/lab/{name}.pid"), pid.to_string()).doing(|| format!("noting {name}'s process"))?;
        Ok(Self { name, namespaces, init, dir })
    }

    /// Writes a file as the host sees it.
    pub(super) fn write(&self, path: &str, text: &str) -> Result<()> {
        let relative = path.trim_start_matches('/');
        let own = OWN.iter().any(|own| Path::new(relative).starts_with(own));
        let target = if own { self.dir.join(relative) } else { Path::new("/").join(relative) };
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).doing(|| format!("making {}", parent.display()))?;
        }
        fs::write(&target, text).doing(|| format!("writing {path} on {}", self.name))
    }

    /// Runs lines of an iproute2 tool here, as one batch.
    pub(super) fn batch(&self, tool: &str, lines: &str) -> Result<()> {
        ns::in_net(&self.namespaces.net, || batch(tool, self.name, lines))
    }
}

/// Runs lines of `ip` or `bridge` or `tc` as one batch in the calling thread's network namespace.
pub(super) fn batch(tool: &str, place: &str, lines: &str) -> Result<()> {
    // In pieces: `ip` keeps each namespace that a line names open until it ends.
    let lines: Vec<_> = lines.lines().collect();
    lines.chunks(400).try_for_each(|piece| piece_of_batch(tool, place, &piece.join("\n")))
}

fn piece_of_batch(tool: &str, place: &str, lines: &str) -> Result<()> {
    let doing = || format!("running a batch of {tool} on {place}");
    let mut child = Command::new(tool)
        .args(["-batch", "-"])
        .env("PATH", super::play::PATH)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .doing(doing)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes()).doing(doing)?;
    }
    let output = child.wait_with_output().doing(doing)?;
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    // "Command failed -:7": show line 7.
    if let Some(line) = said.rsplit_once("-:").and_then(|(_, n)| n.trim().parse::<usize>().ok()).and_then(|n| lines.lines().nth(n - 1)) {
        said.push_str(line);
    }
    Err(LabError::Command { command: format!("{tool} -batch"), status: place.into(), output: said })
}

impl Drop for Host {
    fn drop(&mut self) {
        // The death of its first process ends all others there.
        let _ = self.init.kill();
        let _ = self.init.wait();
        unbind_file(&format!("/run/netns/{}", self.name));
        let _ = fs::remove_file(format!("/run/lab/{}.pid", self.name));
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The life of a host's first process.
pub(crate) fn init(name: &str, dir: &str) -> Result<()> {
    mount(NOTHING, "/", NOTHING, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NOTHING).doing(|| "making the mounts private".into())?;
    for own in OWN {
        let (from, onto) = (format!("{dir}/{own}"), format!("/{own}"));
        if *own != "run" {
            mount(Some(from.as_str()), onto.as_str(), NOTHING, MsFlags::MS_BIND, NOTHING).doing(|| format!("binding {onto}"))?;
        }
    }
    // Last, since all the others come from below it.
    mount(Some(format!("{dir}/run").as_str()), "/run", NOTHING, MsFlags::MS_BIND, NOTHING).doing(|| "binding /run".into())?;
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), NOTHING).doing(|| "mounting /proc".into())?;
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), NOTHING).doing(|| "mounting /sys".into())?;
    super::boot::protect_machine()?;
    sethostname(name).doing(|| "setting the host's name".into())?;
    super::net::Rtnl::open()?.up("lo", None)?;
    println!("up");
    // An init reaps; SIGCHLD wakes it.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGCHLD);
    signals.thread_block().doing(|| "blocking a signal".into())?;
    loop {
        let _ = signals.wait();
        while waitpid(Pid::from_raw(-1), Some(nix::sys::wait::WaitPidFlag::WNOHANG)).is_ok_and(|s| s.pid().is_some()) {}
    }
}

/// `on HOST COMMAND…`: runs a command on a host, for scenario files.
pub(crate) fn on(arguments: &[String]) -> Result<i32> {
    let [host, program, rest @ ..] = arguments else {
        return Err(LabError::Broken("usage: on HOST COMMAND…".into()));
    };
    let file = format!("/run/lab/{host}.pid");
    let pid = fs::read_to_string(&file).doing(|| format!("looking for host {host}"))?;
    let pid = pid.trim().parse().map_err(|_| LabError::Broken(format!("{file} holds no process id")))?;
    let mut child = Namespaces::of(pid)?.spawn(Command::new(program).args(rest).current_dir("/"))?;
    Ok(child.wait().doing(|| format!("waiting for {program}"))?.code().unwrap_or(1))
}

/// Signals a process.
pub(super) fn signal(pid: u32, signal: Signal) {
    if let Ok(pid) = i32::try_from(pid) {
        let _ = kill(Pid::from_raw(pid), signal);
    }
}
