//! What a second look adds, what the quickest source tells, and what happens while things change.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{batch, in_new_namespace, json, run_all, wait_until};
use darkport_bridge::{Inspector, Namespace, in_namespace};
use darkport_model::{Fdb, FdbEntry, FdbKind, FdbSource, GapReason, MacAddr, Observation, Source};

const TWO_PORTS: &str = "
    ip link add br0 type bridge
    ip link add vnet0 type veth peer name far0
    ip link add vnet1 type veth peer name far1
    ip link set far0 up
    ip link set far1 up
    ip link set vnet0 master br0 up
    ip link set vnet1 master br0 up
    ip link set br0 up
";

fn two_ports() {
    run_all(TWO_PORTS);
    wait_until("forwarding ports", || json("bridge -j link").iter().filter(|port| port["state"] == "forwarding").count() == 2);
}

fn twice(between: impl FnOnce()) -> Observation {
    let mut seen = Observation::default();
    let mut inspector = Inspector::open().unwrap();
    inspector.observe(&mut seen);
    assert_eq!(seen.gaps, []);
    between();
    inspector.observe_again(&mut seen);
    seen
}

#[test]
fn counters_of_two_looks_make_a_rise() {
    in_new_namespace("counters_of_two_looks_make_a_rise", || {
        two_ports();
        run_all("ip address add 192.0.2.1/24 dev br0\nip neigh add 192.0.2.2 lladdr fa:16:3e:00:00:01 dev br0 nud permanent");
        run_all("tc qdisc add dev vnet0 root handle 7: pfifo limit 100\nbridge fdb add fa:16:3e:00:00:01 dev vnet0 master static");
        let seen = twice(|| {
            let socket = UdpSocket::bind("192.0.2.1:0").unwrap();
            for _ in 0..50 {
                socket.send_to(&[0; 100], "192.0.2.2:9").unwrap();
            }
        });
        let sent = seen.link_named("vnet0").unwrap().counters.rise(|counters| counters.tx_packets).unwrap();
        assert!((50..80).contains(&sent), "{sent} packets");
        let lo = seen.link_named("lo").unwrap().counters.rise(|counters| counters.tx_packets);
        assert_eq!(lo, Some(0));
        let qdisc = seen.qdiscs.iter().find(|qdisc| qdisc.kind == "pfifo").unwrap();
        assert!((50..80).contains(&qdisc.stats.rise(|stats| stats.packets).unwrap()), "{qdisc:?}");
        assert_eq!(seen.gaps, []);
    });
}

#[test]
fn an_address_that_moved_remembers_its_port() {
    in_new_namespace("an_address_that_moved_remembers_its_port", || {
        two_ports();
        run_all("bridge fdb add fa:16:3e:00:00:01 dev vnet0 master dynamic\nbridge fdb add fa:16:3e:00:00:02 dev vnet0 master dynamic");
        let seen = twice(|| run_all("bridge fdb replace fa:16:3e:00:00:01 dev vnet1 master dynamic"));
        let port = |name| seen.link_named(name).unwrap().index;
        let entry = |last| seen.fdbs[0].entries.iter().find(|entry| entry.mac == MacAddr([0xfa, 0x16, 0x3e, 0, 0, last])).unwrap();
        assert_eq!((entry(1).port, entry(1).previous_port), (port("vnet1"), Some(port("vnet0"))));
        assert_eq!((entry(2).port, entry(2).previous_port), (port("vnet0"), None));
    });
}

#[test]
fn links_that_go_come_and_change_their_names_are_told() {
    in_new_namespace("links_that_go_come_and_change_their_names_are_told", || {
        two_ports();
        run_all("ip link add gone type veth peer name gone-too\nip link add before type bridge");
        let seen = twice(|| {
            run_all("ip link del gone\nip link set before name after\nip link add fresh type bridge\nip link set far1 down");
            wait_until("the lost carrier", || json("bridge -j link").iter().any(|port| port["state"] == "disabled"));
        });
        let told: BTreeSet<(String, GapReason)> = seen.gaps_in(Source::Links).map(|gap| (gap.what.clone(), gap.reason)).collect();
        let expected = ["gone", "gone-too", "after", "fresh"].map(|name| (name, GapReason::Changed));
        assert_eq!(told, expected.map(|(name, reason)| (name.to_owned(), reason)).into());
        assert_eq!(seen.link_named("gone").unwrap().counters.last, None);
        assert!(seen.link_named("before").is_none() && seen.link_named("after").unwrap().counters.last.is_some());
        assert!(seen.link_named("fresh").is_some());
        let vnet1 = seen.link_named("vnet1").unwrap();
        assert_eq!(vnet1.carrier, darkport_model::Carrier::Down, "the newest state counts");
        assert!(seen.fdbs.iter().any(|fdb| fdb.bridge == seen.link_named("after").unwrap().index));
    });
}

