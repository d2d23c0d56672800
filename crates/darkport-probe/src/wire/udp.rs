//! UDP over IPv4 (RFC 768).

use std::net::Ipv4Addr;

use super::ipv4::Header;
use super::read::Reader;
use super::{Layer, WireError, checksum};

pub(super) const UDP: u8 = 17;

/// An IPv4 packet that carries a UDP datagram. A wrong checksum is no reason to refuse it, but something to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Udp<'a> {
    /// Who sent it.
    pub source: Ipv4Addr,
    /// Whom it is for.
    pub destination: Ipv4Addr,
    /// How many routers it may still pass.
    pub ttl: u8,
    /// Whether it may not be cut in pieces.
    pub dont_fragment: bool,
    /// The sender's port.
    pub source_port: u16,
    /// The port that it is for.
    pub destination_port: u16,
    /// Whether its checksum is right. Writing does what is said here.
    pub checksum: UdpChecksum,
    /// What it carries.
    pub payload: &'a [u8],
}

/// What a datagram's checksum is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UdpChecksum {
    /// It fits.
    Right,
    /// It does not fit. A frame that this host's own stack has left to the hardware to sum up looks like this too, until it is sent.
    Wrong,
    /// The sender gave none.
    Absent,
}

impl<'a> Udp<'a> {
    /// A datagram with a right checksum. The payload is cut to what IPv4 can carry.
    pub fn new((source, source_port): (Ipv4Addr, u16), (destination, destination_port): (Ipv4Addr, u16), payload: &'a [u8]) -> Self {
        let payload = payload.get(..payload.len().min(65_535 - 28)).unwrap_or_default();
        let checksum = UdpChecksum::Right;
        Self { source, destination, ttl: 64, dont_fragment: false, source_port, destination_port, checksum, payload }
    }

    pub(super) fn decode(packet: &Header, bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut header = Reader::new(bytes, Layer::Udp, 8)?;
        let (source_port, destination_port) = (header.u16()?, header.u16()?);
        let (length, sum) = (header.u16()?, header.u16()?);
        let Header { source, destination, ttl, dont_fragment, .. } = *packet;
        if length < 8 {
            return Err(WireError::Unsupported { layer: Layer::Udp, value: length.into() });
        }
        let needed = usize::from(length);
        let whole = bytes.get(..needed).ok_or(WireError::Truncated { layer: Layer::Udp, needed, got: bytes.len() })?;
        let checksum = match sum {
            0 => UdpChecksum::Absent,
            _ if checksum(&[&pseudo(source, destination, length), whole]) == 0 => UdpChecksum::Right,
            _ => UdpChecksum::Wrong,
        };
        let payload = whole.get(8..).unwrap_or_default();
        Ok(Self { source, destination, ttl, dont_fragment, source_port, destination_port, checksum, payload })
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let Self { source, destination, ttl, dont_fragment, .. } = *self;
        let length = u16::try_from(8 + self.payload.len()).unwrap_or(u16::MAX);
        Header { source, destination, ttl, dont_fragment, protocol: UDP }.encode(length.into(), into);
        let ([a, b], [c, d], [e, f]) = (self.source_port.to_be_bytes(), self.destination_port.to_be_bytes(), length.to_be_bytes());
        let header = [a, b, c, d, e, f, 0, 0];
        // A sum of zero is written as its other form, since zero means that there is none.
        let right = match checksum(&[&pseudo(source, destination, length), &header, self.payload]) {
            0 => 0xffff,
            sum => sum,
        };
        let sum = match self.checksum {
            UdpChecksum::Right => right,
            UdpChecksum::Wrong if right == 1 => 3,
            UdpChecksum::Wrong => right ^ 1,
            UdpChecksum::Absent => 0,
        };
        let [high, low] = sum.to_be_bytes();
        into.extend_from_slice(&[a, b, c, d, e, f, high, low]);
        into.extend_from_slice(self.payload);
    }
}

/// What of the packet's header the sum covers.
fn pseudo(source: Ipv4Addr, destination: Ipv4Addr, length: u16) -> [u8; 12] {
    let ([a, b, c, d], [e, f, g, h], [high, low]) = (source.octets(), destination.octets(), length.to_be_bytes());
    [a, b, c, d, e, f, g, h, 0, UDP, high, low]
}
