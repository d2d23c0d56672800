//! Dumps that were recorded on another kernel, with VLANs and bonds, decoded without any socket and compared with what iproute2
//! printed at the same moment (`data/linux-6.1/made-by.sh`).
#![allow(
    clippy::disallowed_methods,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests read their fixtures, and a panic is how they fail"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use darkport_bridge::{PortNumbers, decode, decode_brforward};
use darkport_model::{FdbKind, GapReason, IfIndex, Link, LinkKind, Observation, StpState};
use proptest::prelude::*;
use serde_json::Value;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/linux-6.1").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap()
}

fn json(name: &str) -> Vec<Value> {
    serde_json::from_slice::<Vec<Value>>(&bytes(name)).unwrap().into_iter().filter(|one| one["ifname"].is_string()).collect()
}

const DUMPS: [&str; 10] = [
    "links.nl",
    "bridge-vlans.nl",
    "addresses.nl",
    "neighbours.nl",
    "fdb.nl",
    "routes.nl",
    "routes6.nl",
    "rules.nl",
    "rules6.nl",
    "qdiscs.nl",
];

fn seen() -> Observation {
    let mut seen = Observation::default();
    decode(&DUMPS.map(bytes).concat(), &mut seen);
    seen
}

fn named<'a>(seen: &'a Observation, name: &str) -> &'a Link {
    seen.link_named(name).unwrap()
}

#[test]
fn everything_decodes() {
    let seen = seen();
    assert_eq!(seen.gaps, []);
    assert!(seen.links.iter().all(|link| link.unknown.is_empty()));
    for (links, what) in
        [(seen.links.len(), "links"), (seen.qdiscs.len(), "qdiscs"), (seen.routes.len(), "routes"), (seen.rules.len(), "rules")]
    {
        assert!(links > 3, "{links} {what}");
    }
    assert!(!seen.neighbours.is_empty() && !seen.addresses.is_empty());
}

#[test]
fn vlan_devices_know_their_tag_and_their_parent() {
    let seen = seen();
    let vlan = |vid: u16, protocol: &str| LinkKind::Vlan { vid: vid.try_into().unwrap(), protocol: protocol.into() };
    assert_eq!(named(&seen, "eth1.1102").kind, vlan(1102, "802.1Q"));
    assert_eq!(named(&seen, "eth1.200").kind, vlan(200, "802.1ad"));
    assert_eq!(named(&seen, "eth1.1102").lower, Some(named(&seen, "eth1").index));
    assert_eq!(named(&seen, "eth1.1102").master, Some(named(&seen, "br1102").index));
}

#[test]
fn bonds_and_their_members_are_told() {
    let seen = seen();
    let (d0, d1, d2) = (named(&seen, "d0"), named(&seen, "d1"), named(&seen, "d2"));
    let bond = |mode: &str, active_slave, miimon_ms| LinkKind::Bond { mode: mode.into(), active_slave, miimon_ms };
    assert_eq!(named(&seen, "bond0").kind, bond("active-backup", Some(d1.index), 100));
    assert_eq!(named(&seen, "bond1").kind, bond("802.3ad", None, 50));
    let member = |link: &Link| link.bond_slave.clone().unwrap();
    assert_eq!((member(d0).active, member(d1).active), (false, true));
    assert!(member(d1).mii_up && member(d1).link_failures == 0);
    assert!(member(d2).aggregator.is_some() && member(d0).aggregator.is_none());
    // Joining the bond gave each the bond's address; the one that each had of its own was kept.
    assert_eq!(d0.mac, d1.mac);
}

