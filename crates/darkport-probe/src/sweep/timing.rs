//! How long to wait and how often to try, from what was measured so far.

use std::time::Duration;

/// Before anything is measured: a guest on a busy host may take that long.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const SHORTEST_WAIT: Duration = Duration::from_millis(8);
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// No wait between two tries grows beyond that.
const LONGEST_STEP: Duration = Duration::from_millis(200);
/// Tries that no address gets more of.
pub(super) const MOST_TRIES: u8 = 12;
/// Live addresses that may be called silent in one sweep, on average.
const MISSES: f64 = 1e-5;

/// Round-trip times, and how many questions stayed without an answer.
///
/// How long to wait follows the times of nearly all, whatever their order: the smoothed mean that TCP keeps (RFC 6298) would take one
/// stall of this host, which makes fifty answers late in a row, for the network's pace, and with every address asked once nothing
/// new would correct it.
#[derive(Debug, Clone, Default)]
pub(super) struct Timing {
    smoothed: Option<Duration>,
    /// How many times took under 1, 2, 4, … microseconds.
    times: [u32; 32],
    /// Addresses that answered, and the tries that they took.
    answered: u32,
    tries: u32,
}

impl Timing {
    /// An address answered at its `tries`-th try; `rtt` where it is known which try was answered (Karn's rule).
    pub(super) fn answer(&mut self, tries: u8, rtt: Option<Duration>) {
        self.answered = self.answered.saturating_add(1);
        self.tries = self.tries.saturating_add(tries.into());
        let Some(rtt) = rtt else { return };
        self.smoothed = Some(self.smoothed.map_or(rtt, |smoothed| (smoothed * 7 + rtt) / 8));
        let log = u128::BITS - rtt.as_micros().leading_zeros();
        if let Some(times) = self.times.get_mut(usize::try_from(log).unwrap_or(31).min(31)) {
            *times = times.saturating_add(1);
        }
    }

    /// What nine answers of ten take at most, to the next power of two.
    fn usual(&self) -> Option<Duration> {
        let all: u64 = self.times.iter().map(|times| u64::from(*times)).sum();
        let mut slower = all;
        let bucket = self.times.iter().position(|times| {
            slower -= u64::from(*times);
            slower * 10 < all
        })?;
        u32::try_from(bucket).ok().map(|log| Duration::from_micros(1 << log))
    }

    /// The smoothed round-trip time, for people.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.smoothed
    }

    /// Addresses that answered.
    pub(super) fn answers(&self) -> u32 {
        self.answered
    }

    /// The share of tries without an answer among addresses that did answer.
    pub(super) fn loss(&self) -> Option<f64> {
        (self.answered > 0).then(|| 1.0 - f64::from(self.answered) / f64::from(self.tries.max(1)))
    }

    /// How long to wait for the answer to a first try.
    pub(super) fn wait(&self) -> Duration {
        self.usual().map_or(FIRST_WAIT, |usual| (usual * 2).clamp(SHORTEST_WAIT, LONGEST_WAIT))
    }

    /// How long to wait after the `tries`-th try: longer each time, and for an expected address twice as long each time.
    pub(super) fn step(&self, tries: u8, expected: bool) -> Duration {
        let growth: f64 = if expected { 2.0 } else { 1.2 };
        let wait = self.wait();
        wait.mul_f64(growth.powi(i32::from(tries.clamp(1, MOST_TRIES)) - 1)).min(LONGEST_STEP.max(wait))
    }

    /// How many tries it takes until silence means something: so many that of all live addresses hardly ever one is missed with the
    /// loss measured so far, `least` at least.
    pub(super) fn needed(&self, least: u8) -> u8 {
        if self.answered == 0 {
            return least;
        }
        // Laplace's rule: few answers say little about the loss.
        let loss = (f64::from(self.tries - self.answered.min(self.tries)) + 1.0) / (f64::from(self.tries) + 2.0);
        let mut missed = f64::from(self.answered);
        let mut needed = 0;
        while missed > MISSES && needed < MOST_TRIES {
            missed *= loss;
            needed += 1;
        }
        needed.max(least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_answer_it_is_patient() {
        let timing = Timing::default();
        assert_eq!((timing.wait(), timing.needed(6), timing.loss()), (FIRST_WAIT, 6, None));
        let all: Duration = (1..=6).map(|tries| timing.step(tries, false)).sum();
        assert!(all > Duration::from_millis(900), "{all:?}");
    }

    #[test]
    fn it_waits_as_long_as_answers_take() {
        let mut timing = Timing::default();
        (0..100).for_each(|_| timing.answer(1, Some(Duration::from_micros(300))));
        assert_eq!(timing.wait(), SHORTEST_WAIT);
        (0..100).for_each(|n| timing.answer(1, Some(Duration::from_millis(40 + n % 20))));
        assert!((80..=140).contains(&timing.wait().as_millis()), "{:?}", timing.wait());
        let mut slow = Timing::default();
        slow.answer(1, Some(Duration::from_secs(9_000_000)));
        assert_eq!(slow.wait(), LONGEST_WAIT);
    }

    #[test]
    fn a_stall_of_this_host_is_not_the_networks_pace() {
        let mut timing = Timing::default();
        (0..1400).for_each(|_| timing.answer(1, Some(Duration::from_micros(300))));
        (0..100).for_each(|_| timing.answer(1, Some(Duration::from_millis(900))));
        assert_eq!(timing.wait(), SHORTEST_WAIT);
    }

    #[test]
    fn the_more_gets_lost_the_more_often_it_tries() {
        let with_loss = |every: u32| {
            let mut timing = Timing::default();
            (1..=1500).for_each(|n| timing.answer(if n % every == 0 { 2 } else { 1 }, None));
            timing.needed(6)
        };
        assert_eq!(with_loss(u32::MAX), 6);
        assert!((8..=10).contains(&with_loss(10)), "{}", with_loss(10));
        assert_eq!(with_loss(1), MOST_TRIES);
        let mut one = Timing::default();
        one.answer(1, None);
        assert!(one.needed(6) > 6, "one answer says little");
    }
}
