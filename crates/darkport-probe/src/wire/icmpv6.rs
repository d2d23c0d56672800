//! IPv6 neighbour and router solicitation (RFC 4861, 4.1 and 4.3) and the neighbour's answer (4.4).

use std::net::Ipv6Addr;

use darkport_model::MacAddr;

use super::read::Reader;
use super::{Layer, WireError, checksum};

const ICMPV6: u8 = 58;
/// Neighbour discovery is only believed when no router can have passed it on (RFC 4861, 6.1 and 7.1).
const HOP_LIMIT: u8 = 255;
const ROUTER_SOLICITATION: u8 = 133;
const NEIGHBOUR_SOLICITATION: u8 = 135;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const SOURCE_LINK: u8 = 1;
const TARGET_LINK: u8 = 2;

/// An IPv6 packet with a neighbour discovery message. Options but the link-layer address are read over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Icmpv6 {
    /// Who sent it; unspecified for one who has no address yet.
    pub source: Ipv6Addr,
    /// Whom it is for.
    pub destination: Ipv6Addr,
    /// The message.
    pub message: Icmpv6Message,
}

/// A neighbour discovery message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Icmpv6Message {
    /// Which routers are there?
    RouterSolicitation {
        /// The sender's hardware address.
        link: Option<MacAddr>,
    },
    /// Who has `target`?
    NeighbourSolicitation {
        /// The address that is asked for.
        target: Ipv6Addr,
        /// The sender's hardware address.
        link: Option<MacAddr>,
    },
    /// The sender has `target`.
    NeighbourAdvertisement {
        /// The address.
        target: Ipv6Addr,
        /// Router, solicited, override: the highest three bits (RFC 4861, 4.4).
        flags: u8,
        /// The target's hardware address.
        link: Option<MacAddr>,
    },
}

impl Icmpv6 {
    /// The question which routers are there, to all of them (`ff02::2`).
    pub fn router_solicitation(source: Ipv6Addr, mac: MacAddr) -> Self {
        // An option from nobody is forbidden (RFC 4861, 4.1).
        let link = (!source.is_unspecified()).then_some(mac);
        Self { source, destination: Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2), message: Icmpv6Message::RouterSolicitation { link } }
    }

    /// The question who has `target`, to the target's solicited-node group (RFC 4291, 2.7.1).
    pub fn neighbour_solicitation(source: Ipv6Addr, mac: MacAddr, target: Ipv6Addr) -> Self {
        let [.., a, b, c] = target.octets();
        let destination = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
        let link = (!source.is_unspecified()).then_some(mac);
        Self { source, destination, message: Icmpv6Message::NeighbourSolicitation { target, link } }
    }

    /// The Ethernet address of the group that the packet goes to (RFC 2464, 7); none for a packet to one host.
    pub fn group_mac(&self) -> Option<MacAddr> {
        let [.., a, b, c, d] = self.destination.octets();
        self.destination.is_multicast().then_some(MacAddr([0x33, 0x33, a, b, c, d]))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let unsupported = |layer, value: u8| Err(WireError::Unsupported { layer, value: value.into() });
        let mut header = Reader::new(bytes, Layer::Ipv6, 40)?;
        let [first, ..] = header.take::<4>()?;
        let (length, next, hops) = (usize::from(header.u16()?), header.u8()?, header.u8()?);
        let (source, destination) = (header.ipv6()?, header.ipv6()?);
        if first >> 4 != 6 {
            return unsupported(Layer::Ipv6, first);
        }
        // An extension header in front of neighbour discovery is nothing that an honest host sends here (RFC 6980).
        if next != ICMPV6 {
            return unsupported(Layer::Ipv6, next);
        }
        if hops != HOP_LIMIT {
            return unsupported(Layer::Ipv6, hops);
        }
        let payload = header.rest();
        let payload = payload.get(..length).ok_or(WireError::Truncated { layer: Layer::Ipv6, needed: length, got: payload.len() })?;
        if icmpv6_sum(source, destination, payload) != 0 {
            return Err(WireError::Checksum { layer: Layer::Icmpv6 });
        }
        let mut header = Reader::new(payload, Layer::Icmpv6, 8)?;
        let [kind, code] = header.take()?;
        if code != 0 {
            return unsupported(Layer::Icmpv6, code);
        }
        let _sum = header.u16()?;
        let [flags, ..] = header.take::<4>()?;
        let message = match kind {
            ROUTER_SOLICITATION => Icmpv6Message::RouterSolicitation { link: link_address(header.rest(), SOURCE_LINK)? },
            NEIGHBOUR_SOLICITATION => {
                Icmpv6Message::NeighbourSolicitation { target: header.ipv6()?, link: link_address(header.rest(), SOURCE_LINK)? }
            }
            NEIGHBOUR_ADVERTISEMENT => Icmpv6Message::NeighbourAdvertisement {
                target: header.ipv6()?,
                flags: flags & 0xe0,
                link: link_address(header.rest(), TARGET_LINK)?,
            },
            other => return unsupported(Layer::Icmpv6, other),
        };
        Ok(Self { source, destination, message })
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let (kind, flags, target, option, link) = match self.message {
            Icmpv6Message::RouterSolicitation { link } => (ROUTER_SOLICITATION, 0, None, SOURCE_LINK, link),
            Icmpv6Message::NeighbourSolicitation { target, link } => (NEIGHBOUR_SOLICITATION, 0, Some(target), SOURCE_LINK, link),
            Icmpv6Message::NeighbourAdvertisement { target, flags, link } => {
                (NEIGHBOUR_ADVERTISEMENT, flags & 0xe0, Some(target), TARGET_LINK, link)
            }
        };
        let length: u16 = 8 + if target.is_some() { 16 } else { 0 } + if link.is_some() { 8 } else { 0 };
        into.extend_from_slice(&[0x60, 0, 0, 0]);
        into.extend_from_slice(&length.to_be_bytes());
        into.extend_from_slice(&[ICMPV6, HOP_LIMIT]);
        into.extend_from_slice(&self.source.octets());
        into.extend_from_slice(&self.destination.octets());
        let begin = into.len();
        into.extend_from_slice(&[kind, 0, 0, 0, flags, 0, 0, 0]);
        into.extend(target.iter().flat_map(Ipv6Addr::octets));
        if let Some(link) = link {
            into.extend_from_slice(&[option, 1]);
            into.extend_from_slice(&link.0);
        }
        let sum = into.get(begin..).map_or(0, |payload| icmpv6_sum(self.source, self.destination, payload));
        if let Some(place) = into.get_mut(begin + 2..begin + 4) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// The first link-layer address of that kind among the options (RFC 4861, 4.6.1).
fn link_address(mut options: &[u8], wanted: u8) -> Result<Option<MacAddr>, WireError> {
    while let [kind, units, ..] = options {
        let length = usize::from(*units) * 8;
        let option = options.get(..length).filter(|_| length > 0).ok_or(WireError::Truncated {
            layer: Layer::Icmpv6,
            needed: length,
            got: options.len(),
        })?;
        if let (true, [_, _, a, b, c, d, e, f]) = (*kind == wanted, option) {
            return Ok(Some(MacAddr([*a, *b, *c, *d, *e, *f])));
        }
        options = options.get(length..).unwrap_or_default();
    }
    Ok(None)
}

/// RFC 4443, 2.3, with the pseudo-header of RFC 8200, 8.1.
fn icmpv6_sum(source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8]) -> u16 {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    checksum(&[&source.octets(), &destination.octets(), &length, &[0, 0, 0, ICMPV6], payload])
}
