//! Netlink messages and attributes as the bytes lie: lengths checked, nothing judged (linux, `include/uapi/linux/netlink.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use darkport_model::{MacAddr, bounded};

pub(crate) const AF_UNSPEC: u8 = 0;
pub(crate) const AF_INET: u8 = 2;
pub(crate) const AF_BRIDGE: u8 = 7;
pub(crate) const AF_INET6: u8 = 10;

/// `NLA_F_NESTED` and `NLA_F_NET_BYTEORDER` share the type's two high bits.
const NLA_TYPE_MASK: u16 = 0x3fff;

/// Bytes that contradict themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("a message claims {claimed} bytes where {there} are left")]
    Message { claimed: usize, there: usize },
    #[error("a header needs {needed} bytes, the message has {there}")]
    Header { needed: usize, there: usize },
    #[error("attribute {kind} claims {claimed} bytes where {there} are left")]
    Attribute { kind: u16, claimed: usize, there: usize },
    #[error("attribute {kind} needs {needed} bytes and has {there}")]
    Short { kind: u16, needed: usize, there: usize },
    #[error("a prefix of {length} bits is longer than its address")]
    Prefix { length: u8 },
}

/// The first `N` bytes.
pub(crate) fn head<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.first_chunk().copied()
}

/// `N` bytes from `at`; zeros where there are none.
pub(crate) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(head).unwrap_or([0; N])
}

/// One netlink message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) kind: u16,
    pub(crate) flags: u16,
    pub(crate) sequence: u32,
    pub(crate) body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The fixed header of this kind of message, and the attributes behind it (padded to four bytes).
    pub(crate) fn split<const N: usize>(&self) -> Result<(&'a [u8; N], Attributes<'a>), Malformed> {
        let (header, _) = self.body.split_first_chunk::<N>().ok_or(Malformed::Header { needed: N, there: self.body.len() })?;
        Ok((header, Attributes(self.body.get(N.next_multiple_of(4)..).unwrap_or_default())))
    }
}

/// The messages of a datagram.
#[derive(Debug, Clone)]
pub(crate) struct Messages<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let header: [u8; 16] = head(self.0)?;
        let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, ..] = header;
        let claimed = u32::from_ne_bytes([l0, l1, l2, l3]) as usize;
        let Some(body) = self.0.get(16..claimed) else {
            let there = self.0.len();
            self.0 = &[];
            return Some(Err(Malformed::Message { claimed, there }));
        };
        self.0 = self.0.get(claimed.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Message {
            kind: u16::from_ne_bytes([k0, k1]),
            flags: u16::from_ne_bytes([f0, f1]),
            sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
            body,
        }))
    }
}

/// Attributes one behind the other. Up to three bytes of padding may follow the last.
#[derive(Debug, Clone)]
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let [l0, l1, k0, k1] = head(self.0)?;
        let claimed = usize::from(u16::from_ne_bytes([l0, l1]));
        let kind = u16::from_ne_bytes([k0, k1]) & NLA_TYPE_MASK;
        let Some(payload) = self.0.get(4..claimed) else {
            let there = self.0.len();
            self.0 = &[];
            return Some(Err(Malformed::Attribute { kind, claimed, there }));
        };
        self.0 = self.0.get(claimed.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Attribute { kind, payload }))
    }
}

/// One attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attribute<'a> {
    pub(crate) kind: u16,
    pub(crate) payload: &'a [u8],
}

impl<'a> Attribute<'a> {
    #[inline]
    fn bytes<const N: usize>(&self) -> Result<[u8; N], Malformed> {
        head(self.payload).ok_or(Malformed::Short { kind: self.kind, needed: N, there: self.payload.len() })
    }

    pub(crate) fn u8(&self) -> Result<u8, Malformed> {
        self.bytes().map(u8::from_ne_bytes)
    }

    /// A `u8` that stands for yes or no.
    pub(crate) fn flag(&self) -> Result<bool, Malformed> {
        self.u8().map(|value| value != 0)
    }

    pub(crate) fn u16(&self) -> Result<u16, Malformed> {
        self.bytes().map(u16::from_ne_bytes)
    }

    /// A `u16` in network byte order.
    pub(crate) fn be16(&self) -> Result<u16, Malformed> {
        self.bytes().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&self) -> Result<u32, Malformed> {
        self.bytes().map(u32::from_ne_bytes)
    }

    pub(crate) fn u64(&self) -> Result<u64, Malformed> {
        self.bytes().map(u64::from_ne_bytes)
    }

    /// A six-byte hardware address; none for the other lengths that tunnels and InfiniBand have.
    pub(crate) fn mac(&self) -> Option<MacAddr> {
        self.payload.try_into().ok().map(MacAddr)
    }

    /// An address, its family told by its length; none for other families'.
    pub(crate) fn ip(&self) -> Option<IpAddr> {
        ip(self.payload)
    }

    /// Text up to the first NUL, cut to `max` characters. A name is bytes to the kernel: what is not UTF-8 in it becomes U+FFFD.
    pub(crate) fn text(&self, max: usize) -> String {
        let text = self.payload.split(|byte| *byte == 0).next().unwrap_or_default();
        // No character takes more than four bytes.
        let text = text.get(..max.saturating_mul(4).saturating_add(4)).unwrap_or(text);
        bounded(&String::from_utf8_lossy(text), max)
    }

    pub(crate) fn nested(&self) -> Attributes<'a> {
        Attributes(self.payload)
    }
}

/// Four bytes as IPv4, sixteen as IPv6.
pub(crate) fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => head(bytes).map(|octets: [u8; 4]| Ipv4Addr::from(octets).into()),
        16 => head(bytes).map(|octets: [u8; 16]| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_length_that_lies_ends_the_walk_with_an_error() {
        let bytes = [8, 0, 1, 0, 7, 0, 0, 0, 200, 0, 2, 0, 1];
        let seen: Vec<_> = Attributes(&bytes).collect();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].unwrap().u32(), Ok(u32::from_ne_bytes([7, 0, 0, 0])));
        assert_eq!(seen[1].unwrap_err(), Malformed::Attribute { kind: 2, claimed: 200, there: 5 });
    }

    #[test]
    fn a_length_below_its_own_header_is_an_error_not_an_endless_loop() {
        assert_eq!(Attributes(&[0, 0, 1, 0, 0, 0, 0, 0]).count(), 1);
        assert_eq!(Messages(&[0; 64]).count(), 1);
    }

    #[test]
    fn a_short_value_says_what_it_lacks() {
        let attribute = Attribute { kind: 9, payload: &[1] };
        assert_eq!(attribute.u32(), Err(Malformed::Short { kind: 9, needed: 4, there: 1 }));
    }

    proptest! {
        #[test]
        fn walks_end_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            prop_assert!(Attributes(&bytes).count() <= bytes.len() / 4 + 1);
            prop_assert!(Messages(&bytes).count() <= bytes.len() / 16 + 1);
        }
    }
}
