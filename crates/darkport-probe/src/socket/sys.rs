//! The system calls of packet sockets: `unsafe` code, as there is elsewhere in `drops/sys.rs` only.
//!
//! Each function is safe to call with any arguments of its types. What the kernel writes it writes into memory that `Ring` owns and
//! that outlives the call; lengths that the kernel returns are cut to that memory's before they are used.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::filter::Instruction;

/// `ETH_P_ALL` in network byte order.
const EVERY_PROTOCOL: u16 = 0x0003_u16.to_be();
/// Room for a time stamp and auxiliary data: 32 and 40 bytes.
const CONTROL: usize = 128;

/// `include/uapi/linux/if_packet.h`; not in every version of `libc`.
pub(super) const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

fn check(result: libc::c_int) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

fn length_of<T>() -> libc::socklen_t {
    libc::socklen_t::try_from(size_of::<T>()).unwrap_or(libc::socklen_t::MAX)
}

/// A packet socket that hears nothing yet.
pub(super) fn open() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: the kernel has just given this descriptor to us and to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sets an option whose value is an `int`.
pub(super) fn set(fd: &OwnedFd, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the pointer is to a live `c_int`, and the length is its size; the kernel only reads.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, ptr::from_ref(&value).cast(), length_of::<libc::c_int>()) };
    check(result).map(drop)
}

/// Attaches a classic BPF program, which the kernel checks before it takes it.
pub(super) fn attach_filter(fd: &OwnedFd, program: &[Instruction]) -> io::Result<()> {
    let mut code: Vec<libc::sock_filter> = program.iter().map(|&(code, jt, jf, k)| libc::sock_filter { code, jt, jf, k }).collect();
    let length = u16::try_from(code.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let filter = libc::sock_fprog { len: length, filter: code.as_mut_ptr() };
    // SAFETY: `filter` is live and says truly how many instructions `code` holds, which lives until the call is over; the kernel
    // copies them.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_FILTER,
            ptr::from_ref(&filter).cast(),
            length_of::<libc::sock_fprog>(),
        )
    };
    check(result).map(drop)
}

/// Binds to an interface and begins to hear.
pub(super) fn bind(fd: &OwnedFd, interface: u32) -> io::Result<()> {
    let index = libc::c_int::try_from(interface).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
    // SAFETY: `sockaddr_ll` is plain integers, for which zero is a value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
    address.sll_protocol = EVERY_PROTOCOL;
    address.sll_ifindex = index;
    // SAFETY: the pointer is to a live `sockaddr_ll`, and the length is its size; the kernel only reads.
    let result = unsafe { libc::bind(fd.as_raw_fd(), ptr::from_ref(&address).cast(), length_of::<libc::sockaddr_ll>()) };
    check(result).map(drop)
}

/// Waits until there is something to receive, or the time is over.
pub(super) fn wait(fd: &OwnedFd, timeout: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let time = libc::timespec {
        tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: i32::try_from(timeout.subsec_nanos()).unwrap_or_default().into(),
    };
    // SAFETY: one live `pollfd`, as the count says; `time` is live and only read; no signal mask is given.
    let result = unsafe { libc::ppoll(&raw mut poll, 1, &raw const time, ptr::null()) };
    match check(result) {
        Ok(ready) => Ok(ready > 0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// Sends frames; how many the kernel took of them, at least one. An error is about the first.
pub(super) fn send(fd: &OwnedFd, frames: &[&[u8]]) -> io::Result<usize> {
    let mut pieces: Vec<libc::iovec> =
        frames.iter().map(|frame| libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() }).collect();
    let mut messages: Vec<libc::mmsghdr> = pieces
        .iter_mut()
        .map(|piece| {
            // SAFETY: `mmsghdr` is integers and pointers, for which zero is a value.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_iov = ptr::from_mut(piece);
            message.msg_hdr.msg_iovlen = 1;
            message
        })
        .collect();
    let count = libc::c_uint::try_from(messages.len()).unwrap_or(libc::c_uint::MAX);
    // SAFETY: `messages` holds `count` headers, each with one live `iovec` in `pieces` over a live frame; the kernel only reads the
    // frames, and writes `msg_len` into `messages`, which is ours.
    let result = unsafe { libc::sendmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count, 0) };
    check(result)
}

/// Memory that frames are received into.
pub(super) struct Ring {
    kept: usize,
    bytes: Vec<u8>,
    control: Vec<u8>,
    addresses: Vec<libc::sockaddr_ll>,
    /// Length on the wire, length of the control data.
    lengths: Vec<(usize, usize)>,
}

/// One received frame in the ring.
pub(super) struct Raw<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) length: usize,
    pub(super) control: &'a [u8],
    pub(super) interface: u32,
    pub(super) kind: u8,
}

