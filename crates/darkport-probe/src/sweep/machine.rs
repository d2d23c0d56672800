//! The sweep without a socket: frames and time go in, questions come out.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::{MacAddr, Vid};

use super::lanes::{Lanes, Stage};
use super::plan::Plan;
use super::state::{Ask, Counts, Holder, Next, Outcome, State, cookie, waits};
use super::timing::{MOST_TRIES, Timing};
use crate::socket::Received;
use crate::wire::{Arp, ArpOperation, BROADCAST, Frame, Ipv4, Message, Tag};

/// Frames that are sent at once at most.
const BURST: u32 = 64;
/// A sender that was held up may catch up on that much.
const CATCH_UP: Duration = Duration::from_millis(5);
/// A sender that takes longer than that for one call's questions was held up: the time is this host's and not the network's.
const HELD_UP: Duration = Duration::from_millis(5);
/// A second holder of an address may take longer to answer than the first: that long after the last broadcast it is still heard.
const LINGER: Duration = Duration::from_millis(20);
/// Hardware addresses kept for one address.
const HOLDERS: usize = 8;

/// The sweep as a state machine: [`poll`](Self::poll) takes the time and a frame, and says what to send and when to come back. It reads
/// no clock and keeps a bounded state for each target, whatever comes in.
#[derive(Debug)]
pub struct Machine {
    plan: Plan,
    states: Vec<State>,
    fresh: usize,
    to_echo: VecDeque<u32>,
    lanes: Lanes,
    arp: Timing,
    echo: Timing,
    next_send: Duration,
    last_broadcast: Duration,
    open: usize,
    counts: Counts,
    done: bool,
}

impl Machine {
    /// A sweep that has asked nobody yet.
    pub fn new(plan: Plan) -> Self {
        let echo = if plan.settings.icmp { Outcome::Open } else { Outcome::NotAsked };
        let state = State {
            arp: Outcome::Open,
            echo,
            arp_tries: 0,
            echo_tries: 0,
            holders: Vec::new(),
            first_asked: Duration::ZERO,
            last_asked: Duration::ZERO,
        };
        let states = vec![state; plan.targets.len()];
        Self {
            open: states.len(),
            states,
            plan,
            fresh: 0,
            to_echo: VecDeque::new(),
            lanes: Lanes::new(),
            arp: Timing::default(),
            echo: Timing::default(),
            next_send: Duration::ZERO,
            last_broadcast: Duration::ZERO,
            counts: Counts::default(),
            done: false,
        }
    }

    /// It is `now`, and perhaps `frame` came in: appends what is to be sent to `asks`.
    pub fn poll(&mut self, now: Duration, frame: Option<Received<'_>>, asks: &mut Vec<Ask>) -> Next {
        if let Some(frame) = frame {
            match self.hear(&frame) {
                Some(()) => self.counts.answers += 1,
                None => self.counts.strays += 1,
            }
        }
        if self.done || now >= self.plan.settings.deadline {
            self.done = true;
            return Next::Done;
        }
        let interval = Duration::from_secs(1) / self.plan.settings.rate.max(1);
        while now >= self.next_send {
            let before = asks.len();
            for _ in 0..BURST {
                let Some(ask) = self.next_ask(now) else { break };
                asks.push(ask);
            }
            let sent = u32::try_from(asks.len() - before).unwrap_or(u32::MAX);
            if sent == 0 {
                break;
            }
            self.next_send = self.next_send.max(now.saturating_sub(CATCH_UP)) + interval * sent;
        }
        self.next(now)
    }

    /// The questions that the call at `asked` gave had all left by `at`. Where this host was held up between the two, answers are timed
    /// and waited for from then on: else its stop would pass for the network's pace, and a last question be in vain before it is heard.
    pub fn sent(&mut self, asked: Duration, at: Duration) {
        if at.saturating_sub(asked) < HELD_UP {
            return;
        }
        let shift = |time: &mut Duration| {
            if *time == asked {
                *time = at;
            }
        };
        shift(&mut self.last_broadcast);
        let states = &mut self.states;
        for lane in self.lanes.iter_mut() {
            lane.sent(asked, at, |index| {
                if let Some(state) = states.get_mut(index as usize) {
                    shift(&mut state.first_asked);
                    shift(&mut state.last_asked);
                }
            });
        }
    }

    /// What is known so far, target by target in the order of the plan.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// The plan.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// What was sent and heard so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Targets that are done with, of all.
    pub fn settled(&self) -> (usize, usize) {
        (self.states.len() - self.open, self.states.len())
    }

    /// The smoothed round-trip time of ARP, and the share of tries that stayed without an answer; none before the first answer.
    pub fn measured(&self) -> Option<(Duration, f64)> {
        Some((self.arp.rtt().unwrap_or_default(), self.arp.loss()?))
    }

