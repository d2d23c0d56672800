//! What every diagnosis asks, on a real bridge.

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use darkport_bridge::Inspector;
use darkport_model::{ArpProbe, Fact, FactSource, IfIndex, Instance, MacAddr, Nic, Observation, Part, Whom};
use darkport_probe::wire::{Arp, BROADCAST, Frame, Message};
use darkport_probe::{Capture, Examiner};

use crate::common::{batch, bridge, in_new_namespace, index, run};
use crate::guests::Guest;

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

fn fact<T>(value: T) -> Fact<T> {
    Fact::new(value, FactSource::LiveXml, "i.xml")
}

/// The uplink is vnet0 with the gateway behind it; on vnet1 and vnet2 are instances, the second of which has lost its address.
fn host() -> Observation {
    bridge(3);
    batch(Some("guests"), "addr add 10.0.0.1/24 dev eth0\naddr add 10.0.0.11/32 dev eth1");
    look()
}

fn look() -> Observation {
    let mut seen = told();
    Examiner::new(Duration::from_millis(500)).observe(&mut seen);
    seen
}

/// The host and its inventory, before anybody is asked.
fn told() -> Observation {
    let mut seen = Observation::default();
    Inspector::open().unwrap().observe(&mut seen);
    for number in [1u8, 2] {
        let mut instance = Instance::named(format!("i-{number}"));
        instance.running = Some(fact(true));
        let mut nic = Nic::default();
        nic.tap = Some(fact(format!("vnet{number}")));
        nic.mac = Some(fact(MacAddr([0xfa, 0x16, 0x3e, 0, 0, number])));
        nic.addresses.push(fact(Ipv4Addr::new(10, 0, 0, 10 + number).into()));
        nic.gateways.push(fact(GATEWAY.into()));
        instance.nics.push(nic);
        seen.inventory.instances.push(instance);
    }
    seen
}

fn about<'a>(seen: &'a Observation, whom: &Whom) -> &'a ArpProbe {
    seen.probes.arp.iter().find(|probe| probe.whom == *whom).unwrap()
}

/// The devices that a part crossed, in order, with an arrow for their direction.
fn way(seen: &Observation, probe: &ArpProbe, part: Part) -> Vec<String> {
    let name = |link: IfIndex| seen.link(link).map_or("?", |link| &link.name).to_owned();
    let mine = probe.way.iter().filter(|crossing| crossing.part == part);
    mine.map(|crossing| format!("{}{}", if crossing.outgoing { '>' } else { '<' }, name(crossing.link))).collect()
}

#[test]
fn questions_are_followed_out_and_answers_back() {
    in_new_namespace("examine::questions_are_followed_out_and_answers_back", || {
        let seen = host();
        assert_eq!(seen.probes.heard.dropped, 0);
        let gateway = about(&seen, &Whom::Gateway);
        assert!(gateway.answered > 0 && gateway.answers[0].mac == MacAddr([0xfa, 0x16, 0x3e, 0, 0, 0]), "{gateway:?}");
        assert_eq!(gateway.answers[0].came_in_by, Some(IfIndex(index(None, "vnet0"))));
        assert_eq!(way(&seen, gateway, Part::Question), [">br0", ">vnet0"]);
        assert_eq!(way(&seen, gateway, Part::Answer), ["<vnet0", "<br0"]);
        assert!(about(&seen, &Whom::Instance("i-1".into())).answered > 0);
        let silent = about(&seen, &Whom::Instance("i-2".into()));
        assert!(silent.is_silent() && silent.sent >= 6, "{silent:?}");
        assert!(way(&seen, silent, Part::Question).contains(&">vnet2".to_owned()), "{silent:?}");
        assert_eq!(run("ip neigh show dev br0"), "", "the kernel's neighbour table took no part");
        assert_eq!(run("ip -n guests neigh show"), "", "nobody takes note of a question from 0.0.0.0");

        // Out of the bridge, the uplink sees nothing of it any more.
        run("ip link set vnet0 nomaster");
        let seen = look();
        let gateway = about(&seen, &Whom::Gateway);
        assert!(gateway.is_silent(), "{gateway:?}");
        assert_eq!(way(&seen, gateway, Part::Question), [">br0"]);
    });
}

