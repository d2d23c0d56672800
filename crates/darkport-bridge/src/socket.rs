//! A synchronous `NETLINK_ROUTE` socket that asks, and hands on what is answered. Every wait is bounded.

use std::io;
use std::time::Instant;

use netlink_sys::{SocketAddr, constants::NETLINK_ROUTE};
use nix::libc::{EAGAIN, EINTR, ENOBUFS, MSG_TRUNC};
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::TimeVal;

use crate::request::Request;
use crate::wire::{Attributes, Malformed, Message, Messages, field};

const NLMSG_NOOP: u16 = 1;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
const NLM_F_DUMP_INTR: u16 = 0x10;
const NLM_F_CAPPED: u16 = 0x100;
const NLM_F_ACK_TLVS: u16 = 0x200;
const NLMSGERR_ATTR_MSG: u16 = 1;
const MESSAGE_MAX: usize = 200;

/// What the kernel may queue for us: single answers to many questions, mostly; a dump is made as it is read.
const QUEUE: usize = 8 << 20;
/// The kernel writes dumps in pieces of at most 32 KiB (linux, `net/netlink/af_netlink.c`, `netlink_dump`).
const PIECE: usize = 64 << 10;
/// Questions that go out in one datagram: few enough that the answers fit the queue of a caller without rights.
const BATCH: usize = 32;

/// Why a question was not answered.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The kernel said no, with its reason in words where it gave one.
    Refused { error: io::Error, why: Option<String> },
    /// The socket failed.
    Socket(io::Error),
    /// It took too long.
    Deadline,
}

/// Whether an answer holds together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    Whole,
    /// Something changed, or got lost, while it was read.
    Torn,
}

pub(crate) struct Socket {
    inner: netlink_sys::Socket,
    sequence: u32,
    buffer: Vec<u8>,
    /// A dump was left before its end and will go on at the next read.
    abandoned: bool,
    /// Whether the kernel takes headers and attributes of a dump request as filters (linux 4.20 and later).
    pub(crate) strict: bool,
}