#[test]
fn bridge_settings_are_told() {
    let seen = seen();
    let LinkKind::Bridge {
        stp,
        vlan_filtering,
        default_pvid,
        forward_delay_cs,
        nf_call_iptables,
        nf_call_ip6tables,
        nf_call_arptables,
        mcast_querier,
        ..
    } = named(&seen, "brv").kind
    else {
        panic!("brv is a bridge")
    };
    assert!(stp && vlan_filtering && mcast_querier && nf_call_ip6tables && nf_call_arptables && !nf_call_iptables);
    assert_eq!((default_pvid.map(u16::from), forward_delay_cs), (Some(7), 1500));
    let LinkKind::Bridge { stp, vlan_filtering, forward_delay_cs, nf_call_iptables, .. } = named(&seen, "br1102").kind else { panic!() };
    assert!(!stp && !vlan_filtering && nf_call_iptables);
    assert_eq!(forward_delay_cs, 0);
    let port = |name: &str| named(&seen, name).port.clone().unwrap();
    assert!(port("t0").locked && !port("t0").neigh_suppress);
    assert!(port("u0").neigh_suppress && port("u0").vlan_tunnel && !port("u0").locked);
    assert_eq!((port("eth1.1102").state, port("t0").state), (StpState::Forwarding, StpState::Listening));
}

#[test]
fn port_vlans_are_as_bridge_vlan_prints_them() {
    let seen = seen();
    let ours: BTreeSet<(String, u16, u16, bool, bool)> = seen
        .port_vlans
        .iter()
        .map(|vlan| (seen.link(vlan.port).unwrap().name.clone(), vlan.first.get(), vlan.last.get(), vlan.pvid, vlan.untagged))
        .collect();
    let mut theirs = BTreeSet::new();
    for port in json("bridge-vlan.json") {
        for vlan in port["vlans"].as_array().unwrap() {
            let number = |key: &str| vlan[key].as_u64().map(|vid| u16::try_from(vid).unwrap());
            let has = |flag: &str| vlan["flags"].as_array().is_some_and(|flags| flags.iter().any(|one| one == flag));
            let first = number("vlan").unwrap();
            theirs.insert((
                port["ifname"].as_str().unwrap().to_owned(),
                first,
                number("vlanEnd").unwrap_or(first),
                has("PVID"),
                has("Egress Untagged"),
            ));
        }
    }
    // `bridge vlan` prints each VLAN of a range on its own unless asked to compress.
    let spread = |vlans: BTreeSet<(String, u16, u16, bool, bool)>| -> BTreeSet<(String, u16, bool, bool)> {
        vlans
            .into_iter()
            .flat_map(|(port, first, last, pvid, untagged)| (first..=last).map(move |vid| (port.clone(), vid, pvid, untagged)))
            .collect()
    };
    assert!(ours.contains(&("u0".to_owned(), 1200, 1203, false, false)), "{ours:?}");
    assert_eq!(spread(ours), spread(theirs));
}

#[test]
fn forwarding_entries_know_their_vlan() {
    let seen = seen();
    let brv = named(&seen, "brv").index;
    let fdb = seen.fdbs.iter().find(|fdb| fdb.bridge == brv).unwrap();
    let entry = |last: u8| fdb.entries.iter().find(|entry| entry.mac.0 == [0xfa, 0x16, 0x3e, 0, 0, last]).unwrap();
    let told = |last| (seen.link(entry(last).port).unwrap().name.as_str(), entry(last).vid.map(u16::from), entry(last).kind);
    assert_eq!(told(1), ("t0", Some(1102), FdbKind::Static));
    assert_eq!(told(2), ("u0", Some(1201), FdbKind::Static));
    assert_eq!(told(3), ("u0", Some(1202), FdbKind::Static));
    let printed: Vec<Value> = json("bridge-fdb.json").into_iter().filter(|entry| entry["master"] == "brv").collect();
    assert_eq!(fdb.entries.len(), printed.len());
}

#[test]
fn links_are_as_ip_link_printed_them() {
    let seen = seen();
    let printed = json("ip-link.json");
    assert_eq!(printed.len(), seen.links.len());
    for (link, ip) in seen.links.iter().zip(&printed) {
        assert_eq!((link.name.as_str(), u64::from(link.mtu)), (ip["ifname"].as_str().unwrap(), ip["mtu"].as_u64().unwrap()));
        // LACP and neighbour discovery sent a few more packets before iproute2 looked.
        let printed = ip["stats64"]["tx"]["packets"].as_u64().unwrap();
        assert!((printed.saturating_sub(5)..=printed).contains(&link.counters.first.tx_packets), "{}", link.name);
        assert_eq!(link.mac.unwrap().to_string(), ip["address"].as_str().unwrap());
    }
}

