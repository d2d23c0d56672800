//! ARP for IPv4 over Ethernet (RFC 826).

use std::net::Ipv4Addr;

use darkport_model::MacAddr;

use super::read::Reader;
use super::{Layer, WireError};

/// What an ARP message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArpOperation {
    /// Who has the target's address?
    Request,
    /// The sender has it.
    Reply,
}

/// An ARP message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Arp {
    /// Question or answer.
    pub operation: ArpOperation,
    /// The sender's hardware address.
    pub sender_mac: MacAddr,
    /// The sender's address; unspecified in an RFC 5227 probe.
    pub sender: Ipv4Addr,
    /// The target's hardware address; zero in a question.
    pub target_mac: MacAddr,
    /// The address that is asked for, or whoever gets the answer.
    pub target: Ipv4Addr,
}

impl Arp {
    /// The question who has `target`. A `sender` that is unspecified makes it a probe that no neighbour table takes note of
    /// (RFC 5227, 2.1.1).
    pub fn request(sender_mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self { operation: ArpOperation::Request, sender_mac, sender, target_mac: MacAddr([0; 6]), target }
    }

    /// The answer to `question`: `mac` has the address.
    pub fn reply_to(question: &Self, mac: MacAddr) -> Self {
        Self {
            operation: ArpOperation::Reply,
            sender_mac: mac,
            sender: question.target,
            target_mac: question.sender_mac,
            target: question.sender,
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        let unsupported = |value: u16| WireError::Unsupported { layer: Layer::Arp, value: value.into() };
        let mut header = Reader::new(bytes, Layer::Arp, 28)?;
        // Hardware type Ethernet, protocol IPv4, their lengths.
        for expected in [1, 0x0800, 0x0604] {
            let found = header.u16()?;
            if found != expected {
                return Err(unsupported(found));
            }
        }
        let operation = match header.u16()? {
            1 => ArpOperation::Request,
            2 => ArpOperation::Reply,
            other => return Err(unsupported(other)),
        };
        Ok(Self { operation, sender_mac: header.mac()?, sender: header.ipv4()?, target_mac: header.mac()?, target: header.ipv4()? })
    }

    pub(super) fn encode(&self, into: &mut Vec<u8>) {
        let operation = match self.operation {
            ArpOperation::Request => 1,
            ArpOperation::Reply => 2,
        };
        into.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, operation]);
        into.extend_from_slice(&self.sender_mac.0);
        into.extend_from_slice(&self.sender.octets());
        into.extend_from_slice(&self.target_mac.0);
        into.extend_from_slice(&self.target.octets());
    }
}
