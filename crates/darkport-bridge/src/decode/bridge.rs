//! Bridges and their ports: `IFLA_BR_*`, `IFLA_BRPORT_*`, and the VLANs of the `AF_BRIDGE` link dump.

use darkport_model::{IfIndex, Link, LinkKind, Port, PortVlan, StpState, Vid};

use crate::wire::{Attribute, Malformed, Message, field};

const IFLA_PROTINFO: u16 = 12;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_BRIDGE_VLAN_INFO: u16 = 2;
const IFLA_BRPORT_STATE: u16 = 1;

/// `BRIDGE_VLAN_INFO_*` (linux, `include/uapi/linux/if_bridge.h`).
const PVID: u16 = 1 << 1;
const UNTAGGED: u16 = 1 << 2;
const RANGE_BEGIN: u16 = 1 << 3;
const RANGE_END: u16 = 1 << 4;

/// `IFLA_BR_*`. A kernel before 4.5 tells only some or none of these, and the defaults stand for the rest.
pub(super) fn settings(data: Option<&Attribute<'_>>) -> Result<LinkKind, Malformed> {
    let (mut stp, mut vlan_filtering, mut default_pvid) = (false, false, None);
    let (mut forward_delay_cs, mut ageing_cs) = (1_500, 30_000);
    let (mut mcast_snooping, mut mcast_querier) = (true, false);
    let [mut ip, mut ip6, mut arp] = [false; 3];
    for attribute in data.into_iter().flat_map(Attribute::nested) {
        let attribute = attribute?;
        match attribute.kind {
            1 => forward_delay_cs = attribute.u32()?,
            4 => ageing_cs = attribute.u32()?,
            5 => stp = attribute.u32()? != 0,
            7 => vlan_filtering = attribute.flag()?,
            23 => mcast_snooping = attribute.flag()?,
            25 => mcast_querier = attribute.flag()?,
            36 => ip = attribute.flag()?,
            37 => ip6 = attribute.flag()?,
            38 => arp = attribute.flag()?,
            39 => default_pvid = vid(attribute.u16()?).filter(|vid| vid.get() != 0),
            _ => {}
        }
    }
    Ok(LinkKind::Bridge {
        stp,
        vlan_filtering,
        default_pvid,
        forward_delay_cs,
        ageing_cs,
        mcast_snooping,
        mcast_querier,
        nf_call_iptables: ip,
        nf_call_ip6tables: ip6,
        nf_call_arptables: arp,
    })
}

/// `IFLA_BRPORT_*`. What an older kernel does not tell is as that kernel behaves: it learns and floods.
pub(super) fn port(data: &Attribute<'_>) -> Result<Port, Malformed> {
    let mut port = Port::forwarding();
    port.state = StpState::Disabled;
    for attribute in data.nested() {
        let attribute = attribute?;
        match attribute.kind {
            IFLA_BRPORT_STATE => port.state = state(attribute.u8()?),
            4 => port.hairpin = attribute.flag()?,
            5 => port.bpdu_guard = attribute.flag()?,
            8 => port.learning = attribute.flag()?,
            9 => port.unicast_flood = attribute.flag()?,
            18 => port.number = Some(attribute.u16()?),
            27 => port.mcast_flood = attribute.flag()?,
            29 => port.vlan_tunnel = attribute.flag()?,
            30 => port.bcast_flood = attribute.flag()?,
            32 => port.neigh_suppress = attribute.flag()?,
            33 => port.isolated = attribute.flag()?,
            39 => port.locked = attribute.flag()?,
            _ => {}
        }
    }
    Ok(port)
}

fn state(state: u8) -> StpState {
    match state {
        1 => StpState::Listening,
        2 => StpState::Learning,
        3 => StpState::Forwarding,
        4 => StpState::Blocking,
        _ => StpState::Disabled,
    }
}

fn vid(vid: u16) -> Option<Vid> {
    Vid::try_from(vid).ok()
}

/// What the `AF_BRIDGE` dump tells of one port, or of the bridge itself as a port of itself.
pub(super) struct BridgePort {
    pub(super) index: IfIndex,
    pub(super) port: Option<Port>,
    pub(super) vlans: Vec<PortVlan>,
}

pub(super) fn decode_port(message: &Message<'_>) -> Result<BridgePort, Malformed> {
    let (header, attributes) = message.split::<16>()?;
    let mut seen = BridgePort { index: IfIndex(u32::from_ne_bytes(field(header, 4))), port: None, vlans: Vec::new() };
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            // Other than `IFLA_INFO_SLAVE_DATA` this one is one byte, the state, in kernels before 3.8.
            IFLA_PROTINFO if attribute.payload.len() >= 8 => seen.port = Some(port(&attribute)?),
            IFLA_AF_SPEC => seen.vlans = vlans(seen.index, &attribute)?,
            _ => {}
        }
    }
    Ok(seen)
}

/// `IFLA_BRIDGE_VLAN_INFO`, one for each VLAN or two for each range.
fn vlans(port: IfIndex, specific: &Attribute<'_>) -> Result<Vec<PortVlan>, Malformed> {
    let mut vlans = Vec::new();
    let mut begun: Option<PortVlan> = None;
    for attribute in specific.nested() {
        let attribute = attribute?;
        if attribute.kind != IFLA_BRIDGE_VLAN_INFO {
            continue;
        }
        let both = attribute.u32()?.to_ne_bytes();
        let flags = u16::from_ne_bytes(field(&both, 0));
        let Some(number) = vid(u16::from_ne_bytes(field(&both, 2))) else { continue };
        let vlan = PortVlan::new(port, number, flags & PVID != 0, flags & UNTAGGED != 0);
        if flags & RANGE_BEGIN != 0 {
            begun = Some(vlan);
        } else if flags & RANGE_END != 0 {
            let mut range = begun.take().unwrap_or_else(|| vlan.clone());
            range.last = range.first.max(vlan.last);
            vlans.push(range);
        } else {
            vlans.push(vlan);
        }
    }
    Ok(vlans)
}

/// Gives links the port data that only the `AF_BRIDGE` dump told.
pub(crate) fn complete_ports(links: &mut [Link], ports: &[(IfIndex, Port)]) {
    for link in links.iter_mut().filter(|link| link.port.is_none() && link.master.is_some()) {
        link.port = ports.iter().find(|(index, _)| *index == link.index).map(|(_, port)| port.clone());
    }
}
