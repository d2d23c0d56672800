//! Who waits for an answer, and until when.

use std::collections::VecDeque;
use std::time::Duration;

use super::timing::MOST_TRIES;

/// What is being asked of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Arp,
    Echo,
}

/// Those who wait alike: the same question, as often asked, as much expected. Each lane is in the order in which its questions were
/// sent, and so in the order in which its waits end: only its head needs looking at, and a measured wait that changes changes all.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) stage: Stage,
    pub(super) expected: bool,
    pub(super) tries: u8,
    queue: VecDeque<(u32, Duration)>,
}

impl Lane {
    /// The first in the lane and when it was asked.
    pub(super) fn head(&self) -> Option<(u32, Duration)> {
        self.queue.front().copied()
    }

    pub(super) fn pop(&mut self) {
        self.queue.pop_front();
    }

    /// What was asked at `asked` left at `at` only; who that is goes to `each`.
    pub(super) fn sent(&mut self, asked: Duration, at: Duration, mut each: impl FnMut(u32)) {
        for (index, time) in self.queue.iter_mut().rev().take_while(|(_, time)| *time == asked) {
            *time = at;
            each(*index);
        }
    }
}

/// All lanes.
#[derive(Debug)]
pub(super) struct Lanes(Vec<Lane>);

impl Lanes {
    pub(super) fn new() -> Self {
        let kinds = [(Stage::Arp, true), (Stage::Echo, true), (Stage::Arp, false), (Stage::Echo, false)];
        let lanes =
            (1..=MOST_TRIES).flat_map(|tries| kinds.map(|(stage, expected)| Lane { stage, expected, tries, queue: VecDeque::new() }));
        Self(lanes.collect())
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Lane> {
        self.0.iter_mut()
    }

    /// The address `index` was asked just now, for the `tries`-th time.
    pub(super) fn push(&mut self, stage: Stage, expected: bool, tries: u8, index: u32, now: Duration) {
        let lane = self.0.iter_mut().find(|lane| lane.stage == stage && lane.expected == expected && lane.tries == tries);
        if let Some(lane) = lane {
            lane.queue.push_back((index, now));
        }
    }
}
