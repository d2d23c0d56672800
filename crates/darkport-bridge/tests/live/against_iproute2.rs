//! What darkport sees in a namespace, compared with what iproute2 prints there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;

use crate::common::{in_new_namespace, json, run_all, wait_until};
use darkport_bridge::Inspector;
use darkport_model::{Carrier, FdbKind, FdbSource, LinkKind, Observation, OperState, StpState};
use serde_json::Value;

const TOPOLOGY: &str = "
    ip link set lo up
    ip link add br0 type bridge ageing_time 12345 forward_delay 400 mcast_snooping 0
    ip link add vnet0 type veth peer name far0
    ip link add vnet1 type veth peer name far1
    ip link set far0 up
    ip link set far1 up
    ip link set vnet0 master br0 up
    ip link set vnet1 master br0 up
    ip link set br0 up
    ip tuntap add dev tap0 mode tap
    ip tuntap add dev tap1 mode tap multi_queue
    ip tuntap add dev tun0 mode tun
    ip link set tap0 master br0 up mtu 1400
    ip link add mv0 link br0 type macvlan mode vepa
    ip link add mt0 link far1 type macvtap mode bridge
    ip link add vx0 type vxlan id 4711 dstport 4789 dev far0
    ip link property add dev vnet0 altname a-rather-long-alternative-name
    ip link set far1 promisc on
    bridge link set dev vnet1 learning off flood off mcast_flood off bcast_flood off isolated on hairpin on guard on
    ip address add 10.68.16.1/21 dev br0
    ip address add 192.0.2.1 peer 192.0.2.2/32 dev far0
    ip address add 2001:db8::1/64 dev br0 nodad
    ip neigh add 10.68.16.9 lladdr fa:16:3e:00:00:09 dev br0 nud permanent
    ip neigh add 10.68.16.10 lladdr fa:16:3e:00:00:0a dev br0 nud stale
    ip neigh add 2001:db8::9 lladdr fa:16:3e:00:00:09 dev br0 nud reachable
    ip route add 172.16.0.0/12 via 10.68.16.9 metric 7
    ip route add default via 10.68.16.10 src 10.68.16.1
    ip route add blackhole 198.51.100.0/24
    ip route add 203.0.113.0/24 nexthop via 10.68.16.9 nexthop via 10.68.16.10
    ip route add 10.9.0.0/16 via inet6 2001:db8::9 table 1100
    ip -6 route add 2001:db8:1::/48 via 2001:db8::9
    ip rule add from 10.68.16.0/21 to 10.9.0.0/16 iif br0 fwmark 0x17 lookup 1100 priority 42
    ip -6 rule add to 2001:db8:2::/48 prohibit priority 43
    bridge fdb add fa:16:3e:00:00:01 dev vnet0 master static
    bridge fdb add fa:16:3e:00:00:03 dev vnet0 master permanent
    tc qdisc add dev far0 root handle 7: tbf rate 1mbit burst 10k latency 50ms
";

fn look() -> Observation {
    let mut seen = Observation::default();
    Inspector::open().unwrap().observe(&mut seen);
    seen
}

