//! What stands on the ground: `virt1012` with a bridge, its uplink and four instances, and the network host beyond.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use darkport::{Namespace, in_namespace};
use nix::sched::{CloneFlags, unshare};

use super::ground::{DemoError, Ground};

const GUESTS: u8 = 4;
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 68, 16, 1);
pub(super) const BRIDGE: &str = "br1102";
const VLAN: &str = "eth1.1102";
/// The echo service's port (RFC 862).
const ECHO: u16 = 7;
/// UDP payload of a packet that fills an MTU of 1500.
const FULL: usize = 1472;

/// The built host.
pub(super) struct Town {
    root: PathBuf,
    uplink: &'static str,
    /// Lives as long as this process holds it.
    _labnet: Place,
    guests: Vec<Place>,
}

/// A network namespace that only this process holds.
struct Place(File);

impl Place {
    fn new() -> Result<Self, DemoError> {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from).and_then(|()| File::open("/proc/thread-self/ns/net"))
        });
        let made = made.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        made.map(Self).map_err(|error| DemoError::Forbidden("make network namespaces", error))
    }

    /// A path to it for this process and its children; no file system has it.
    fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()).into()
    }

    fn namespace(&self) -> Namespace {
        Namespace::Path(self.path())
    }

    fn ip(&self, batch: &str) -> Result<(), DemoError> {
        in_namespace(&self.namespace(), || ip(batch))?
    }
}

impl Town {
    /// Builds it.
    pub(super) fn build(ground: &Ground) -> Result<Self, DemoError> {
        let labnet = Place::new()?;
        let guests = (0..GUESTS).map(|_| Place::new()).collect::<Result<Vec<_>, _>>()?;
        ip(&format!(
            "link set lo up\nlink add {BRIDGE} type bridge forward_delay 0\nlink add eth1 type veth peer name eth1 netns {}\nlink set eth1 up\n",
            labnet.path().display()
        ))?;
        // Not every kernel has 802.1Q: then the uplink is the NIC itself, untagged on both sides.
        let vlan = ip(&format!("link add link eth1 name {VLAN} type vlan id 1102\n")).is_ok();
        let uplink = if vlan { VLAN } else { "eth1" };
        let tagged = if vlan { format!("link add link eth1 name {VLAN} type vlan id 1102\n") } else { String::new() };
        labnet.ip(&format!(
            "link set lo up\nlink set eth1 up\n{tagged}link add {BRIDGE} type bridge forward_delay 0\nlink set {uplink} master {BRIDGE} up\n\
             addr add {GATEWAY}/21 dev {BRIDGE}\nlink set {BRIDGE} up\n"
        ))?;
        let mut batch = format!("link set {uplink} master {BRIDGE} up\nlink set {BRIDGE} up\n");
        for (number, guest) in guests.iter().enumerate() {
            // As libvirt does it: the tap has its guest's address with `fe` first.
            let _ = write!(
                batch,
                "link add vnet{number} address fe:16:3e:00:00:{number:02x} type veth peer name eth0 address fa:16:3e:00:00:{number:02x} netns {}\n\
                 link set vnet{number} master {BRIDGE} up\n",
                guest.path().display()
            );
        }
        ip(&batch)?;
        for (number, guest) in guests.iter().enumerate() {
            guest.ip(&format!("link set lo up\naddr add 10.68.16.{}/21 dev eth0\nlink set eth0 up\n", number + 4))?;
        }
        echo(&labnet)?;
        let root = ground.scratch().join("virt1012");
        write_files(&root, uplink).map_err(|error| DemoError::System("write the demo's configuration", error))?;
        Ok(Self { root, uplink, _labnet: labnet, guests })
    }

    /// What was built, told to the person who watches.
    pub(super) fn story(&self) -> String {
        let vlan = if self.uplink == VLAN { "" } else { "(This kernel has no VLAN devices: the uplink is eth1 itself, without a tag.)\n" };
        format!(
            "Built in namespaces of this process, touching nothing of this host: virt1012, whose bridge\n{BRIDGE} has the uplink {} and the ports vnet0 to vnet{} of {GUESTS} instances; \
             beyond it\nlabnet1001 with the gateway {GATEWAY}.\n{vlan}\n",
            self.uplink,
            GUESTS - 1
        )
    }

