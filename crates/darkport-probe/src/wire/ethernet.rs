//! Ethernet II with up to two VLAN tags.

use darkport_model::{MacAddr, Vid};

use super::read::Reader;
use super::{Arp, Icmpv6, Ipv4, Layer, Udp, WireError, ipv4, udp};

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// IEEE 802.3: without its checksum a frame has 60 bytes or more.
const SHORTEST: usize = 60;

/// A VLAN tag as it stands in the frame: nothing of it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Tag {
    /// The tag protocol: 0x8100 (802.1Q) or 0x88a8 (802.1ad).
    pub protocol: u16,
    /// Priority (3 bits), drop eligibility (1 bit), VLAN id (12 bits).
    pub control: u16,
}

impl Tag {
    /// The 802.1Q tag of a VLAN, with priority 0.
    pub fn new(vid: Vid) -> Self {
        Self { protocol: 0x8100, control: vid.get() }
    }

    /// The tag that the kernel took out of a frame (`PACKET_AUXDATA`, linux, `include/uapi/linux/if_packet.h`).
    pub fn from_parts(protocol: u16, control: u16) -> Self {
        Self { protocol, control }
    }

    /// The VLAN; none for the reserved 4095.
    pub fn vid(self) -> Option<Vid> {
        Vid::try_from(self.control & 0xfff).ok()
    }
}

fn is_tag(protocol: u16) -> bool {
    matches!(protocol, 0x8100 | 0x88a8)
}

/// One frame, understood down to the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Frame<'a> {
    /// Whom it is for.
    pub destination: MacAddr,
    /// Whom it says that it is from.
    pub source: MacAddr,
    /// The outer and the inner tag; the outer one comes first.
    pub tags: [Option<Tag>; 2],
    /// What it says.
    pub message: Message<'a>,
}

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Message<'a> {
    /// An ARP message.
    Arp(Arp),
    /// An IPv4 packet with an ICMP echo.
    Ipv4(Ipv4<'a>),
    /// An IPv4 packet with a UDP datagram.
    Udp(Udp<'a>),
    /// An IPv6 packet with a neighbour or router message.
    Icmpv6(Icmpv6),
}

impl<'a> Frame<'a> {
    /// A frame; `tag` is the VLAN that it travels in.
    pub fn new(destination: MacAddr, source: MacAddr, tag: Option<Tag>, message: Message<'a>) -> Self {
        Self { destination, source, tags: [tag, None], message }
    }

    /// Understands a frame. `outer` is a tag that the kernel has taken out of it already.
    ///
    /// # Errors
    /// When it is cut short, damaged, or nothing that a probe looks at.
    pub fn decode(bytes: &'a [u8], outer: Option<Tag>) -> Result<Self, WireError> {
        let mut header = Reader::new(bytes, Layer::Ethernet, 14)?;
        let (destination, source) = (header.mac()?, header.mac()?);
        let mut kind = header.u16()?;
        let mut rest = header.rest();
        let mut tags = [outer, None];
        while is_tag(kind) {
            let mut header = Reader::new(rest, Layer::Vlan, 4)?;
            let tag = Tag { protocol: kind, control: header.u16()? };
            match &mut tags {
                [free @ None, _] | [_, free @ None] => *free = Some(tag),
                _ => return Err(WireError::Unsupported { layer: Layer::Vlan, value: kind.into() }),
            }
            kind = header.u16()?;
            rest = header.rest();
        }
        let message = match kind {
            ARP => Message::Arp(Arp::decode(rest)?),
            IPV4 => match ipv4::Header::decode(rest)? {
                (header, payload) if header.protocol == ipv4::ICMP => Message::Ipv4(Ipv4::decode(&header, payload)?),
                (header, payload) if header.protocol == udp::UDP => Message::Udp(Udp::decode(&header, payload)?),
                (header, _) => return Err(WireError::Unsupported { layer: Layer::Ipv4, value: header.protocol.into() }),
            },
            IPV6 => Message::Icmpv6(Icmpv6::decode(rest)?),
            other => return Err(WireError::Unsupported { layer: Layer::Ethernet, value: other.into() }),
        };
        Ok(Self { destination, source, tags, message })
    }

    /// Writes the frame behind what `into` holds, with its tags in it and filled up to the shortest frame that Ethernet knows.
    pub fn encode(&self, into: &mut Vec<u8>) {
        let begin = into.len();
        into.extend_from_slice(&self.destination.0);
        into.extend_from_slice(&self.source.0);
        for tag in self.tags.iter().flatten() {
            into.extend_from_slice(&tag.protocol.to_be_bytes());
            into.extend_from_slice(&tag.control.to_be_bytes());
        }
        let kind = match self.message {
            Message::Arp(_) => ARP,
            Message::Ipv4(_) | Message::Udp(_) => IPV4,
            Message::Icmpv6(_) => IPV6,
        };
        into.extend_from_slice(&kind.to_be_bytes());
        match &self.message {
            Message::Arp(message) => message.encode(into),
            Message::Ipv4(message) => message.encode(into),
            Message::Udp(message) => message.encode(into),
            Message::Icmpv6(message) => message.encode(into),
        }
        if into.len() < begin + SHORTEST {
            into.resize(begin + SHORTEST, 0);
        }
    }
}
