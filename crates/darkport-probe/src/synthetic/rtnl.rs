//! The few changes that a synthetic instance makes, by rtnetlink. They stand here and not in `darkport-bridge`, which only reads.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use darkport_model::{MacAddr, Vid};
use netlink_sys::{Socket, SocketAddr, constants::NETLINK_ROUTE};

const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE_EXCL: u16 = 0x600;

const AF_INET: u8 = 2;
const AF_BRIDGE: u8 = 7;
const AF_INET6: u16 = 10;
const IFF_UP: u32 = 1;

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_DATA: u16 = 5;
const IFLA_BRPORT_STATE: u16 = 1;
const VETH_INFO_PEER: u16 = 1;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
/// `BRIDGE_VLAN_INFO_PVID | BRIDGE_VLAN_INFO_UNTAGGED` (linux, `include/uapi/linux/if_bridge.h`).
const ACCESS_PORT: u16 = 2 | 4;
const OPER_UP: u8 = 6;
const FORWARDING: u8 = 3;

/// The pair of devices that is to be made.
#[derive(Debug, Clone)]
pub(super) struct Pair<'a> {
    /// The name of the end in the host's namespace.
    pub(super) name: &'a str,
    pub(super) mtu: u32,
    pub(super) mac: MacAddr,
    /// The far end's address, and the namespace that it is born in.
    pub(super) guest_mac: MacAddr,
    pub(super) guest: BorrowedFd<'a>,
}

/// Attributes one behind the other.
#[derive(Default)]
struct Attributes(Vec<u8>);

impl Attributes {
    fn with(mut self, kind: u16, payload: &[u8]) -> Self {
        // Payloads are a few dozen bytes, written here: no length can overflow.
        let length = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(payload);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    fn name(self, name: &str) -> Self {
        let mut text = name.as_bytes().to_vec();
        text.push(0);
        self.with(IFLA_IFNAME, &text)
    }

    fn device(self, name: &str, mac: MacAddr, mtu: u32) -> Self {
        self.name(name).with(IFLA_ADDRESS, &mac.0).with(IFLA_MTU, &mtu.to_ne_bytes())
    }
}

/// `struct ifinfomsg`.
fn ifinfo(family: u8, index: u32, flags: u32) -> Vec<u8> {
    let mut header = vec![family, 0, 0, 0];
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header
}

/// A `NETLINK_ROUTE` socket that changes one thing at a time and waits for the kernel's word on it.
pub(super) struct Rtnl {
    socket: Socket,
    sequence: u32,
}

impl Rtnl {
    /// In the calling thread's network namespace, whichever that thread enters later.
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Makes both ends with one message. The far end is born where it is to live: at no moment is there a device that would outlive the
    /// far namespace (linux, `drivers/net/veth.c`, `veth_newlink`).
    pub(super) fn make_pair(&mut self, pair: &Pair<'_>) -> io::Result<()> {
        let far = Attributes::default().device("eth0", pair.guest_mac, pair.mtu);
        let far = far.with(IFLA_NET_NS_FD, &pair.guest.as_raw_fd().to_ne_bytes());
        let mut peer = ifinfo(0, 0, 0);
        peer.extend(far.0);
        let data = Attributes::default().with(VETH_INFO_PEER, &peer);
        let info = Attributes::default().with(IFLA_INFO_KIND, b"veth\0").with(IFLA_INFO_DATA, &data.0);
        let link = Attributes::default().device(pair.name, pair.mac, pair.mtu).with(IFLA_LINKINFO, &info.0);
        self.change(RTM_NEWLINK, NLM_F_CREATE_EXCL, &ifinfo(0, 0, 0), &link)
    }