    /// The file tree that stands for virt1012's `/etc` and `/run`.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn uplink(&self) -> &'static str {
        self.uplink
    }

    pub(super) fn has_vlans(&self) -> bool {
        self.uplink == VLAN
    }

    /// How many instances there are.
    pub(super) fn guests(&self) -> usize {
        self.guests.len()
    }

    /// Runs a command on virt1012, which is where this process stands.
    pub(super) fn shell(command: &str) -> Result<(), DemoError> {
        let output = Command::new("sh").args(["-c", command]).stdin(Stdio::null()).output();
        let output = output.map_err(|error| DemoError::System("run a shell", error))?;
        if output.status.success() {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(DemoError::Command { command: command.to_owned(), message })
    }

    /// How many instances get an answer from the gateway now.
    pub(super) fn lit(&self) -> Result<usize, DemoError> {
        let asked: Vec<_> = self.guests.iter().map(Place::namespace).map(|namespace| thread::spawn(move || answered(&namespace))).collect();
        let mut lit = 0;
        for thread in asked {
            lit += usize::from(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(lit)
    }

    /// The same, asked until it is `wanted` or the time is up.
    pub(super) fn wait_for(&self, wanted: usize, time: Duration) -> Result<usize, DemoError> {
        let end = Instant::now() + time;
        loop {
            let lit = self.lit()?;
            if lit == wanted || Instant::now() >= end {
                return Ok(lit);
            }
        }
    }

    /// The same once two askings agree.
    pub(super) fn settled(&self) -> Result<usize, DemoError> {
        let mut last = self.lit()?;
        for _ in 0..10 {
            let now = self.lit()?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }

    /// Lets the instances talk to the gateway until the returned value is dropped.
    pub(super) fn traffic(&self) -> Traffic {
        let stop = Arc::new(AtomicBool::new(false));
        let talk = |namespace: Namespace| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || while !stop.load(Ordering::Relaxed) && answered(&namespace).is_ok() {})
        };
        let threads = self.guests.iter().map(|guest| talk(guest.namespace())).collect();
        Traffic { stop, threads }
    }
}

/// Instances that talk.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Whether the gateway answers a full-size packet.
fn answered(namespace: &Namespace) -> Result<bool, DemoError> {
    let ask = || -> io::Result<bool> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((GATEWAY, ECHO))?;
        socket.set_read_timeout(Some(Duration::from_millis(60)))?;
        for _ in 0..5 {
            // An error of an earlier packet may be told here: only what `recv` says counts.
            let _ = socket.send(&[0; FULL]);
            if socket.recv(&mut [0; FULL]).is_ok() {
                return Ok(true);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(false)
    };
    // Without a route or with a link that is down the socket itself fails: that is no answer either.
    Ok(in_namespace(namespace, ask)?.unwrap_or(false))
}

/// Sends back whatever reaches the gateway, for as long as the process lives. (A ping would need raw sockets, and the kernel's own
/// "port unreachable" is limited to one in a second.)
fn echo(labnet: &Place) -> Result<(), DemoError> {
    let socket = in_namespace(&labnet.namespace(), || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, ECHO)))?;
    let socket = socket.map_err(|error| DemoError::System("listen on the demo's gateway", error))?;
    thread::spawn(move || {
        let mut packet = [0; FULL];
        loop {
            // An error is about one packet: the next may do better.
            if let Ok((length, from)) = socket.recv_from(&mut packet) {
                let _ = socket.send_to(packet.get(..length).unwrap_or_default(), from);
            }
        }
    });
    Ok(())
}

/// Runs one `ip -batch`.
fn ip(batch: &str) -> Result<(), DemoError> {
    let child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| DemoError::NoTool("ip", error))?;
    if let Some(mut input) = child.stdin.take() {
        // A program that stops early tells why on its standard error, which is read below.
        let _ = input.write_all(batch.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| DemoError::System("wait for ip", error))?;
    if output.status.success() {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
    Err(DemoError::Command { command: "ip -batch".into(), message })
}

/// What libvirt and the distribution would have written on such a host.
fn write_files(root: &Path, uplink: &str) -> io::Result<()> {
    let (libvirt, network) = (root.join("run/libvirt/qemu"), root.join("etc/network"));
    fs::create_dir_all(&libvirt)?;
    fs::create_dir_all(&network)?;
    fs::create_dir_all(root.join("etc/libvirt/qemu"))?;
    let interfaces = format!("auto {BRIDGE}\niface {BRIDGE} inet manual\n    bridge_ports {uplink}\n    bridge_stp off\n");
    fs::write(network.join("interfaces"), interfaces)?;
    for number in 0..GUESTS {
        let name = format!("instance-{:08x}", number + 1);
        let domain = format!(
            "<domstatus state='running' reason='booted'>\n  <domain type='kvm' id='{}'>\n    <name>{name}</name>\n    <uuid>6a9f0c1e-0d6b-4a4e-9a27-00000000000{number}</uuid>\n    \
             <devices>\n      <interface type='bridge'>\n        <mac address='fa:16:3e:00:00:{number:02x}'/>\n        <source bridge='{BRIDGE}'/>\n        \
             <target dev='vnet{number}'/>\n      </interface>\n    </devices>\n  </domain>\n</domstatus>\n",
            number + 1
        );
        fs::write(libvirt.join(format!("{name}.xml")), domain)?;
    }
    Ok(())
}
