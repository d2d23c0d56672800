//! What darkport's own frames met with, and what was overheard of others': the one part of an observation that is not read but asked for.

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::ids::{IfIndex, MacAddr, Vid};

/// What probing told. Empty where nothing was probed, which a [`Gap`](crate::Gap) in [`Source::Probes`](crate::Source) says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Probes {
    /// Addresses that were asked for.
    pub arp: Vec<ArpProbe>,
    /// What was overheard while darkport looked.
    pub heard: Heard,
    /// DHCP servers that were asked for.
    pub dhcp: Vec<DhcpProbe>,
    /// What an instance that darkport played could do; one for each bridge.
    pub synthetic: Vec<SyntheticRun>,
    /// Frames that the kernel dropped while probes were under way, with its reason.
    pub drops: Vec<KernelDrop>,
}

/// Where a probe began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Origin {
    /// This host itself, at the bridge: its frames pass the uplink, but no tap on their way out.
    #[default]
    Host,
    /// A synthetic instance: the way that an instance's frames go.
    SyntheticInstance,
}

/// Who is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Whom {
    /// The instance of this name.
    Instance(String),
    /// The instances' gateway.
    Gateway,
    /// Somebody else.
    #[default]
    Other,
}

/// One address that was asked for by ARP (RFC 826; from 0.0.0.0 as in RFC 5227 where this host has no address there).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ArpProbe {
    /// The bridge whose segment it is about.
    pub bridge: IfIndex,
    /// The VLAN that was asked in, where the bridge filters VLANs.
    #[serde(default)]
    pub vid: Option<Vid>,
    /// Where the question began.
    #[serde(default)]
    pub origin: Origin,
    /// The address asked for.
    pub target: Ipv4Addr,
    /// Whose it is.
    #[serde(default)]
    pub whom: Whom,
    /// How often it was asked for.
    pub sent: u32,
    /// How many of the questions had an answer.
    pub answered: u32,
    /// Who answered, one for each hardware address, the first first.
    #[serde(default)]
    pub answers: Vec<ArpAnswer>,
    /// The devices that questions and answers crossed, in the order of first crossing. Of a flood to all ports those on the way to the
    /// target only.
    #[serde(default)]
    pub way: Vec<Crossing>,
    /// Set where answers may have been lost on this host (no room in the receive buffer): then silence says nothing.
    #[serde(default)]
    pub unheard: bool,
}

impl ArpProbe {
    /// `target` was asked for on `bridge`, and nothing is known yet.
    pub fn new(bridge: IfIndex, target: Ipv4Addr, whom: Whom) -> Self {
        Self {
            bridge,
            vid: None,
            origin: Origin::Host,
            target,
            whom,
            sent: 0,
            answered: 0,
            answers: Vec::new(),
            way: Vec::new(),
            unheard: false,
        }
    }

    /// Asked often enough, heard well, and nobody answered.
    pub fn is_silent(&self) -> bool {
        self.sent > 0 && self.answered == 0 && !self.unheard
    }
}

/// Somebody's answer to an ARP question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct ArpAnswer {
    /// The hardware address in the answer.
    pub mac: MacAddr,
    /// The address that the frame came from, where it is another: somebody answers for somebody else.
    #[serde(default)]
    pub frame_from: Option<MacAddr>,
    /// The first device of this host that the answer came in by: a tap, or the NIC.
    #[serde(default)]
    pub came_in_by: Option<IfIndex>,
    /// How many such answers came.
    pub count: u32,
    /// The least time from question to answer, in microseconds.
    #[serde(default)]
    pub rtt_us: Option<u64>,
}

impl ArpAnswer {
    /// One answer by `mac`.
    pub fn new(mac: MacAddr) -> Self {
        Self { mac, frame_from: None, came_in_by: None, count: 1, rtt_us: None }
    }
}

/// A device that frames of a probe crossed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Crossing {
    /// The device.
    pub link: IfIndex,
    /// Out of the host's stack through the device (`PACKET_OUTGOING`), or in from it.
    pub outgoing: bool,
    /// The question's frames, or the answer's.
    pub part: Part,
    /// The tag that they had there.
    #[serde(default)]
    pub vid: Option<Vid>,
    /// How many.
    pub frames: u32,
    /// Microseconds from sending the first question to the first of them.
    pub first_us: u64,
}

impl Crossing {
    /// One frame that crossed `link`.
    pub fn new(link: IfIndex, outgoing: bool, part: Part) -> Self {
        Self { link, outgoing, part, vid: None, frames: 1, first_us: 0 }
    }
}

/// Which half of a probe a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Part {
    /// What was asked.
    Question,
    /// What was answered.
    Answer,
}

