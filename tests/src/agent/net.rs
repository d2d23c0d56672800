//! The little rtnetlink that a guest needs: an address, a default route, a device up. Written out by hand because a
//! spawned `ip` costs 40 ms under emulation, and there are many guests.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, socket};

use crate::error::{Doing, LabError, Result};

const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_CREATE: u16 = 0x400;
const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const IFF_UP: u32 = 1;

/// An rtnetlink socket in the calling thread's network namespace.
pub(super) struct Rtnl(OwnedFd);

impl Rtnl {
    /// Opens it.
    pub(super) fn open() -> Result<Self> {
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
            .map(Self)
            .doing(|| "opening a netlink socket".into())
    }

    fn request(&self, kind: u16, flags: u16, body: &[u8], attributes: &[(u16, &[u8])]) -> Result<()> {
        let mut message = vec![0; 16];
        message.extend_from_slice(body);
        for (kind, value) in attributes {
            let length = u16::try_from(value.len() + 4).map_err(|_| LabError::Broken("a netlink attribute too long".into()))?;
            message.extend_from_slice(&length.to_ne_bytes());
            message.extend_from_slice(&kind.to_ne_bytes());
            message.extend_from_slice(value);
            message.resize(message.len().next_multiple_of(4), 0);
        }
        let length = u32::try_from(message.len()).map_err(|_| LabError::Broken("a netlink message too long".into()))?;
        let header = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), &(flags | NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes(), &[0; 8]].concat();
        message.splice(..16, header);
        let doing = || format!("rtnetlink message {kind}");
        send(self.0.as_raw_fd(), &message, MsgFlags::empty()).doing(doing)?;
        let mut answer = [0; 4096];
        let got = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty()).doing(doing)?;
        // nlmsghdr, then nlmsgerr's negative errno.
        let errno = answer.get(16..20).filter(|_| got >= 20).and_then(|b| b.try_into().ok()).map_or(-5, i32::from_ne_bytes);
        if errno == 0 { Ok(()) } else { Err(std::io::Error::from_raw_os_error(-errno)).doing(doing) }
    }

    /// Sets a device up, with the hardware address given.
    pub(super) fn up(&self, device: &str, mac: Option<[u8; 6]>) -> Result<()> {
        let index = index(device)?;
        let body = [&[0; 4][..], &index.to_ne_bytes(), &IFF_UP.to_ne_bytes(), &IFF_UP.to_ne_bytes()].concat();
        let attributes: Vec<(u16, &[u8])> = mac.iter().map(|mac| (1, &mac[..])).collect();
        self.request(RTM_NEWLINK, 0, &body, &attributes)
    }

    /// Gives a device an IPv4 address.
    pub(super) fn address(&self, device: &str, address: Ipv4Addr, prefix: u8, broadcast: Ipv4Addr) -> Result<()> {
        let body = [&[2, prefix, 0, 0][..], &index(device)?.to_ne_bytes()].concat();
        let (address, broadcast) = (address.octets(), broadcast.octets());
        self.request(RTM_NEWADDR, NLM_F_CREATE, &body, &[(2, &address), (1, &address), (4, &broadcast)])
    }

    /// Sets the default route.
    pub(super) fn default_route(&self, gateway: Ipv4Addr) -> Result<()> {
        // rtmsg: family, prefixes, tos, table main, protocol boot, scope universe, type unicast, flags.
        let body = [2, 0, 0, 0, 254, 3, 0, 1, 0, 0, 0, 0];
        self.request(RTM_NEWROUTE, NLM_F_CREATE, &body, &[(5, &gateway.octets())])
    }
}

fn index(device: &str) -> Result<u32> {
    if_nametoindex(device).doing(|| format!("looking for {device}"))
}
