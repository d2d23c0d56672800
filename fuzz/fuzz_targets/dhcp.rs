//! No message may panic the decoder or lead a client astray, and what is understood of one must survive being written and read again.
#![no_main]

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::MacAddr;
use darkport_probe::wire::{BROADCAST, DhcpMessage, Frame, Message, Udp};
use darkport_probe::{DhcpAsk, DhcpMachine, DhcpPlan, Next, Received, TakeLease};
use libfuzzer_sys::fuzz_target;

const ME: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const XID: u32 = 7;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = DhcpMessage::decode(data) {
        let mut again = Vec::new();
        message.encode(&mut again);
        assert_eq!(again, data);
        assert_eq!(DhcpMessage::decode(&again), Ok(message));
        let total: usize = message.options().map(|(code, data)| usize::from(message.option(code).is_some()) + data.len()).sum();
        assert!(total <= data.len());
    }
    client(data);
});

/// A client whose server speaks in options of the fuzzer's making, each message headed by its length and the hundredths of a second that pass
/// before it. The rest of the message is right, so that the fuzzer need not guess it.
fn client(mut data: &[u8]) {
    let mut plan = DhcpPlan::new(ME, XID);
    plan.lease = TakeLease::Offered;
    plan.expected = vec![Ipv4Addr::new(10, 0, 0, 1)];
    plan.inform = Some(Ipv4Addr::new(10, 0, 0, 9));
    let mut machine = DhcpMachine::new(plan);
    let (mut now, mut asks, mut asked) = (Duration::ZERO, Vec::new(), Vec::new());
    let mut next = machine.poll(now, None, &mut asks);
    while let [length, wait, rest @ ..] = data {
        now += Duration::from_millis(u64::from(*wait) * 10);
        let options = rest.get(..usize::from(*length)).unwrap_or(rest);
        data = rest.get(usize::from(*length)..).unwrap_or_default();
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        DhcpMessage::request(XID, ME, &[]).answer(Ipv4Addr::new(10, 0, 0, length % 4), options).encode(&mut payload);
        let udp = Udp::new((Ipv4Addr::new(10, 0, 0, 1), 67), (Ipv4Addr::BROADCAST, 68), &payload);
        Frame::new(BROADCAST, MacAddr([2, 0, 0, 0, 1, *wait]), None, Message::Udp(udp)).encode(&mut bytes);
        next = machine.poll(now, Some(Received::new(&bytes, now)), &mut asks);
        asked.append(&mut asks);
    }
    while let Next::Wait(until) = next {
        assert!(until > now, "a call too early is a busy loop");
        now = until;
        next = machine.poll(now, None, &mut asks);
        asked.append(&mut asks);
    }
    let count = |is: fn(&DhcpAsk) -> bool| asked.iter().filter(|ask| is(ask)).count();
    assert!(count(|ask| matches!(ask, DhcpAsk::Discover { .. })) <= 6 && asked.len() <= 18);
    assert!(machine.offers().len() <= 72 && machine.alive().len() <= 64 && machine.refused().len() <= 64);
    assert!(machine.offers().iter().all(|offer| offer.options.len() <= 48 && offer.routers.len() <= 16));
    let requested = count(|ask| matches!(ask, DhcpAsk::Request { .. })) > 0;
    let refused = machine.lease().is_some_and(|lease| lease.granted == Some(false));
    let released = count(|ask| matches!(ask, DhcpAsk::Release { .. })) > 0;
    // A refusal may come late, when the unanswered question is being taken back already.
    assert!(released || refused || !requested, "what may be leased is given back");
    assert!(requested || !released, "nothing is given back that was not asked for");
    for ask in &asked {
        let mut bytes = Vec::new();
        machine.encode(ask, &mut bytes);
        assert!(Frame::decode(&bytes, None).is_ok());
    }
}
