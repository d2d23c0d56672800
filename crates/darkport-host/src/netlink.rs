//! The little netlink that this crate needs: one request and its answers, and the attributes in them.

use std::io;

use netlink_sys::{Socket, SocketAddr};

/// `NLM_F_REQUEST | NLM_F_ACK`: one answer, then an acknowledgement.
pub(crate) const ONE: u16 = 0x1 | 0x4;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
pub(crate) const DUMP: u16 = 0x1 | 0x300;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// The most datagrams taken for one request.
const DATAGRAMS_MAX: usize = 4096;

/// Sends one request to the kernel and gives the payload of each answer to `take` until that says it is enough.
///
/// The kernel answers before the sending call returns (linux, `net/netlink/af_netlink.c`), so that nothing needs to be waited for.
///
/// # Errors
/// What the system or the kernel's answer says; [`io::ErrorKind::WouldBlock`] when answers end early.
pub(crate) fn request(protocol: isize, kind: u16, flags: u16, payload: &[u8], mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    let mut socket = Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.set_non_blocking(true)?;
    let length = u32::try_from(payload.len() + 16).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut message = Vec::with_capacity(payload.len() + 16);
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    message.extend(payload);
    socket.send_to(&message, &SocketAddr::new(0, 0), 0)?;
    for _ in 0..DATAGRAMS_MAX {
        let (datagram, from) = socket.recv_from_full()?;
        // Only the kernel has port 0: any program may write to this socket's own.
        if from.port_number() != 0 {
            continue;
        }
        for (kind, payload) in messages(&datagram) {
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    return match payload.first_chunk().map(|code| i32::from_ne_bytes(*code)) {
                        Some(0) => Ok(()),
                        Some(code) => Err(io::Error::from_raw_os_error(code.saturating_neg())),
                        None => Err(io::ErrorKind::InvalidData.into()),
                    };
                }
                _ if take(payload) => {}
                _ => return Ok(()),
            }
        }
    }
    Err(io::Error::other("the kernel's answer does not end"))
}

/// The messages of a datagram: type and payload.
pub(crate) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::try_from(u32::from_ne_bytes(*datagram.first_chunk()?)).ok()?;
        let kind = u16::from_ne_bytes(*datagram.get(4..)?.first_chunk()?);
        let payload = datagram.get(16..length)?;
        datagram = datagram.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// The attributes of a message or a nest: type without its flags, and payload.
pub(crate) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*bytes.first_chunk()?));
        let kind = u16::from_ne_bytes(*bytes.get(2..)?.first_chunk()?) & 0x3fff;
        let payload = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

/// An attribute with its padding.
pub(crate) fn attribute(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
    let mut bytes = Vec::with_capacity(payload.len() + 8);
    bytes.extend(length.to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A number of 32 bits.
pub(crate) fn number(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// A string up to its end.
pub(crate) fn string(payload: &[u8]) -> String {
    String::from_utf8_lossy(payload.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_attribute_is_read_back() {
        let bytes = [attribute(2, b"eth\0"), attribute(0x8003, b"x"), attribute(1, &7u32.to_ne_bytes())].concat();
        let read: Vec<_> = attributes(&bytes).collect();
        assert_eq!(read, [(2, &b"eth\0"[..]), (3, b"x"), (1, &7u32.to_ne_bytes())]);
        assert_eq!((string(b"eth\0x"), number(&7u32.to_ne_bytes()), number(b"abc")), ("eth".into(), Some(7), None));
    }

    #[test]
    fn the_kernel_says_no_in_its_own_words() {
        // Generic netlink has no family 0x7f there.
        let error = request(netlink_sys::protocols::NETLINK_GENERIC, 0x7f, ONE, &[1, 1, 0, 0], |_| true).unwrap_err();
        assert!(error.raw_os_error().is_some(), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_loop(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(messages(&bytes).count() <= 20);
            prop_assert!(attributes(&bytes).count() <= 60);
        }
    }
}