/// Frames of others that passed while darkport looked: ARP and DHCP only, since those are what tells who is alive.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Heard {
    /// How long it listened, in milliseconds; none where it did not.
    pub window_ms: Option<u64>,
    /// ARP, alike frames on one device counted together.
    pub arp: Vec<HeardArp>,
    /// DHCP, alike frames on one device counted together.
    pub dhcp: Vec<HeardDhcp>,
    /// Frames that found no room in the receive buffer.
    pub dropped: u64,
    /// Set where more different frames passed than are kept.
    pub cut: bool,
}

/// ARP frames of one kind that crossed one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HeardArp {
    /// The device.
    pub link: IfIndex,
    /// Out through it, or in from it: what a guest sends comes in by its tap.
    pub outgoing: bool,
    /// The tag that they had there.
    #[serde(default)]
    pub vid: Option<Vid>,
    /// A reply; else a request.
    pub reply: bool,
    /// The address that the frame came from.
    pub frame_from: MacAddr,
    /// The sender's hardware address as ARP says it.
    pub sender_mac: MacAddr,
    /// The sender's address.
    pub sender: Ipv4Addr,
    /// The address asked for, or answered to.
    pub target: Ipv4Addr,
    /// How many.
    pub frames: u32,
}

impl HeardArp {
    /// One request for `target` by `sender` at `sender_mac` that came in by `link`.
    pub fn request(link: IfIndex, sender_mac: MacAddr, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self { link, outgoing: false, vid: None, reply: false, frame_from: sender_mac, sender_mac, sender, target, frames: 1 }
    }
}

/// DHCP messages (RFC 2131) of one kind that crossed one device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct HeardDhcp {
    /// The device.
    pub link: IfIndex,
    /// Out through it, or in from it.
    pub outgoing: bool,
    /// The tag that they had there.
    #[serde(default)]
    pub vid: Option<Vid>,
    /// The message type (RFC 2132, 9.6): 1 DISCOVER, 2 OFFER, 3 REQUEST, 5 ACK, 6 NAK.
    pub kind: u8,
    /// The client's hardware address.
    pub client: MacAddr,
    /// The server's identifier, where told.
    #[serde(default)]
    pub server: Option<Ipv4Addr>,
    /// The address given or asked for, where told.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// How many.
    pub frames: u32,
}

impl HeardDhcp {
    /// One message of this kind that came in by `link`.
    pub fn new(link: IfIndex, kind: u8, client: MacAddr) -> Self {
        Self { link, outgoing: false, vid: None, kind, client, server: None, address: None, frames: 1 }
    }
}

/// A DISCOVER (RFC 2131) and what came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DhcpProbe {
    /// The bridge, or other device, whose segment it is about.
    pub bridge: IfIndex,
    /// The VLAN that was asked in, where the questions bore a tag.
    #[serde(default)]
    pub vid: Option<Vid>,
    /// Where it began.
    #[serde(default)]
    pub origin: Origin,
    /// The client's hardware address.
    pub mac: MacAddr,
    /// How often it was asked.
    pub sent: u32,
    /// The offers, one for each server and each hardware address that its frames came from.
    #[serde(default)]
    pub offers: Vec<DhcpOffer>,
    /// Set where more made offers than are kept: somebody makes them up.
    #[serde(default)]
    pub cut: bool,
    /// The lease that was taken, where one was wanted. It was given back.
    #[serde(default)]
    pub lease: Option<DhcpLease>,
    /// Servers that are alive (they answered a DHCPINFORM) but offered nothing: they do not know the client.
    #[serde(default)]
    pub alive: Vec<Ipv4Addr>,
    /// Servers that refused (DHCPNAK).
    #[serde(default)]
    pub refused: Vec<Ipv4Addr>,
    /// The servers that ought to answer, as far as leases or configuration say.
    #[serde(default)]
    pub expected: Vec<Ipv4Addr>,
    /// The devices that questions and answers crossed.
    #[serde(default)]
    pub way: Vec<Crossing>,
    /// Set where answers may have been lost on this host.
    #[serde(default)]
    pub unheard: bool,
}

impl DhcpProbe {
    /// `mac` asked on `bridge`, and nothing is known yet.
    pub fn new(bridge: IfIndex, mac: MacAddr) -> Self {
        Self {
            bridge,
            vid: None,
            origin: Origin::Host,
            mac,
            sent: 0,
            offers: Vec::new(),
            cut: false,
            lease: None,
            alive: Vec::new(),
            refused: Vec::new(),
            expected: Vec::new(),
            way: Vec::new(),
            unheard: false,
        }
    }
}

/// An address that a server was asked to lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DhcpLease {
    /// The address.
    pub address: Ipv4Addr,
    /// The server; none where a remembered address was asked for and nobody answered.
    #[serde(default)]
    pub server: Option<Ipv4Addr>,
    /// What the server said; silence is none.
    #[serde(default)]
    pub granted: Option<bool>,
    /// Whether a RELEASE was sent, which nobody confirms.
    #[serde(default)]
    pub released: bool,
}

