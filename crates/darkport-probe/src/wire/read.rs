//! A cursor that ends where the bytes end.

use std::net::{Ipv4Addr, Ipv6Addr};

use darkport_model::MacAddr;

use super::{Layer, WireError};

/// The bytes of one header, taken from the front.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    layer: Layer,
}

impl<'a> Reader<'a> {
    /// A header of at least `needed` bytes at the front of `bytes`.
    pub(super) fn new(bytes: &'a [u8], layer: Layer, needed: usize) -> Result<Self, WireError> {
        if bytes.len() < needed {
            return Err(WireError::Truncated { layer, needed, got: bytes.len() });
        }
        Ok(Self { bytes, layer })
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (taken, rest) =
            self.bytes.split_first_chunk::<N>().ok_or(WireError::Truncated { layer: self.layer, needed: N, got: self.bytes.len() })?;
        self.bytes = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.take().map(u16::from_be_bytes)
    }

    pub(super) fn mac(&mut self) -> Result<MacAddr, WireError> {
        self.take().map(MacAddr)
    }

    pub(super) fn ipv4(&mut self) -> Result<Ipv4Addr, WireError> {
        self.take::<4>().map(Ipv4Addr::from)
    }

    pub(super) fn ipv6(&mut self) -> Result<Ipv6Addr, WireError> {
        self.take::<16>().map(Ipv6Addr::from)
    }

    pub(super) fn rest(self) -> &'a [u8] {
        self.bytes
    }
}
