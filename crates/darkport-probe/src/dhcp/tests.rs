//! The client against servers that a test plays: time, loss, repetition and forgery.

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::{IfIndex, IpPrefix, MacAddr};
use proptest::prelude::*;

use super::book::Book;
use super::{DhcpAsk, DhcpFinding, DhcpMachine, DhcpPlan, TakeLease, findings};
use crate::socket::{PacketType, Received};
use crate::sweep::Next;
use crate::wire::{DhcpMessage, DhcpOptions, Frame, Message, Udp, UdpChecksum};

const ME: MacAddr = MacAddr([0xfa, 0x16, 0x3e, 0, 0, 1]);
const XID: u32 = 0x1234_5678;
const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const TWO: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

fn mac(server: Ipv4Addr) -> MacAddr {
    let [a, b, c, d] = server.octets();
    MacAddr([2, 0, a, b, c, d])
}

fn options(kind: u8, server: Ipv4Addr) -> DhcpOptions {
    DhcpOptions::of(kind)
        .with_addresses(54, &[server])
        .with(51, &3600u32.to_be_bytes())
        .with_addresses(1, &[Ipv4Addr::new(255, 255, 255, 0)])
        .with_addresses(3, &[ONE])
        .with_addresses(6, &[ONE, TWO])
}

/// The frame of a server's answer.
fn said(server: Ipv4Addr, xid: u32, yours: Ipv4Addr, options: DhcpOptions, checksum: UdpChecksum) -> Vec<u8> {
    let (options, mut payload, mut bytes) = (options.finish(), Vec::new(), Vec::new());
    DhcpMessage::request(xid, ME, &[]).answer(yours, &options).encode(&mut payload);
    let mut udp = Udp::new((server, 67), (Ipv4Addr::BROADCAST, 68), &payload);
    udp.checksum = checksum;
    Frame::new(crate::wire::BROADCAST, mac(server), None, Message::Udp(udp)).encode(&mut bytes);
    bytes
}

fn says(kind: u8, server: Ipv4Addr, last: u8) -> Vec<u8> {
    said(server, XID, Ipv4Addr::new(10, 0, 0, last), options(kind, server), UdpChecksum::Right)
}

/// Plays until the client is done: what `answer` says to each question arrives a millisecond later. Every question, and the end.
fn play(plan: DhcpPlan, mut answer: impl FnMut(&DhcpAsk, usize) -> Vec<Vec<u8>>) -> (DhcpMachine, Vec<DhcpAsk>, Duration) {
    let (mut machine, mut now, mut all) = (DhcpMachine::new(plan), Duration::from_secs(5), Vec::new());
    let mut arriving = Vec::new();
    for _ in 0..10_000 {
        let mut asks = Vec::new();
        for bytes in arriving.drain(..) {
            let bytes: Vec<u8> = bytes;
            machine.poll(now, Some(Received::new(&bytes, now)), &mut asks);
        }
        let next = machine.poll(now, None, &mut asks);
        for ask in &asks {
            let mut bytes = Vec::new();
            machine.encode(ask, &mut bytes);
            let frame = Frame::decode(&bytes, None).unwrap();
            let Message::Udp(udp) = frame.message else { panic!("{frame:?}") };
            let message = DhcpMessage::decode(udp.payload).unwrap();
            assert_eq!((udp.checksum, message.mac(), message.xid, bytes.len()), (UdpChecksum::Right, Some(ME), XID, 342));
            arriving.extend(answer(ask, all.len()));
            all.push(*ask);
        }
        match next {
            Next::Done => return (machine, all, now),
            Next::Wait(until) if arriving.is_empty() => {
                assert!(until > now, "a call too early is a busy loop");
                now = until;
            }
            Next::Wait(_) => now += Duration::from_millis(1),
        }
    }
    panic!("it never ends");
}

fn told(machine: &DhcpMachine, network: Option<&str>, end: Duration) -> Vec<DhcpFinding> {
    let mut probe = darkport_model::DhcpProbe::new(IfIndex(1), ME);
    (probe.offers, probe.alive, probe.refused) = (machine.offers().to_vec(), machine.alive().to_vec(), machine.refused().to_vec());
    (probe.expected, probe.lease, probe.cut) = (machine.plan().expected.clone(), machine.lease().copied(), machine.is_cut());
    findings::findings(&probe, network.map(|network| network.parse::<IpPrefix>().unwrap()), machine.has_waited(end))
}

fn plan() -> DhcpPlan {
    DhcpPlan::new(ME, XID)
}

fn is_discover(ask: &DhcpAsk) -> bool {
    matches!(ask, DhcpAsk::Discover { .. })
}