fn built() -> Observation {
    run_all(TOPOLOGY);
    wait_until("forwarding ports", || json("bridge -j link").iter().filter(|port| text(port, "state") == "forwarding").count() == 2);
    // A dynamic entry is taken only by a port that forwards.
    run_all("bridge fdb add fa:16:3e:00:00:02 dev vnet0 master dynamic");
    let seen = look();
    assert_eq!(seen.gaps, [], "nothing may be missing here");
    seen
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn links_are_as_ip_link_prints_them() {
    in_new_namespace("links_are_as_ip_link_prints_them", || {
        let seen = built();
        let printed = json("ip -j -d -s link");
        assert_eq!(printed.len(), seen.links.len());
        for (link, ip) in seen.links.iter().zip(&printed) {
            let name = text(ip, "ifname");
            assert_eq!((link.name.as_str(), u64::from(link.index.0)), (name, ip["ifindex"].as_u64().unwrap()));
            assert_eq!(u64::from(link.mtu), ip["mtu"].as_u64().unwrap(), "{name}");
            assert_eq!(link.mac.map(|mac| mac.to_string()).unwrap_or_default(), text(ip, "address"), "{name}");
            assert_eq!(link.promiscuity.map(u64::from), ip["promiscuity"].as_u64(), "{name}");
            assert_eq!(link.tx_queue_len.map(u64::from), ip["txqlen"].as_u64().or(Some(0)), "{name}");
            let flags: BTreeSet<&str> = ip["flags"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
            assert_eq!((link.admin_up, link.promisc), (flags.contains("UP"), flags.contains("PROMISC")), "{name}");
            let carrier = match (flags.contains("UP"), flags.contains("NO-CARRIER")) {
                (false, _) => Carrier::Unknown,
                (true, true) => Carrier::Down,
                (true, false) => Carrier::Up,
            };
            assert_eq!(link.carrier, carrier, "{name}");
            let state = match text(ip, "operstate") {
                "UP" => OperState::Up,
                "DOWN" => OperState::Down,
                "LOWERLAYERDOWN" => OperState::LowerLayerDown,
                _ => OperState::Unknown,
            };
            assert_eq!(link.oper_state, state, "{name}");
            let master = link.master.and_then(|master| seen.link(master)).map(|master| master.name.as_str());
            assert_eq!(master.unwrap_or_default(), text(ip, "master"), "{name}");
            let lower = link.lower.and_then(|lower| seen.link(lower)).map(|lower| lower.name.as_str());
            assert_eq!(lower.unwrap_or_default(), text(ip, "link"), "{name}");
            let alt_names: Vec<&str> = ip["altnames"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            assert_eq!(link.alt_names, alt_names, "{name}");
            let counters = &link.counters.first;
            for (counter, way, key) in [
                (counters.rx_bytes, "rx", "bytes"),
                (counters.rx_packets, "rx", "packets"),
                (counters.rx_dropped, "rx", "dropped"),
                (counters.multicast, "rx", "multicast"),
                (counters.tx_bytes, "tx", "bytes"),
                (counters.tx_packets, "tx", "packets"),
                (counters.tx_dropped, "tx", "dropped"),
            ] {
                // Neighbour discovery may still send a packet or two between the two looks.
                let printed = ip["stats64"][way][key].as_u64().unwrap();
                assert!(counter <= printed && printed - counter < 2_000, "{name} {way} {key}: {counter} then {printed}");
            }
            assert_eq!(link.unknown, [], "{name}: this kernel is not newer than what darkport knows");
        }
        let kind = |name: &str| seen.link_named(name).unwrap().kind.clone();
        assert_eq!(kind("lo"), LinkKind::Loopback);
        assert_eq!(kind("vnet0"), LinkKind::Veth);
        assert_eq!(kind("tap0"), LinkKind::Tun { tap: true, persist: true, multi_queue: false, queues: None });
        assert_eq!(kind("tap1"), LinkKind::Tun { tap: true, persist: true, multi_queue: true, queues: Some(0) });
        assert!(matches!(kind("tun0"), LinkKind::Tun { tap: false, .. }));
        assert_eq!(kind("mv0"), LinkKind::Macvlan { mode: "vepa".into() });
        assert_eq!(kind("mt0"), LinkKind::Macvtap { mode: "bridge".into() });
        assert_eq!(kind("vx0"), LinkKind::Vxlan { vni: 4711 });
        let LinkKind::Bridge { stp, vlan_filtering, forward_delay_cs, ageing_cs, mcast_snooping, mcast_querier, .. } = kind("br0") else {
            panic!("br0 is a bridge")
        };
        assert_eq!((stp, vlan_filtering, mcast_snooping, mcast_querier), (false, false, false, false));
        let told = &printed.iter().find(|ip| text(ip, "ifname") == "br0").unwrap()["linkinfo"]["info_data"];
        // The kernel rounds times to its ticks, so that what was set is not quite what it tells.
        assert_eq!(
            [forward_delay_cs, ageing_cs].map(|time| Some(u64::from(time))),
            [told["forward_delay"].as_u64(), told["ageing_time"].as_u64()]
        );
    });
}

#[test]
fn a_bridges_address_is_pinned_once_somebody_set_it() {
    in_new_namespace("a_bridges_address_is_pinned_once_somebody_set_it", || {
        run_all("ip link add br0 type bridge\nip link add br1 type bridge\nip link set br1 address 02:00:00:00:00:07");
        let seen = look();
        assert_eq!(seen.link_named("br0").unwrap().mac_pinned, Some(false));
        assert_eq!(seen.link_named("br1").unwrap().mac_pinned, Some(true));
    });
}

#[test]
fn ports_are_as_bridge_link_prints_them() {
    in_new_namespace("ports_are_as_bridge_link_prints_them", || {
        let seen = built();
        let printed = json("bridge -j -d link");
        assert_eq!(printed.len(), 3);
        for ip in &printed {
            let name = text(ip, "ifname");
            let port = seen.link_named(name).unwrap().port.clone().unwrap();
            let state = match text(ip, "state") {
                "forwarding" => StpState::Forwarding,
                "disabled" => StpState::Disabled,
                other => panic!("{other}"),
            };
            assert_eq!(port.state, state, "{name}");
            let flags =
                [port.learning, port.unicast_flood, port.mcast_flood, port.bcast_flood, port.isolated, port.hairpin, port.bpdu_guard];
            let printed =
                ["learning", "flood", "mcast_flood", "bcast_flood", "isolated", "hairpin", "guard"].map(|key| ip[key].as_bool().unwrap());
            assert_eq!(flags, printed, "{name}");
            let other = [port.locked, port.neigh_suppress, port.vlan_tunnel];
            assert_eq!(other, ["locked", "neigh_suppress", "vlan_tunnel"].map(|key| ip[key].as_bool().unwrap()), "{name}");
            assert!(port.number.is_some_and(|number| number > 0), "{name}");
        }
    });
}

#[test]
fn forwarding_entries_are_as_bridge_fdb_prints_them() {
    in_new_namespace("forwarding_entries_are_as_bridge_fdb_prints_them", || {
        let seen = built();
        let [fdb] = seen.fdbs.as_slice() else { panic!("one bridge, one database") };
        assert_eq!(fdb.source, FdbSource::Netlink);
        let ours: BTreeMap<(String, String), FdbKind> =
            fdb.entries.iter().map(|entry| ((entry.mac.to_string(), seen.link(entry.port).unwrap().name.clone()), entry.kind)).collect();
        let theirs: BTreeMap<(String, String), FdbKind> = json("bridge -j fdb show br br0")
            .iter()
            .filter(|entry| text(entry, "master") == "br0")
            .map(|entry| {
                let kind = match text(entry, "state") {
                    "permanent" => FdbKind::Local,
                    "static" => FdbKind::Static,
                    _ => FdbKind::Learned,
                };
                ((text(entry, "mac").to_owned(), text(entry, "ifname").to_owned()), kind)
            })
            .collect();
        assert_eq!(ours, theirs);
        for (last, kind) in [("01", FdbKind::Static), ("02", FdbKind::Learned), ("03", FdbKind::Local)] {
            assert_eq!(ours.get(&(format!("fa:16:3e:00:00:{last}"), "vnet0".to_owned())), Some(&kind));
        }
    });
}

#[test]
fn addresses_and_neighbours_are_as_ip_prints_them() {
    in_new_namespace("addresses_and_neighbours_are_as_ip_prints_them", || {
        let seen = built();
        let name = |index| seen.link(index).unwrap().name.clone();
        let ours: BTreeSet<String> = seen.addresses.iter().map(|address| format!("{} {}", name(address.link), address.prefix)).collect();
        let theirs: BTreeSet<String> = json("ip -j address")
            .iter()
            .flat_map(|link| {
                let name = text(link, "ifname").to_owned();
                let addresses = link["addr_info"].as_array().unwrap().clone();
                addresses.into_iter().map(move |address| format!("{name} {}/{}", text(&address, "local"), address["prefixlen"]))
            })
            .collect();
        assert_eq!(ours, theirs);
        assert!(ours.contains("far0 192.0.2.1/32"), "{ours:?}");

        let ours: BTreeSet<String> = seen
            .neighbours
            .iter()
            .filter(|neighbour| neighbour.address.to_string().starts_with("10.") || neighbour.address.to_string().starts_with("2001:"))
            .map(|entry| format!("{} {} {} {:?}", name(entry.link), entry.address, entry.mac.unwrap(), entry.state).to_lowercase())
            .collect();
        let theirs: BTreeSet<String> = json("ip -j neigh")
            .iter()
            .map(|one| {
                let state = one["state"][0].as_str().unwrap();
                format!("{} {} {} {state}", text(one, "dev"), text(one, "dst"), text(one, "lladdr")).to_lowercase()
            })
            .collect();
        assert_eq!(ours, theirs);
        assert_eq!(ours.len(), 3);
    });
}

#[test]
fn routes_and_rules_are_as_ip_prints_them() {
    in_new_namespace("routes_and_rules_are_as_ip_prints_them", || {
        let seen = built();
        let ours: BTreeSet<String> = seen
            .routes
            .iter()
            .filter(|route| route.table == 254 && route.destination.address().is_ipv4())
            .map(|route| {
                let destination = match (route.destination.to_string().as_str(), route.destination.length()) {
                    ("0.0.0.0/0", _) => "default".to_owned(),
                    (_, 32) => route.destination.address().to_string(),
                    (text, _) => text.to_owned(),
                };
                let gateway = route.gateway.map(|gateway| gateway.to_string()).unwrap_or_default();
                let link = route.link.and_then(|link| seen.link(link)).map(|link| link.name.clone()).unwrap_or_default();
                format!("{destination} via {gateway} dev {link} metric {}", route.metric)
            })
            .collect();
        let theirs: BTreeSet<String> = json("ip -j route show table main")
            .iter()
            .flat_map(|route| {
                let hops = route["nexthops"].as_array().cloned().unwrap_or_else(|| vec![route.clone()]);
                let (destination, metric) = (text(route, "dst").to_owned(), route["metric"].as_u64().unwrap_or(0));
                hops.into_iter()
                    .map(move |hop| format!("{destination} via {} dev {} metric {metric}", text(&hop, "gateway"), text(&hop, "dev")))
            })
            .collect();
        assert_eq!(ours, theirs);
        assert_eq!(seen.routes.iter().filter(|route| route.destination.to_string() == "203.0.113.0/24").count(), 2);
        let by_ipv6 = seen.routes.iter().find(|route| route.table == 1100).unwrap();
        assert_eq!(by_ipv6.gateway.unwrap().to_string(), "2001:db8::9");
        let preferred = seen.routes.iter().find(|route| route.destination.length() == 0 && route.source.is_some()).unwrap();
        assert_eq!(preferred.source.unwrap().to_string(), "10.68.16.1");

        let rule = seen.rules.iter().find(|rule| rule.priority == 42).unwrap();
        let prefix = |text: &str| Some(text.parse().unwrap());
        assert_eq!((rule.from, rule.to), (prefix("10.68.16.0/21"), prefix("10.9.0.0/16")));
        assert_eq!((rule.in_interface.as_deref(), rule.mark, rule.table, rule.action.as_str()), (Some("br0"), Some(0x17), 1100, "lookup"));
        let rule = seen.rules.iter().find(|rule| rule.priority == 43).unwrap();
        assert_eq!((rule.to, rule.ipv6, rule.action.as_str()), (prefix("2001:db8:2::/48"), true, "prohibit"));
        assert_eq!(seen.rules.len(), json("ip -j rule").len() + json("ip -j -6 rule").len());
    });
}

#[test]
fn qdiscs_are_as_tc_prints_them() {
    in_new_namespace("qdiscs_are_as_tc_prints_them", || {
        built();
        // Asking for the far end's hardware address goes through the qdisc.
        UdpSocket::bind("192.0.2.1:0").unwrap().send_to(b"x", "192.0.2.2:9").unwrap();
        let seen = look();
        let printed = json("tc -j -s qdisc");
        assert_eq!(seen.qdiscs.len(), printed.len());
        for (qdisc, tc) in seen.qdiscs.iter().zip(&printed) {
            assert_eq!((qdisc.kind.as_str(), seen.link(qdisc.link).unwrap().name.as_str()), (text(tc, "kind"), text(tc, "dev")));
            assert_eq!(format!("{:x}:", qdisc.handle >> 16), text(tc, "handle"));
            let stats = &qdisc.stats.first;
            assert_eq!((stats.drops, stats.queued_packets), (tc["drops"].as_u64().unwrap(), tc["qlen"].as_u64().unwrap()));
            assert!(stats.packets <= tc["packets"].as_u64().unwrap());
        }
        let tbf = seen.qdiscs.iter().find(|qdisc| qdisc.kind == "tbf").unwrap();
        assert_eq!((tbf.handle, tbf.parent), (0x7_0000, u32::MAX));
        assert!(tbf.stats.first.packets > 0, "the veth said hello through it: {tbf:?}");
    });
}
