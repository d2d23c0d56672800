//! What a client says.

use std::net::Ipv4Addr;

use darkport_model::MacAddr;

use super::offer;
use super::plan::DhcpPlan;
use crate::wire::{BROADCAST, DhcpMessage, DhcpOptions, Frame, Message, Tag, Udp};

pub(super) const CLIENT: u16 = 68;
const SERVER: u16 = 67;
/// What a client asks for: mask, routers, name servers, name, domain, MTU, broadcast address, routes, lease, server, renewal times.
const WANTED: [u8; 12] = [1, 3, 6, 12, 15, 26, 28, 121, 51, 54, 58, 59];

/// A message to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DhcpAsk {
    /// Who offers an address?
    Discover {
        /// Seconds since the first.
        seconds: u16,
    },
    /// The host, which has this address, asks for the rest: who lives answers.
    Inform(Ipv4Addr),
    /// This address, please.
    Request {
        /// Which.
        address: Ipv4Addr,
        /// Whose offer it takes; none for an address that is remembered.
        server: Option<Ipv4Addr>,
        /// Seconds since the first DISCOVER.
        seconds: u16,
    },
    /// Here it is back.
    Release {
        /// Which.
        address: Ipv4Addr,
        /// Who leased it.
        server: Ipv4Addr,
        /// Where that server's frames came from.
        to: MacAddr,
    },
}

impl DhcpAsk {
    /// Writes its frame behind what `into` holds.
    pub(super) fn encode(&self, plan: &DhcpPlan, into: &mut Vec<u8>) {
        let none = Ipv4Addr::UNSPECIFIED;
        let (kind, seconds, client) = match *self {
            DhcpAsk::Discover { seconds } => (DhcpMessage::DISCOVER, seconds, none),
            DhcpAsk::Inform(address) => (DhcpMessage::INFORM, 0, address),
            DhcpAsk::Request { seconds, .. } => (DhcpMessage::REQUEST, seconds, none),
            DhcpAsk::Release { address, .. } => (DhcpMessage::RELEASE, 0, address),
        };
        let mut options = DhcpOptions::of(kind);
        if let Some(id) = &plan.client_id {
            options = options.with(61, id);
        }
        match *self {
            DhcpAsk::Request { address, server, .. } => {
                options = options.with_addresses(offer::WANTED_ADDRESS, &[address]);
                if let Some(server) = server {
                    options = options.with_addresses(offer::SERVER, &[server]);
                }
            }
            DhcpAsk::Release { server, .. } => options = options.with_addresses(offer::SERVER, &[server]),
            DhcpAsk::Discover { .. } | DhcpAsk::Inform(_) => {}
        }
        if !matches!(self, DhcpAsk::Release { .. }) {
            options = options.with(55, &WANTED).with(57, &1500u16.to_be_bytes());
        }
        let options = options.finish();
        let mut message = DhcpMessage::request(plan.xid, plan.mac, &options);
        (message.seconds, message.client) = (seconds, client);
        // Frames to an address that no interface has would not be heard.
        if client.is_unspecified() {
            message.flags = DhcpMessage::TO_ALL;
        }
        let mut payload = Vec::with_capacity(300);
        message.encode(&mut payload);
        let (to, destination) = match *self {
            DhcpAsk::Release { server, to, .. } => (to, server),
            _ => (BROADCAST, Ipv4Addr::BROADCAST),
        };
        let udp = Udp::new((client, CLIENT), (destination, SERVER), &payload);
        Frame::new(to, plan.frame_from, plan.vid.map(Tag::new), Message::Udp(udp)).encode(into);
    }
}