#[test]
fn an_offer_is_read_whole_and_nothing_is_taken() {
    let (machine, asks, end) = play(plan(), |_, number| if number == 0 { vec![says(2, ONE, 9)] } else { Vec::new() });
    let [offer] = machine.offers() else { panic!("{machine:?}") };
    assert_eq!((offer.server, offer.address, offer.prefix), (ONE, Ipv4Addr::new(10, 0, 0, 9), Some(24)));
    assert_eq!((&offer.routers[..], &offer.name_servers[..], offer.lease_s), (&[ONE][..], &[ONE, TWO][..], Some(3600)));
    assert_eq!((offer.checksum_ok, offer.malformed, offer.after_us, offer.relay), (Some(true), false, Some(1000), None));
    assert_eq!(offer.options.iter().map(|option| option.code).collect::<Vec<_>>(), [54, 51, 1, 3, 6]);
    assert!(asks.iter().all(is_discover) && asks.len() == 4, "{asks:?}");
    assert_eq!(end, Duration::from_secs(9));
    assert_eq!(told(&machine, Some("10.0.0.0/24"), end), []);
    assert!(matches!(told(&machine, Some("10.9.0.0/24"), end)[..], [DhcpFinding::WrongSubnet { .. }]));
}

#[test]
fn silence_takes_six_questions_and_ten_seconds() {
    let (machine, asks, end) = play(plan(), |_, _| Vec::new());
    assert_eq!((asks.len(), end), (6, Duration::from_secs(15)));
    assert_eq!(told(&machine, None, end), [DhcpFinding::Silence]);
    let mut short = plan();
    short.settings.deadline = Duration::from_secs(2);
    let (machine, _, end) = play(short, |_, _| Vec::new());
    assert!(!machine.has_waited(end), "too short to claim anything");
}

#[test]
fn servers_are_told_apart() {
    let both = |ask: &DhcpAsk, _: usize| if is_discover(ask) { vec![says(2, ONE, 9), says(2, TWO, 10)] } else { Vec::new() };
    let (machine, _, end) = play(plan(), both);
    assert_eq!(told(&machine, None, end), [DhcpFinding::SeveralServers { servers: vec![ONE, TWO] }]);
    let mut expecting = plan();
    expecting.expected = vec![ONE];
    let (machine, _, end) = play(expecting.clone(), both);
    let unexpected = DhcpFinding::UnexpectedServer { server: TWO, frame_from: mac(TWO), came_in_by: None };
    assert_eq!(told(&machine, None, end), std::slice::from_ref(&unexpected));
    // The one that ought to answer is silent, but lives.
    expecting.inform = Some(Ipv4Addr::new(10, 0, 0, 200));
    let (machine, asks, end) = play(expecting, |ask, _| match ask {
        DhcpAsk::Inform(_) => vec![said(ONE, XID, Ipv4Addr::UNSPECIFIED, options(5, ONE), UdpChecksum::Right)],
        DhcpAsk::Discover { .. } => vec![says(2, TWO, 10)],
        _ => Vec::new(),
    });
    assert_eq!(told(&machine, None, end), [DhcpFinding::SilentServer { server: ONE, alive: true }, unexpected]);
    assert_eq!((machine.alive(), asks.iter().filter(|ask| is_discover(ask)).count()), (&[ONE][..], 6));
}

#[test]
fn checksums_and_broken_options_are_told() {
    let bad = said(ONE, XID, Ipv4Addr::new(10, 0, 0, 9), options(2, ONE), UdpChecksum::Wrong);
    let (machine, _, end) = play(plan(), |_, _| vec![bad.clone()]);
    assert_eq!(told(&machine, None, end), [DhcpFinding::BadChecksum { server: ONE }]);
    assert_eq!(machine.offers()[0].count, 4);
    for broken in [options(2, ONE).with(3, &[1, 2, 3]), DhcpOptions::of(2).with(54, &[1]), options(2, ONE).with(1, &[255, 0, 255, 0])] {
        let (machine, ..) = play(plan(), |_, _| vec![said(ONE, XID, TWO, broken.clone(), UdpChecksum::Absent)]);
        assert!(machine.offers()[0].malformed && machine.offers()[0].checksum_ok.is_none(), "{machine:?}");
    }
}

#[test]
fn what_is_not_for_this_client_is_no_answer() {
    let mut another = says(2, ONE, 9);
    let at = another.windows(6).rposition(|six| six == ME.0).unwrap();
    another[at] ^= 4;
    // The sum is wrong then, but that alone would not keep it out.
    let frames = [another, said(ONE, XID + 1, TWO, options(2, ONE), UdpChecksum::Right), says(6, ONE, 9), says(5, ONE, 9), vec![0xff; 60]];
    let (machine, ..) = play(plan(), |_, _| frames.to_vec());
    assert_eq!((machine.offers().len(), machine.refused().len(), machine.counts().answers), (0, 0, 0));
    assert_eq!(machine.counts().strays, 30);
}

