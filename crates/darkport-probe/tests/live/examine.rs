//! What every diagnosis asks, on a real bridge.

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_bridge::Inspector;
use darkport_model::{ArpProbe, Fact, FactSource, IfIndex, Instance, MacAddr, Nic, Observation, Part, Whom};
use darkport_probe::Examiner;
use darkport_probe::wire::{Arp, BROADCAST, Frame, Message};

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
    Examiner::new(Duration::from_millis(500)).observe(&mut seen);
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
