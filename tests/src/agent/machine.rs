//! What stands in for qemu on the hypervisor: a process with qemu's name and arguments that holds the instance's tap, and
//! the far end that carries the frames to a tap in the instance's own namespace.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, sendto, socket};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::host::Host;
use super::identity::{Identity, Subnet, mac_text};
use super::ns;
use crate::error::{Doing, Result};

/// The program's path, as libvirt starts it: its last part is the process's `comm`.
pub(crate) const PROGRAM: &str = "/usr/bin/qemu-system-x86_64";
/// Where the unpacked QEMU lies on the host ground.
pub(crate) const REAL_QEMU: &str = "/usr/lib/lab/qemu";
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
pub(super) fn open_tap(name: &str) -> Result<SyncDevice> {
    let tap =
        DeviceBuilder::new().name(name).layer(Layer::L2).inherit_enable_state().build_sync().doing(|| format!("opening tap {name}"))?;
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
            let tap = ns::in_net(net, || open_tap("eth0"))?;
            far_end = Some(Pump::start(tap, far));
            command.env(TAP_VARIABLE, &identity.port).stdin(Stdio::from(OwnedFd::from(near)));
        }
        let child = host.namespaces.spawn(&mut command)?;
        Ok(Self { child, _far_end: far_end })
    }
}

/// A real qemu with a real kernel behind the instance's tap.
pub(super) fn start_qemu(host: &Host, identity: &Identity, subnet: Subnet) -> Result<Machine> {
    let tree = REAL_QEMU;
    let libraries = ["lib", "usr/lib"].map(|dir| format!("{tree}/{dir}/x86_64-linux-gnu")).join(":");
    let mut command = Command::new(format!("{tree}/usr/bin/qemu-system-x86_64"));
    command.arg0(PROGRAM).env_clear().current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::inherit());
    command.env("LD_LIBRARY_PATH", format!("{libraries}:{tree}/usr/lib/x86_64-linux-gnu/pulseaudio"));
    command.env("QEMU_MODULE_DIR", format!("{tree}/usr/lib/x86_64-linux-gnu/qemu"));
    command.arg("-name").arg(format!("guest={},debug-threads=on", identity.name));
    command.args(["-machine", "pc,accel=tcg,usb=off", "-m", "128", "-smp", "1", "-uuid", &identity.uuid]);
    command.args(["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "file:/var/log/guest-console.log"]);
    for dir in ["qemu", "seabios"] {
        command.arg("-L").arg(format!("{tree}/usr/share/{dir}"));
    }
    command.arg("-L").arg(format!("{tree}/usr/lib/ipxe/qemu"));
    command.args(["-kernel", "/usr/lib/lab/vmlinuz", "-initrd", "/usr/lib/lab/guest.cpio", "-append"]);
    command.arg(format!(
        "console=ttyS0 panic=-1 quiet mitigations=off tsc=reliable no_timer_check net.ifnames=0 lab.ip={}/{} lab.gw={}",
        identity.ip, subnet.prefix, subnet.gateway
    ));
    command.arg("-netdev").arg(format!("tap,ifname={},script=no,downscript=no,id=hostnet0", identity.port));
    command.arg("-device").arg(format!("virtio-net-pci,netdev=hostnet0,id=net0,mac={}", mac_text(identity.mac)));
    Ok(Machine { child: host.namespaces.spawn(&mut command)?, _far_end: None })
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
    wake: Option<UnixDatagram>,
    thread: Option<JoinHandle<()>>,
}

impl Pump {
    fn start(tap: SyncDevice, socket: UnixDatagram) -> Self {
        let wake = socket.try_clone().ok();
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
                if gone && !stopped.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(50));
                }
            }
        });
        Self { stop, wake, thread: Some(thread) }
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Its own end hung up wakes the poll at once.
        let _ = self.wake.as_ref().map(|socket| socket.shutdown(std::net::Shutdown::Both));
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
    // Before any thread starts, so that the signal reaches none of them.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGUSR1);
    signals.thread_block().doing(|| "blocking a signal".into())?;
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
    let pause = SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).doing(|| "waiting for signals".into())?;
    let socket = UnixDatagram::from(std::io::stdin().as_fd().try_clone_to_owned().doing(|| "copying the socket".into())?);
    socket.set_nonblocking(true).doing(|| "setting the socket up".into())?;
    // Fill the numbers below, so that the tap gets the one that the arguments name.
    let mut fill = Vec::new();
    while std::fs::read_dir("/proc/self/fd").map_or(TAP_FD, Iterator::count) <= TAP_FD {
        fill.push(File::open("/dev/null").doing(|| "opening /dev/null".into())?);
    }
    let tap = open_tap(&port.to_string_lossy())?;
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

/// A bad cable. The wire between `eth1` and the switch is then a GRE tunnel that wants checksums; this writes packets
/// without one into it, and the kernel counts each as a CRC error of `eth1` (`ip_tunnel_rcv` of the kernel's `net/ipv4/ip_tunnel.c`).
pub(super) struct Wire {
    stop: Arc<AtomicBool>,
    per_second: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
}

/// The tunnel's ends and key: the hypervisor's management address and the switch's.
pub(super) const WIRE_NEAR: Ipv4Addr = Ipv4Addr::new(10, 64, 20, 12);
/// The switch's end.
pub(super) const WIRE_FAR: Ipv4Addr = Ipv4Addr::new(10, 64, 20, 1);
/// The tunnel's key.
pub(super) const WIRE_KEY: u32 = 1102;

impl Wire {
    /// Gets ready to write from the switch's end.
    pub(super) fn start(switch: &File) -> Result<Self> {
        let raw = ns::in_net(switch, || {
            socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::Raw).doing(|| "opening a raw socket".into())
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        let per_second = Arc::new(AtomicU32::new(0));
        let (stopped, rate) = (Arc::clone(&stop), Arc::clone(&per_second));
        let thread = thread::spawn(move || {
            let near = SockaddrIn::from(SocketAddrV4::new(WIRE_NEAR, 0));
            while !stopped.load(Ordering::Relaxed) {
                // Fifty turns a second.
                for _ in 0..rate.load(Ordering::Relaxed).div_ceil(50) {
                    let _ = sendto(raw.as_raw_fd(), &broken_packet(), &near, MsgFlags::empty());
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        Ok(Self { stop, per_second, thread: Some(thread) })
    }

    /// How many broken frames reach `eth1` each second.
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

/// IPv4 (the kernel fills in length and checksum), GRE with the key and without a checksum (RFC 2890), a short frame.
fn broken_packet() -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 47, 0, 0];
    packet.extend(WIRE_FAR.octets());
    packet.extend(WIRE_NEAR.octets());
    packet.extend([0x20, 0, 0x65, 0x58]);
    packet.extend(WIRE_KEY.to_be_bytes());
    packet.extend([0xff; 12]);
    packet.extend([0x08, 0x00]);
    packet.extend([0; 50]);
    packet
}
