//! Guests that mean ill.

use std::net::Ipv4Addr;

use darkport_model::MacAddr;
use darkport_probe::wire::{Arp, BROADCAST, Frame, Message};
use darkport_probe::{HostState, Sweep, SweepFinding, Target, hosts};

use crate::common::{batch, bridge, in_new_namespace, run};
use crate::guests::{Guest, reply};

const BRIDGE: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xfe]);
const BAD: MacAddr = MacAddr([0xfa, 0x16, 0x3e, 0, 0, 0x66]);

fn prefix(text: &str) -> Vec<Target> {
    hosts(text.parse().unwrap()).unwrap().into_iter().map(Target::new).collect()
}

fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

#[test]
fn one_who_takes_every_address_is_named_with_the_port() {
    in_new_namespace("one_who_takes_every_address_is_named_with_the_port", || {
        bridge(2);
        batch(Some("guests"), "address add 10.0.0.7/32 dev eth0\n");
        let _guest = Guest::answering("eth1", |_, frame, question| vec![reply(frame, question, BAD)]);
        let report = Sweep::on("br0").targets(prefix("10.0.0.0/22")).run().unwrap();
        assert_eq!(report.count(HostState::Answered), 1022);
        let [SweepFinding::DuplicateAddress { address, holders }, SweepFinding::OneForMany { holder, count: 1022, .. }] =
            &report.findings[..]
        else {
            panic!("{:?}", report.findings)
        };
        assert_eq!((address.octets()[3], holders.len()), (7, 2));
        assert_eq!((holder.mac, holder.port.as_deref()), (BAD, Some("vnet1")));
    });
}

#[test]
fn no_flood_changes_the_answer() {
    in_new_namespace("no_flood_changes_the_answer", || {
        bridge(2);
        run("ip link set br0 mtu 9000");
        let live: Vec<Ipv4Addr> = (0..200).map(|n| Ipv4Addr::new(10, 0, 1, n)).collect();
        batch(Some("guests"), &live.iter().map(|address| format!("address add {address}/32 dev eth0")).collect::<Vec<_>>().join("\n"));
        let question = Arp::request(BRIDGE, Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(192, 0, 2, 1));
        let mut gratuitous = question;
        (gratuitous.sender, gratuitous.sender_mac) = (question.target, BAD);
        let mut short = bytes(&Frame::new(BRIDGE, BAD, None, Message::Arp(Arp::reply_to(&question, BAD))));
        short.truncate(30);
        let mut from_group = Arp::reply_to(&question, BROADCAST);
        from_group.sender = live[0];
        let flood = vec![
            // Questions to all; answers that nobody asked for, whole and cut short; an answer to another; nonsense for this host.
            bytes(&Frame::new(BROADCAST, BAD, None, Message::Arp(gratuitous))),
            bytes(&Frame::new(BRIDGE, BAD, None, Message::Arp(Arp::reply_to(&question, BAD)))),
            short,
            bytes(&Frame::new(BAD, BAD, None, Message::Arp(Arp::reply_to(&question, BAD)))),
            bytes(&Frame::new(BRIDGE, BAD, None, Message::Arp(from_group))),
            [&BRIDGE.0[..], &BAD.0[..], &[0x81, 0, 0, 5, 0x88, 0xa8, 0, 6, 0x81, 0, 0, 7, 8, 6], &[0; 40]].concat(),
        ];
        let _guest = Guest::flooding("eth1", flood);
        let report = Sweep::on("br0").targets(prefix("10.0.0.0/22")).run().unwrap();
        let up: Vec<Ipv4Addr> = report.hosts.iter().filter(|host| host.state == HostState::Answered).map(|host| host.address).collect();
        assert_eq!(up, live, "{:?} {:?}", report.stats, report.gaps);
        assert!(report.stats.strays > 100, "the flood was there: {:?}", report.stats);
        // On a machine so busy that frames found no room, silence says nothing, and that is said.
        let rest = if report.stats.dropped == 0 { HostState::Silent } else { HostState::Undecided };
        assert_eq!(report.count(rest), 1022 - 200, "{:?}", report.stats);
    });
}

#[test]
fn an_answer_in_a_frame_too_long_to_keep_is_still_an_answer() {
    in_new_namespace("an_answer_in_a_frame_too_long_to_keep_is_still_an_answer", || {
        bridge(1);
        batch(None, "link set vnet0 mtu 9000\nlink set br0 mtu 9000\n");
        batch(Some("guests"), "link set eth0 mtu 9000\n");
        let _guest = Guest::answering("eth0", |_, frame, question| {
            let mut bytes = reply(frame, question, BAD);
            bytes.resize(8000, 0x5a);
            vec![bytes]
        });
        let report = Sweep::on("br0").targets([Target::new(Ipv4Addr::new(10, 0, 0, 1))]).run().unwrap();
        assert_eq!(report.count(HostState::Answered), 1);
    });
}
