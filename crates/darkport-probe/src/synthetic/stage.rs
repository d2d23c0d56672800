//! Where a synthetic instance stands: a namespace without a name, and a pair of devices from there into the bridge.
//!
//! All of it hangs on the namespace, and the namespace on this process: when the process ends, in whatever way, the kernel takes the
//! namespace down, with it the far device, and with that the near one (linux, `net/core/dev.c`, `default_device_exit_batch`;
//! `drivers/net/veth.c`, `veth_dellink`), its place in the bridge and its forwarding entries.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use darkport_model::{MacAddr, Vid};
use nix::sched::{CloneFlags, unshare};

use super::rtnl::{Pair, Rtnl};

/// How long the bridge may take to forward for a new port without spanning tree. The kernel works off changes of carrier once a second
/// at worst (linux, `net/core/link_watch.c`).
const FORWARDS_WITHIN: Duration = Duration::from_secs(3);

/// What is to be made, and where.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) name: String,
    pub(super) bridge: u32,
    pub(super) mtu: u32,
    pub(super) port_mac: MacAddr,
    pub(super) mac: MacAddr,
    /// The VLAN that the port is to be in, and the one that the bridge gives to every new port.
    pub(super) vlan: Option<(Vid, Option<Vid>)>,
}

/// What was done there.
pub(super) struct Played<T> {
    /// The number that the port had in the bridge.
    pub(super) port: u32,
    pub(super) done: T,
}

/// Makes the namespace and the devices, runs `work` in there with the far device's number, and takes all down again. The caller's thread
/// stays in its own namespace, which must be the bridge's.
pub(super) fn on_stage<T: Send>(plan: &Plan, work: impl FnOnce(&mut Rtnl, u32) -> T + Send) -> io::Result<Played<T>> {
    let mut host = Rtnl::open()?;
    let run = thread::scope(|scope| {
        let there = thread::Builder::new().name("synthetic".into()).spawn_scoped(scope, || {
            unshare(CloneFlags::CLONE_NEWNET)?;
            let namespace = File::open("/proc/thread-self/ns/net")?;
            let port = make(&mut host, plan, &namespace)?;
            let mut guest = Rtnl::open()?;
            let eth0 = guest.index("eth0")?;
            // No loopback and no IPv6 of the kernel's: only what is asked for is sent.
            let _ = guest.silence_ipv6(eth0);
            guest.up(eth0)?;
            host.up(port)?;
            let until = Instant::now() + FORWARDS_WITHIN;
            // The far end as well: until its carrier is noted, frames vanish that are sent on it.
            while !(host.forwards(port)? && guest.forwards(eth0)?) {
                if Instant::now() >= until {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "the bridge does not forward for the new port"));
                }
                thread::sleep(Duration::from_millis(5));
            }
            Ok(Played { port, done: work(&mut guest, eth0) })
        })?;
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    });
    // The end of the namespace would do it as well, only later.
    if let Ok(port) = host.index(&plan.name) {
        let _ = host.delete(port);
    }
    run
}

fn make(host: &mut Rtnl, plan: &Plan, namespace: &File) -> io::Result<u32> {
    host.make_pair(&Pair { name: &plan.name, mtu: plan.mtu, mac: plan.port_mac, guest_mac: plan.mac, guest: namespace.as_fd() })?;
    let port = host.index(&plan.name)?;
    // A kernel without IPv6 has nothing to silence.
    let _ = host.silence_ipv6(port);
    host.enslave(port, plan.bridge)?;
    if let Some((vid, instead)) = plan.vlan {
        host.access_port(port, vid, instead)?;
    }
    Ok(port)
}