impl DhcpLease {
    /// `address` is asked for.
    pub fn new(address: Ipv4Addr, server: Option<Ipv4Addr>) -> Self {
        Self { address, server, granted: None, released: false }
    }
}

/// A server's offer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DhcpOffer {
    /// The server's identifier (option 54).
    pub server: Ipv4Addr,
    /// The address that the frame came from: the server's, or a relay's.
    pub frame_from: MacAddr,
    /// The relay (`giaddr`), where one is told.
    #[serde(default)]
    pub relay: Option<Ipv4Addr>,
    /// The address offered.
    pub address: Ipv4Addr,
    /// The length of the network's prefix (option 1).
    #[serde(default)]
    pub prefix: Option<u8>,
    /// The gateways (option 3).
    #[serde(default)]
    pub routers: Vec<Ipv4Addr>,
    /// The name servers (option 6).
    #[serde(default)]
    pub name_servers: Vec<Ipv4Addr>,
    /// Seconds that it is good for (option 51).
    #[serde(default)]
    pub lease_s: Option<u32>,
    /// Whether the UDP checksum was right; none where the server sent none, or left it to hardware.
    #[serde(default)]
    pub checksum_ok: Option<bool>,
    /// Set where the checksum was left to hardware that the frame did not pass: the server is on this host, and an old client that checks the sum for
    /// itself throws the offer away.
    #[serde(default)]
    pub checksum_unfinished: bool,
    /// Set where its options are cut short, or one that matters has an impossible length.
    #[serde(default)]
    pub malformed: bool,
    /// How many such offers came.
    #[serde(default)]
    pub count: u32,
    /// All its options but the message's type, as far as they fit.
    #[serde(default)]
    pub options: Vec<DhcpOption>,
    /// Microseconds from the first question to it.
    #[serde(default)]
    pub after_us: Option<u64>,
    /// The first device of this host that it came in by.
    #[serde(default)]
    pub came_in_by: Option<IfIndex>,
    /// The devices that it crossed, in order.
    #[serde(default)]
    pub way: Vec<Crossing>,
}

/// An option of a DHCP message (RFC 2132).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct DhcpOption {
    /// Which.
    pub code: u8,
    /// Its bytes in hexadecimal: what a server says may be anything.
    pub hex: String,
}

impl DhcpOption {
    /// An option with these bytes.
    pub fn new(code: u8, bytes: &[u8]) -> Self {
        let hex = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]).filter_map(|half| char::from_digit(half.into(), 16)).collect();
        Self { code, hex }
    }
}

impl DhcpOffer {
    /// `server` offers `address`.
    pub fn new(server: Ipv4Addr, frame_from: MacAddr, address: Ipv4Addr) -> Self {
        Self {
            server,
            frame_from,
            relay: None,
            address,
            prefix: None,
            routers: Vec::new(),
            name_servers: Vec::new(),
            lease_s: None,
            checksum_ok: None,
            checksum_unfinished: false,
            malformed: false,
            count: 1,
            options: Vec::new(),
            after_us: None,
            came_in_by: None,
            way: Vec::new(),
        }
    }
}

/// What an instance that darkport played on one bridge could do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SyntheticRun {
    /// The bridge that it was a port of.
    pub bridge: IfIndex,
    /// The VLAN that it was in, where the bridge filters VLANs.
    #[serde(default)]
    pub vid: Option<Vid>,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Its device in the bridge, which is gone: the first that its frames cross.
    #[serde(default)]
    pub port: Option<IfIndex>,
    /// The address that it used.
    #[serde(default)]
    pub address: Option<Ipv4Addr>,
    /// The offers that it had of DHCP servers. At which devices they passed stands in the test.
    #[serde(default)]
    pub offers: Vec<DhcpOffer>,
    /// What it tried, in order.
    #[serde(default)]
    pub tests: Vec<SyntheticTest>,
}

impl SyntheticRun {
    /// One on `bridge` with this hardware address.
    pub fn new(bridge: IfIndex, mac: MacAddr) -> Self {
        Self { bridge, vid: None, mac, port: None, address: None, offers: Vec::new(), tests: Vec::new() }
    }
}

/// One thing that a synthetic instance tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct SyntheticTest {
    /// What.
    pub kind: TestKind,
    /// Whom it asked, where that is one.
    #[serde(default)]
    pub target: Option<IpAddr>,
    /// How often it was tried; 0 where what comes before it failed, so that it could not be.
    pub tries: u32,
    /// How often it succeeded.
    pub passed: u32,
    /// What was seen, or why it could not be tried.
    #[serde(default)]
    pub detail: String,
    /// The devices that questions and answers crossed.
    #[serde(default)]
    pub way: Vec<Crossing>,
}

