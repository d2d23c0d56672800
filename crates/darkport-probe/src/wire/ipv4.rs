//! IPv4 with an ICMP echo in it (RFC 791, RFC 792), and the header that UDP has too.

use std::net::Ipv4Addr;

use super::read::Reader;
use super::{Layer, WireError, checksum};

pub(super) const ICMP: u8 = 1;

/// An IPv4 packet that carries an ICMP echo. Options are read over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ipv4<'a> {
    /// Who sent it.
    pub source: Ipv4Addr,
    /// Whom it is for.
    pub destination: Ipv4Addr,
    /// How many routers it may still pass.
    pub ttl: u8,
    /// Whether it may not be cut in pieces.
    pub dont_fragment: bool,
    /// The echo.
    pub echo: Echo<'a>,
}

/// An ICMP echo request or reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Echo<'a> {
    /// Whether it is the answer.
    pub reply: bool,
    /// Who asked, by a number of its own.
    pub id: u16,
    /// Which question.
    pub sequence: u16,
    /// What the other side is to send back as it is.
    pub payload: &'a [u8],
}

impl<'a> Ipv4<'a> {
    /// An echo request, which may not be cut in pieces. The payload is cut to what IPv4 can carry.
    pub fn echo_request(source: Ipv4Addr, destination: Ipv4Addr, id: u16, sequence: u16, payload: &'a [u8]) -> Self {
        let payload = payload.get(..payload.len().min(65_535 - 28)).unwrap_or_default();
        Self { source, destination, ttl: 64, dont_fragment: true, echo: Echo { reply: false, id, sequence, payload } }
    }

    /// The answer to this echo request, as a host gives it.
    #[must_use]
    pub fn reply(self) -> Self {
        Self { source: self.destination, destination: self.source, ttl: 64, dont_fragment: false, echo: Echo { reply: true, ..self.echo } }
    }

    pub(super) fn decode(header: &Header, payload: &'a [u8]) -> Result<Self, WireError> {
        let Header { source, destination, ttl, dont_fragment, .. } = *header;
        Ok(Self { source, destination, ttl, dont_fragment, echo: Echo::decode(payload)? })
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let Self { source, destination, ttl, dont_fragment, .. } = *self;
        Header { source, destination, ttl, dont_fragment, protocol: ICMP }.encode(8 + self.echo.payload.len(), into);
        self.echo.encode(into);
    }
}

/// What of an IPv4 header matters here. Options are read over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) ttl: u8,
    pub(super) dont_fragment: bool,
    pub(super) protocol: u8,
}

impl Header {
    /// The header and what the packet carries.
    pub(super) fn decode(bytes: &[u8]) -> Result<(Self, &[u8]), WireError> {
        let unsupported = |layer, value: u32| Err(WireError::Unsupported { layer, value });
        let mut header = Reader::new(bytes, Layer::Ipv4, 20)?;
        let first = header.u8()?;
        let length = usize::from(first & 0xf) * 4;
        if first >> 4 != 4 || length < 20 {
            return unsupported(Layer::Ipv4, first.into());
        }
        let _service = header.u8()?;
        let total = usize::from(header.u16()?);
        let _identification = header.u16()?;
        let fragment = header.u16()?;
        let (ttl, protocol, _sum) = (header.u8()?, header.u8()?, header.u16()?);
        let (source, destination) = (header.ipv4()?, header.ipv4()?);
        let truncated = |needed| WireError::Truncated { layer: Layer::Ipv4, needed, got: bytes.len() };
        if total < length {
            return unsupported(Layer::Ipv4, u32::try_from(total).unwrap_or(u32::MAX));
        }
        let whole = bytes.get(..length).ok_or(truncated(length))?;
        if checksum(&[whole]) != 0 {
            return Err(WireError::Checksum { layer: Layer::Ipv4 });
        }
        // Later fragments, and first ones with more to come: what the probes send and wait for is never cut.
        if fragment & 0x3fff != 0 {
            return unsupported(Layer::Ipv4, fragment.into());
        }
        // What follows `total` is Ethernet's filling.
        let payload = bytes.get(length..total).ok_or(truncated(total))?;
        Ok((Self { source, destination, ttl, dont_fragment: fragment & 0x4000 != 0, protocol }, payload))
    }

    /// Writes the header of a packet that carries `length` bytes.
    pub(super) fn encode(&self, length: usize, into: &mut Vec<u8>) {
        let begin = into.len();
        let total = u16::try_from(20 + length).unwrap_or(u16::MAX);
        into.extend_from_slice(&[0x45, 0]);
        into.extend_from_slice(&total.to_be_bytes());
        into.extend_from_slice(&[0, 0, if self.dont_fragment { 0x40 } else { 0 }, 0, self.ttl, self.protocol, 0, 0]);
        into.extend_from_slice(&self.source.octets());
        into.extend_from_slice(&self.destination.octets());
        let sum = into.get(begin..).map_or(0, |header| checksum(&[header]));
        if let Some(place) = into.get_mut(begin + 10..begin + 12) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
    }
}

impl<'a> Echo<'a> {
    fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut header = Reader::new(bytes, Layer::Icmp, 8)?;
        let kind = header.u16()?;
        let reply = match kind {
            0x0800 => false,
            0 => true,
            other => return Err(WireError::Unsupported { layer: Layer::Icmp, value: other.into() }),
        };
        if checksum(&[bytes]) != 0 {
            return Err(WireError::Checksum { layer: Layer::Icmp });
        }
        let (_sum, id, sequence) = (header.u16()?, header.u16()?, header.u16()?);
        Ok(Self { reply, id, sequence, payload: header.rest() })
    }

    fn encode(&self, into: &mut Vec<u8>) {
        let [id_high, id_low] = self.id.to_be_bytes();
        let [sequence_high, sequence_low] = self.sequence.to_be_bytes();
        let header = [if self.reply { 0 } else { 8 }, 0, 0, 0, id_high, id_low, sequence_high, sequence_low];
        let [kind, code, ..] = header;
        let [high, low] = checksum(&[&header, self.payload]).to_be_bytes();
        into.extend_from_slice(&[kind, code, high, low, id_high, id_low, sequence_high, sequence_low]);
        into.extend_from_slice(self.payload);
    }
}
