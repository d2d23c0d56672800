//! `RTM_NEWADDR`, `RTM_NEWROUTE`, `RTM_NEWRULE` (linux, `include/uapi/linux/if_addr.h`, `rtnetlink.h`, `fib_rules.h`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use darkport_model::{Address, IfIndex, IpPrefix, Route, RouteKind, Rule};

use super::link::index;
use crate::wire::{AF_INET, AF_INET6, Attribute, Malformed, Message, field, ip};

const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_FLAGS: u16 = 8;
const IFA_F_DADFAILED: u32 = 0x08;
const IFA_F_TENTATIVE: u32 = 0x40;

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_PRIORITY: u16 = 6;
const RTA_PREFSRC: u16 = 7;
const RTA_MULTIPATH: u16 = 9;
const RTA_TABLE: u16 = 15;
const RTA_VIA: u16 = 18;
/// A cached copy of a route, not a route.
const RTM_F_CLONED: u32 = 0x200;
/// Next hops of one route that are kept; the kernel's own limit lies far above what anybody configures.
const NEXT_HOPS_MAX: usize = 64;

const FRA_DST: u16 = 1;
const FRA_SRC: u16 = 2;
const FRA_IIFNAME: u16 = 3;
const FRA_PRIORITY: u16 = 6;
const FRA_FWMARK: u16 = 10;
const FRA_TABLE: u16 = 15;
const NAME_MAX: usize = 32;

/// None for other families than IP.
pub(super) fn decode_address(message: &Message<'_>) -> Result<Option<Address>, Malformed> {
    let (header, attributes) = message.split::<8>()?;
    let [_, length, flags, ..] = *header;
    let (mut address, mut local, mut flags) = (None, None, u32::from(flags));
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            IFA_ADDRESS => address = attribute.ip(),
            // Where there is a peer, IFA_ADDRESS is the peer's.
            IFA_LOCAL => local = attribute.ip(),
            IFA_FLAGS => flags = attribute.u32()?,
            _ => {}
        }
    }
    let prefix = local.or(address).and_then(|address| IpPrefix::new(address, length).ok());
    Ok(prefix.map(|prefix| {
        let mut address = Address::new(IfIndex(u32::from_ne_bytes(field(header, 4))), prefix);
        address.tentative = flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED) != 0;
        address
    }))
}

/// A route with several next hops becomes one [`Route`] for each; cached copies and other families than IP are passed over.
pub(super) fn decode_route(message: &Message<'_>, mut found: impl FnMut(Route)) -> Result<(), Malformed> {
    let (header, attributes) = message.split::<12>()?;
    let [family, length, _, _, table, _, _, kind, ..] = *header;
    let Some(any) = unspecified(family) else { return Ok(()) };
    if u32::from_ne_bytes(field(header, 8)) & RTM_F_CLONED != 0 {
        return Ok(());
    }
    let mut destination = any;
    let mut next_hops = None;
    let mut route = Route::new(prefix(any, 0)?, route_kind(kind));
    route.table = table.into();
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            RTA_DST => destination = attribute.ip().unwrap_or(any),
            RTA_OIF => route.link = index(attribute.u32()?),
            RTA_GATEWAY => route.gateway = attribute.ip(),
            RTA_VIA => route.gateway = via(&attribute),
            RTA_PRIORITY => route.metric = attribute.u32()?,
            RTA_PREFSRC => route.source = attribute.ip(),
            RTA_TABLE => route.table = attribute.u32()?,
            RTA_MULTIPATH => next_hops = Some(attribute.payload),
            _ => {}
        }
    }
    route.destination = prefix(destination, length)?;
    match next_hops {
        None => found(route),
        Some(next_hops) => each_next_hop(next_hops, &route, found)?,
    }
    Ok(())
}

/// `struct rtnexthop` (u16 length, u8 flags, u8 hops, i32 interface), each with attributes of its own.
fn each_next_hop(mut rest: &[u8], route: &Route, mut found: impl FnMut(Route)) -> Result<(), Malformed> {
    for _ in 0..NEXT_HOPS_MAX {
        if rest.len() < 8 {
            break;
        }
        let claimed = usize::from(u16::from_ne_bytes(field(rest, 0)));
        let Some(attributes) = rest.get(8..claimed) else {
            return Err(Malformed::Attribute { kind: RTA_MULTIPATH, claimed, there: rest.len() });
        };
        let mut one = route.clone();
        one.link = index(u32::from_ne_bytes(field(rest, 4)));
        for attribute in crate::wire::Attributes(attributes) {
            let attribute = attribute?;
            match attribute.kind {
                RTA_GATEWAY => one.gateway = attribute.ip(),
                RTA_VIA => one.gateway = via(&attribute),
                _ => {}
            }
        }
        found(one);
        rest = rest.get(claimed.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// `struct rtvia`: a family in two bytes, then the address.
fn via(attribute: &Attribute<'_>) -> Option<IpAddr> {
    attribute.payload.get(2..).and_then(ip)
}

fn unspecified(family: u8) -> Option<IpAddr> {
    match family {
        AF_INET => Some(Ipv4Addr::UNSPECIFIED.into()),
        AF_INET6 => Some(Ipv6Addr::UNSPECIFIED.into()),
        _ => None,
    }
}

fn prefix(address: IpAddr, length: u8) -> Result<IpPrefix, Malformed> {
    IpPrefix::new(address, length).map_err(|_| Malformed::Prefix { length })
}

pub(super) fn decode_rule(message: &Message<'_>) -> Result<Rule, Malformed> {
    let (header, attributes) = message.split::<12>()?;
    let [family, to_length, from_length, _, table, _, _, action, ..] = *header;
    let mut rule = Rule::default();
    rule.ipv6 = family == AF_INET6;
    rule.table = table.into();
    rule.action = match action {
        1 => "lookup".to_owned(),
        2 => "goto".to_owned(),
        3 => "nop".to_owned(),
        6 => "blackhole".to_owned(),
        7 => "unreachable".to_owned(),
        8 => "prohibit".to_owned(),
        other => other.to_string(),
    };
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            FRA_DST => rule.to = attribute.ip().map(|address| prefix(address, to_length)).transpose()?,
            FRA_SRC => rule.from = attribute.ip().map(|address| prefix(address, from_length)).transpose()?,
            FRA_IIFNAME => rule.in_interface = Some(attribute.text(NAME_MAX)),
            FRA_PRIORITY => rule.priority = attribute.u32()?,
            FRA_FWMARK => rule.mark = Some(attribute.u32()?),
            FRA_TABLE => rule.table = attribute.u32()?,
            _ => {}
        }
    }
    Ok(rule)
}

/// `RTN_*`.
fn route_kind(kind: u8) -> RouteKind {
    match kind {
        1 => RouteKind::Unicast,
        2 => RouteKind::Local,
        3 => RouteKind::Broadcast,
        5 => RouteKind::Multicast,
        6 => RouteKind::Blackhole,
        7 => RouteKind::Unreachable,
        8 => RouteKind::Prohibit,
        _ => RouteKind::Other,
    }
}