impl SyntheticTest {
    /// A test of this kind that was not tried yet.
    pub fn new(kind: TestKind) -> Self {
        Self { kind, target: None, tries: 0, passed: 0, detail: String::new(), way: Vec::new() }
    }

    /// It was tried and never succeeded.
    pub fn failed(&self) -> bool {
        self.tries > 0 && self.passed == 0
    }
}

/// What a synthetic instance tries, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum TestKind {
    /// DISCOVER until an OFFER.
    Dhcp,
    /// ARP for the gateway.
    ArpGateway,
    /// An ICMP echo to the gateway.
    PingGateway,
    /// An ICMP echo as long as the MTU allows, with DF set.
    FullMtu,
    /// A TCP connection to 169.254.169.254, port 80.
    Metadata,
    /// A DNS question to the server offered.
    Dns,
    /// An IPv6 router solicitation (RFC 4861).
    RouterSolicitation,
}

/// Frames of one protocol that the kernel dropped for one reason in one function while darkport probed (linux, tracepoint
/// `skb:kfree_skb`). They may be anybody's, so that they are evidence for a place and never a cause: what was dropped as often before
/// anything was sent is no work of the probes'.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct KernelDrop {
    /// The kernel's reason: `NETFILTER_DROP`, `TC_INGRESS`. Empty where the kernel gives none (before Linux 5.17).
    pub reason: String,
    /// The function that dropped it, as the kernel names it. Empty where the kernel hides its addresses.
    pub function: String,
    /// The `EtherType` that the frame had there: 0x0806 is ARP.
    #[serde(default)]
    pub protocol: u16,
    /// How many.
    pub frames: u32,
    /// In this time, in milliseconds.
    #[serde(default)]
    pub over_ms: u64,
    /// How many before probing began.
    #[serde(default)]
    pub before: u32,
    /// In this time, in milliseconds.
    #[serde(default)]
    pub before_ms: u64,
}

impl KernelDrop {
    /// One frame dropped in `function` for `reason`.
    pub fn new(reason: impl Into<String>, function: impl Into<String>) -> Self {
        Self { reason: reason.into(), function: function.into(), protocol: 0, frames: 1, over_ms: 0, before: 0, before_ms: 0 }
    }

    /// Whether frames end so on a healthy host too: a bridge hands its host what is for others, and the host lets it go.
    pub fn is_usual(&self) -> bool {
        match self.reason.as_str() {
            // Before Linux 5.17 the function is all that is told.
            "" => matches!(self.function.as_str(), "" | "arp_process" | "arp_rcv" | "br_pass_frame_up" | "ip_rcv" | "packet_rcv"),
            "NOT_SPECIFIED" | "OTHERHOST" | "NO_SOCKET" | "SOCKET_FILTER" | "UNHANDLED_PROTO" | "IP_NOPROTO" | "NO_TX_TARGET" => true,
            reason => reason.starts_with("TCP_"),
        }
    }

    /// Dropped at least thrice, and more than twice as often as in the time before, to which one frame is granted that chance may have
    /// kept away.
    pub fn stands_out(&self) -> bool {
        let scaled = |frames: u32, ms: u64| u128::from(frames).saturating_mul(u128::from(ms.max(1)));
        self.frames >= 3 && scaled(self.frames, self.before_ms) > scaled(self.before.saturating_add(1), self.over_ms).saturating_mul(2)
    }
}

#[cfg(test)]
mod tests {
    use super::KernelDrop;

    #[test]
    fn an_ordinary_end_is_no_evidence() {
        for (reason, function) in [("NOT_SPECIFIED", "br_pass_frame_up"), ("OTHERHOST", "ip_rcv_core"), ("", "arp_rcv"), ("", "")] {
            assert!(KernelDrop::new(reason, function).is_usual(), "{reason} {function}");
        }
        for (reason, function) in [("NETFILTER_DROP", ""), ("TC_INGRESS", "__netif_receive_skb_core"), ("", "nf_hook_slow")] {
            assert!(!KernelDrop::new(reason, function).is_usual(), "{reason} {function}");
        }
    }

    #[test]
    fn a_drop_stands_out_against_the_time_before() {
        let drop = |frames, before, before_ms| {
            let mut drop = KernelDrop::new("NETFILTER_DROP", "nf_hook_slow");
            (drop.frames, drop.over_ms, drop.before, drop.before_ms) = (frames, 2000, before, before_ms);
            drop.stands_out()
        };
        assert!(drop(24, 0, 2000) && drop(24, 10, 2000) && drop(5, 0, 1000));
        assert!(!drop(24, 12, 2000), "as often before");
        assert!(!drop(2, 0, 2000), "too few");
        assert!(!drop(24, 0, 100), "too short a time before to tell");
        assert!(!drop(u32::MAX, u32::MAX, 2000) && !drop(24, 0, 0));
    }
}