#[test]
fn a_flood_leaves_the_answer_right_or_open() {
    in_new_namespace("examine::a_flood_leaves_the_answer_right_or_open", || {
        host();
        // The guest on vnet2 makes up a sender a frame.
        let mac = MacAddr([0xfa, 0x16, 0x3e, 0, 0, 2]);
        let invented = |number: u32| {
            let mut bytes = Vec::new();
            Frame::new(BROADCAST, mac, None, Message::Arp(Arp::request(mac, Ipv4Addr::from(number), GATEWAY))).encode(&mut bytes);
            bytes
        };
        let flood = Guest::flooding("eth2", (1..20_000).map(invented).collect());
        let seen = look();
        drop(flood);
        let gateway = about(&seen, &Whom::Gateway);
        assert!(gateway.answered > 0 || gateway.unheard, "{gateway:?}");
        let instance = about(&seen, &Whom::Instance("i-1".into()));
        assert!(instance.answered > 0 || instance.unheard, "{instance:?}");
        assert!(seen.probes.heard.cut && seen.probes.heard.arp.len() <= 4096);
    });
}

#[test]
fn wireshark_reads_what_was_kept() {
    in_new_namespace("examine::wireshark_reads_what_was_kept", || {
        if Command::new("tshark").arg("-v").output().is_err() {
            let _ = writeln!(std::io::stderr(), "SKIPPED examine::wireshark_reads_what_was_kept: tshark is missing");
            return;
        }
        bridge(3);
        // The gateway stands behind a VLAN device, as nova-network's VlanManager builds it, where the kernel has such.
        let vlan = "link add link vnet0 name vlan1102 type vlan id 1102";
        let tagged = Command::new("ip").args(vlan.split(' ')).output().unwrap().status.success();
        if tagged {
            batch(None, "link set vnet0 nomaster\nlink set vlan1102 master br0 up");
            let lines = "link add link eth0 name eth0.1102 type vlan id 1102\nlink set eth0.1102 up\naddr add 10.0.0.1/24 dev eth0.1102";
            batch(Some("guests"), lines);
        } else {
            let _ =
                writeln!(std::io::stderr(), "SKIPPED the tag in examine::wireshark_reads_what_was_kept: this kernel has no VLAN devices");
            batch(Some("guests"), "addr add 10.0.0.1/24 dev eth0");
        }
        let (mut seen, mut capture) = (told(), Capture::default());
        Examiner::new(Duration::from_millis(500)).observe_keeping(&mut seen, &mut capture);
        std::fs::write("/run/frames.pcapng", capture.to_pcapng()).unwrap();
        let fields = ["frame.interface_name", "frame.packet_flags_direction", "vlan.id", "arp.opcode", "frame.comment", "frame.time_epoch"];
        let fields = fields.map(|field| format!("-e {field}")).join(" ");
        let read = run(&format!(
            "tshark -r /run/frames.pcapng -Y arp.dst.proto_ipv4==10.0.0.1||arp.src.proto_ipv4==10.0.0.1 -T fields -E separator=/t {fields}"
        ));
        let lines: Vec<Vec<&str>> = read.lines().map(|line| line.split('\t').collect()).collect();
        // Versions differ in how many zeros stand before the direction.
        let direction = |line: &[&str]| if line[1].ends_with('2') { "2" } else { "1" };
        let hops: Vec<_> = lines.iter().map(|line| vec![line[0], direction(line), line[2], line[3], line[4]]).collect();
        let (vid, with) = if tagged { ("1102", " with tag 1102") } else { ("", "") };
        for (device, vid, with) in [("br0", "", ""), ("vlan1102", "", ""), ("vnet0", vid, with)] {
            if device == "vlan1102" && !tagged {
                continue;
            }
            let asked = format!("ARP 10.0.0.1: question 1 leaves {device}{with}");
            let answered = format!("ARP 10.0.0.1: answer to question 1 comes in by {device}{with}");
            for hop in [[device, "2", vid, "1", &asked], [device, "1", vid, "2", &answered]] {
                assert!(hops.contains(&hop.to_vec()), "{hop:?} is missing in\n{read}");
            }
        }
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
        let at: f64 = lines[0][5].parse().unwrap();
        assert!((0.0..60.0).contains(&(now - at)), "{at} is not now, {now}");
        let all = run("tshark -r /run/frames.pcapng");
        assert!(all.lines().count() == capture.len() && !all.contains("Malformed"), "{all}");
    });
}
