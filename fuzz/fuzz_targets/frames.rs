//! No frame may panic the decoder or disturb a sweep, and what is understood of a frame must survive being written and read again.
#![no_main]

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::MacAddr;
use darkport_probe::wire::{Frame, Message, Tag};
use darkport_probe::{Ask, Machine, Next, Outcome, Plan, Received, Target};
use libfuzzer_sys::fuzz_target;

const ME: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

fuzz_target!(|data: &[u8]| {
    for outer in [None, Some(Tag::from_parts(0x8100, 1102))] {
        let Ok(frame) = Frame::decode(data, outer) else { continue };
        let mut again = Vec::new();
        frame.encode(&mut again);
        assert_eq!(Frame::decode(&again, None), Ok(frame));
    }
    sweep(data);
});

/// A sweep that hears frames of the fuzzer's making, each headed by its length and the milliseconds that pass before it. Its first six
/// bytes become the sweep's own address, so that the fuzzer need not guess it.
fn sweep(mut data: &[u8]) {
    let targets: Vec<Target> = (0..8u32).map(|n| Target::new(Ipv4Addr::from(0x0a00_0000 + n))).collect();
    let Ok(mut plan) = Plan::new(ME, targets) else { return };
    plan.settings.icmp = true;
    let Ok(own) = "10.0.0.200/24".parse() else { return };
    plan.own = vec![own];
    let mut machine = Machine::new(plan);
    let (mut now, mut asks, mut asked) = (Duration::ZERO, Vec::new(), 0);
    let mut heard = 0;
    while let [length, wait, rest @ ..] = data {
        now += Duration::from_millis((*wait).into());
        let frame = rest.get(..usize::from(*length)).unwrap_or(rest);
        data = rest.get(usize::from(*length)..).unwrap_or_default();
        let mut bytes = frame.to_vec();
        bytes.splice(..bytes.len().min(6), ME.0);
        heard += usize::from(Frame::decode(&bytes, None).is_ok_and(|frame| matches!(frame.message, Message::Arp(_) | Message::Ipv4(_))));
        let next = machine.poll(now, Some(Received::new(&bytes, now)), &mut asks);
        asked += asks.len();
        for ask in asks.drain(..) {
            let mut question = Vec::new();
            machine.encode(&ask, &mut question);
            assert!(Frame::decode(&question, None).is_ok());
            assert!(!matches!(ask, Ask::Echo { .. }) || heard > 0, "an echo needs somebody who answered");
        }
        if next == Next::Done {
            break;
        }
    }
    assert!(asked <= 8 * 24, "at most twelve tries of each question");
    let answered = machine.states().iter().filter(|state| matches!(state.arp, Outcome::Answered(_))).count();
    assert!(answered <= heard, "nobody is there who did not say so");
    assert!(machine.states().iter().all(|state| state.holders.len() <= 8));
}