    /// No IPv6 address of the kernel's own making, and so no neighbour discovery and no group: the device is not to speak.
    pub(super) fn silence_ipv6(&mut self, index: u32) -> io::Result<()> {
        let mode = Attributes::default().with(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
        let spec = Attributes::default().with(AF_INET6, &mode.0);
        self.change(RTM_SETLINK, 0, &ifinfo(0, index, 0), &Attributes::default().with(IFLA_AF_SPEC, &spec.0))
    }

    pub(super) fn enslave(&mut self, index: u32, bridge: u32) -> io::Result<()> {
        self.change(RTM_SETLINK, 0, &ifinfo(0, index, 0), &Attributes::default().with(IFLA_MASTER, &bridge.to_ne_bytes()))
    }

    /// Makes a port untagged in `vid`, and in `instead` no longer, as an instance's tap is.
    pub(super) fn access_port(&mut self, index: u32, vid: Vid, instead: Option<Vid>) -> io::Result<()> {
        let vlan = |flags: u16, vid: Vid| {
            let mut info = flags.to_ne_bytes().to_vec();
            info.extend(vid.get().to_ne_bytes());
            Attributes::default().with(IFLA_AF_SPEC, &Attributes::default().with(IFLA_BRIDGE_VLAN_INFO, &info).0)
        };
        if let Some(other) = instead.filter(|other| *other != vid) {
            self.change(RTM_DELLINK, 0, &ifinfo(AF_BRIDGE, index, 0), &vlan(0, other))?;
        }
        self.change(RTM_SETLINK, 0, &ifinfo(AF_BRIDGE, index, 0), &vlan(ACCESS_PORT, vid))
    }

    pub(super) fn up(&mut self, index: u32) -> io::Result<()> {
        self.change(RTM_SETLINK, 0, &ifinfo(0, index, IFF_UP), &Attributes::default())
    }

    pub(super) fn delete(&mut self, index: u32) -> io::Result<()> {
        self.change(RTM_DELLINK, 0, &ifinfo(0, index, 0), &Attributes::default())
    }

    pub(super) fn address(&mut self, index: u32, address: Ipv4Addr, prefix: u8) -> io::Result<()> {
        let mut header = vec![AF_INET, prefix, 0, 0];
        header.extend(index.to_ne_bytes());
        // IFA_ADDRESS, IFA_LOCAL.
        let attributes = Attributes::default().with(1, &address.octets()).with(2, &address.octets());
        self.change(RTM_NEWADDR, NLM_F_CREATE_EXCL, &header, &attributes)
    }

    pub(super) fn default_route(&mut self, index: u32, gateway: Ipv4Addr) -> io::Result<()> {
        // `struct rtmsg`: main table, RTPROT_STATIC, RT_SCOPE_UNIVERSE, RTN_UNICAST.
        let header = [AF_INET, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0];
        // RTA_GATEWAY, RTA_OIF.
        let attributes = Attributes::default().with(5, &gateway.octets()).with(4, &index.to_ne_bytes());
        self.change(RTM_NEWROUTE, NLM_F_CREATE_EXCL, &header, &attributes)
    }

    /// The number of the device of this name.
    pub(super) fn index(&mut self, name: &str) -> io::Result<u32> {
        let answer = self.ask(RTM_GETLINK, 0, &ifinfo(0, 0, 0), &Attributes::default().name(name))?;
        word(&answer, 20).filter(|index| *index > 0).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Whether a device has its carrier and, where it is a port of a bridge, forwards.
    pub(super) fn forwards(&mut self, index: u32) -> io::Result<bool> {
        let answer = self.ask(RTM_GETLINK, 0, &ifinfo(0, index, 0), &Attributes::default())?;
        let link = answer.get(32..).unwrap_or_default();
        let up = attribute(link, IFLA_OPERSTATE).and_then(<[u8]>::first) == Some(&OPER_UP);
        let port = attribute(link, IFLA_LINKINFO).and_then(|info| attribute(info, IFLA_INFO_SLAVE_DATA));
        // Kernels before 3.19 do not tell a port's state here.
        let state = port.and_then(|port| attribute(port, IFLA_BRPORT_STATE)).and_then(<[u8]>::first);
        Ok(up && state.is_none_or(|state| *state == FORWARDING))
    }

    fn change(&mut self, kind: u16, flags: u16, header: &[u8], attributes: &Attributes) -> io::Result<()> {
        self.ask(kind, NLM_F_ACK | flags, header, attributes).map(drop)
    }

    /// Sends one message and gives back the one that answers it.
    fn ask(&mut self, kind: u16, flags: u16, header: &[u8], attributes: &Attributes) -> io::Result<Vec<u8>> {
        self.sequence = self.sequence.wrapping_add(1);
        let length = 16 + header.len() + attributes.0.len();
        let mut message = u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes().to_vec();
        message.extend(kind.to_ne_bytes());
        message.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend([0; 4]);
        message.extend(header);
        message.extend(&attributes.0);
        self.socket.send(&message, 0)?;
        loop {
            // The kernel answers such requests before `send` returns: this does not wait.
            let (answer, _) = self.socket.recv_from_full()?;
            if word(&answer, 8) != Some(self.sequence) {
                continue;
            }
            let error = answer.get(16..).and_then(|body| body.first_chunk().copied()).map_or(0, i32::from_ne_bytes);
            if half(&answer, 4) == Some(NLMSG_ERROR) && error != 0 {
                return Err(io::Error::from_raw_os_error(error.wrapping_neg()));
            }
            return Ok(answer);
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

/// The payload of the first attribute of this kind.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let length = usize::from(half(bytes, 0)?);
        let payload = bytes.get(4..length)?;
        // NLA_F_NESTED and NLA_F_NET_BYTEORDER share the two high bits.
        if half(bytes, 2)? & 0x3fff == wanted {
            return Some(payload);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_padded_and_found_again() {
        let written = Attributes::default().name("dp").with(IFLA_OPERSTATE, &[OPER_UP]).with(IFLA_MTU, &1500u32.to_ne_bytes());
        assert_eq!(written.0.len() % 4, 0);
        assert_eq!(attribute(&written.0, IFLA_OPERSTATE), Some(&[OPER_UP][..]));
        assert_eq!(attribute(&written.0, IFLA_MTU), Some(&1500u32.to_ne_bytes()[..]));
        assert_eq!(attribute(&written.0, IFLA_MASTER), None);
    }

    #[test]
    fn a_length_that_lies_ends_the_walk() {
        assert_eq!(attribute(&[0, 0, 1, 0, 0, 0, 0, 0], 9), None);
        assert_eq!(attribute(&[200, 0, 1, 0, 0], 1), None);
    }

    #[test]
    fn a_name_that_is_not_there_is_the_kernels_no() {
        let mut rtnl = Rtnl::open().unwrap();
        assert_eq!(rtnl.index("dp-nobody").unwrap_err().raw_os_error(), Some(libc::ENODEV));
        assert_eq!(rtnl.index("lo").unwrap(), 1);
    }
}