#[test]
fn netlink_packet_route_reads_the_same() {
    use netlink_packet_core::NetlinkMessage;
    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{LinkAttribute, LinkInfo};

    let seen = seen();
    let dump = bytes("links.nl");
    let (mut rest, mut compared) = (dump.as_slice(), 0);
    while rest.len() >= 16 {
        let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest).unwrap();
        let length = u32::from_ne_bytes(rest[..4].try_into().unwrap()) as usize;
        rest = &rest[length.next_multiple_of(4).min(rest.len())..];
        let netlink_packet_core::NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(theirs)) = message.payload else { continue };
        let ours = seen.link(IfIndex(theirs.header.index)).unwrap();
        for attribute in theirs.attributes {
            match attribute {
                LinkAttribute::IfName(name) => assert_eq!(ours.name, name),
                LinkAttribute::Mtu(mtu) => assert_eq!(ours.mtu, mtu),
                LinkAttribute::Controller(master) => assert_eq!(ours.master, Some(IfIndex(master))),
                LinkAttribute::CarrierChanges(changes) => assert_eq!(ours.carrier_changes, Some(changes)),
                LinkAttribute::Stats64(stats) => {
                    let all = (stats.rx_packets, stats.tx_bytes, stats.rx_missed_errors, stats.rx_nohandler);
                    let counters = ours.counters.first;
                    assert_eq!((counters.rx_packets, counters.tx_bytes, counters.rx_missed_errors, counters.rx_nohandler), all);
                }
                LinkAttribute::LinkInfo(infos) => {
                    let has_kind = infos.iter().any(|info| matches!(info, LinkInfo::Kind(_)));
                    assert_eq!(has_kind, !matches!(ours.kind, LinkKind::Physical | LinkKind::Loopback));
                }
                _ => {}
            }
        }
        compared += 1;
    }
    assert_eq!(compared, seen.links.len());
}

#[test]
fn a_message_that_makes_no_sense_costs_only_itself() {
    let mut dump = bytes("links.nl");
    let whole = seen().links.len();
    // The first attribute of the first message claims more than there is.
    dump[32..34].copy_from_slice(&u16::MAX.to_ne_bytes());
    let mut seen = Observation::default();
    decode(&dump, &mut seen);
    assert_eq!(seen.links.len(), whole - 1);
    let [gap] = seen.gaps.as_slice() else { panic!("{:?}", seen.gaps) };
    assert_eq!(gap.reason, GapReason::Malformed);
    assert!(gap.why.starts_with("1 messages could not be decoded; the first: attribute"), "{}", gap.why);
}

#[test]
fn attributes_from_the_future_are_kept() {
    let mut dump = bytes("links.nl");
    let length = u32::from_ne_bytes(dump[..4].try_into().unwrap()) as usize;
    let mut message = dump.drain(..length).collect::<Vec<u8>>();
    message.extend([7, 0, 0x2c, 0x01, 0xca, 0xfe, 0x01, 0]);
    let longer = u32::try_from(message.len()).unwrap();
    message[..4].copy_from_slice(&longer.to_ne_bytes());
    let mut seen = Observation::default();
    decode(&message, &mut seen);
    let [unknown] = seen.links[0].unknown.as_slice() else { panic!("{:?}", seen.links[0].unknown) };
    assert_eq!((unknown.kind, unknown.hex.as_str()), (300, "cafe01"));
}

proptest! {
    #[test]
    fn no_damage_panics(which in 0..DUMPS.len(), damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20), cut: prop::sample::Index) {
        let mut dump = bytes(DUMPS[which]);
        for (at, byte) in damage {
            let at = at.index(dump.len());
            dump[at] = byte;
        }
        dump.truncate(cut.index(dump.len()));
        let mut seen = Observation::default();
        decode(&dump, &mut seen);
        prop_assert_eq!(Observation::from_json(&seen.to_json()).unwrap(), seen.clone());
        let (entries, strangers) = decode_brforward(&dump, &PortNumbers::of(IfIndex(1), &seen.links));
        prop_assert_eq!(entries.len() + strangers, dump.len() / 16);
    }
}
