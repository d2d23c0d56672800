//! What stands in for qemu on the hypervisor: a process with qemu's name and arguments that holds the instance's tap, and
//! the far end that carries the frames to a tap in the instance's own namespace.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::host::Host;
use super::identity::Identity;
use super::ns;
use crate::error::{Doing, Result};

/// The program's path, as libvirt starts it: its last part is the process's `comm`.
pub(crate) const PROGRAM: &str = "/usr/bin/qemu-system-x86_64";
/// Names the tap to open; in the environment, since qemu gets it as an open file.
const TAP_VARIABLE: &str = "LAB_TAP";
/// The descriptor that qemu's arguments name.
const TAP_FD: usize = 23;

/// The process on the hypervisor and, for a tap, the far end of its frames.
pub(super) struct Machine {
    /// The process.
    pub(super) child: Child,
    _far_end: Option<Pump>,
}

/// Opens a tap by name in the calling thread's network namespace.
pub(super) fn open_tap(name: &str, vnet_header: bool) -> Result<SyncDevice> {
    let tap = DeviceBuilder::new()
        .name(name)
        .layer(Layer::L2)
        .inherit_enable_state()
        .with(|options| {
            options.offload(vnet_header);
        })
        .build_sync()
        .doing(|| format!("opening tap {name}"))?;
    tap.set_nonblocking(true).doing(|| format!("opening tap {name}"))?;
    Ok(tap)
}

impl Machine {
    /// Starts the process on the hypervisor; `guest` is the instance's namespace when it has a tap.
    pub(super) fn start(host: &Host, identity: &Identity, guest: Option<&File>) -> Result<Self> {
        let mut command = Command::new(PROGRAM);
        command.arg0(PROGRAM).args(identity.arguments()).env_clear().current_dir("/").stdout(Stdio::null()).stderr(Stdio::inherit());
        command.stdin(Stdio::null());
        let mut far_end = None;
        if let Some(net) = guest {
            let (near, far) = UnixDatagram::pair().doing(|| "making a socket pair".into())?;
            far.set_nonblocking(true).doing(|| "making a socket pair".into())?;
            let tap = ns::in_net(net, || open_tap("eth0", false))?;
            far_end = Some(Pump::start(tap, far));
            command.env(TAP_VARIABLE, &identity.port).stdin(Stdio::from(OwnedFd::from(near)));
        }
        let child = host.namespaces.spawn(&mut command)?;
        Ok(Self { child, _far_end: far_end })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A thread that carries frames between a tap and a socket.
struct Pump {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    fn start(tap: SyncDevice, socket: UnixDatagram) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut fds = [PollFd::new(tap.as_fd(), PollFlags::POLLIN), PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
                if poll(&mut fds, PollTimeout::from(200_u16)).is_err() {
                    break;
                }
                // The far end is gone with its process: rest, rather than spin on the hang-up.
                let gone = fds.iter().any(|fd| fd.revents().is_some_and(|r| r.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)));
                carry(&tap, &socket);
                if gone {
                    thread::sleep(Duration::from_millis(50));
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Moves what waits on either side, a bounded number of frames a turn.
fn carry(tap: &SyncDevice, socket: &UnixDatagram) {
    let mut frame = vec![0; 65_600];
    for _ in 0..64 {
        let Ok(length) = tap.recv(&mut frame) else { break };
        let _ = socket.send(frame.get(..length).unwrap_or_default());
    }
    for _ in 0..64 {
        let Ok(length) = socket.recv(&mut frame) else { break };
        let _ = tap.send(frame.get(..length).unwrap_or_default());
    }
}

/// The life of the process that stands in for qemu. SIGUSR1 makes it stop, or start again, reading its tap, as a hung
/// vhost worker does.
pub(crate) fn qemu() -> Result<()> {
    let _vcpu = thread::Builder::new().name("CPU 0/KVM".into()).spawn(|| {
        loop {
            thread::park();
        }
    });
    let Some(port) = std::env::var_os(TAP_VARIABLE) else {
        loop {
            thread::park();
        }
    };
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR1);
    signals.thread_block().doing(|| "blocking a signal".into())?;
    let pause = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).doing(|| "waiting for signals".into())?;
    let socket = UnixDatagram::from(std::io::stdin().as_fd().try_clone_to_owned().doing(|| "copying the socket".into())?);
    socket.set_nonblocking(true).doing(|| "setting the socket up".into())?;
    // Fill the numbers below, so that the tap gets the one that the arguments name.
    let mut fill = Vec::new();
    while std::fs::read_dir("/proc/self/fd").map_or(TAP_FD, Iterator::count) <= TAP_FD {
        fill.push(File::open("/dev/null").doing(|| "opening /dev/null".into())?);
    }
    let tap = open_tap(&port.to_string_lossy(), false)?;
    drop(fill);
    let mut reading = true;
    loop {
        let mut fds = vec![PollFd::new(pause.as_fd(), PollFlags::POLLIN)];
        if reading {
            fds.push(PollFd::new(tap.as_fd(), PollFlags::POLLIN));
            fds.push(PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        }
        poll(&mut fds, PollTimeout::NONE).doing(|| "waiting for frames".into())?;
        while let Ok(Some(_)) = pause.read_signal() {
            reading = !reading;
        }
        if reading {
            carry(&tap, &socket);
        }
    }
}

/// A wire that is a pair of taps with a thread between: it can write frames whose header the receiving kernel refuses, so
/// that the near end's `rx_frame_errors` rise as with a bad cable (drivers/net/tun.c, `tun_get_user`).
pub(super) struct Wire {
    stop: Arc<AtomicBool>,
    per_second: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Connects `near` in one namespace with `far` in another.
    pub(super) fn connect(near_net: &File, near: &str, far_net: &File, far: &str) -> Result<Self> {
        let near = ns::in_net(near_net, || open_tap(near, true))?;
        let far = ns::in_net(far_net, || open_tap(far, true))?;
        let stop = Arc::new(AtomicBool::new(false));
        let per_second = Arc::new(AtomicU32::new(0));
        let (stopped, rate) = (Arc::clone(&stop), Arc::clone(&per_second));
        let thread = thread::spawn(move || {
            let mut frame = vec![0; 65_600];
            let mut last = Instant::now();
            while !stopped.load(Ordering::Relaxed) {
                let mut fds = [PollFd::new(near.as_fd(), PollFlags::POLLIN), PollFd::new(far.as_fd(), PollFlags::POLLIN)];
                let _ = poll(&mut fds, PollTimeout::from(20_u16));
                for (from, to) in [(&near, &far), (&far, &near)] {
                    for _ in 0..64 {
                        let Ok(length) = from.recv(&mut frame) else { break };
                        let _ = to.send(frame.get(..length).unwrap_or_default());
                    }
                }
                let due = last.elapsed().as_millis() * u128::from(rate.load(Ordering::Relaxed)) / 1000;
                if due > 0 {
                    last = Instant::now();
                    for _ in 0..due.min(1000) {
                        let _ = near.send(&broken_frame());
                    }
                }
            }
        });
        Ok(Self { stop, per_second, thread: Some(thread) })
    }

    /// How many broken frames reach the near end each second.
    pub(super) fn errors(&self, per_second: u32) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A virtio-net header that asks for a segmentation kind that does not exist, before a short frame.
fn broken_frame() -> Vec<u8> {
    let mut frame = vec![0, 0x7f, 0, 0, 100, 0, 0, 0, 0, 0];
    frame.extend([0xff; 12]);
    frame.extend([0x08, 0x00]);
    frame.extend([0; 50]);
    frame
}
