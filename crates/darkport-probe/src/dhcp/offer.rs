//! From a server's message to what it offers.

use std::net::Ipv4Addr;

use darkport_model::{DhcpOffer, DhcpOption, MacAddr};

use crate::wire::{DhcpMessage, Udp, UdpChecksum};

pub(super) const MASK: u8 = 1;
pub(super) const ROUTERS: u8 = 3;
pub(super) const NAME_SERVERS: u8 = 6;
pub(super) const WANTED_ADDRESS: u8 = 50;
pub(super) const LEASE: u8 = 51;
pub(super) const KIND: u8 = 53;
pub(super) const SERVER: u8 = 54;
/// Addresses that are kept of one option.
const ADDRESSES: usize = 16;
/// Options that are kept, and bytes of each.
const OPTIONS: usize = 48;
const BYTES: usize = 255;

/// Who says it: its identifier, or where it leaves that out the packet's sender.
pub(super) fn server(udp: &Udp<'_>, message: &DhcpMessage<'_>) -> Ipv4Addr {
    message.addresses(SERVER).first().copied().unwrap_or(udp.source)
}

/// What a message offers. `unfinished`: the kernel says that its checksum is left to hardware.
pub(super) fn read(frame_from: MacAddr, udp: &Udp<'_>, message: &DhcpMessage<'_>, unfinished: bool) -> DhcpOffer {
    let addresses = |code| message.addresses(code).into_iter().take(ADDRESSES).collect::<Vec<_>>();
    let mut offer = DhcpOffer::new(server(udp, message), frame_from, message.yours);
    offer.relay = Some(message.relay).filter(|relay| !relay.is_unspecified());
    offer.prefix = message.addresses(MASK).first().and_then(|mask| prefix(*mask));
    (offer.routers, offer.name_servers) = (addresses(ROUTERS), addresses(NAME_SERVERS));
    offer.lease_s = message.number(LEASE);
    offer.checksum_unfinished = unfinished;
    offer.checksum_ok = match udp.checksum {
        _ if unfinished => None,
        UdpChecksum::Right => Some(true),
        UdpChecksum::Wrong => Some(false),
        UdpChecksum::Absent => None,
    };
    let mut options = message.options();
    let mut codes: Vec<u8> = Vec::new();
    for (code, _) in options.by_ref() {
        if code != KIND && !codes.contains(&code) {
            codes.push(code);
        }
    }
    offer.malformed = options.is_malformed() || codes.iter().any(|code| !is_sound(message, *code));
    offer.options = codes.into_iter().take(OPTIONS).filter_map(|code| option(message, code)).collect();
    offer
}

fn option(message: &DhcpMessage<'_>, code: u8) -> Option<DhcpOption> {
    let data = message.option(code)?;
    Some(DhcpOption::new(code, data.get(..data.len().min(BYTES)).unwrap_or_default()))
}

/// Whether an option that matters here has a length that it may have (RFC 2132).
fn is_sound(message: &DhcpMessage<'_>, code: u8) -> bool {
    let data = message.option(code).unwrap_or_default();
    match code {
        MASK => message.addresses(code).first().and_then(|mask| prefix(*mask)).is_some() && data.len() == 4,
        LEASE | SERVER => data.len() == 4,
        ROUTERS | NAME_SERVERS => !data.is_empty() && data.len() % 4 == 0,
        _ => true,
    }
}

/// How many bits of a mask are set, where they stand together.
fn prefix(mask: Ipv4Addr) -> Option<u8> {
    let bits = u32::from(mask);
    (bits.leading_ones() == bits.count_ones()).then(|| u8::try_from(bits.count_ones()).ok())?
}