#[test]
fn a_lease_is_taken_and_given_back() {
    let mut taking = plan();
    (taking.lease, taking.expected) = (TakeLease::Offered, vec![TWO]);
    let (machine, asks, end) = play(taking.clone(), |ask, _| match ask {
        DhcpAsk::Discover { .. } => vec![says(2, ONE, 9), says(2, TWO, 10)],
        DhcpAsk::Request { .. } => vec![says(5, TWO, 10)],
        _ => Vec::new(),
    });
    let address = Ipv4Addr::new(10, 0, 0, 10);
    let rest: Vec<_> = asks.into_iter().filter(|ask| !is_discover(ask)).collect();
    let release = DhcpAsk::Release { address, server: TWO, to: mac(TWO) };
    assert_eq!(rest, [DhcpAsk::Request { address, server: Some(TWO), seconds: 4 }, release, release, release]);
    assert_eq!(machine.lease().map(|lease| (lease.granted, lease.released)), Some((Some(true), true)));
    assert!(!told(&machine, None, end).iter().any(|found| matches!(found, DhcpFinding::NoAcknowledgement { .. })));

    // Nobody says yes: it may have been leased all the same.
    let (machine, asks, end) = play(taking, |ask, _| if is_discover(ask) { vec![says(2, TWO, 10)] } else { Vec::new() });
    let requests = asks.iter().filter(|ask| matches!(ask, DhcpAsk::Request { .. })).count();
    assert_eq!((requests, asks.last()), (3, Some(&release)));
    assert_eq!(told(&machine, None, end), [DhcpFinding::NoAcknowledgement { server: Some(TWO), address }]);
}

#[test]
fn a_refusal_ends_it_and_leaves_nothing_to_give_back() {
    let mut taking = plan();
    taking.lease = TakeLease::Remembered(Ipv4Addr::new(192, 168, 0, 7));
    let (machine, asks, end) = play(taking, |ask, _| match ask {
        DhcpAsk::Request { server: None, .. } => vec![said(ONE, XID, Ipv4Addr::UNSPECIFIED, options(6, ONE), UdpChecksum::Right)],
        _ => vec![says(2, ONE, 9)],
    });
    assert!(!asks.iter().any(|ask| matches!(ask, DhcpAsk::Release { .. })));
    assert_eq!(told(&machine, None, end), [DhcpFinding::Refused { server: ONE, address: Ipv4Addr::new(192, 168, 0, 7) }]);
}

#[test]
fn a_refusal_that_comes_late_ends_the_giving_back() {
    let mut taking = plan();
    taking.lease = TakeLease::Offered;
    let (machine, asks, _) = play(taking, |ask, _| match ask {
        DhcpAsk::Discover { .. } => vec![says(2, ONE, 9)],
        DhcpAsk::Release { .. } => vec![said(ONE, XID, Ipv4Addr::UNSPECIFIED, options(6, ONE), UdpChecksum::Right)],
        _ => Vec::new(),
    });
    assert_eq!(asks.iter().filter(|ask| matches!(ask, DhcpAsk::Release { .. })).count(), 1);
    assert_eq!(machine.lease().map(|lease| (lease.granted, lease.released)), Some((Some(false), true)));
}

#[test]
fn giving_up_gives_back_what_may_have_been_leased() {
    let mut taking = plan();
    taking.lease = TakeLease::Offered;
    let (mut machine, mut asks, mut now) = (DhcpMachine::new(taking), Vec::new(), Duration::ZERO);
    while !asks.iter().any(|ask| matches!(ask, DhcpAsk::Request { .. })) {
        machine.poll(now, Some(Received::new(&says(2, ONE, 9), now)), &mut asks);
        now += Duration::from_millis(100);
    }
    asks.clear();
    machine.give_up(&mut asks);
    assert!(matches!(asks[..], [DhcpAsk::Release { server: ONE, .. }]));
    asks.clear();
    machine.give_up(&mut asks);
    assert!(asks.is_empty() && machine.poll(now, None, &mut asks) == Next::Done);
}

#[test]
fn a_flood_is_bounded_and_the_expected_server_kept() {
    let mut expecting = plan();
    expecting.expected = vec![ONE];
    let (machine, _, end) = play(expecting, |_, number| {
        let forged = (0..2000u32).map(|n| {
            let server = Ipv4Addr::from(0x0a63_0000 + n + u32::try_from(number).unwrap() * 2000);
            said(server, XID, TWO, options(2, server), UdpChecksum::Right)
        });
        forged.chain([says(2, ONE, 9)]).collect()
    });
    assert!(machine.is_cut() && machine.offers().len() == 65, "{}", machine.offers().len());
    let found = told(&machine, None, end);
    assert!(found.contains(&DhcpFinding::Flood { kept: 65 }));
    assert!(!found.iter().any(|found| matches!(found, DhcpFinding::SilentServer { .. } | DhcpFinding::Silence)));
}

