//! The sweep's machine without a socket: whatever the network does, it ends in time, calls nobody silent who answers often enough,
//! and invents nobody.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::MacAddr;
use darkport_probe::wire::{Arp, ArpOperation, BROADCAST, Frame, Message, Tag};
use darkport_probe::{Ask, Machine, Next, Outcome, Plan, Received, Settings, Target};
use proptest::prelude::*;

const ME: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xee]);
const NET: u32 = 0x0a44_1000;

fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(NET + index)
}

fn mac(index: u32) -> MacAddr {
    let [_, _, a, b] = index.to_be_bytes();
    MacAddr([0xfa, 0x16, 0x3e, 0, a, b])
}

/// A network of the test's own making: who is there, and what it does to each frame.
struct Net {
    live: BTreeMap<Ipv4Addr, Vec<MacAddr>>,
    /// How long the n-th frame takes, in microseconds, over and over.
    delays: Vec<u64>,
    frames: usize,
    /// How many questions to each address, or their answers, still get lost: the ways by turns.
    losses: BTreeMap<Ipv4Addr, u8>,
    /// Each answer comes this often.
    copies: usize,
    icmp: bool,
    /// One who misses the first questions.
    deaf: Option<(MacAddr, usize)>,
    /// For how long this host stops, in microseconds, before what the n-th turn asks is sent.
    stops: BTreeMap<usize, u64>,
}

impl Net {
    fn of(live: BTreeMap<Ipv4Addr, Vec<MacAddr>>) -> Self {
        Self { live, delays: vec![100], frames: 0, losses: BTreeMap::new(), copies: 1, icmp: true, deaf: None, stops: BTreeMap::new() }
    }

    fn delay(&mut self) -> u64 {
        self.frames += 1;
        self.delays[self.frames % self.delays.len()]
    }

    /// Whether a frame about this address gets lost here.
    fn loses(&mut self, address: Ipv4Addr) -> bool {
        let left = self.losses.entry(address).or_default();
        let lost = *left > 0;
        *left = left.saturating_sub(1);
        lost
    }

    /// Answers to one question, with the time at which each arrives.
    fn answers(&mut self, machine: &Machine, ask: &Ask, now: u64) -> Vec<(u64, Vec<u8>)> {
        let mut bytes = Vec::new();
        machine.encode(ask, &mut bytes);
        let frame = Frame::decode(&bytes, None).unwrap();
        let (Ask::Arp { target, .. } | Ask::Echo { target, .. }) = *ask else { panic!("{ask:?}") };
        if self.loses(target) {
            return Vec::new();
        }
        let there = self.delay();
        let mut replies = Vec::new();
        match frame.message {
            Message::Arp(question) => {
                assert!(question.sender_mac == ME && question.operation == ArpOperation::Request && question.sender != question.target);
                for mac in self.live.get(&question.target).cloned().unwrap_or_default() {
                    if let Some((_, left @ 1..)) = self.deaf.as_mut().filter(|(deaf, _)| *deaf == mac) {
                        *left -= 1;
                    } else if frame.destination == BROADCAST || frame.destination == mac {
                        replies.push(Frame::new(ME, mac, None, Message::Arp(Arp::reply_to(&question, mac))));
                    }
                }
            }
            Message::Ipv4(packet) if self.icmp => {
                let lives = self.live.get(&packet.destination).is_some_and(|macs| macs.contains(&frame.destination));
                assert!(lives, "an echo goes to whoever answered");
                replies.push(Frame::new(ME, frame.destination, None, Message::Ipv4(packet.reply())));
            }
            _ => {}
        }
        let mut answers = Vec::new();
        for reply in replies {
            let back = self.delay();
            for copy in 0..self.copies {
                let mut bytes = Vec::new();
                reply.encode(&mut bytes);
                answers.push((now + there + back + copy as u64 * 700, bytes));
            }
        }
        answers
    }
}