    /// Writes a question as a frame.
    pub fn encode(&self, ask: &Ask, into: &mut Vec<u8>) {
        let tag = self.plan.vid.map(Tag::new);
        match *ask {
            Ask::Arp { target, to, from } => {
                Frame::new(to, self.plan.mac, tag, Message::Arp(Arp::request(self.plan.mac, from, target))).encode(into);
            }
            Ask::Echo { target, to, from, sequence } => {
                let payload = cookie(self.plan.secret, target, sequence);
                let packet = Ipv4::echo_request(from, target, self.plan.echo_id(), sequence, &payload);
                Frame::new(to, self.plan.mac, tag, Message::Ipv4(packet)).encode(into);
            }
        }
    }

    /// None for what answers nothing.
    fn hear(&mut self, received: &Received<'_>) -> Option<()> {
        let frame = Frame::decode(received.bytes, received.tag).ok()?;
        let [outer, inner] = frame.tags;
        // VLAN 0 is a priority and no VLAN (IEEE 802.1Q, 9.6).
        let vid = outer.map(|tag| tag.control & 0xfff).filter(|vid| *vid != 0);
        if frame.destination != self.plan.mac || vid != self.plan.vid.map(Vid::get).filter(|vid| *vid != 0) || inner.is_some() {
            return None;
        }
        match frame.message {
            Message::Arp(arp) => self.hear_arp(received.at, frame.source, &arp),
            Message::Ipv4(packet) => self.hear_echo(received.at, &packet),
            Message::Icmpv6(_) | Message::Udp(_) => None,
        }
    }

    fn find(&self, address: Ipv4Addr) -> Option<usize> {
        self.plan.targets.binary_search_by_key(&address, |target| target.address).ok()
    }

    fn hear_arp(&mut self, at: Duration, frame_from: MacAddr, arp: &Arp) -> Option<()> {
        if arp.operation != ArpOperation::Reply || !arp.sender_mac.is_unicast() || arp.sender_mac == self.plan.mac {
            return None;
        }
        let index = self.find(arp.sender)?;
        let state = self.states.get_mut(index).filter(|state| state.arp_tries > 0)?;
        let known = state.holders.iter().position(|holder| holder.mac == arp.sender_mac && holder.frame_from == frame_from);
        if let Some(holder) = known.and_then(|known| state.holders.get_mut(known)) {
            holder.answers = holder.answers.saturating_add(1);
        } else if state.holders.len() < HOLDERS {
            state.holders.push(Holder { mac: arp.sender_mac, frame_from, answers: 1 });
        }
        // Where it is known who ought to answer, another's word does not end the asking.
        let another = self.plan.targets.get(index)?.mac.is_some_and(|mac| mac != arp.sender_mac);
        if matches!(state.arp, Outcome::Answered(_)) || (another && state.arp == Outcome::Open) {
            return Some(());
        }
        let rtt = (state.arp_tries == 1).then(|| at.saturating_sub(state.last_asked));
        self.arp.answer(state.arp_tries, rtt);
        self.answered(index, rtt);
        Some(())
    }

    /// Somebody has the address: what is left to ask is the echo.
    fn answered(&mut self, index: usize, rtt: Option<Duration>) {
        let (Some(state), Some(target)) = (self.states.get_mut(index), self.plan.targets.get(index)) else { return };
        let was_open = state.arp == Outcome::Open;
        state.arp = Outcome::Answered(rtt);
        if self.plan.settings.icmp && self.plan.source_for(target.address).is_some() {
            // One that was given up already is asked after all.
            self.open += usize::from(!was_open);
            state.echo = Outcome::Open;
            self.to_echo.extend(u32::try_from(index));
        } else {
            self.open -= usize::from(was_open);
            state.echo = Outcome::NotAsked;
        }
    }

    fn hear_echo(&mut self, at: Duration, packet: &Ipv4<'_>) -> Option<()> {
        let echo = packet.echo;
        let index = self.find(packet.source)?;
        let expected = cookie(self.plan.secret, packet.source, echo.sequence);
        let ours = echo.reply && echo.id == self.plan.echo_id() && echo.payload == expected;
        let state = self.states.get_mut(index).filter(|state| ours && (1..=u16::from(state.echo_tries)).contains(&echo.sequence))?;
        if matches!(state.echo, Outcome::Answered(_)) {
            return Some(());
        }
        self.open -= usize::from(state.echo == Outcome::Open);
        // The answer tells which try it is for; only the last one's time is kept.
        let rtt = (echo.sequence == u16::from(state.echo_tries)).then(|| at.saturating_sub(state.last_asked));
        state.echo = Outcome::Answered(rtt);
        self.echo.answer(state.echo_tries, rtt);
        Some(())
    }