/// A database's entries without their ages, but for those that the ports' own frames (MLD of a veth that came up) teach meanwhile.
fn content(fdb: &Fdb) -> BTreeSet<(MacAddr, u32, String)> {
    let given = |entry: &&FdbEntry| entry.kind != FdbKind::Learned || entry.mac.0.starts_with(&[0xfa, 0x16, 0x3e]);
    fdb.entries.iter().filter(given).map(|entry| (entry.mac, entry.port.0, format!("{:?}", entry.kind))).collect()
}

/// Links and forwarding databases only.
fn bridges(sysfs: &str) -> Observation {
    let mut seen = Observation::default();
    Inspector::open().unwrap().with_sources([Source::Links, Source::Fdb]).with_sysfs(sysfs).observe(&mut seen);
    seen
}

#[test]
fn the_quickest_source_tells_the_same_as_netlink() {
    in_new_namespace("the_quickest_source_tells_the_same_as_netlink", || {
        two_ports();
        let mut entries = String::new();
        for number in 0..9_000 {
            let (high, low) = (number / 256, number % 256);
            let kind = if number % 10 == 0 { "static" } else { "dynamic" };
            writeln!(entries, "fdb add fa:16:3e:00:{high:02x}:{low:02x} dev vnet{} master {kind}", number % 2).unwrap();
        }
        batch("bridge", &entries);
        let quick = bridges("/sys");
        let slow = bridges("/nonexistent");
        assert_eq!((quick.fdbs[0].source, slow.fdbs[0].source), (FdbSource::BrforwardThenNetlink, FdbSource::Netlink));
        assert_eq!(content(&quick.fdbs[0]), content(&slow.fdbs[0]));
        assert!(content(&quick.fdbs[0]).len() > 9_000);
        assert_eq!(quick.fdbs[0].entries.iter().filter(|entry| entry.kind == FdbKind::Static).count(), 900);
        assert_eq!(quick.gaps_in(Source::Fdb).count(), 0);

        // More static entries than are asked for one by one: said, and shown as what brforward tells.
        let all_static = entries.replace("add", "replace").replace("dynamic", "static");
        batch("bridge", &all_static);
        let quick = bridges("/sys");
        assert_eq!(quick.fdbs[0].source, FdbSource::Brforward);
        let gap = quick.gaps_in(Source::Fdb).next().unwrap();
        assert_eq!((gap.reason, gap.what.as_str()), (GapReason::TooLarge, "br0"));
    });
}

#[test]
fn a_sysfs_of_another_namespace_is_not_believed() {
    in_new_namespace("a_sysfs_of_another_namespace_is_not_believed", || {
        // The same names and indexes in both, so that only the addresses differ.
        two_ports();
        let mut elsewhere = Command::new("unshare").args(["-n", "sleep", "60"]).stdin(Stdio::null()).spawn().unwrap();
        let namespace = Namespace::Pid(elsewhere.id());
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        wait_until("the other namespace", || std::fs::read_link(format!("/proc/{}/ns/net", elsewhere.id())).unwrap() != own);
        let seen = in_namespace(&namespace, || {
            let mut seen = Observation::default();
            run_all(TWO_PORTS);
            Inspector::open().unwrap().observe(&mut seen);
            seen
        })
        .unwrap();
        elsewhere.kill().unwrap();
        elsewhere.wait().unwrap();
        assert!(
            seen.gaps_in(Source::Links).any(|gap| gap.what == "sysfs" && gap.why.contains("another network namespace")),
            "{:?}",
            seen.gaps
        );
        assert_eq!(seen.fdbs[0].source, FdbSource::Netlink);
        assert_eq!(seen.link_named("br0").unwrap().mac_pinned, None);
        assert_ne!(seen.link_named("br0").unwrap().mac, bridges("/sys").link_named("br0").unwrap().mac);
    });
}

