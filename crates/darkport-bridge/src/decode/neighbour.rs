//! `RTM_NEWNEIGH`: the neighbour table, and with family `AF_BRIDGE` the bridges' forwarding databases
//! (linux, `include/uapi/linux/neighbour.h`, `net/bridge/br_fdb.c` `fdb_fill_info`).

use darkport_model::{FdbEntry, FdbKind, IfIndex, Neighbour, NeighbourState, Vid};

use crate::wire::{Malformed, Message, field};

const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const NDA_CACHEINFO: u16 = 3;
const NDA_VLAN: u16 = 5;
const NDA_MASTER: u16 = 9;

const NTF_PROXY: u8 = 1 << 3;
const NTF_EXT_LEARNED: u8 = 1 << 4;
const NTF_STICKY: u8 = 1 << 6;

const NUD_NOARP: u16 = 0x40;
const NUD_PERMANENT: u16 = 0x80;

/// None for an entry whose address is no IP address, and for those that the host answers for (proxies).
pub(super) fn decode(message: &Message<'_>) -> Result<Option<Neighbour>, Malformed> {
    let (header, attributes) = message.split::<12>()?;
    let [.., state_low, state_high, flags, _] = *header;
    let link = IfIndex(u32::from_ne_bytes(field(header, 4)));
    let (mut address, mut mac) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NDA_DST => address = attribute.ip(),
            NDA_LLADDR => mac = attribute.mac(),
            _ => {}
        }
    }
    let state = state(u16::from_ne_bytes([state_low, state_high]));
    let mac = mac.filter(|_| !matches!(state, NeighbourState::Incomplete | NeighbourState::Failed));
    Ok(address.filter(|_| flags & NTF_PROXY == 0).map(|address| Neighbour::new(link, address, mac, state)))
}

fn state(state: u16) -> NeighbourState {
    match state {
        0x01 => NeighbourState::Incomplete,
        0x02 => NeighbourState::Reachable,
        0x04 => NeighbourState::Stale,
        0x08 => NeighbourState::Delay,
        0x10 => NeighbourState::Probe,
        0x20 => NeighbourState::Failed,
        NUD_NOARP => NeighbourState::NoArp,
        NUD_PERMANENT => NeighbourState::Permanent,
        _ => NeighbourState::Other,
    }
}

/// An entry of a bridge, with the bridge. None for those that a device keeps for itself (`NTF_SELF`): they have no master.
pub(super) fn decode_fdb(message: &Message<'_>) -> Result<Option<(IfIndex, FdbEntry)>, Malformed> {
    let (header, attributes) = message.split::<12>()?;
    let [.., state_low, state_high, flags, _] = *header;
    let port = IfIndex(u32::from_ne_bytes(field(header, 4)));
    let (mut mac, mut vid, mut master, mut age_cs) = (None, None, None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            NDA_LLADDR => mac = attribute.mac(),
            NDA_VLAN => vid = Vid::try_from(attribute.u16()?).ok(),
            NDA_MASTER => master = Some(IfIndex(attribute.u32()?)),
            // `struct nda_cacheinfo`: confirmed, used, updated, refcnt. A bridge writes in `updated` how long ago a frame came.
            NDA_CACHEINFO => age_cs = Some(u32::from_ne_bytes(field(attribute.payload, 8))),
            _ => {}
        }
    }
    let (Some(mac), Some(master)) = (mac, master) else { return Ok(None) };
    let mut entry = FdbEntry::new(mac, port, fdb_kind(u16::from_ne_bytes([state_low, state_high]), flags));
    entry.vid = vid;
    entry.age_cs = age_cs.filter(|_| entry.kind == FdbKind::Learned);
    Ok(Some((master, entry)))
}

fn fdb_kind(state: u16, flags: u8) -> FdbKind {
    if state & NUD_PERMANENT != 0 {
        FdbKind::Local
    } else if flags & NTF_EXT_LEARNED != 0 {
        FdbKind::External
    } else if state & NUD_NOARP != 0 || flags & NTF_STICKY != 0 {
        FdbKind::Static
    } else {
        FdbKind::Learned
    }
}