impl Socket {
    /// A socket in the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let mut inner = netlink_sys::Socket::new(NETLINK_ROUTE)?;
        inner.bind_auto()?;
        inner.connect(&SocketAddr::new(0, 0))?;
        // Kernels before 4.12 and 4.20 have no such options; a queue beyond the system's limit needs rights. All three are extras.
        let explains = inner.set_ext_ack(true).is_ok();
        let strict = inner.set_netlink_get_strict_chk(true).is_ok();
        let forced = setsockopt(&inner, sockopt::RcvBufForce, &QUEUE).is_ok() || setsockopt(&inner, sockopt::RcvBuf, &QUEUE).is_ok();
        tracing::debug!(explains, strict, forced, "netlink socket open");
        setsockopt(&inner, sockopt::ReceiveTimeout, &TimeVal::new(0, 100_000))?;
        Ok(Self { inner, sequence: 0, buffer: vec![0; PIECE], abandoned: false, strict })
    }

    /// Asks for a dump and hands on each of its messages.
    pub(crate) fn dump(
        &mut self,
        request: &Request,
        until: Instant,
        mut take: impl FnMut(Result<Message<'_>, Malformed>),
    ) -> Result<Ended, Failure> {
        if self.abandoned {
            self.read_dump(until, |_| {})?;
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.send(&request.numbered(self.sequence))?;
        self.read_dump(until, &mut take)
    }

    /// Asks single questions and hands on the answers. A thing that the kernel does not have (`ENOENT`) has none.
    pub(crate) fn ask(&mut self, requests: &[Request], until: Instant, mut take: impl FnMut(&Message<'_>)) -> Result<(), Failure> {
        for batch in requests.chunks(BATCH) {
            let before = self.sequence;
            let mut datagram = Vec::new();
            for request in batch {
                self.sequence = self.sequence.wrapping_add(1);
                datagram.extend(request.numbered(self.sequence));
            }
            self.send(&datagram)?;
            let mut open = batch.len();
            let mut refused = None;
            while open > 0 {
                let (length, _) = self.receive(until)?;
                for message in Messages(self.buffer.get(..length).unwrap_or_default()).flatten() {
                    let number = message.sequence.wrapping_sub(before) as usize;
                    if number == 0 || number > batch.len() {
                        continue;
                    }
                    open = open.saturating_sub(1);
                    match message.kind {
                        NLMSG_ERROR => refused = refused.or_else(|| refusal(&message).filter(|no| !no.is_not_found())),
                        _ => take(&message),
                    }
                }
            }
            if let Some(refused) = refused {
                return Err(refused);
            }
        }
        Ok(())
    }

    fn send(&self, datagram: &[u8]) -> Result<(), Failure> {
        self.inner.send(datagram, 0).map(|_| ()).map_err(Failure::Socket)
    }

    fn read_dump(&mut self, until: Instant, mut take: impl FnMut(Result<Message<'_>, Malformed>)) -> Result<Ended, Failure> {
        self.abandoned = true;
        let mut ended = Ended::Whole;
        loop {
            let (length, lost) = self.receive(until)?;
            if lost {
                ended = Ended::Torn;
            }
            for message in Messages(self.buffer.get(..length).unwrap_or_default()) {
                let Ok(read) = message else {
                    take(message);
                    continue;
                };
                if read.sequence != self.sequence {
                    continue;
                }
                if read.flags & NLM_F_DUMP_INTR != 0 || read.kind == NLMSG_OVERRUN {
                    ended = Ended::Torn;
                }
                match read.kind {
                    NLMSG_NOOP | NLMSG_OVERRUN => {}
                    NLMSG_DONE | NLMSG_ERROR => {
                        self.abandoned = false;
                        return refusal(&read).map_or(Ok(ended), Err);
                    }
                    _ => take(Ok(read)),
                }
            }
        }
    }

    /// Waits for a datagram; its length, and whether something was lost before it or of it.
    fn receive(&mut self, until: Instant) -> Result<(usize, bool), Failure> {
        let mut lost = false;
        loop {
            if Instant::now() >= until {
                return Err(Failure::Deadline);
            }
            let there = self.buffer.len();
            match self.inner.recv(&mut self.buffer.as_mut_slice(), MSG_TRUNC) {
                Ok(length) if length > there => {
                    tracing::debug!(length, "a netlink message larger than the buffer");
                    self.buffer.resize(length.next_multiple_of(PIECE), 0);
                    lost = true;
                }
                Ok(length) => return Ok((length, lost)),
                Err(error) => match error.raw_os_error() {
                    Some(EAGAIN | EINTR) => {}
                    Some(ENOBUFS) => lost = true,
                    _ => return Err(Failure::Socket(error)),
                },
            }
        }
    }
}

impl Failure {
    fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { error, .. } if error.kind() == io::ErrorKind::NotFound)
    }
}

/// The error in an `NLMSG_ERROR` or at the end of a dump, with the words of `NETLINK_EXT_ACK`.
fn refusal(message: &Message<'_>) -> Option<Failure> {
    let code = i32::from_ne_bytes(field(message.body, 0));
    if code >= 0 {
        return None;
    }
    let request = match message.kind {
        NLMSG_ERROR if message.flags & NLM_F_CAPPED != 0 => 16,
        NLMSG_ERROR => (u32::from_ne_bytes(field(message.body, 4)) as usize).max(16).next_multiple_of(4),
        _ => 0,
    };
    let words = message.body.get(4 + request..).filter(|_| message.flags & NLM_F_ACK_TLVS != 0).unwrap_or_default();
    let why = Attributes(words).flatten().find(|attribute| attribute.kind == NLMSGERR_ATTR_MSG).map(|text| text.text(MESSAGE_MAX));
    Some(Failure::Refused { error: io::Error::from_raw_os_error(code.wrapping_neg()), why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::head;

    #[test]
    fn a_refusal_keeps_the_kernels_words() {
        let mut body = (-95i32).to_ne_bytes().to_vec();
        body.extend([0; 16]);
        body.extend([8, 0, 1, 0, b'n', b'o', 0, 0]);
        let message = Message { kind: NLMSG_ERROR, flags: NLM_F_ACK_TLVS | NLM_F_CAPPED, sequence: 1, body: &body };
        let Some(Failure::Refused { error, why }) = refusal(&message) else { panic!("no refusal") };
        assert_eq!((error.raw_os_error(), why.as_deref()), (Some(95), Some("no")));
    }

    #[test]
    fn a_refusal_whose_lengths_lie_still_is_one() {
        let mut body = (-1i32).to_ne_bytes().to_vec();
        body.extend(u32::MAX.to_ne_bytes());
        let message = Message { kind: NLMSG_ERROR, flags: NLM_F_ACK_TLVS, sequence: 1, body: &body };
        assert!(matches!(refusal(&message), Some(Failure::Refused { why: None, .. })));
        assert_eq!(head::<4>(&body), Some((-1i32).to_ne_bytes()));
    }

    #[test]
    fn this_host_answers_a_dump() {
        let mut socket = Socket::open().unwrap();
        let mut messages = 0;
        let until = Instant::now() + std::time::Duration::from_secs(5);
        let ended = socket.dump(&Request::links(), until, |_| messages += 1).unwrap();
        assert!(messages >= 1, "every namespace has a loopback device");
        assert!(matches!(ended, Ended::Whole | Ended::Torn));
    }

    #[test]
    fn a_deadline_that_has_passed_is_a_failure_and_the_next_dump_is_clean() {
        let mut socket = Socket::open().unwrap();
        assert!(matches!(socket.dump(&Request::links(), Instant::now(), |_| {}), Err(Failure::Deadline)));
        let until = Instant::now() + std::time::Duration::from_secs(5);
        let mut kinds = Vec::new();
        socket.dump(&Request::addresses(), until, |message| kinds.push(message.unwrap().kind)).unwrap();
        assert!(kinds.iter().all(|kind| *kind == crate::decode::RTM_NEWADDR), "{kinds:?}");
    }
}
