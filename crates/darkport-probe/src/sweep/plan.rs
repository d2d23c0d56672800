//! What is asked for, and how.

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::{IpPrefix, MacAddr, Vid};

use crate::error::ProbeError;

/// Addresses that one sweep takes at most: a /12.
const MOST: usize = 1 << 20;

/// An address to ask for, and what is known about it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Target {
    /// The address.
    pub address: Ipv4Addr,
    /// Whether somebody ought to have it, so that silence says something. Such an address is given more time.
    pub expected: bool,
    /// The hardware address that ought to have it: an answer from another one is a finding, and later tries go to it alone.
    pub mac: Option<MacAddr>,
    /// Whose address it is, for people.
    pub name: Option<String>,
}

impl Target {
    /// An address that may or may not be in use.
    pub fn new(address: Ipv4Addr) -> Self {
        Self { address, expected: false, mac: None, name: None }
    }

    /// An address that ought to be in use.
    pub fn expected(address: Ipv4Addr) -> Self {
        Self { expected: true, ..Self::new(address) }
    }

    /// The same, with the hardware address that ought to have it.
    #[must_use]
    pub fn mac(mut self, mac: MacAddr) -> Self {
        self.mac = Some(mac);
        self
    }

    /// The same, with a name.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
}

/// The addresses that hosts can have in a prefix: all but the network's own and its broadcast address, which a /31 and a /32 have not
/// (RFC 3021).
///
/// # Errors
/// When it is an IPv6 prefix, or one of more than a million addresses.
pub fn hosts(prefix: IpPrefix) -> Result<Vec<Ipv4Addr>, ProbeError> {
    let std::net::IpAddr::V4(address) = prefix.address() else { return Err(ProbeError::NotIpv4(prefix)) };
    let count = 1u64 << (32 - prefix.length().min(32));
    if count > MOST as u64 {
        return Err(ProbeError::TooMany { found: usize::try_from(count).unwrap_or(usize::MAX), most: MOST });
    }
    let host_bits = u32::try_from(count - 1).unwrap_or(u32::MAX);
    let (first, last) = (u32::from(address) & !host_bits, u32::from(address) | host_bits);
    let (first, last) = if prefix.length() < 31 { (first + 1, last - 1) } else { (first, last) };
    Ok((first..=last).map(Ipv4Addr::from).collect())
}

/// How to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Frames a second at most. 50,000 of the shortest fill 3.4 % of a gigabit link. Where over 2 % of the questions stay without an answer, it
    /// is no more than these.
    pub rate: u32,
    /// Tries before an address is called silent; more where many answers get lost, up to 12.
    pub tries: u8,
    /// How long to go on before the answer is what is known by then.
    pub deadline: Duration,
    /// How long an expected address has to answer.
    pub patience: Duration,
    /// Whether to send an ICMP echo to whoever answered ARP.
    pub icmp: bool,
    /// Whether to ask known hardware addresses directly from the first try. That spares all others the broadcasts, and finds no second
    /// holder of an address.
    pub direct: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self { rate: 50_000, tries: 6, deadline: Duration::from_secs(30), patience: Duration::from_secs(1), icmp: false, direct: false }
    }
}

impl Settings {
    /// A gentle rate for so many addresses: 50,000 frames a second, and for more than a /18 has, three for each address, 200,000 at most.
    pub fn rate_for(targets: usize) -> u32 {
        u32::try_from(targets.saturating_mul(3)).unwrap_or(u32::MAX).clamp(50_000, 200_000)
    }
}

/// Everything that a sweep's machine needs to know: no more is read from anywhere.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Plan {
    /// The hardware address that asks.
    pub mac: MacAddr,
    /// The VLAN to ask in.
    pub vid: Option<Vid>,
    /// The asking host's own addresses, each of which asks in its own network. Anywhere else questions come from 0.0.0.0 (RFC 5227).
    pub own: Vec<IpPrefix>,
    /// Whom to ask for, in order and each once.
    pub targets: Vec<Target>,
    /// How.
    pub settings: Settings,
    /// A number that nobody else can know beforehand: an ICMP answer without it is not one.
    pub secret: u64,
}

impl Plan {
    /// A plan with usual settings. Targets are put in order; of several with one address the first stays, and what the others know is
    /// added to it.
    ///
    /// # Errors
    /// When there are no targets, or more than a million.
    pub fn new(mac: MacAddr, targets: Vec<Target>) -> Result<Self, ProbeError> {
        let mut targets = targets;
        targets.sort_by_key(|target| target.address);
        targets.dedup_by(|later, kept| {
            let same = later.address == kept.address;
            if same {
                kept.expected |= later.expected;
                kept.mac = kept.mac.or(later.mac);
                kept.name = kept.name.take().or(later.name.take());
            }
            same
        });
        match targets.len() {
            0 => Err(ProbeError::NoTargets),
            found if found > MOST => Err(ProbeError::TooMany { found, most: MOST }),
            _ => Ok(Self { mac, vid: None, own: Vec::new(), targets, settings: Settings::default(), secret: 0 }),
        }
    }

    /// The number that this plan's echo requests carry.
    pub fn echo_id(&self) -> u16 {
        let [.., high, low] = self.secret.to_be_bytes();
        u16::from_be_bytes([high, low])
    }

    /// The own address that asks for `target`; none where the host has none in that network, or it is the target itself.
    pub(crate) fn source_for(&self, target: Ipv4Addr) -> Option<Ipv4Addr> {
        self.own.iter().filter(|own| own.contains(target.into())).find_map(|own| match own.address() {
            std::net::IpAddr::V4(own) if own != target => Some(own),
            _ => None,
        })
    }

    pub(crate) fn is_own(&self, target: Ipv4Addr) -> bool {
        self.own.iter().any(|own| own.address() == target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_has_its_hosts() {
        let count = |prefix: &str| hosts(prefix.parse().unwrap()).map(|hosts| hosts.len());
        assert_eq!(count("10.68.16.9/21").unwrap(), 2046);
        assert_eq!(hosts("10.0.0.5/30".parse().unwrap()).unwrap(), [Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(10, 0, 0, 6)]);
        assert_eq!((count("10.0.0.4/31").unwrap(), count("10.0.0.4/32").unwrap()), (2, 1));
        assert_eq!(count("0.0.0.0/0").unwrap_err().to_string(), "4294967296 addresses are more than the 1048576 that a sweep takes");
        assert!(count("fe80::/64").is_err());
    }

    #[test]
    fn what_several_know_of_an_address_comes_together() {
        let address = Ipv4Addr::new(10, 0, 0, 9);
        let mac = MacAddr([2, 0, 0, 0, 0, 9]);
        let plan =
            Plan::new(mac, vec![Target::new(address), Target::expected(address).mac(mac).name("web"), Target::new(Ipv4Addr::LOCALHOST)]);
        let targets = plan.unwrap().targets;
        assert_eq!(targets, [Target::expected(address).mac(mac).name("web"), Target::new(Ipv4Addr::LOCALHOST)]);
        assert!(Plan::new(mac, Vec::new()).is_err());
    }
}
