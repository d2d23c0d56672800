//! `RTM_NEWLINK`: one interface (linux, `include/uapi/linux/if_link.h`, `net/core/rtnetlink.c` `rtnl_fill_ifinfo`).

use darkport_model::{Carrier, Counters, IfIndex, Link, MacAddr, OperState, Sampled, UnknownAttribute};

use super::kind;
use crate::wire::{Attribute, Malformed, Message, field};

const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
const IFLA_LINKINFO: u16 = 18;
const IFLA_STATS64: u16 = 23;
const IFLA_PROMISCUITY: u16 = 30;
const IFLA_CARRIER: u16 = 33;
const IFLA_CARRIER_CHANGES: u16 = 35;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_PERM_ADDRESS: u16 = 54;
/// The highest number whose meaning is known here, used or not (`IFLA_TAILROOM`, linux 6.18).
const IFLA_KNOWN: u16 = 69;

/// `IFF_*` (linux, `include/uapi/linux/if.h`).
const IFF_UP: u32 = 1;
const IFF_PROMISC: u32 = 0x100;
const IFF_LOWER_UP: u32 = 0x1_0000;

/// A name has 15 bytes (`IFNAMSIZ`), an alternative one 127 (`ALTIFNAMSIZ`).
const NAME_MAX: usize = 32;
const ALT_NAME_MAX: usize = 128;
const ALT_NAMES_MAX: usize = 32;
const UNKNOWN_MAX: usize = 32;

pub(super) fn decode(message: &Message<'_>) -> Result<Link, Malformed> {
    let (header, attributes) = message.split::<16>()?;
    let device_type = u16::from_ne_bytes(field(header, 2));
    let flags = u32::from_ne_bytes(field(header, 8));
    let mut link = Link::new(u32::from_ne_bytes(field(header, 4)), String::new());
    link.admin_up = flags & IFF_UP != 0;
    link.promisc = flags & IFF_PROMISC != 0;
    let mut signal = flags & IFF_LOWER_UP != 0;
    let mut info = kind::Info::default();
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            IFLA_ADDRESS => link.mac = ethernet(&attribute),
            IFLA_IFNAME => link.name = attribute.text(NAME_MAX),
            IFLA_MTU => link.mtu = attribute.u32()?,
            IFLA_LINK => link.lower = index(attribute.u32()?),
            IFLA_MASTER => link.master = index(attribute.u32()?),
            IFLA_TXQLEN => link.tx_queue_len = Some(attribute.u32()?),
            IFLA_OPERSTATE => link.oper_state = oper_state(attribute.u8()?),
            IFLA_LINKINFO => info = kind::decode(&attribute)?,
            IFLA_STATS64 => link.counters = Sampled::once(counters(attribute.payload)),
            IFLA_PROMISCUITY => link.promiscuity = Some(attribute.u32()?),
            IFLA_CARRIER => signal = attribute.flag()?,
            IFLA_CARRIER_CHANGES => link.carrier_changes = Some(attribute.u32()?),
            IFLA_LINK_NETNSID => link.lower_elsewhere = true,
            IFLA_PROP_LIST => link.alt_names = alternative_names(&attribute)?,
            IFLA_PERM_ADDRESS => link.permanent_mac = ethernet(&attribute).filter(|mac| *mac != MacAddr::default()),
            unknown if unknown > IFLA_KNOWN && link.unknown.len() < UNKNOWN_MAX => {
                link.unknown.push(UnknownAttribute::new(unknown, attribute.payload));
            }
            _ => {}
        }
    }
    link.carrier = match (link.admin_up, signal) {
        (false, _) => Carrier::Unknown,
        (true, true) => Carrier::Up,
        (true, false) => Carrier::Down,
    };
    // A device on nothing else has its own index here in old kernels.
    link.lower = link.lower.filter(|lower| *lower != link.index || link.lower_elsewhere);
    link.port = info.port;
    link.bond_slave = info.bond_slave;
    link.kind = kind::settle(info.kind, device_type);
    Ok(link)
}

fn ethernet(attribute: &Attribute<'_>) -> Option<MacAddr> {
    attribute.mac()
}

pub(super) fn index(index: u32) -> Option<IfIndex> {
    (index != 0).then_some(IfIndex(index))
}

fn oper_state(state: u8) -> OperState {
    match state {
        1 => OperState::NotPresent,
        2 => OperState::Down,
        3 => OperState::LowerLayerDown,
        4 => OperState::Testing,
        5 => OperState::Dormant,
        6 => OperState::Up,
        _ => OperState::Unknown,
    }
}

fn alternative_names(list: &Attribute<'_>) -> Result<Vec<String>, Malformed> {
    let mut names = Vec::new();
    for property in list.nested() {
        let property = property?;
        if property.kind == IFLA_ALT_IFNAME && names.len() < ALT_NAMES_MAX {
            names.push(property.text(ALT_NAME_MAX));
        }
    }
    Ok(names)
}

/// `struct rtnl_link_stats64`; what an older kernel's shorter one lacks is 0.
fn counters(stats: &[u8]) -> Counters {
    let at = |number: usize| u64::from_ne_bytes(field(stats, number * 8));
    let mut counters = Counters::default();
    counters.rx_packets = at(0);
    counters.tx_packets = at(1);
    counters.rx_bytes = at(2);
    counters.tx_bytes = at(3);
    counters.rx_errors = at(4);
    counters.tx_errors = at(5);
    counters.rx_dropped = at(6);
    counters.tx_dropped = at(7);
    counters.multicast = at(8);
    counters.collisions = at(9);
    counters.rx_length_errors = at(10);
    counters.rx_over_errors = at(11);
    counters.rx_crc_errors = at(12);
    counters.rx_frame_errors = at(13);
    counters.rx_fifo_errors = at(14);
    counters.rx_missed_errors = at(15);
    counters.tx_aborted_errors = at(16);
    counters.tx_carrier_errors = at(17);
    counters.tx_fifo_errors = at(18);
    counters.tx_heartbeat_errors = at(19);
    counters.tx_window_errors = at(20);
    // 21 and 22 count compressed packets of serial lines.
    counters.rx_nohandler = at(23);
    counters
}