    /// New targets first, since the last of them decides when all is done; then echoes, then whoever waits in vain.
    fn next_ask(&mut self, now: Duration) -> Option<Ask> {
        if self.fresh < self.states.len() {
            self.fresh += 1;
            return self.ask_arp(now, self.fresh - 1);
        }
        if let Some(index) = self.to_echo.pop_front() {
            return self.ask_echo(now, index as usize);
        }
        while let Some((stage, index)) = self.due(now) {
            let state = self.states.get_mut(index)?;
            let (tries, timing) = match stage {
                Stage::Arp => (state.arp_tries, &self.arp),
                Stage::Echo => (state.echo_tries, &self.echo),
            };
            let expected = self.plan.targets.get(index)?.expected;
            let hasty = expected && now.saturating_sub(state.first_asked) < self.plan.settings.patience;
            if tries < MOST_TRIES && (tries < timing.needed(self.plan.settings.tries) || hasty) {
                return match stage {
                    Stage::Arp => self.ask_arp(now, index),
                    Stage::Echo => self.ask_echo(now, index),
                };
            }
            match stage {
                Stage::Arp if !state.holders.is_empty() => {
                    self.answered(index, None);
                    continue;
                }
                Stage::Arp => (state.arp, state.echo) = (Outcome::Silent, Outcome::NotAsked),
                Stage::Echo => state.echo = Outcome::Silent,
            }
            self.open -= 1;
        }
        self.to_echo.pop_front().and_then(|index| self.ask_echo(now, index as usize))
    }

    /// Takes the next one out whose wait is over.
    fn due(&mut self, now: Duration) -> Option<(Stage, usize)> {
        let (states, arp, echo) = (&self.states, &self.arp, &self.echo);
        for lane in self.lanes.iter_mut() {
            let step = if lane.stage == Stage::Arp { arp } else { echo }.step(lane.tries, lane.expected);
            while let Some((index, asked)) = lane.head() {
                let waits = states.get(index as usize).is_some_and(|state| waits(state, lane.stage));
                if waits && now < asked + step {
                    break;
                }
                lane.pop();
                if waits {
                    return Some((lane.stage, index as usize));
                }
            }
        }
        None
    }

    fn ask_arp(&mut self, now: Duration, index: usize) -> Option<Ask> {
        let target = self.plan.targets.get(index)?;
        let state = self.states.get_mut(index)?;
        if state.arp_tries == 0 {
            state.first_asked = now;
        }
        state.arp_tries = state.arp_tries.saturating_add(1);
        state.last_asked = now;
        // Every third question goes to everybody again: what is known may be wrong.
        let to_all = (state.arp_tries + u8::from(!self.plan.settings.direct)) % 3 == if self.plan.settings.direct { 0 } else { 2 };
        let to = target.mac.filter(|_| !to_all).unwrap_or(BROADCAST);
        if to == BROADCAST {
            self.counts.broadcasts += 1;
            self.last_broadcast = now;
        } else {
            self.counts.unicasts += 1;
        }
        self.lanes.push(Stage::Arp, target.expected, state.arp_tries, u32::try_from(index).ok()?, now);
        // A source that is the target would be taken for an announcement; the host's own address is probed for like a new one.
        let from = self.plan.source_for(target.address).filter(|_| !self.plan.is_own(target.address)).unwrap_or(Ipv4Addr::UNSPECIFIED);
        Some(Ask::Arp { target: target.address, to, from })
    }

    fn ask_echo(&mut self, now: Duration, index: usize) -> Option<Ask> {
        let target = self.plan.targets.get(index)?;
        let state = self.states.get_mut(index)?;
        let known = state.holders.iter().find(|holder| target.mac == Some(holder.mac));
        let (from, to) = (self.plan.source_for(target.address)?, known.or(state.holders.first())?.mac);
        if state.echo_tries == 0 {
            state.first_asked = now;
        }
        state.echo_tries = state.echo_tries.saturating_add(1);
        state.last_asked = now;
        self.counts.unicasts += 1;
        self.lanes.push(Stage::Echo, target.expected, state.echo_tries, u32::try_from(index).ok()?, now);
        Some(Ask::Echo { target: target.address, to, from, sequence: state.echo_tries.into() })
    }

    fn next(&mut self, now: Duration) -> Next {
        let end = self.plan.settings.deadline;
        if self.open == 0 {
            let until = self.last_broadcast + (self.arp.wait() * 2).max(LINGER);
            self.done = now >= until;
            return if self.done { Next::Done } else { Next::Wait(until.min(end)) };
        }
        if self.fresh < self.states.len() || !self.to_echo.is_empty() {
            return Next::Wait(self.next_send.min(end));
        }
        let (states, arp, echo) = (&self.states, &self.arp, &self.echo);
        let mut soonest = end;
        for lane in self.lanes.iter_mut() {
            while let Some((index, asked)) = lane.head() {
                if states.get(index as usize).is_some_and(|state| waits(state, lane.stage)) {
                    let step = if lane.stage == Stage::Arp { arp } else { echo }.step(lane.tries, lane.expected);
                    soonest = soonest.min(asked + step);
                    break;
                }
                lane.pop();
            }
        }
        Next::Wait(soonest.max(self.next_send).min(end))
    }
}
