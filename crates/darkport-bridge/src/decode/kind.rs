//! `IFLA_LINKINFO`: what kind of device, and what it is to its master.

use darkport_model::{BondSlaveState, LinkKind, Port, Vid};

use super::bridge;
use super::link::index;
use crate::wire::{Attribute, Malformed};

const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_INFO_SLAVE_KIND: u16 = 4;
const IFLA_INFO_SLAVE_DATA: u16 = 5;

/// `ARPHRD_*` (linux, `include/uapi/linux/if_arp.h`).
const ARPHRD_LOOPBACK: u16 = 772;
const ARPHRD_NONE: u16 = 0xfffe;

const KIND_MAX: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Info {
    pub(super) kind: Option<LinkKind>,
    pub(super) port: Option<Port>,
    pub(super) bond_slave: Option<BondSlaveState>,
}

pub(super) fn decode(info: &Attribute<'_>) -> Result<Info, Malformed> {
    let (mut kind, mut data, mut slave_kind, mut slave_data) = (None, None, None, None);
    for attribute in info.nested() {
        let attribute = attribute?;
        match attribute.kind {
            IFLA_INFO_KIND => kind = Some(attribute),
            IFLA_INFO_DATA => data = Some(attribute),
            IFLA_INFO_SLAVE_KIND => slave_kind = Some(attribute),
            IFLA_INFO_SLAVE_DATA => slave_data = Some(attribute),
            _ => {}
        }
    }
    let mut seen = Info::default();
    if let Some(kind) = kind {
        seen.kind = Some(decode_kind(&kind, data.as_ref())?);
    }
    if let (Some(kind), Some(data)) = (slave_kind, slave_data) {
        match trimmed(kind.payload) {
            b"bridge" => seen.port = Some(bridge::port(&data)?),
            b"bond" => seen.bond_slave = Some(bond_slave(&data)?),
            _ => {}
        }
    }
    Ok(seen)
}

fn trimmed(name: &[u8]) -> &[u8] {
    name.strip_suffix(&[0]).unwrap_or(name)
}

/// A device without a kind is the loopback or a NIC. A kernel that tells nothing of a tun device's mode (before 4.19) still tells
/// its type.
pub(super) fn settle(kind: Option<LinkKind>, device_type: u16) -> LinkKind {
    match kind {
        None if device_type == ARPHRD_LOOPBACK => LinkKind::Loopback,
        None => LinkKind::Physical,
        Some(LinkKind::Tun { persist, multi_queue, queues, .. }) => {
            LinkKind::Tun { tap: device_type != ARPHRD_NONE, persist, multi_queue, queues }
        }
        Some(kind) => kind,
    }
}

fn decode_kind(kind: &Attribute<'_>, data: Option<&Attribute<'_>>) -> Result<LinkKind, Malformed> {
    Ok(match trimmed(kind.payload) {
        b"bridge" => bridge::settings(data)?,
        b"vlan" => vlan(data)?,
        b"tun" => tun(data)?,
        b"veth" => LinkKind::Veth,
        b"bond" => bond(data)?,
        b"macvlan" => LinkKind::Macvlan { mode: macvlan_mode(data)? },
        b"macvtap" => LinkKind::Macvtap { mode: macvlan_mode(data)? },
        b"vxlan" => LinkKind::Vxlan { vni: number(data, 1)?.unwrap_or_default() },
        _ => LinkKind::Other { name: kind.text(KIND_MAX) },
    })
}

/// The `u32` attribute `wanted` of a device's data.
fn number(data: Option<&Attribute<'_>>, wanted: u16) -> Result<Option<u32>, Malformed> {
    for attribute in data.into_iter().flat_map(Attribute::nested) {
        let attribute = attribute?;
        if attribute.kind == wanted {
            return attribute.u32().map(Some);
        }
    }
    Ok(None)
}

/// `IFLA_VLAN_*`.
fn vlan(data: Option<&Attribute<'_>>) -> Result<LinkKind, Malformed> {
    let (mut vid, mut protocol) = (None, 0x8100);
    for attribute in data.into_iter().flat_map(Attribute::nested) {
        let attribute = attribute?;
        match attribute.kind {
            1 => vid = Vid::try_from(attribute.u16()?).ok(),
            5 => protocol = attribute.be16()?,
            _ => {}
        }
    }
    let protocol = match protocol {
        0x8100 => "802.1Q".to_owned(),
        0x88a8 => "802.1ad".to_owned(),
        other => format!("{other:#06x}"),
    };
    Ok(match vid {
        Some(vid) => LinkKind::Vlan { vid, protocol },
        None => LinkKind::Other { name: "vlan".to_owned() },
    })
}

/// `IFLA_TUN_*`, since linux 4.19. The mode comes from the device's type, which every kernel tells.
fn tun(data: Option<&Attribute<'_>>) -> Result<LinkKind, Malformed> {
    let (mut persist, mut multi_queue, mut queues) = (false, false, None);
    for attribute in data.into_iter().flat_map(Attribute::nested) {
        let attribute = attribute?;
        match attribute.kind {
            6 => persist = attribute.flag()?,
            7 => multi_queue = attribute.flag()?,
            8 => queues = Some(attribute.u32()?),
            _ => {}
        }
    }
    Ok(LinkKind::Tun { tap: true, persist, multi_queue, queues })
}

/// `IFLA_MACVLAN_MODE`.
fn macvlan_mode(data: Option<&Attribute<'_>>) -> Result<String, Malformed> {
    Ok(match number(data, 1)? {
        Some(1) => "private".to_owned(),
        Some(2) => "vepa".to_owned(),
        Some(4) => "bridge".to_owned(),
        Some(8) => "passthru".to_owned(),
        Some(16) => "source".to_owned(),
        Some(other) => other.to_string(),
        None => String::new(),
    })
}

/// `IFLA_BOND_*`; modes by their names (linux, `drivers/net/bonding/bond_options.c`).
fn bond(data: Option<&Attribute<'_>>) -> Result<LinkKind, Malformed> {
    let (mut mode, mut active_slave, mut miimon_ms) = (String::new(), None, 0);
    for attribute in data.into_iter().flat_map(Attribute::nested) {
        let attribute = attribute?;
        match attribute.kind {
            1 => {
                mode = match attribute.u8()? {
                    0 => "balance-rr".to_owned(),
                    1 => "active-backup".to_owned(),
                    2 => "balance-xor".to_owned(),
                    3 => "broadcast".to_owned(),
                    4 => "802.3ad".to_owned(),
                    5 => "balance-tlb".to_owned(),
                    6 => "balance-alb".to_owned(),
                    other => other.to_string(),
                }
            }
            2 => active_slave = index(attribute.u32()?),
            3 => miimon_ms = attribute.u32()?,
            _ => {}
        }
    }
    Ok(LinkKind::Bond { mode, active_slave, miimon_ms })
}

/// `IFLA_BOND_SLAVE_*`.
fn bond_slave(data: &Attribute<'_>) -> Result<BondSlaveState, Malformed> {
    let mut slave = BondSlaveState::default();
    for attribute in data.nested() {
        let attribute = attribute?;
        match attribute.kind {
            1 => slave.active = attribute.u8()? == 0,
            2 => slave.mii_up = attribute.u8()? == 0,
            3 => slave.link_failures = attribute.u32()?,
            6 => slave.aggregator = Some(attribute.u16()?),
            _ => {}
        }
    }
    Ok(slave)
}
