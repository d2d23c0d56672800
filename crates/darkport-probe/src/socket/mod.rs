//! A packet socket (packet(7)): frames in and out of one interface, many to a system call.
//!
//! It listens for every protocol, since on a bridge port the bridge takes a frame before any handler of a particular protocol sees
//! it (linux, `net/core/dev.c`, `__netif_receive_skb_core`: `rx_handler`), and lets a filter in the kernel drop what is not asked for,
//! so that a busy host costs nothing. It never makes an interface promiscuous.

mod control;
mod filter;
#[allow(unsafe_code, reason = "packet sockets have no safe interface: the one module that calls the kernel itself")]
mod sys;

use std::io;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

pub use filter::Filter;

use crate::wire::Tag;

/// Frames that one system call takes or gives at most.
const BATCH: usize = 256;
/// Bytes of a frame that are kept: all of a usual one. The answers to probes are far shorter.
const KEPT: usize = 2048;

/// What is set once on a packet socket.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SocketOptions {
    /// The interface to send on and to listen on (`ifindex`).
    pub interface: u32,
    /// Bytes for frames that wait to be received; more than `net.core.rmem_max` needs `CAP_NET_ADMIN`.
    pub receive_buffer: u32,
    /// Whether to see what this host itself sends on the interface as well.
    pub outgoing: bool,
}

impl SocketOptions {
    /// An interface's incoming frames, with 16 MiB to wait in.
    pub fn new(interface: u32) -> Self {
        Self { interface, receive_buffer: 16 << 20, outgoing: false }
    }
}

/// How a frame came by (linux, `include/uapi/linux/if_packet.h`, `PACKET_HOST` and so on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PacketType {
    /// To this interface's own address.
    Host,
    /// To everybody.
    Broadcast,
    /// To a group.
    Multicast,
    /// To somebody else.
    OtherHost,
    /// From this host.
    Outgoing,
    /// Anything else, by number.
    Other(u8),
}

/// A frame that came in.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Received<'a> {
    /// Its bytes from the Ethernet header on, 2,048 at most.
    pub bytes: &'a [u8],
    /// How long it was on the wire; more than `bytes` where it was cut.
    pub length: usize,
    /// The VLAN tag, which the kernel keeps beside the frame (`PACKET_AUXDATA`).
    pub tag: Option<Tag>,
    /// When the kernel got it, on the clock that the socket was opened with.
    pub at: Duration,
    /// The interface.
    pub interface: u32,
    /// How it came by.
    pub kind: PacketType,
    /// Its transport checksum is left to hardware that it has not passed (`TP_STATUS_CSUMNOTREADY`): a neighbour on this host sent it.
    pub unfinished: bool,
}

impl<'a> Received<'a> {
    /// A whole frame without a tag, `at` this time: for tests and for replaying.
    pub fn new(bytes: &'a [u8], at: Duration) -> Self {
        Self { bytes, length: bytes.len(), tag: None, at, interface: 0, kind: PacketType::Host, unfinished: false }
    }

    /// The same with a tag.
    #[must_use]
    pub fn tagged(mut self, tag: Tag) -> Self {
        self.tag = Some(tag);
        self
    }
}

