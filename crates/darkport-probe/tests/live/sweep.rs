//! What a sweep finds.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use darkport_bridge::Namespace;
use darkport_model::{MacAddr, Vid};
use darkport_probe::{HostState, ProbeError, Settings, Sweep, SweepFinding, SweepReport, Target, hosts};

use crate::common::{batch, bridge, in_new_namespace, run};
use crate::guests::{Guest, reply};

fn prefix(text: &str) -> Vec<Target> {
    hosts(text.parse().unwrap()).unwrap().into_iter().map(Target::new).collect()
}

fn up(report: &SweepReport, icmp: bool) -> BTreeSet<Ipv4Addr> {
    let is_up =
        |host: &&darkport_probe::SweptHost| if icmp { host.icmp == Some(HostState::Answered) } else { host.state == HostState::Answered };
    report.hosts.iter().filter(is_up).map(|host| host.address).collect()
}

/// Every third address of a /20 behind one of three ports.
fn town() -> BTreeSet<Ipv4Addr> {
    bridge(3);
    let live: BTreeSet<Ipv4Addr> = (0..4094u32).filter(|n| n % 3 == 1).map(|n| Ipv4Addr::from(0x0a44_1001 + n)).collect();
    let mut lines: Vec<String> = (0..).zip(&live).map(|(n, address)| format!("address add {address}/32 dev eth{}", n % 3)).collect();
    lines.push("route add 10.68.16.0/20 dev eth0".into());
    batch(Some("guests"), &lines.join("\n"));
    live
}

#[test]
fn thousands_are_told_apart_and_no_table_is_filled() {
    in_new_namespace("thousands_are_told_apart_and_no_table_is_filled", || {
        let live = town();
        run("ip address add 10.68.16.1/20 dev br0");
        let mut settings = Settings::default();
        settings.icmp = true;
        let report = Sweep::on("br0").targets(prefix("10.68.16.0/20")).settings(settings).run().unwrap();
        assert_eq!(up(&report, false), live, "{:?} {:?}", report.stats, report.gaps);
        assert_eq!(up(&report, true), live, "{:?} {:?}", report.stats, report.gaps);
        assert_eq!(report.gaps, []);
        assert_eq!((report.count(HostState::Own), report.count(HostState::Undecided), report.stats.dropped), (1, 0, 0));
        for (n, host) in (0..3u8).cycle().zip(report.hosts.iter().filter(|host| host.state == HostState::Answered)) {
            let [holder] = &host.holders[..] else { panic!("{host:?}") };
            assert_eq!((holder.mac, holder.port.as_deref()), (MacAddr([0xfa, 0x16, 0x3e, 0, 0, n]), Some(&*format!("vnet{n}"))));
        }
        assert!(report.hosts.iter().filter(|host| host.state == HostState::Silent).all(|host| host.tries >= 6));
        // Each guest port's one address stands for hundreds here, and that is said.
        assert!(matches!(&report.findings[..], [SweepFinding::OneForMany { count, .. }, _, _] if *count > 400), "{:?}", report.findings);
        assert_eq!(run("ip neigh show dev br0"), "", "the kernel's neighbour table took no part");
        assert!(run("ip -d link show br0").contains("promiscuity 0"));
        // As text and back: what a report says is plain data.
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["hosts"][1]["state"], "answered");
        assert_eq!(json["findings"][0]["kind"], "one-for-many");
    });
}

#[test]
fn without_an_address_of_its_own_it_asks_from_none() {
    in_new_namespace("without_an_address_of_its_own_it_asks_from_none", || {
        let live = town();
        let mut settings = Settings::default();
        settings.icmp = true;
        let mut sweep = Sweep::on("br0").targets(prefix("10.68.16.0/20")).settings(settings.clone());
        let report = sweep.run().unwrap();
        assert_eq!(up(&report, false), live);
        assert!(report.hosts.iter().all(|host| host.icmp == Some(HostState::NotAsked)));
        assert_eq!(run("ip -n guests neigh"), "", "nobody took note of the asker");
        let report =
            Sweep::on("br0").targets(prefix("10.68.16.0/24")).settings(settings).source(Ipv4Addr::new(10, 68, 31, 253)).run().unwrap();
        assert_eq!(up(&report, true), live.range(..Ipv4Addr::new(10, 68, 16, 255)).copied().collect());
    });
}

#[test]
fn a_port_a_guests_own_side_and_another_namespace_do_as_well() {
    in_new_namespace("a_port_a_guests_own_side_and_another_namespace_do_as_well", || {
        bridge(2);
        batch(Some("guests"), "address add 10.0.0.2/24 dev eth0\n");
        run("ip address add 10.0.0.3/24 dev br0");
        let report = Sweep::on("vnet0").targets(prefix("10.0.0.0/24")).run().unwrap();
        assert_eq!(up(&report, false), [Ipv4Addr::new(10, 0, 0, 2)].into(), "the bridge takes no answer away");
        assert_eq!(report.hosts[1].holders[0].port.as_deref(), Some("vnet0"));
        let elsewhere = Namespace::Path("/run/netns/guests".into());
        let report = Sweep::on("eth0").namespace(elsewhere).targets(prefix("10.0.0.0/24")).run().unwrap();
        assert_eq!(up(&report, false), [Ipv4Addr::new(10, 0, 0, 3)].into(), "{:?}", report.stats);
        assert_eq!(report.count(HostState::Own), 1);
    });
}