#[test]
fn a_namespace_is_entered_by_its_file_and_left_again() {
    in_new_namespace("a_namespace_is_entered_by_its_file_and_left_again", || {
        run_all("ip netns add elsewhere\nip -n elsewhere link add only-there type bridge");
        let namespace = Namespace::Path(PathBuf::from("/run/netns/elsewhere"));
        let names = |seen: &Observation| seen.links.iter().map(|link| link.name.clone()).collect::<Vec<_>>();
        let there = in_namespace(&namespace, || bridges("/sys")).unwrap();
        assert!(names(&there).contains(&"only-there".to_owned()));
        assert!(!names(&bridges("/sys")).contains(&"only-there".to_owned()));
    });
}

/// Ends the churn when the test ends, well or badly.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn interfaces_that_come_and_go_meanwhile_do_no_harm() {
    in_new_namespace("interfaces_that_come_and_go_meanwhile_do_no_harm", || {
        two_ports();
        run_all("ip netns add elsewhere");
        let mut many = String::new();
        (0..60).for_each(|number| writeln!(many, "link add churn{number} type bridge").unwrap());
        batch("ip", &many);
        let stop = AtomicBool::new(false);
        let (mut torn, mut vanished) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    batch(
                        "ip",
                        &format!(
                            "link add new{round} type veth peer name peer{round}\nlink set new{round} master br0 up\n\
                             link set new{round} name old{round}\nlink add mig{round} type bridge\nlink set peer{round} netns elsewhere\n\
                             link del old{round}\nlink del mig{round}\n"
                        ),
                    );
                }
            });
            let _stop = StopOnDrop(&stop);
            let mut inspector = Inspector::open().unwrap().with_retries(1);
            for _ in 0..60 {
                let mut seen = Observation::default();
                inspector.observe(&mut seen);
                inspector.observe_again(&mut seen);
                assert!(seen.links.len() >= 66, "{} links", seen.links.len());
                let bad = seen.gaps.iter().find(|gap| !matches!(gap.reason, GapReason::Torn | GapReason::Changed | GapReason::Absent));
                assert_eq!(bad, None);
                torn += seen.gaps.iter().filter(|gap| gap.reason == GapReason::Torn).count();
                vanished += seen.gaps.iter().filter(|gap| gap.reason == GapReason::Changed).count();
            }
        });
        assert!(torn + vanished > 0, "the churn was never noticed: this test tests nothing");
    });
}

#[test]
fn a_deadline_leaves_gaps_and_nothing_else() {
    in_new_namespace("a_deadline_leaves_gaps_and_nothing_else", || {
        two_ports();
        let mut seen = Observation::default();
        let mut inspector = Inspector::open().unwrap().with_deadline(Duration::ZERO);
        inspector.observe(&mut seen);
        assert!(seen.links.is_empty() && seen.routes.is_empty());
        for source in [Source::Links, Source::Qdiscs, Source::BridgeVlans, Source::Addresses, Source::Neighbours, Source::Routes] {
            assert!(seen.gaps_in(source).any(|gap| gap.reason == GapReason::Deadline), "{source:?}");
        }
        // The dumps that were left are no trouble to the next look.
        let mut seen = Observation::default();
        inspector = inspector.with_deadline(Duration::from_secs(5));
        inspector.observe(&mut seen);
        assert_eq!(seen.gaps, []);
        assert_eq!(seen.links.len(), 6);
    });
}

#[test]
fn what_was_not_asked_for_is_a_gap() {
    in_new_namespace("what_was_not_asked_for_is_a_gap", || {
        let mut seen = Observation::default();
        Inspector::open().unwrap().with_sources([Source::Links]).observe(&mut seen);
        assert_eq!(seen.links.len(), 1);
        let unasked: BTreeSet<Source> = seen.gaps.iter().filter(|gap| gap.reason == GapReason::NotAsked).map(|gap| gap.source).collect();
        let expected = [Source::Qdiscs, Source::Fdb, Source::BridgeVlans, Source::Addresses, Source::Neighbours, Source::Routes];
        assert_eq!(unasked, expected.into());
    });
}