/// Frames to be sent, one behind the other in memory.
#[derive(Debug, Default, Clone)]
pub struct Batch {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Batch {
    /// Adds a frame that `write` appends.
    pub fn push(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// The frames.
    pub fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let begins = std::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| self.bytes.get(begin..*end).unwrap_or_default())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Takes all out.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// A packet socket on one interface, of the network namespace of the thread that opened it.
pub struct PacketSocket {
    fd: OwnedFd,
    ring: sys::Ring,
    begun: Instant,
    dropped: u64,
}

impl PacketSocket {
    /// Opens a socket that hears what passes `filter`. Needs `CAP_NET_RAW`.
    ///
    /// # Errors
    /// What the kernel says: no right, no such interface.
    pub fn open(options: SocketOptions, filter: &Filter) -> io::Result<Self> {
        // Protocol 0 hears nothing: the filter is there before the first frame can be.
        let fd = sys::open()?;
        sys::attach_filter(&fd, &filter.program(options.outgoing))?;
        let size = libc::c_int::try_from(options.receive_buffer).unwrap_or(libc::c_int::MAX);
        if sys::set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size).is_err() {
            sys::set(&fd, libc::SOL_SOCKET, libc::SO_RCVBUF, size)?;
        }
        sys::set(&fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
        sys::set(&fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
        if !options.outgoing {
            // From Linux 4.20 on outgoing frames need not even be cloned for the filter to refuse them (net/core/dev.c, `dev_queue_xmit_nit`).
            let _ = sys::set(&fd, libc::SOL_PACKET, sys::PACKET_IGNORE_OUTGOING, 1);
        }
        sys::bind(&fd, options.interface)?;
        Ok(Self { fd, ring: sys::Ring::new(BATCH, KEPT), begun: Instant::now(), dropped: 0 })
    }

    /// Time since the socket was opened: the clock of everything it gives.
    pub fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Sends all frames. Waits where its buffer is full, and tries a full queue (`ENOBUFS`) again
    /// for up to 50 ms.
    ///
    /// # Errors
    /// What the kernel says: the interface is down or gone. Frames before the failing one were sent.
    pub fn send(&self, batch: &Batch) -> io::Result<()> {
        let frames: Vec<&[u8]> = batch.frames().collect();
        let mut rest = frames.as_slice();
        let mut full = 0;
        while !rest.is_empty() {
            match sys::send(&self.fd, rest.get(..BATCH).unwrap_or(rest)) {
                Ok(sent) => {
                    rest = rest.get(sent..).unwrap_or_default();
                    full = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) && full < 100 => {
                    full += 1;
                    std::thread::sleep(Duration::from_micros(500));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits until there is a frame to receive, `timeout` at most, and tells whether there is one.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn wait(&self, timeout: Duration) -> io::Result<bool> {
        sys::wait(&self.fd, timeout)
    }

    /// Waits up to `timeout` for frames and hands over those that are there, 256 at most; returns how many.
    ///
    /// # Errors
    /// What the kernel says: the interface is down or gone.
    pub fn receive(&mut self, timeout: Duration, mut take: impl FnMut(Received<'_>)) -> io::Result<usize> {
        if !timeout.is_zero() && !self.wait(timeout)? {
            return Ok(0);
        }
        let count = match sys::receive(&self.fd, &mut self.ring) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => return Ok(0),
            other => other?,
        };
        let (now, wall) = (self.begun.elapsed(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
        for index in 0..count {
            let Some(raw) = self.ring.get(index) else { break };
            let extra = control::read(raw.control);
            // The kernel stamps with the wall clock: only how long ago that was can be told on a steady one.
            let ago = extra.stamp.and_then(|stamp| wall.checked_sub(stamp)).unwrap_or_default();
            take(Received {
                bytes: raw.bytes,
                length: raw.length,
                tag: extra.tag,
                at: now.saturating_sub(ago),
                interface: raw.interface,
                kind: match raw.kind {
                    libc::PACKET_HOST => PacketType::Host,
                    libc::PACKET_BROADCAST => PacketType::Broadcast,
                    libc::PACKET_MULTICAST => PacketType::Multicast,
                    libc::PACKET_OTHERHOST => PacketType::OtherHost,
                    libc::PACKET_OUTGOING => PacketType::Outgoing,
                    other => PacketType::Other(other),
                },
                unfinished: extra.unfinished,
            });
        }
        Ok(count)
    }

    /// Frames that passed the filter and found no room, since the socket was opened (`PACKET_STATISTICS`).
    ///
    /// # Errors
    /// What the kernel says.
    pub fn dropped(&mut self) -> io::Result<u64> {
        // Reading sets the kernel's counter back.
        self.dropped += u64::from(sys::drops(&self.fd)?);
        Ok(self.dropped)
    }
}

impl std::fmt::Debug for PacketSocket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PacketSocket").field("fd", &self.fd).finish_non_exhaustive()
    }
}