#[test]
fn a_vlan_is_its_own_network() {
    in_new_namespace("a_vlan_is_its_own_network", || {
        bridge(1);
        let vid = Vid::try_from(1102).unwrap();
        let mac = MacAddr([0xfa, 0x16, 0x3e, 0, 0, 9]);
        // A guest that answers tagged questions for .9 with the tag, and for .8 without it.
        let _guest = Guest::answering("eth0", move |_, frame, question| {
            let tagged = frame.tags[0].and_then(darkport_probe::wire::Tag::vid) == Some(vid);
            let mut untagged = *frame;
            untagged.tags = [None; 2];
            match question.target.octets() {
                [.., 9] if tagged => vec![reply(frame, question, mac)],
                [.., 8] => vec![reply(&untagged, question, mac)],
                _ => Vec::new(),
            }
        });
        let within = Sweep::on("br0").vlan(vid).targets(prefix("10.0.0.0/28")).run().unwrap();
        assert_eq!(up(&within, false), [Ipv4Addr::new(10, 0, 0, 9)].into());
        assert!(within.stats.strays > 0, "answers in another VLAN are none: {:?}", within.stats);
        let without = Sweep::on("br0").targets(prefix("10.0.0.0/28")).run().unwrap();
        assert_eq!(up(&without, false), [Ipv4Addr::new(10, 0, 0, 8)].into());
    });
}

#[test]
fn who_ought_to_have_an_address_and_does_not_is_told_with_the_port() {
    in_new_namespace("who_ought_to_have_an_address_and_does_not_is_told_with_the_port", || {
        bridge(3);
        run("ip address add 10.0.0.1/24 dev br0");
        batch(Some("guests"), "address add 10.0.0.2/32 dev eth0\naddress add 10.0.0.2/32 dev eth1\naddress add 10.0.0.3/32 dev eth1\n");
        let [a, b, c] = [0, 1, 2].map(|n| MacAddr([0xfa, 0x16, 0x3e, 0, 0, n]));
        // Another kernel that held the asker's address would not listen to the asker.
        let _thief = Guest::answering(
            "eth2",
            move |_, frame, question| {
                if question.target.octets()[3] == 1 { vec![reply(frame, question, c)] } else { Vec::new() }
            },
        );
        let targets = [
            Target::expected(Ipv4Addr::new(10, 0, 0, 1)),
            Target::expected(Ipv4Addr::new(10, 0, 0, 2)).mac(a).name("one"),
            Target::expected(Ipv4Addr::new(10, 0, 0, 3)).mac(c).name("two"),
            Target::expected(Ipv4Addr::new(10, 0, 0, 4)).mac(c).name("three"),
        ];
        let report = Sweep::on("br0").targets(targets).run().unwrap();
        let told = |holder: &darkport_probe::HolderSeen| (holder.mac, holder.port.clone().unwrap());
        let mut found = report.findings.iter();
        assert!(matches!(found.next(), Some(SweepFinding::OwnAddressTaken { holders, .. }) if told(&holders[0]) == (c, "vnet2".into())));
        let Some(SweepFinding::DuplicateAddress { address, holders }) = found.next() else { panic!("{:?}", report.findings) };
        assert_eq!(address.octets()[3], 2);
        assert_eq!(holders.iter().map(told).collect::<BTreeSet<_>>(), [(a, "vnet0".into()), (b, "vnet1".into())].into());
        assert!(matches!(found.next(), Some(SweepFinding::UnexpectedMac { expected, .. }) if *expected == a));
        assert!(
            matches!(found.next(), Some(SweepFinding::UnexpectedMac { expected, holders, .. }) if *expected == c && told(&holders[0]) == (b, "vnet1".into()))
        );
        assert_eq!(found.next(), None);
        assert_eq!(report.count_expected(HostState::Silent), 1);
        assert!(report.stats.unicasts > 0, "whom nobody hears is asked directly too");
    });
}

#[test]
fn what_cannot_be_asked_says_why() {
    in_new_namespace("what_cannot_be_asked_says_why", || {
        bridge(1);
        run("ip link set br0 down");
        let error = |device: &str, targets: Vec<Target>| Sweep::on(device).targets(targets).run().unwrap_err();
        assert_eq!(error("br0", prefix("10.0.0.0/30")).to_string(), "the interface \"br0\" is down");
        assert_eq!(error("br9", prefix("10.0.0.0/30")).to_string(), "there is no interface \"br9\" here");
        run("ip link set lo up");
        assert!(matches!(error("lo", prefix("10.0.0.0/30")), ProbeError::NotEthernet(_)));
        assert!(matches!(error("vnet0", Vec::new()), ProbeError::NoTargets));
        run("ip -n guests link set eth0 down");
        assert_eq!(error("vnet0", prefix("10.0.0.0/30")).to_string(), "the interface \"vnet0\" has no carrier");
        let gone = Namespace::Path("/run/netns/gone".into());
        assert!(matches!(Sweep::on("br0").namespace(gone).run().unwrap_err(), ProbeError::Look(_)));
    });
}

#[test]
fn an_interface_that_goes_away_leaves_the_question_open() {
    in_new_namespace("an_interface_that_goes_away_leaves_the_question_open", || {
        bridge(1);
        let mut settings = Settings::default();
        settings.rate = 1000;
        let sweep = Sweep::on("br0").targets(prefix("10.0.0.0/21")).settings(settings);
        let report = sweep
            .on_progress(|far| {
                if far.targets > 0 {
                    run("ip link set br0 down");
                }
            })
            .run()
            .unwrap();
        assert_eq!(report.count(HostState::Silent), 0, "{:?}", report.stats);
        assert_eq!(report.count(HostState::Undecided), 2046);
        assert!(report.gaps.iter().any(|gap| gap.why.contains("ended early")), "{:?}", report.gaps);
    });
}
