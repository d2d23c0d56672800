//! The sweep without a socket: frames and time go in, questions come out.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::lanes::{Lanes, Stage};
use super::plan::Plan;
use super::state::{Ask, Counts, Next, Outcome, State, cookie, waits};
use super::timing::{MOST_TRIES, Timing};
use crate::socket::Received;
use crate::wire::{Arp, BROADCAST, Frame, Ipv4, Message, Tag};

/// Frames that are asked for at once at most.
const BURST: u32 = 64;
/// No more are given while so many wait to be sent: all of them bear one time, so that sending them must take no more than a moment.
const TURN: usize = 512;
/// The rate that it falls back to where answers get lost: perhaps it is this sweep that there is no room for.
const GENTLE: u32 = 50_000;
/// Answers and loss from which on that is judged.
const ENOUGH: u32 = 100;
const LOSSY: f64 = 0.02;
/// A sender that was held up may catch up on that much.
const CATCH_UP: Duration = Duration::from_millis(5);
/// A sender that takes longer than that for one call's questions was held up: the time is this host's and not the network's.
const HELD_UP: Duration = Duration::from_millis(5);
/// A second holder of an address may take longer to answer than the first: that long after the last broadcast it is still heard.
const LINGER: Duration = Duration::from_millis(20);

/// The sweep as a state machine: [`poll`](Self::poll) takes the time and a frame, and says what to send and when to come back. It reads
/// no clock and keeps a bounded state for each target, whatever comes in.
#[derive(Debug)]
pub struct Machine {
    pub(super) plan: Plan,
    pub(super) states: Vec<State>,
    fresh: usize,
    pub(super) to_echo: VecDeque<u32>,
    lanes: Lanes,
    pub(super) arp: Timing,
    pub(super) echo: Timing,
    next_send: Duration,
    last_broadcast: Duration,
    pub(super) open: usize,
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

    /// It is `now`, and perhaps `frame` came in: appends what is to be sent to `asks`, as long
    /// as no 512 are in there.
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
        let interval = Duration::from_secs(1) / self.rate();
        while now >= self.next_send && asks.len() < TURN {
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

    /// Frames a second, now.
    fn rate(&self) -> u32 {
        let lossy = self.arp.answers() >= ENOUGH && self.arp.loss().is_some_and(|loss| loss > LOSSY);
        self.plan.settings.rate.min(if lossy { GENTLE } else { u32::MAX }).max(1)
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
