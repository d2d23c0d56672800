//! DHCP for IPv4 (RFC 2131): the message that BOOTP knew already, with options behind it.

use std::borrow::Cow;
use std::net::Ipv4Addr;

use darkport_model::MacAddr;

use super::options::{self, Options};
use super::read::Reader;
use super::{Layer, WireError};

/// What tells DHCP's options from BOOTP's vendor area (RFC 2131, 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The fields before the cookie.
const FIXED: usize = 236;
const ETHERNET: u8 = 1;

/// A DHCP message as it lies in a datagram; nothing is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DhcpMessage<'a> {
    /// From a server; else from a client.
    pub reply: bool,
    /// What kind of hardware address it is (`htype`); 1 is Ethernet.
    pub hardware_type: u8,
    /// How many bytes of it count (`hlen`).
    pub hardware_length: u8,
    /// The client's hardware address (`chaddr`).
    pub hardware: [u8; 16],
    /// How many relays it has passed.
    pub hops: u8,
    /// Which conversation it belongs to.
    pub xid: u32,
    /// Seconds since the client began, as the client says.
    pub seconds: u16,
    /// The highest bit asks for an answer to everybody (RFC 2131, 2).
    pub flags: u16,
    /// The address that the client has (`ciaddr`).
    pub client: Ipv4Addr,
    /// The address that the client is to have (`yiaddr`).
    pub yours: Ipv4Addr,
    /// The server to boot from (`siaddr`).
    pub next_server: Ipv4Addr,
    /// The relay's address in the client's network (`giaddr`).
    pub relay: Ipv4Addr,
    /// The server's name, or more options (`sname`).
    pub server_name: &'a [u8; 64],
    /// What to boot, or more options (`file`).
    pub file: &'a [u8; 128],
    /// What follows the cookie, as it is.
    pub options: &'a [u8],
}

impl<'a> DhcpMessage<'a> {
    /// A client's DISCOVER (RFC 2132, 9.6).
    pub const DISCOVER: u8 = 1;
    /// A server's offer.
    pub const OFFER: u8 = 2;
    /// A client takes an offer, or asks whether what it remembers still holds.
    pub const REQUEST: u8 = 3;
    /// The server says yes.
    pub const ACK: u8 = 5;
    /// The server says no.
    pub const NAK: u8 = 6;
    /// The client gives its address back.
    pub const RELEASE: u8 = 7;
    /// The client has an address and wants to know the rest.
    pub const INFORM: u8 = 8;
    /// The bit of [`flags`](Self::flags) that asks for an answer to everybody.
    pub const TO_ALL: u16 = 0x8000;

    /// A client's message with these options ([`DhcpOptions::finish`](super::DhcpOptions::finish)).
    pub fn request(xid: u32, mac: MacAddr, options: &'a [u8]) -> Self {
        let [a, b, c, d, e, f] = mac.0;
        let none = Ipv4Addr::UNSPECIFIED;
        Self {
            reply: false,
            hardware_type: ETHERNET,
            hardware_length: 6,
            hardware: [a, b, c, d, e, f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            hops: 0,
            xid,
            seconds: 0,
            flags: 0,
            client: none,
            yours: none,
            next_server: none,
            relay: none,
            server_name: &[0; 64],
            file: &[0; 128],
            options,
        }
    }

    /// A server's answer to this message, which gives `yours`.
    #[must_use]
    pub fn answer(&self, yours: Ipv4Addr, options: &'a [u8]) -> Self {
        Self { reply: true, hops: 0, yours, server_name: &[0; 64], file: &[0; 128], options, ..*self }
    }

    /// Understands what a datagram carries.
    ///
    /// # Errors
    /// When it is cut short, or BOOTP without options.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, WireError> {
        let mut header = Reader::new(bytes, Layer::Dhcp, FIXED + COOKIE.len())?;
        let [operation, hardware_type, hardware_length, hops] = header.take()?;
        let reply = match operation {
            1 => false,
            2 => true,
            other => return Err(WireError::Unsupported { layer: Layer::Dhcp, value: other.into() }),
        };
        let xid = header.take().map(u32::from_be_bytes)?;
        let (seconds, flags) = (header.u16()?, header.u16()?);
        let (client, yours, next_server, relay) = (header.ipv4()?, header.ipv4()?, header.ipv4()?, header.ipv4()?);
        let hardware = header.take()?;
        let truncated = WireError::Truncated { layer: Layer::Dhcp, needed: FIXED, got: bytes.len() };
        let (server_name, rest) = header.rest().split_first_chunk().ok_or(truncated)?;
        let (file, rest) = rest.split_first_chunk().ok_or(truncated)?;
        let (cookie, options) = rest.split_first_chunk().ok_or(truncated)?;
        if *cookie != COOKIE {
            return Err(WireError::Unsupported { layer: Layer::Dhcp, value: u32::from_be_bytes(*cookie) });
        }
        Ok(Self {
            reply,
            hardware_type,
            hardware_length,
            hardware,
            hops,
            xid,
            seconds,
            flags,
            client,
            yours,
            next_server,
            relay,
            server_name,
            file,
            options,
        })
    }

    /// Writes the message behind what `into` holds.
    pub fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[if self.reply { 2 } else { 1 }, self.hardware_type, self.hardware_length, self.hops]);
        into.extend_from_slice(&self.xid.to_be_bytes());
        into.extend_from_slice(&self.seconds.to_be_bytes());
        into.extend_from_slice(&self.flags.to_be_bytes());
        for address in [self.client, self.yours, self.next_server, self.relay] {
            into.extend_from_slice(&address.octets());
        }
        into.extend_from_slice(&self.hardware);
        into.extend_from_slice(self.server_name);
        into.extend_from_slice(self.file);
        into.extend_from_slice(&COOKIE);
        into.extend_from_slice(self.options);
    }

    /// The client's hardware address, where it is an Ethernet one.
    pub fn mac(&self) -> Option<MacAddr> {
        let [a, b, c, d, e, f, ..] = self.hardware;
        (self.hardware_type == ETHERNET && self.hardware_length == 6).then_some(MacAddr([a, b, c, d, e, f]))
    }

    /// The options one by one, also those in the fields of name and file where the sender ran out of room (RFC 2132, 9.3).
    pub fn options(&self) -> Options<'a> {
        Options::new([self.options, self.file, self.server_name])
    }

    /// An option's bytes; of one in several pieces all, one behind the other (RFC 3396).
    pub fn option(&self, code: u8) -> Option<Cow<'a, [u8]>> {
        let mut pieces = self.options().filter(|(found, _)| *found == code).map(|(_, data)| data);
        let first = pieces.next()?;
        Some(pieces.fold(Cow::Borrowed(first), |mut whole, piece| {
            whole.to_mut().extend_from_slice(piece);
            whole
        }))
    }

    /// What the message is (option 53): [`DISCOVER`](Self::DISCOVER) and so on.
    pub fn kind(&self) -> Option<u8> {
        match self.option(options::KIND).as_deref() {
            Some([kind]) => Some(*kind),
            _ => None,
        }
    }

    /// An option that is one number (51: the lease's seconds).
    pub fn number(&self, code: u8) -> Option<u32> {
        self.option(code).as_deref().and_then(|data| data.try_into().ok()).map(u32::from_be_bytes)
    }

    /// An option that is addresses (1, 3, 6, 54), as far as they are whole.
    pub fn addresses(&self, code: u8) -> Vec<Ipv4Addr> {
        let data = self.option(code).unwrap_or_default();
        data.chunks_exact(4).filter_map(|four| <[u8; 4]>::try_from(four).ok()).map(Ipv4Addr::from).collect()
    }
}
