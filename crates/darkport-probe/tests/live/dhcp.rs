//! DHCP as an instance, of real servers and of forgers.

use std::io::{self, Write as _};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use darkport_model::{Crossing, IfIndex, MacAddr, Part, Vid};
use darkport_probe::wire::{BROADCAST, DhcpMessage, DhcpOptions, Frame, Message, Tag, Udp, UdpChecksum};
use darkport_probe::{Dhcp, DhcpFinding, DhcpReport, DhcpSettings, TakeLease};

use crate::common::{batch, bridge, in_new_namespace, index, run};
use crate::guests::Guest;

const CLIENT: MacAddr = MacAddr([0xfa, 0x16, 0x3e, 0, 1, 1]);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// A dnsmasq behind one of the guests' devices, until it is dropped.
struct Dnsmasq(Child);

impl Dnsmasq {
    /// One on `ethN` that gives what `options` say.
    fn on(number: u8, options: &str) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", "guests", "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--port=0"]);
        command.args(["--bind-interfaces", &format!("--interface=eth{number}"), &format!("--dhcp-leasefile=/run/leases{number}")]);
        command.args(options.split_whitespace()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let (until, port) = (Instant::now() + Duration::from_secs(20), format!("{:04X}", 67));
        let listening = || run("ip netns exec guests cat /proc/net/udp").matches(&format!(":{port} ")).count();
        let before = usize::from(number);
        while listening() <= before {
            assert!(Instant::now() < until, "dnsmasq does not begin");
            sleep(Duration::from_millis(20));
        }
        Self(child)
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a test that needs dnsmasq.
fn with_dnsmasq(name: &str, body: impl FnOnce()) {
    if Command::new("dnsmasq").arg("--version").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        in_new_namespace(name, body);
    } else {
        let _ = writeln!(io::stderr(), "SKIPPED {name}: no dnsmasq here");
    }
}

/// Servers behind vnet0 (10.0.0.1) and vnet1 (10.0.0.2); vnet2 is a guest's.
fn ground() {
    bridge(3);
    batch(Some("guests"), "addr add 10.0.0.1/24 dev eth0\naddr add 10.0.0.2/24 dev eth1\nlink set lo up");
}

fn dhcp() -> Dhcp {
    let mut settings = DhcpSettings::default();
    settings.collect = Duration::from_millis(1800);
    Dhcp::on("br0").mac(CLIENT).settings(settings)
}

fn link(name: &str) -> IfIndex {
    IfIndex(index(None, name))
}

fn way(report: &DhcpReport, crossings: &[Crossing], part: Part) -> Vec<String> {
    let named = |one: &Crossing| format!("{}{}", if one.outgoing { '>' } else { '<' }, report.link_name(one.link).unwrap());
    crossings.iter().filter(|one| one.part == part).map(named).collect()
}

/// The frame of a server's answer; `number` makes up a server.
fn answer(asked: &DhcpMessage<'_>, kind: u8, server: Ipv4Addr, checksum: UdpChecksum, tag: Option<Tag>) -> Vec<u8> {
    let options = DhcpOptions::of(kind).with_addresses(54, &[server]).with(51, &[0, 0, 0, 60]).finish();
    let (mut payload, mut bytes, [.., c, d]) = (Vec::new(), Vec::new(), server.octets());
    asked.answer(Ipv4Addr::new(10, 0, 0, 50), &options).encode(&mut payload);
    let mut udp = Udp::new((server, 67), (Ipv4Addr::BROADCAST, 68), &payload);
    udp.checksum = checksum;
    Frame::new(BROADCAST, MacAddr([2, 9, 9, 9, c, d]), tag, Message::Udp(udp)).encode(&mut bytes);
    bytes
}

#[test]
fn an_offer_is_told_with_its_way() {
    with_dnsmasq("dhcp::an_offer_is_told_with_its_way", || {
        ground();
        let _server = Dnsmasq::on(0, "--dhcp-range=10.0.0.50,10.0.0.99,1h --no-ping --dhcp-option=6,10.0.0.53");
        let report = dhcp().expect([SERVER]).network("10.0.0.0/24".parse().unwrap()).run().unwrap();
        let [offer] = &report.probe.offers[..] else { panic!("{report:?}") };
        assert_eq!((offer.server, offer.prefix, offer.lease_s), (SERVER, Some(24), Some(3600)), "{report:?}");
        assert_eq!((&offer.routers[..], &offer.name_servers[..]), (&[SERVER][..], &[Ipv4Addr::new(10, 0, 0, 53)][..]));
        assert_eq!((offer.frame_from, offer.came_in_by), (MacAddr([0xfa, 0x16, 0x3e, 0, 0, 0]), Some(link("vnet0"))));
        // It goes to everybody, so that the bridge floods it to its other ports as well.
        let came_in: Vec<Crossing> = offer.way.iter().filter(|one| !one.outgoing).copied().collect();
        assert_eq!(way(&report, &came_in, Part::Answer), ["<vnet0", "<br0"]);
        assert_eq!(offer.way.len(), 4);
        let mut asked = way(&report, &report.probe.way, Part::Question);
        asked.sort();
        assert_eq!(asked, [">br0", ">vnet0", ">vnet1", ">vnet2"]);
        assert!(report.first_us().unwrap() < 1_000_000 && report.gaps.is_empty(), "{report:?}");
        // A veth sums nothing up: what comes from this machine's own stack is unfinished.
        assert_eq!(report.findings, [DhcpFinding::UnfinishedChecksum { server: SERVER }]);
        assert_eq!(std::fs::read_to_string("/run/leases0").unwrap(), "", "no lease was taken");
        assert!(run("ip -d link show br0").contains("promiscuity 0"));
    });
}

#[test]
fn two_servers_are_told_apart() {
    with_dnsmasq("dhcp::two_servers_are_told_apart", || {
        ground();
        let _one = Dnsmasq::on(0, "--dhcp-range=10.0.0.50,10.0.0.99,1h --no-ping");
        let _two = Dnsmasq::on(1, "--dhcp-range=10.0.0.150,10.0.0.199,1h --no-ping");
        let rogue = Ipv4Addr::new(10, 0, 0, 2);
        let is_note = |found: &DhcpFinding| matches!(found, DhcpFinding::UnfinishedChecksum { .. });
        let mut report = dhcp().run().unwrap();
        report.findings.retain(|found| !is_note(found));
        assert_eq!(report.findings, [DhcpFinding::SeveralServers { servers: vec![SERVER, rogue] }]);
        let mut report = dhcp().expect([SERVER]).network("10.0.0.0/25".parse().unwrap()).run().unwrap();
        report.findings.retain(|found| !is_note(found));
        let [DhcpFinding::UnexpectedServer { server, came_in_by, .. }, DhcpFinding::WrongSubnet { .. }] = report.findings[..] else {
            panic!("{report:?}")
        };
        assert_eq!((server, came_in_by), (rogue, Some(link("vnet1"))));
    });
}

#[test]
fn silence_is_told_from_a_server_that_lives() {
    with_dnsmasq("dhcp::silence_is_told_from_a_server_that_lives", || {
        ground();
        let report = dhcp().expect([SERVER]).run().unwrap();
        assert_eq!(report.findings, [DhcpFinding::Silence, DhcpFinding::SilentServer { server: SERVER, alive: false }], "{report:?}");
        assert_eq!((report.probe.sent, report.probe.unheard), (6, false));
        // As nova-network's: it knows its clients one by one, and this one it does not know.
        let _server = Dnsmasq::on(0, "--dhcp-range=10.0.0.0,static,1h --dhcp-host=fa:16:3e:09:09:09,10.0.0.50");
        run("ip address add 10.0.0.9/24 dev br0");
        let report = dhcp().expect([SERVER]).run().unwrap();
        assert_eq!(report.findings, [DhcpFinding::SilentServer { server: SERVER, alive: true }], "{report:?}");
        // Its own client gets its address.
        let report = dhcp().mac("fa:16:3e:09:09:09".parse().unwrap()).expect([SERVER]).run().unwrap();
        assert_eq!(report.probe.offers[0].address, Ipv4Addr::new(10, 0, 0, 50));
        // A server on this very host does not hear this.
        let report = dhcp().expect([Ipv4Addr::new(10, 0, 0, 9)]).run().unwrap();
        assert!(report.probe.unheard && report.gaps[0].why.contains("does not hear what the host itself sends"), "{report:?}");
        assert!(!report.findings.iter().any(|found| matches!(found, DhcpFinding::SilentServer { .. })));
    });
}

#[test]
fn a_lease_is_taken_released_and_refused() {
    with_dnsmasq("dhcp::a_lease_is_taken_released_and_refused", || {
        ground();
        let options = "--dhcp-range=10.0.0.50,10.0.0.99,1h --no-ping --dhcp-authoritative --log-facility=/run/log";
        let _server = Dnsmasq::on(0, options);
        let report = dhcp().client_id(*b"\0darkport").take_lease(TakeLease::Offered).run().unwrap();
        let lease = report.probe.lease.unwrap();
        assert_eq!((lease.server, lease.granted, lease.released), (Some(SERVER), Some(true), true), "{report:?}");
        let said = |what: &str| std::fs::read_to_string("/run/log").unwrap().contains(&format!("{what}(eth0) {}", lease.address));
        let until = Instant::now() + Duration::from_secs(20);
        while !(said("DHCPACK") && said("DHCPRELEASE") && std::fs::read_to_string("/run/leases0").unwrap().is_empty()) {
            assert!(
                Instant::now() < until,
                "{}{}",
                std::fs::read_to_string("/run/log").unwrap(),
                std::fs::read_to_string("/run/leases0").unwrap()
            );
            sleep(Duration::from_millis(20));
        }
        let address = Ipv4Addr::new(192, 168, 7, 7);
        let report = dhcp().take_lease(TakeLease::Remembered(address)).run().unwrap();
        assert!(report.findings.contains(&DhcpFinding::Refused { server: SERVER, address }), "{report:?}");
        assert!(!report.probe.lease.unwrap().released);
    });
}

#[test]
fn a_wrong_checksum_is_told_and_a_tag_kept_to() {
    in_new_namespace("dhcp::a_wrong_checksum_is_told_and_a_tag_kept_to", || {
        ground();
        let vid = Vid::try_from(1102).unwrap();
        let _server = Guest::serving("eth1", move |asked| {
            let tagged = answer(asked, 2, Ipv4Addr::new(10, 0, 0, 3), UdpChecksum::Right, Some(Tag::new(vid)));
            vec![answer(asked, 2, SERVER, UdpChecksum::Wrong, None), tagged]
        });
        let report = dhcp().run().unwrap();
        assert_eq!(report.findings, [DhcpFinding::BadChecksum { server: SERVER }], "{report:?}");
        let report = dhcp().vlan(vid).run().unwrap();
        let [offer] = &report.probe.offers[..] else { panic!("{report:?}") };
        assert_eq!((offer.server, offer.way[0].vid, report.findings.len()), (Ipv4Addr::new(10, 0, 0, 3), Some(vid), 0), "{report:?}");
    });
}

#[test]
fn a_flood_of_forged_offers_hides_nobody() {
    with_dnsmasq("dhcp::a_flood_of_forged_offers_hides_nobody", || {
        ground();
        let _server = Dnsmasq::on(0, "--dhcp-range=10.0.0.50,10.0.0.99,1h --no-ping");
        let _forger = Guest::serving("eth2", |asked| {
            (0..5000u32).map(|number| answer(asked, 2, Ipv4Addr::from(0x0a63_0000 + number), UdpChecksum::Right, None)).collect()
        });
        let report = dhcp().expect([SERVER]).run().unwrap();
        assert!(report.probe.cut && report.probe.offers.len() <= 65, "{:?}", report.stats);
        assert!(report.probe.offers.iter().any(|offer| offer.server == SERVER) || report.probe.unheard, "{:?}", report.stats);
        assert!(
            report
                .findings
                .iter()
                .any(|found| matches!(found, DhcpFinding::UnexpectedServer { came_in_by, .. } if *came_in_by == Some(link("vnet2"))))
        );
        assert!(report.stats.answers > 5000, "{:?}", report.stats);
    });
}