#[test]
fn one_identity_from_two_addresses_is_told() {
    let mut impostor = says(2, ONE, 9);
    impostor[6..12].copy_from_slice(&mac(TWO).0);
    let (machine, _, end) = play(plan(), |_, _| vec![says(2, ONE, 9), impostor.clone()]);
    assert_eq!(told(&machine, None, end), [DhcpFinding::SharedIdentity { server: ONE, frames_from: vec![mac(ONE), mac(TWO)] }]);
}

#[test]
fn the_way_of_each_offer_is_booked() {
    let mut book = Book::new(XID);
    let mut question = Vec::new();
    DhcpMachine::new(plan()).encode(&DhcpAsk::Discover { seconds: 0 }, &mut question);
    let mut pass = |bytes: &[u8], link: u32, outgoing: bool, at: u64| {
        let mut received = Received::new(bytes, Duration::from_micros(at));
        received.interface = link;
        received.kind = if outgoing { PacketType::Outgoing } else { PacketType::Broadcast };
        book.note(&received);
    };
    for (at, link) in [1, 2, 3].into_iter().enumerate() {
        pass(&question, link, true, 10 + at as u64);
    }
    for (server, links) in [(ONE, [3, 2, 1]), (TWO, [7, 1, 9])] {
        for (at, link) in links.into_iter().enumerate() {
            pass(&says(2, server, 9), link, false, 110 + at as u64);
        }
    }
    for stranger in 0..3000u32 {
        let server = Ipv4Addr::from(stranger);
        pass(&said(server, XID, TWO, options(2, server), UdpChecksum::Right), 9, false, 200);
    }
    let links = |way: Vec<darkport_model::Crossing>| way.iter().map(|one| (one.link.0, one.outgoing, one.first_us)).collect::<Vec<_>>();
    assert_eq!(links(book.way_of(ONE, mac(ONE))), [(3, false, 100), (2, false, 101), (1, false, 102)]);
    assert_eq!(links(book.way_of(TWO, mac(TWO)))[0], (7, false, 100));
    assert_eq!(links(book.way())[..3], [(1, true, 0), (2, true, 1), (3, true, 2)]);
    assert_eq!(book.way().len(), 8, "strangers' frames are booked on the devices that they crossed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// With any loss: it ends in time, a server that was heard is an offer, silence is claimed only of who was not heard, and what may be leased is
    /// given back.
    #[test]
    fn loss_makes_no_falsehood(lost in any::<u64>(), take in any::<bool>()) {
        let mut taking = plan();
        taking.expected = vec![ONE];
        taking.lease = if take { TakeLease::Offered } else { TakeLease::No };
        let mut heard = false;
        let (machine, asks, end) = play(taking, |ask, number| {
            let arrives = lost >> (number % 64) & 1 == 1;
            match ask {
                DhcpAsk::Discover { .. } if arrives => { heard = true; vec![says(2, ONE, 9)] }
                DhcpAsk::Request { .. } if arrives => vec![says(5, ONE, 9)],
                _ => Vec::new(),
            }
        });
        prop_assert!(end <= Duration::from_secs(5 + 10 + 6));
        prop_assert_eq!(machine.offers().len(), usize::from(heard));
        let silent = told(&machine, None, end).iter().any(|found| matches!(found, DhcpFinding::SilentServer { .. }));
        prop_assert_eq!(silent, !heard);
        let requested = asks.iter().any(|ask| matches!(ask, DhcpAsk::Request { .. }));
        prop_assert_eq!(requested, take && heard);
        prop_assert_eq!(requested, asks.iter().any(|ask| matches!(ask, DhcpAsk::Release { .. })));
    }

    /// Any options at all, in any of the message's three fields.
    #[test]
    fn no_options_break_it(data in prop::collection::vec(any::<u8>(), 0..300), name: [u8; 32], kind in 1u8..9, overload in 0u8..5) {
        let options = DhcpOptions::of(kind).with(52, &[overload]).with(54, &ONE.octets());
        let mut bytes = options.finish();
        bytes.truncate(9 + 3);
        bytes.extend(data);
        let (mut file, mut server_name, mut payload, mut frame) = ([0; 128], [0; 64], Vec::new(), Vec::new());
        file[..32].copy_from_slice(&name);
        server_name[32..].copy_from_slice(&name);
        let mut message = DhcpMessage::request(XID, ME, &[]).answer(TWO, &bytes);
        (message.file, message.server_name) = (&file, &server_name);
        message.encode(&mut payload);
        Frame::new(ME, mac(ONE), None, Message::Udp(Udp::new((ONE, 67), (TWO, 68), &payload))).encode(&mut frame);
        let (machine, ..) = play(plan(), |_, _| vec![frame.clone()]);
        prop_assert!(machine.offers().len() <= 1);
    }
}
