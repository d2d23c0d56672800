//! An instance's inside: a network namespace with a real kernel's stack, and pings from there.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto, socket};

use super::identity::{Identity, Subnet};
use super::net::Rtnl;
use super::ns;
use crate::error::{Doing, Result};

/// The payload of a ping that just fits an Ethernet frame of 1500 bytes: less 20 of IPv4 and 8 of ICMP.
const FULL_SIZE: usize = 1472;

/// A running instance, seen from its inside.
pub(super) struct Guest {
    /// Who it is.
    pub(super) identity: Identity,
    /// Whom its pings go to.
    target: Ipv4Addr,
    icmp: OwnedFd,
    pulse: OwnedFd,
    _net: Option<Netns>,
}

/// A network namespace that `ip -n NAME` finds for as long as the value lives.
pub(super) struct Netns {
    /// Held open.
    pub(super) file: File,
    path: String,
}

impl Netns {
    /// Makes an empty one.
    pub(super) fn new(name: &str) -> Result<Self> {
        let path = format!("/run/netns/{name}");
        let file = ns::on_own_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET).doing(|| format!("making {name}'s network"))?;
            super::host::bind_file("/proc/thread-self/ns/net", &path)?;
            File::open(&path).doing(|| format!("opening {path}"))
        })?;
        Ok(Self { file, path })
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        super::host::unbind_file(&self.path);
    }
}

fn icmp_socket() -> Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    socket(AddressFamily::Inet, SockType::Raw, flags, SockProtocol::Icmp).doing(|| "opening an ICMP socket".into())
}

impl Guest {
    /// Configures what is in the namespace: `eth0` is there already.
    pub(super) fn configure(identity: Identity, net: Netns, subnet: Subnet) -> Result<Self> {
        let (icmp, pulse) = ns::in_net(&net.file, || {
            let rtnl = Rtnl::open()?;
            rtnl.up("lo", None)?;
            rtnl.up("eth0", Some(identity.mac))?;
            rtnl.address("eth0", identity.ip, subnet.prefix, subnet.broadcast)?;
            rtnl.default_route(subnet.gateway)?;
            Ok((icmp_socket()?, icmp_socket()?))
        })?;
        Ok(Self { identity, target: subnet.gateway, icmp, pulse, _net: Some(net) })
    }

    /// An instance with a kernel of its own: it is pinged from the network host, which takes the same way back and forth.
    pub(super) fn from_outside(identity: Identity, network_host: &File) -> Result<Self> {
        let (icmp, pulse) = ns::in_net(network_host, || Ok((icmp_socket()?, icmp_socket()?)))?;
        Ok(Self { target: identity.ip, identity, icmp, pulse, _net: None })
    }
}

fn echo_request(sequence: u16, payload: usize) -> Vec<u8> {
    let mut message = vec![0; 8 + payload];
    let [high, low] = sequence.to_be_bytes();
    // Echo request, identifier "la".
    message.splice(..8, [8, 0, 0, 0, b'l', b'a', high, low]);
    let sum = message.chunks(2).fold(0_u32, |sum, pair| {
        sum + u32::from(u16::from_be_bytes([pair.first().copied().unwrap_or(0), pair.get(1).copied().unwrap_or(0)]))
    });
    let folded = (sum & 0xffff) + (sum >> 16);
    let check = !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0);
    message.splice(2..4, check.to_be_bytes());
    message
}

fn ping(socket: &OwnedFd, to: Ipv4Addr, sequence: u16, payload: usize) {
    // A failed send (no route, host down, message too long) is a lost ping, and counted as one.
    let _ = sendto(
        socket.as_raw_fd(),
        &echo_request(sequence, payload),
        &SockaddrIn::from(std::net::SocketAddrV4::new(to, 0)),
        MsgFlags::empty(),
    );
}

