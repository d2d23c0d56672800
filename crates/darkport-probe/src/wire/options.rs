//! DHCP's options (RFC 2132): read where they lie, and written.

use std::net::Ipv4Addr;

const PAD: u8 = 0;
const END: u8 = 255;
const OVERLOAD: u8 = 52;
pub(crate) const KIND: u8 = 53;
/// With these a message has the 300 bytes that old relays and servers want at least (RFC 1542, 2.1).
const SHORTEST: usize = 60;

/// The options of a message, each with its code and its bytes. An option that does not end where its field ends is the last.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    rest: &'a [u8],
    file: &'a [u8],
    server_name: &'a [u8],
    /// Bit 0: more of them in the file's field, bit 1: in the name's.
    overload: u8,
    first: bool,
    malformed: bool,
}

impl<'a> Options<'a> {
    pub(super) fn new([options, file, server_name]: [&'a [u8]; 3]) -> Self {
        Self { rest: options, file, server_name, overload: 0, first: true, malformed: false }
    }

    /// Whether what was read so far ended in an option that is cut short.
    pub fn is_malformed(&self) -> bool {
        self.malformed
    }

    /// The next field that holds options: the file's, then the name's (RFC 2131, 4.1).
    fn next_field(&mut self) -> Option<()> {
        self.first = false;
        self.rest = if self.overload & 1 != 0 {
            self.overload &= !1;
            self.file
        } else if self.overload & 2 != 0 {
            self.overload &= !2;
            self.server_name
        } else {
            return None;
        };
        Some(())
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.malformed {
                return None;
            }
            match self.rest {
                [PAD, rest @ ..] => self.rest = rest,
                [] | [END, ..] => {
                    self.rest = &[];
                    self.next_field()?;
                }
                [code, length, rest @ ..] if rest.len() >= usize::from(*length) => {
                    let (data, rest) = rest.split_at_checked(usize::from(*length))?;
                    self.rest = rest;
                    // Only the first field may say so: otherwise fields would lead into each other.
                    if let (OVERLOAD, [overload], true) = (*code, data, self.first) {
                        self.overload = *overload & 3;
                    }
                    return Some((*code, data));
                }
                _ => self.malformed = true,
            }
        }
    }
}

/// Options being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DhcpOptions {
    bytes: Vec<u8>,
}

impl DhcpOptions {
    /// The options of a message of this kind (option 53).
    pub fn of(kind: u8) -> Self {
        Self::default().with(KIND, &[kind])
    }

    /// Adds one; over 255 bytes in pieces (RFC 3396).
    #[must_use]
    pub fn with(mut self, code: u8, data: &[u8]) -> Self {
        for piece in data.chunks(255).chain(data.is_empty().then_some(data)) {
            self.bytes.extend([code, u8::try_from(piece.len()).unwrap_or(u8::MAX)]);
            self.bytes.extend_from_slice(piece);
        }
        self
    }

    /// Adds one of addresses.
    #[must_use]
    pub fn with_addresses(self, code: u8, addresses: &[Ipv4Addr]) -> Self {
        let data: Vec<u8> = addresses.iter().flat_map(Ipv4Addr::octets).collect();
        self.with(code, &data)
    }

    /// Their bytes, ended and filled up to the shortest message that everybody takes.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(END);
        self.bytes.resize(self.bytes.len().max(SHORTEST), PAD);
        self.bytes
    }
}
