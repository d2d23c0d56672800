//! Whose settings to ask for: never those of each of a thousand taps.

use std::collections::BTreeSet;
use std::net::IpAddr;

use darkport_model::{Address, Gap, GapReason, IfIndex, Link, LinkKind, Observation, Source};

use crate::look::Look;

/// The most interfaces asked in each way.
const INTERFACES_MAX: usize = 512;

/// Bridges, VLANs, bonds and NICs, whatever others stand on (a VLAN's parent, a bond's members), and whatever was given an address.
pub(crate) fn with_settings<'a>(look: &mut Look<'_>, seen: &'a Observation) -> Vec<&'a Link> {
    // Every tap that is up has a link-local address.
    let by_itself = |address: &&Address| match address.prefix.address() {
        IpAddr::V4(address) => address.is_link_local(),
        // fe80::/10; the standard library's own test is newer than the MSRV allows to rely on.
        IpAddr::V6(address) => address.segments().first().is_some_and(|first| first & 0xffc0 == 0xfe80),
    };
    let given = seen.addresses.iter().filter(|address| !by_itself(address));
    let addressed: BTreeSet<IfIndex> = given.map(|address| address.link).collect();
    choose(look, Source::Sysctls, seen, |link| {
        matches!(link.kind, LinkKind::Vlan { .. }) || (addressed.contains(&link.index) && link.kind != LinkKind::Loopback)
    })
}

/// Bridges, bonds, NICs, and whatever others stand on.
pub(crate) fn with_offloads<'a>(look: &mut Look<'_>, seen: &'a Observation) -> Vec<&'a Link> {
    choose(look, Source::Ethtool, seen, |_| false)
}

fn choose<'a>(look: &mut Look<'_>, source: Source, seen: &'a Observation, also: impl Fn(&Link) -> bool) -> Vec<&'a Link> {
    let below = stood_on(&seen.links);
    let wanted = |link: &&Link| {
        matches!(link.kind, LinkKind::Physical | LinkKind::Bridge { .. } | LinkKind::Bond { .. })
            || link.bond_slave.is_some()
            || below.contains(&link.index)
            || also(link)
    };
    let mut chosen = Vec::new();
    for link in seen.links.iter().filter(wanted) {
        if !is_file_name(&link.name) {
            look.sum("name", Gap::new(source, &link.name, GapReason::Failed, "its name cannot be that of a file"));
        } else if chosen.len() == INTERFACES_MAX {
            let why = format!("not asked: {INTERFACES_MAX} interfaces were asked before it");
            look.sum("many", Gap::new(source, &link.name, GapReason::TooLarge, why));
        } else {
            chosen.push(link);
        }
    }
    chosen
}

/// The devices that VLANs and macvlans of this namespace stand on. A veth's `lower` is its peer, which is something else.
fn stood_on(links: &[Link]) -> BTreeSet<IfIndex> {
    links
        .iter()
        .filter(|link| {
            !link.lower_elsewhere && matches!(link.kind, LinkKind::Vlan { .. } | LinkKind::Macvlan { .. } | LinkKind::Macvtap { .. })
        })
        .filter_map(|link| link.lower)
        .collect()
}

/// Whether a name can stand in a path. The kernel lets no other through (linux, `net/core/dev.c`, `dev_valid_name`), but a name may come
/// from a saved file; one that was not UTF-8 is no longer the name of its files.
pub(crate) fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name.len() < 16 && name != "." && name != ".." && !name.contains(['/', '\0', '\u{fffd}'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::look::Roots;

    #[test]
    fn a_thousand_taps_are_not_asked() {
        let mut seen = Observation::default();
        let mut add = |index: u32, name: &str, kind: LinkKind, lower: Option<u32>| {
            let mut link = Link::new(index, name);
            link.kind = kind;
            link.lower = lower.map(IfIndex);
            seen.links.push(link);
        };
        add(2, "eth1", LinkKind::Veth, Some(77));
        add(3, "eth1.1102", LinkKind::Vlan { vid: 1102.try_into().unwrap(), protocol: "802.1Q".into() }, Some(2));
        add(4, "../../etc", LinkKind::Physical, None);
        for tap in 10..1010 {
            add(tap, &format!("vnet{tap}"), LinkKind::Tun { tap: true, persist: false, multi_queue: false, queues: None }, None);
        }
        seen.addresses = (10..1010).map(|tap| Address::new(IfIndex(tap), "fe80::1/64".parse().unwrap())).collect();
        let roots = Roots { proc: "/proc".into(), sys: "/sys".into() };
        let mut look = Look::new(&roots);
        let names = |links: Vec<&Link>| links.into_iter().map(|link| link.name.clone()).collect::<Vec<_>>();
        assert_eq!(names(with_settings(&mut look, &seen)), ["eth1", "eth1.1102"]);
        assert_eq!(names(with_offloads(&mut look, &seen)), ["eth1"]);
        assert_eq!(look.into_gaps().count(), 2);
    }
}