/// The sequence number of an echo reply of ours.
fn reply_sequence(packet: &[u8]) -> Option<u16> {
    let header = usize::from(packet.first()? & 0xf) * 4;
    match packet.get(header..header + 8)? {
        [0, _, _, _, b'l', b'a', high, low] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// What pings from one guest showed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Reached {
    /// Small pings that came back.
    pub(super) small: u16,
    /// Full-size pings that came back.
    pub(super) full: u16,
}

/// Pings the gateway from all guests at once: `rounds` small ones, and as many of full size.
pub(super) fn ping_all(guests: &[Guest], rounds: u16, wait: Duration) -> Vec<Reached> {
    let mut reached = vec![Reached::default(); guests.len()];
    let mut seen = vec![std::collections::BTreeSet::new(); guests.len()];
    let drain = |seen: &mut Vec<std::collections::BTreeSet<u16>>, until: Instant, all: usize| {
        while Instant::now() < until && seen.iter().any(|s| s.len() < all) {
            let mut fds: Vec<_> = guests.iter().map(|g| PollFd::new(g.icmp.as_fd(), PollFlags::POLLIN)).collect();
            let _ = poll(&mut fds, PollTimeout::try_from(until.saturating_duration_since(Instant::now())).unwrap_or(PollTimeout::ZERO));
            for (guest, seen) in guests.iter().zip(seen.iter_mut()) {
                let mut packet = [0; 2048];
                while let Ok(length) = recv(guest.icmp.as_raw_fd(), &mut packet, MsgFlags::empty()) {
                    seen.extend(packet.get(..length).and_then(reply_sequence).filter(|&s| s < 1000));
                }
            }
        }
    };
    // Whatever came in late for an earlier question.
    for guest in guests {
        let mut packet = [0; 2048];
        while recv(guest.icmp.as_raw_fd(), &mut packet, MsgFlags::empty()).is_ok() {}
    }
    for round in 0..rounds {
        for guest in guests {
            ping(&guest.icmp, guest.target, round, 56);
            ping(&guest.icmp, guest.target, 500 + round, FULL_SIZE);
        }
        let sent = usize::from(round + 1) * 2;
        drain(&mut seen, Instant::now() + if round + 1 == rounds { wait } else { wait / 4 }, sent);
    }
    for (reached, seen) in reached.iter_mut().zip(&seen) {
        reached.small = u16::try_from(seen.range(..500).count()).unwrap_or(u16::MAX);
        reached.full = u16::try_from(seen.range(500..).count()).unwrap_or(u16::MAX);
    }
    reached
}

/// The guests' own little traffic, until dropped.
pub(super) struct Pulse {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Pulse {
    /// Every guest pings the gateway about three times a second.
    pub(super) fn start(guests: &[Guest]) -> Result<Self> {
        let sockets =
            guests.iter().map(|g| Ok((g.pulse.try_clone().doing(|| "copying a socket".into())?, g.target))).collect::<Result<Vec<_>>>()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut sequence = 1000_u16;
            while !stopped.load(Ordering::Relaxed) {
                sequence = sequence.checked_add(1).unwrap_or(1000);
                for (socket, target) in &sockets {
                    ping(socket, *target, sequence, 56);
                    let mut packet = [0; 256];
                    while recv(socket.as_raw_fd(), &mut packet, MsgFlags::empty()).is_ok() {}
                }
                thread::park_timeout(Duration::from_millis(300));
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_request_carries_a_right_checksum() {
        let message = echo_request(7, 3);
        let sum: u32 = message.chunks(2).map(|p| u32::from(p[0]) << 8 | u32::from(*p.get(1).unwrap_or(&0))).sum();
        assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff);
    }

    #[test]
    fn only_our_replies_count() {
        let mut packet = vec![0x45; 20];
        packet.extend([0, 0, 1, 2, b'l', b'a', 0, 9]);
        assert_eq!(reply_sequence(&packet), Some(9));
        packet[20] = 8;
        assert_eq!(reply_sequence(&packet), None);
        assert_eq!(reply_sequence(&packet[..25]), None);
    }
}