impl Ring {
    /// Room for `count` frames of `kept` bytes.
    pub(super) fn new(count: usize, kept: usize) -> Self {
        // SAFETY: `sockaddr_ll` is plain integers, for which zero is a value.
        let nowhere: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        Self {
            kept,
            bytes: vec![0; count * kept],
            control: vec![0; count * CONTROL],
            addresses: vec![nowhere; count],
            lengths: vec![(0, 0); count],
        }
    }

    /// The frame at `index`, of those that the last call received.
    pub(super) fn get(&self, index: usize) -> Option<Raw<'_>> {
        let (length, control) = *self.lengths.get(index)?;
        let address = self.addresses.get(index)?;
        Some(Raw {
            bytes: self.bytes.chunks_exact(self.kept).nth(index)?.get(..length.min(self.kept))?,
            length,
            control: self.control.chunks_exact(CONTROL).nth(index)?.get(..control.min(CONTROL))?,
            interface: u32::try_from(address.sll_ifindex).unwrap_or_default(),
            kind: address.sll_pkttype,
        })
    }
}

/// Receives the frames that are there; `WouldBlock` when there is none.
pub(super) fn receive(fd: &OwnedFd, ring: &mut Ring) -> io::Result<usize> {
    let mut pieces: Vec<libc::iovec> = ring
        .bytes
        .chunks_exact_mut(ring.kept)
        .map(|room| libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() })
        .collect();
    let rooms = ring.control.chunks_exact_mut(CONTROL).zip(&mut ring.addresses);
    let mut messages: Vec<libc::mmsghdr> = pieces
        .iter_mut()
        .zip(rooms)
        .map(|(piece, (control, address))| {
            // SAFETY: `mmsghdr` is integers and pointers, for which zero is a value.
            let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
            message.msg_hdr.msg_name = ptr::from_mut(address).cast();
            message.msg_hdr.msg_namelen = length_of::<libc::sockaddr_ll>();
            message.msg_hdr.msg_iov = ptr::from_mut(piece);
            message.msg_hdr.msg_iovlen = 1;
            message.msg_hdr.msg_control = control.as_mut_ptr().cast();
            // Its type differs between C libraries.
            message.msg_hdr.msg_controllen = control.len() as _;
            message
        })
        .collect();
    let count = libc::c_uint::try_from(messages.len()).unwrap_or(libc::c_uint::MAX);
    // `MSG_TRUNC`: tell a frame's length on the wire, also where it is longer than its room.
    let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
    // SAFETY: `messages` holds `count` headers; each has an address, one `iovec` and control room of the lengths given, all of them
    // distinct parts of `ring` and `pieces`, which are borrowed mutably until the call is over. No time-out is given.
    let result = unsafe { libc::recvmmsg(fd.as_raw_fd(), messages.as_mut_ptr(), count, flags as _, ptr::null_mut()) };
    let received = check(result)?.min(messages.len());
    for (length, message) in ring.lengths.iter_mut().zip(messages.iter().take(received)) {
        #[allow(clippy::unnecessary_cast, reason = "its type differs between C libraries")]
        let control = message.msg_hdr.msg_controllen as usize;
        *length = (message.msg_len as usize, control);
    }
    Ok(received)
}

/// Frames that found no room since this was last asked.
pub(super) fn drops(fd: &OwnedFd) -> io::Result<u32> {
    // `struct tpacket_stats`: packets, drops.
    let mut stats = [0u32; 2];
    let mut length = length_of::<[u32; 2]>();
    // SAFETY: the pointer is to two live `u32`s, which is what `length` says; the kernel writes no more than that.
    let result =
        unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_PACKET, libc::PACKET_STATISTICS, stats.as_mut_ptr().cast(), &raw mut length) };
    check(result)?;
    let [_, dropped] = stats;
    Ok(dropped)
}
