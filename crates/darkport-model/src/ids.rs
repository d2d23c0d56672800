//! Newtypes for the things a network names by number.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Text or a number that is not the identifier it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{found:?} is not {expected}")]
pub struct ParseIdError {
    /// What was found, cut to 64 characters.
    pub found: String,
    /// What was expected, with an example.
    pub expected: &'static str,
}

impl ParseIdError {
    fn new(found: &str, expected: &'static str) -> Self {
        Self { found: found.chars().take(64).collect(), expected }
    }
}

/// An interface's number within its network namespace (`ifindex`). Names are no identity: they change, indexes do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct IfIndex(pub u32);

impl fmt::Display for IfIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "if{}", self.0)
    }
}

impl From<u32> for IfIndex {
    fn from(index: u32) -> Self {
        Self(index)
    }
}

/// A VLAN identifier, 0 to 4094 (IEEE 802.1Q, 9.6; 4095 is reserved).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "u16", into = "u16")]
pub struct Vid(u16);

impl Vid {
    /// The number itself.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for Vid {
    type Error = ParseIdError;

    fn try_from(vid: u16) -> Result<Self, Self::Error> {
        if vid < 4095 { Ok(Self(vid)) } else { Err(ParseIdError::new(&vid.to_string(), "a VLAN id from 0 to 4094")) }
    }
}

impl From<Vid> for u16 {
    fn from(vid: Vid) -> Self {
        vid.0
    }
}

impl FromStr for Vid {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<u16>().ok().and_then(|vid| vid.try_into().ok()).ok_or_else(|| ParseIdError::new(text, "a VLAN id from 0 to 4094"))
    }
}

impl fmt::Display for Vid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An Ethernet (EUI-48) address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// Whether this names one station: neither group (multicast, broadcast) nor all zero.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }

    /// The same address with another first byte. libvirt gives a tap its guest's address with the first byte `fe`
    /// (libvirt, `src/util/virnetdevtap.c`), so that the tap never becomes the bridge's lowest address.
    #[must_use]
    pub fn with_first_byte(self, first: u8) -> Self {
        let [_, b, c, d, e, f] = self.0;
        Self([first, b, c, d, e, f])
    }

    /// The interface identifier that IPv6 makes of this address (modified EUI-64, RFC 4291, appendix A).
    pub fn eui64(self) -> [u8; 8] {
        let [a, b, c, d, e, f] = self.0;
        [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = ParseIdError;

    /// Takes six hexadecimal bytes with `:` or `-` between them, in either case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseIdError::new(text, "an Ethernet address such as fa:16:3e:00:00:01");
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| matches!(part.len(), 1 | 2)).ok_or_else(error)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() { Err(error()) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<String> for MacAddr {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> Self {
        mac.to_string()
    }
}

/// An address with the length of its network part: `10.68.16.0/21`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "String"))]
#[serde(try_from = "String", into = "String")]
pub struct IpPrefix {
    address: IpAddr,
    length: u8,
}

impl IpPrefix {
    /// An address and its prefix length.
    ///
    /// # Errors
    /// When the length is over 32 (IPv4) or 128 (IPv6).
    pub fn new(address: IpAddr, length: u8) -> Result<Self, ParseIdError> {
        if length <= width(address) {
            Ok(Self { address, length })
        } else {
            Err(ParseIdError::new(&format!("{address}/{length}"), "an address prefix such as 10.68.16.0/21"))
        }
    }

    /// The address as written, host part included.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// The number of leading bits that name the network.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether `other` lies in the same network.
    pub fn contains(&self, other: IpAddr) -> bool {
        let same = |a: u128, b: u128, bits: u32| self.length == 0 || (a ^ b) >> (bits - u32::from(self.length)) == 0;
        match (self.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(u32::from(a).into(), u32::from(b).into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.into(), b.into(), 128),
            _ => false,
        }
    }
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl FromStr for IpPrefix {
    type Err = ParseIdError;

    /// Takes `ADDRESS/LENGTH`, or an address alone, which is a prefix of its full width.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseIdError::new(text, "an address prefix such as 10.68.16.0/21");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u8>().map_err(|_| error())?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| error())?;
        Self::new(address, length.unwrap_or_else(|| width(address))).map_err(|_| error())
    }
}

impl TryFrom<String> for IpPrefix {
    type Error = ParseIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<IpPrefix> for String {
    fn from(prefix: IpPrefix) -> Self {
        prefix.to_string()
    }
}

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(86_400_000), self.0.rem_euclid(86_400_000) / 1000);
        let (year, month, day) = civil(days);
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
    }
}

/// The Gregorian date of a day counted from 1970-01-01 (the days of a 400-year era, shifted to begin in March).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn timestamps_print_as_dates() {
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00Z");
        assert_eq!(Timestamp(1_424_755_800_000).to_string(), "2015-02-24T05:30:00Z");
        assert_eq!(Timestamp(951_782_400_000).to_string(), "2000-02-29T00:00:00Z");
        assert_eq!(Timestamp(-1000).to_string(), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn a_mac_is_six_bytes_and_nothing_else() {
        assert_eq!("FA-16-3e-0-00-01".parse(), Ok(MacAddr([0xfa, 0x16, 0x3e, 0, 0, 1])));
        for bad in ["", "fa:16:3e:00:00", "fa:16:3e:00:00:01:02", "fa:16:3e:00:00:1ff", "fa:16:3e:00:00:", "+a:16:3e:00:00:01x"] {
            assert!(bad.parse::<MacAddr>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_link_local_identifier_follows_the_mac() {
        assert_eq!(MacAddr([0x40, 0xa8, 0xf0, 0x38, 0x35, 0x88]).eui64(), [0x42, 0xa8, 0xf0, 0xff, 0xfe, 0x38, 0x35, 0x88]);
    }

    #[test]
    fn a_prefix_knows_its_own() {
        let net: IpPrefix = "10.68.16.1/21".parse().unwrap();
        assert!(net.contains("10.68.23.255".parse().unwrap()));
        assert!(!net.contains("10.68.24.0".parse().unwrap()));
        assert!(!net.contains("::1".parse().unwrap()));
        assert!("0.0.0.0/0".parse::<IpPrefix>().unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<IpPrefix>().is_err());
    }

    proptest! {
        #[test]
        fn identifiers_survive_their_text(bytes: [u8; 6], vid in 0u16..4095, v4: u32, length in 0u8..=32) {
            let mac = MacAddr(bytes);
            prop_assert_eq!(mac.to_string().parse(), Ok(mac));
            prop_assert_eq!(vid.to_string().parse::<Vid>().map(Vid::get), Ok(vid));
            let prefix = IpPrefix::new(IpAddr::V4(v4.into()), length).unwrap();
            prop_assert_eq!(prefix.to_string().parse(), Ok(prefix));
        }

        #[test]
        fn no_text_panics(text in ".{0,40}") {
            let _ = (text.parse::<MacAddr>(), text.parse::<Vid>(), text.parse::<IpPrefix>());
        }

        #[test]
        fn no_moment_panics(ms: i64) {
            let _ = Timestamp(ms).to_string();
        }
    }
}