/// Plays the machine on the network to its end; how long it took, in microseconds.
fn play(machine: &mut Machine, net: &mut Net, mut disturb: impl FnMut(u64, &mut Machine)) -> u64 {
    let (mut now, mut asks) = (0u64, Vec::new());
    let mut on_the_way: BTreeMap<(u64, usize), Vec<u8>> = BTreeMap::new();
    let (mut number, mut turn) = (0, 0);
    for _ in 0..2_000_000 {
        let mut to_do = machine.poll(Duration::from_micros(now), None, &mut asks);
        while let Some(((at, key), bytes)) =
            on_the_way.first_key_value().filter(|((at, _), _)| *at <= now).map(|(key, bytes)| (*key, bytes.clone()))
        {
            on_the_way.remove(&(at, key));
            to_do = machine.poll(Duration::from_micros(now), Some(Received::new(&bytes, Duration::from_micros(at))), &mut asks);
        }
        disturb(now, machine);
        if !asks.is_empty() {
            turn += 1;
            let asked = now;
            now += net.stops.get(&turn).copied().unwrap_or_default();
            machine.sent(Duration::from_micros(asked), Duration::from_micros(now));
        }
        for ask in std::mem::take(&mut asks) {
            for (at, bytes) in net.answers(machine, &ask, now) {
                number += 1;
                on_the_way.insert((at, number), bytes);
            }
        }
        let until = match to_do {
            Next::Done => return now,
            Next::Wait(until) => u64::try_from(until.as_nanos().div_ceil(1000)).unwrap(),
            other => panic!("{other:?}"),
        };
        let arrival = on_the_way.first_key_value().map_or(u64::MAX, |((at, _), _)| *at);
        now = until.min(arrival).max(now + 1);
    }
    panic!("it does not end");
}

fn plan(count: u32, icmp: bool) -> Plan {
    let mut plan = Plan::new(ME, (1..=count).map(|index| Target::new(address(index))).collect()).unwrap();
    plan.own = vec!["10.68.31.254/20".parse().unwrap()];
    plan.secret = 0x1234_5678_9abc_def0;
    plan.settings.icmp = icmp;
    plan
}

fn answered(outcome: Outcome) -> bool {
    matches!(outcome, Outcome::Answered(_))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Delays, reordering and repetition change nothing in the answer; nor does loss, as long as one try in six comes through.
    #[test]
    fn it_finds_who_is_there_and_nobody_else(
        live in proptest::collection::btree_set(1u32..=60, 0..60),
        delays in proptest::collection::vec(1u64..3000, 1..40),
        losses in proptest::collection::vec(0u8..=5, 60), copies in 1usize..4, icmp: bool, known: bool,
    ) {
        let mut plan = plan(60, icmp);
        if known {
            plan.targets.iter_mut().for_each(|target| target.mac = Some(mac(u32::from(target.address) - NET)));
        }
        let mut net = Net::of(live.iter().map(|index| (address(*index), vec![mac(*index)])).collect());
        (net.delays, net.copies) = (delays, copies);
        net.losses = (1..).map(address).zip(losses).collect();
        let mut machine = Machine::new(plan);
        let took = play(&mut machine, &mut net, |_, _| ());
        prop_assert!(took < 30_000_000);
        for (index, state) in (1u32..).zip(machine.states()) {
            prop_assert_eq!(answered(state.arp), live.contains(&index), "{} {:?}", index, state);
            prop_assert_eq!(answered(state.echo), icmp && live.contains(&index));
            prop_assert!(state.arp_tries <= 12 && state.echo_tries <= 12);
            if live.contains(&index) {
                prop_assert_eq!(state.holders.iter().map(|holder| holder.mac).collect::<Vec<_>>(), vec![mac(index)]);
            } else {
                prop_assert!(state.arp_tries >= 6, "{:?}", state);
            }
        }
        prop_assert_eq!(machine.settled(), (60, 60));
    }

    /// No frame from anybody makes it panic, grow, run on, or take an address for answered that was not asked for.
    #[test]
    fn no_frame_disturbs_it(frames in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..90), 0..50), vid in 0u16..4095) {
        let mut machine = Machine::new(plan(20, true));
        let mut asks = Vec::new();
        let mut last = Next::Done;
        for (n, bytes) in frames.iter().enumerate() {
            let frame = Received::new(bytes, Duration::ZERO).tagged(Tag::from_parts(0x8100, vid));
            last = machine.poll(Duration::from_millis(n as u64), Some(frame), &mut asks);
        }
        prop_assert!(frames.is_empty() || last != Next::Done);
        prop_assert!(machine.states().iter().all(|state| state.arp == Outcome::Open));
    }
}

#[test]
fn one_who_answers_for_every_address_is_one_holder_of_each() {
    let all: BTreeMap<_, _> =
        (1..=200).map(|index| (address(index), if index <= 50 { vec![mac(index), mac(999)] } else { vec![mac(999)] })).collect();
    let mut net = Net::of(all);
    let mut machine = Machine::new(plan(200, false));
    play(&mut machine, &mut net, |_, _| ());
    for (index, state) in (1u32..).zip(machine.states()) {
        assert_eq!(state.holders.len(), if index <= 50 { 2 } else { 1 });
    }
}

