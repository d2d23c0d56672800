//! Frames as values: what the probes send and what they understand of what comes back.
//!
//! [`Frame::decode`] takes any bytes and never panics; [`Frame::encode`] writes what `decode` reads back as the same value. Both look
//! at one frame only and hold no state.

mod arp;
mod dhcp;
mod ethernet;
mod icmpv6;
mod ipv4;
mod options;
mod read;
mod udp;

pub use arp::{Arp, ArpOperation};
pub use dhcp::DhcpMessage;
pub use ethernet::{Frame, Message, Tag};
pub use icmpv6::{Icmpv6, Icmpv6Message};
pub use ipv4::{Echo, Ipv4};
pub use options::{DhcpOptions, Options};
pub use udp::{Udp, UdpChecksum};

/// The address of every station (IEEE 802.3).
pub const BROADCAST: darkport_model::MacAddr = darkport_model::MacAddr([0xff; 6]);

/// Why bytes are not a frame that the probes understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The frame ends before a header does, or before a length field says.
    #[error("{layer}: {needed} bytes are needed, {got} are there")]
    Truncated {
        /// The header.
        layer: Layer,
        /// Bytes that it needs.
        needed: usize,
        /// Bytes that were left.
        got: usize,
    },
    /// It is something that no probe looks at.
    #[error("{layer}: {value:#x} is nothing that is probed for")]
    Unsupported {
        /// The header.
        layer: Layer,
        /// Its type, version or operation.
        value: u32,
    },
    /// Its checksum is wrong.
    #[error("{layer}: the checksum is wrong")]
    Checksum {
        /// The header.
        layer: Layer,
    },
}

/// A header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Layer {
    /// Ethernet II, IEEE 802.3.
    Ethernet,
    /// IEEE 802.1Q or 802.1ad.
    Vlan,
    /// RFC 826.
    Arp,
    /// RFC 791.
    Ipv4,
    /// RFC 792.
    Icmp,
    /// RFC 768.
    Udp,
    /// RFC 2131.
    Dhcp,
    /// RFC 8200.
    Ipv6,
    /// RFC 4443, RFC 4861.
    Icmpv6,
}

impl std::fmt::Display for Layer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ethernet => "Ethernet",
            Self::Vlan => "802.1Q",
            Self::Arp => "ARP",
            Self::Ipv4 => "IPv4",
            Self::Icmp => "ICMP",
            Self::Udp => "UDP",
            Self::Dhcp => "DHCP",
            Self::Ipv6 => "IPv6",
            Self::Icmpv6 => "ICMPv6",
        })
    }
}

/// The Internet checksum (RFC 1071) over several pieces, each but the last of an even length.
pub(crate) fn checksum(pieces: &[&[u8]]) -> u16 {
    let mut sum: u32 = 0;
    for piece in pieces {
        for pair in piece.chunks(2) {
            let word = match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                [high] => u16::from_be_bytes([*high, 0]),
                _ => 0,
            };
            sum += u32::from(word);
            sum = (sum & 0xffff) + (sum >> 16);
        }
    }
    !u16::try_from(sum).unwrap_or(0xffff)
}

#[cfg(test)]
mod dhcp_tests;
#[cfg(test)]
mod tests;
