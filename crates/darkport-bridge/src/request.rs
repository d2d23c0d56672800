//! Requests: a netlink header, a fixed header, attributes.

use darkport_model::{IfIndex, MacAddr, Vid};

use crate::wire::{AF_BRIDGE, AF_UNSPEC};

const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETROUTE: u16 = 26;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETRULE: u16 = 34;
const RTM_GETQDISC: u16 = 38;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ROOT_AND_MATCH: u16 = 0x300;

const IFLA_EXT_MASK: u16 = 29;
const RTEXT_FILTER_BRVLAN_COMPRESSED: u32 = 1 << 2;
const NDA_LLADDR: u16 = 2;
const NDA_VLAN: u16 = 5;
const NDA_MASTER: u16 = 9;
const NTF_MASTER: u8 = 1 << 2;

/// One request, without its sequence number.
#[derive(Debug, Clone)]
pub(crate) struct Request(Vec<u8>);

impl Request {
    fn new(kind: u16, flags: u16, header: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | flags).to_ne_bytes());
        bytes.extend([0; 8]);
        bytes.extend(header);
        Self(bytes)
    }

    /// A dump whose fixed header is `length` bytes of nothing but a family.
    fn dump(kind: u16, family: u8, length: usize) -> Self {
        let mut header = vec![0; length];
        if let Some(first) = header.first_mut() {
            *first = family;
        }
        Self::new(kind, NLM_F_ROOT_AND_MATCH, &header)
    }

    fn with(mut self, kind: u16, payload: &[u8]) -> Self {
        // Payloads are a few bytes, written here: no length can overflow.
        let length = u16::try_from(payload.len() + 4).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(payload);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// All links, with their counters.
    pub(crate) fn links() -> Self {
        Self::dump(RTM_GETLINK, AF_UNSPEC, 16)
    }

    /// All bridge ports with their VLANs, ranges told as ranges.
    pub(crate) fn bridge_vlans() -> Self {
        Self::dump(RTM_GETLINK, AF_BRIDGE, 16).with(IFLA_EXT_MASK, &RTEXT_FILTER_BRVLAN_COMPRESSED.to_ne_bytes())
    }

    pub(crate) fn addresses() -> Self {
        Self::dump(RTM_GETADDR, AF_UNSPEC, 8)
    }

    pub(crate) fn neighbours() -> Self {
        Self::dump(RTM_GETNEIGH, AF_UNSPEC, 12)
    }

    pub(crate) fn routes(family: u8) -> Self {
        Self::dump(RTM_GETROUTE, family, 12)
    }

    pub(crate) fn rules(family: u8) -> Self {
        Self::dump(RTM_GETRULE, family, 12)
    }

    pub(crate) fn qdiscs() -> Self {
        Self::dump(RTM_GETQDISC, AF_UNSPEC, 20)
    }

    /// All bridges' forwarding entries, and what other devices keep.
    pub(crate) fn fdb() -> Self {
        Self::dump(RTM_GETNEIGH, AF_BRIDGE, 12)
    }

    /// The forwarding entries of one bridge. Only for a kernel with strict checking: others read a filter in another form.
    pub(crate) fn fdb_of(bridge: IfIndex) -> Self {
        Self::fdb().with(NDA_MASTER, &bridge.0.to_ne_bytes())
    }

    /// The addresses that belong to the bridge itself, which no port has. Needs strict checking too.
    pub(crate) fn fdb_own(bridge: IfIndex) -> Self {
        let [a, b, c, d] = bridge.0.to_ne_bytes();
        let header = [AF_BRIDGE, 0, 0, 0, a, b, c, d, 0, 0, 0, 0];
        Self::new(RTM_GETNEIGH, NLM_F_ROOT_AND_MATCH, &header).with(NDA_MASTER, &bridge.0.to_ne_bytes())
    }

    /// One entry of a bridge's forwarding database, by its key (linux 5.0 and later, `rtnl_fdb_get`).
    pub(crate) fn fdb_entry(bridge: IfIndex, mac: MacAddr, vid: Option<Vid>) -> Self {
        let header = [AF_BRIDGE, 0, 0, 0, 0, 0, 0, 0, 0, 0, NTF_MASTER, 0];
        let asked = Self::new(RTM_GETNEIGH, 0, &header).with(NDA_LLADDR, &mac.0).with(NDA_MASTER, &bridge.0.to_ne_bytes());
        match vid {
            Some(vid) => asked.with(NDA_VLAN, &vid.get().to_ne_bytes()),
            None => asked,
        }
    }

    /// The bytes, with the sequence number that the answers will carry.
    pub(crate) fn numbered(&self, sequence: u32) -> Vec<u8> {
        let mut bytes = self.0.clone();
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        for (at, byte) in length.to_ne_bytes().into_iter().enumerate().chain((8..).zip(sequence.to_ne_bytes())) {
            if let Some(slot) = bytes.get_mut(at) {
                *slot = byte;
            }
        }
        bytes
    }
}