#[test]
fn who_answers_in_anothers_place_does_not_end_the_asking() {
    let run = |live: Vec<MacAddr>, lost: usize| {
        let mut with = plan(1, true);
        with.targets[0].mac = Some(mac(1));
        let mut machine = Machine::new(with);
        let mut net = Net::of([(address(1), live)].into());
        net.deaf = Some((mac(1), lost));
        play(&mut machine, &mut net, |_, _| ());
        let state = &machine.states()[0];
        assert!(answered(state.arp) && answered(state.echo), "{state:?}");
        (state.arp_tries, state.holders.iter().map(|holder| holder.mac).collect::<Vec<_>>())
    };
    assert_eq!(run(vec![mac(9), mac(1)], 4), (5, vec![mac(9), mac(1)]));
    let (tries, holders) = run(vec![mac(9)], 0);
    assert!(tries >= 6 && holders == [mac(9)], "{tries} {holders:?}");
}

#[test]
fn a_thousand_holders_of_one_address_are_eight() {
    let mut net = Net::of([(address(1), (1..1000).map(mac).collect())].into());
    let mut machine = Machine::new(plan(1, false));
    play(&mut machine, &mut net, |_, _| ());
    assert_eq!(machine.states()[0].holders.len(), 8);
    assert_eq!(machine.counts().answers, 999);
}

#[test]
fn what_is_replayed_forged_or_for_another_counts_for_nothing() {
    let mut net = Net::of([(address(3), vec![mac(3)])].into());
    let mut earlier = plan(8, true);
    earlier.secret = 99;
    let earlier = Machine::new(earlier);
    let question = |index| Arp::request(ME, Ipv4Addr::UNSPECIFIED, address(index));
    let mut gratuitous = Arp::reply_to(&question(5), mac(5));
    (gratuitous.target, gratuitous.operation) = (gratuitous.sender, ArpOperation::Request);
    let arps = [
        // To another; a question; from a group; from this host's own address.
        Frame::new(mac(9), mac(4), None, Message::Arp(Arp::reply_to(&question(4), mac(4)))),
        Frame::new(BROADCAST, mac(5), None, Message::Arp(gratuitous)),
        Frame::new(ME, mac(6), None, Message::Arp(Arp::reply_to(&question(6), BROADCAST))),
        Frame::new(ME, ME, None, Message::Arp(Arp::reply_to(&question(7), ME))),
        Frame::new(ME, mac(8), Some(Tag::new(7.try_into().unwrap())), Message::Arp(Arp::reply_to(&question(8), mac(8)))),
    ];
    let mut machine = Machine::new(plan(8, true));
    net.icmp = false;
    play(&mut machine, &mut net, |now, machine| {
        let mut frames: Vec<Vec<u8>> = Vec::new();
        for arp in &arps {
            arp.encode({
                frames.push(Vec::new());
                frames.last_mut().unwrap()
            });
        }
        // An answer to the echo of an earlier sweep, sent again.
        let mut asked = Vec::new();
        earlier.encode(&Ask::Echo { target: address(3), to: mac(3), from: "10.68.31.254".parse().unwrap(), sequence: 1 }, &mut asked);
        let Message::Ipv4(packet) = Frame::decode(&asked, None).unwrap().message else { panic!("an echo is IPv4") };
        Frame::new(ME, mac(3), None, Message::Ipv4(packet.reply())).encode({
            frames.push(Vec::new());
            frames.last_mut().unwrap()
        });
        for bytes in frames {
            let time = Duration::from_micros(now);
            machine.poll(time, Some(Received::new(&bytes, time)), &mut Vec::new());
        }
    });
    let there: Vec<_> = machine.states().iter().map(|state| answered(state.arp)).collect();
    assert_eq!(there, [false, false, true, false, false, false, false, false]);
    assert_eq!(machine.states()[2].echo, Outcome::Silent);
}

#[test]
fn an_expected_address_gets_its_second_and_others_do_not_wait_for_it() {
    let slow = address(2);
    let mut with = plan(3, false);
    with.targets[1] = Target::expected(slow);
    let mut net = Net::of([(address(1), vec![mac(1)])].into());
    let mut machine = Machine::new(with);
    let took = play(&mut machine, &mut net, |_, _| ());
    assert!((1_000_000..1_900_000).contains(&took), "{took}");
    let mut machine = Machine::new(plan(3, false));
    let took = play(&mut machine, &mut net, |_, _| ());
    assert!(took < 400_000, "{took}");
}

