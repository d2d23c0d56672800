//! The least that any reader of a netlink dump has to do.

use std::io;

use netlink_sys::constants::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;

/// A socket that receives dumps and throws them away.
pub struct BareSocket {
    socket: Socket,
    buffer: Vec<u8>,
}

impl BareSocket {
    /// Opens it with the options that darkport-bridge sets.
    ///
    /// # Errors
    /// When the kernel gives no socket.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_ext_ack(true)?;
        socket.set_netlink_get_strict_chk(true)?;
        Ok(Self { socket, buffer: vec![0; 64 << 10] })
    }

    /// Asks for a dump of `kind` (`RTM_GET…`) in `family`, whose header is `length` bytes, and discards it. The bytes received.
    ///
    /// # Errors
    /// When the kernel refuses, or the socket fails.
    pub fn dump(&mut self, kind: u16, family: u8, length: u32) -> io::Result<usize> {
        let mut received = 0;
        self.each_datagram(kind, family, length, &[], |datagram| received += datagram.len())?;
        Ok(received)
    }

    /// The same, but keeps what was received. `attributes` follow the header of the request.
    ///
    /// # Errors
    /// When the kernel refuses, or the socket fails.
    pub fn record(&mut self, kind: u16, family: u8, length: u32, attributes: &[u8]) -> io::Result<Vec<u8>> {
        let mut received = Vec::new();
        self.each_datagram(kind, family, length, attributes, |datagram| received.extend_from_slice(datagram))?;
        Ok(received)
    }

    fn each_datagram(&mut self, kind: u16, family: u8, length: u32, attributes: &[u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let header = 16 + length as usize;
        let mut request = Vec::new();
        request.extend(u32::try_from(header + attributes.len()).map_err(io::Error::other)?.to_ne_bytes());
        request.extend(kind.to_ne_bytes());
        request.extend(0x301u16.to_ne_bytes());
        request.extend([0; 8]);
        request.push(family);
        request.resize(header, 0);
        request.extend(attributes);
        self.socket.send(&request, 0)?;
        loop {
            let there = self.socket.recv(&mut self.buffer.as_mut_slice(), 0)?;
            let mut rest = self.buffer.get(..there).unwrap_or_default();
            take(rest);
            while let Some([a, b, c, d, k0, k1, ..]) = rest.first_chunk::<16>() {
                match u16::from_ne_bytes([*k0, *k1]) {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return Err(io::Error::other("the kernel refused the dump")),
                    _ => rest = rest.get((u32::from_ne_bytes([*a, *b, *c, *d]) as usize).max(16).next_multiple_of(4)..).unwrap_or_default(),
                }
            }
        }
    }
}