/// The second stop meets what the sender catches up with after the first: an answer in seven seems to take a sixth of a second.
#[test]
fn a_stop_of_this_host_is_not_the_networks_pace() {
    let run = |stops: &[(usize, u64)]| {
        let mut net = Net::of((1..=1500).map(|index| (address(index), vec![mac(index)])).collect());
        net.stops = stops.iter().copied().collect();
        let mut machine = Machine::new(plan(2046, false));
        let took = play(&mut machine, &mut net, |_, _| ());
        let live = machine.states().iter().filter(|state| answered(state.arp)).count();
        let tries = machine.states().iter().filter(|state| !answered(state.arp)).map(|state| state.arp_tries).min();
        assert_eq!((live, tries), (1500, Some(6)));
        took - stops.iter().map(|(_, time)| time).sum::<u64>()
    };
    let undisturbed = run(&[]);
    let stopped = run(&[(4, 10_000), (5, 160_000)]);
    assert!(stopped < undisturbed + 100_000, "{stopped} instead of {undisturbed}");
}

/// Its last try, sent after a stop that is longer than any wait, is waited for like any other.
#[test]
fn who_is_asked_after_a_stop_has_time_to_answer() {
    let mut net = Net::of([(address(1), vec![mac(1)])].into());
    net.losses = [(address(1), 5)].into();
    net.delays = vec![1000];
    net.stops = [(6, 700_000)].into();
    let mut machine = Machine::new(plan(1, false));
    play(&mut machine, &mut net, |_, _| ());
    assert!(answered(machine.states()[0].arp), "{:?}", machine.states());
}

#[test]
fn the_rate_is_kept_and_the_deadline_too() {
    let mut slow = plan(1000, false);
    slow.settings = Settings::default();
    slow.settings.rate = 1000;
    slow.settings.deadline = Duration::from_millis(500);
    let mut net = Net::of(BTreeMap::new());
    let mut machine = Machine::new(slow);
    let took = play(&mut machine, &mut net, |_, _| ());
    assert!((500_000..501_000).contains(&took), "{took}");
    let sent = machine.counts().broadcasts;
    assert!((400..=570).contains(&sent), "{sent}");
    assert_eq!(machine.settled(), (0, 1000), "nobody is called silent who was not asked often enough");
}

#[test]
fn where_answers_get_lost_it_slows_down() {
    let took = |lost: u8| {
        let mut fast = plan(20_000, false);
        fast.settings.rate = 1_000_000;
        let mut net = Net::of((1..=400).map(|index| (address(index), vec![mac(index)])).collect());
        net.losses = (1..=400).filter(|index| index % 10 == 0).map(|index| (address(index), lost)).collect();
        let mut machine = Machine::new(fast);
        let took = play(&mut machine, &mut net, |_, _| ());
        assert_eq!(machine.states().iter().filter(|state| answered(state.arp)).count(), 400);
        (took, machine.counts().broadcasts)
    };
    let ((quick, frames), (slow, more)) = (took(0), took(2));
    assert!(quick < 500_000, "{quick} µs for {frames}");
    assert!(slow > 1_500_000, "{slow} µs for {more}, most of them at 50,000 a second");
}

#[test]
fn a_sweep_of_very_many_has_a_higher_rate() {
    assert_eq!([1, 2_046, 16_382, 65_534, 1 << 20].map(Settings::rate_for), [50_000, 50_000, 50_000, 196_602, 200_000]);
}

#[test]
fn a_known_address_is_asked_directly_after_the_first_time() {
    let mut known = plan(1, false);
    known.targets[0].mac = Some(mac(1));
    let run = |plan: Plan| {
        let mut machine = Machine::new(plan);
        let (mut now, mut to) = (0u64, Vec::new());
        let mut asks = Vec::new();
        while let Next::Wait(until) = machine.poll(Duration::from_micros(now), None, &mut asks) {
            now = u64::try_from(until.as_micros()).unwrap().max(now + 1);
            to.extend(asks.drain(..).map(|ask| matches!(ask, Ask::Arp { to: BROADCAST, .. })));
        }
        to
    };
    assert_eq!(run(known.clone()), [true, false, false, true, false, false]);
    known.settings.direct = true;
    assert_eq!(run(known), [false, false, true, false, false, true]);
}

#[test]
fn the_hosts_own_address_is_probed_for_and_never_announced() {
    let mut with = plan(2, false);
    with.own = vec!["10.68.16.1/21".parse().unwrap()];
    let mut asks = Vec::new();
    Machine::new(with).poll(Duration::ZERO, None, &mut asks);
    let from = |ask: &Ask| match ask {
        Ask::Arp { from, .. } => *from,
        other => panic!("{other:?}"),
    };
    assert_eq!(asks.iter().map(from).collect::<Vec<_>>(), [Ipv4Addr::UNSPECIFIED, address(1)]);
}
