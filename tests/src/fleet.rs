//! Shares scenarios out among grounds that work side by side, and boots another when one is lost.

use std::sync::mpsc::{Sender, channel};
use std::thread;

use crate::error::{LabError, Result};
use crate::ground::{self, Setup};
use crate::scenario::{Ground, Scenario};
use crate::wire::{Event, Run};

/// A scenario with its place in the whole run.
pub(crate) type Placed = (usize, Scenario);

/// This many lost VMs are no scenario's fault any more.
const BOOTS: usize = 5;

/// What happened to a scenario, by its place.
pub(crate) enum News {
    /// It began.
    Begun(usize),
    /// It ended.
    Ended(usize, Box<Run>),
    /// It took the lab with it.
    Lost(usize, String),
}

/// What a scenario costs, in seconds of an emulated VM; only the proportion counts.
fn cost(scenario: &Scenario) -> u64 {
    5 + scenario.settle_ms / 1000 + u64::from(scenario.instances) / 50 + if scenario.stp { 5 } else { 0 }
}

/// Shares of about the same cost; the big ones last in theirs, since the kernel goes on cleaning up after them.
fn shares(mut scenarios: Vec<Placed>, jobs: usize) -> Vec<Vec<Placed>> {
    let mut shares: Vec<(u64, Vec<Placed>)> = (0..jobs.clamp(1, scenarios.len().max(1))).map(|_| (0, Vec::new())).collect();
    scenarios.sort_by_key(|(place, scenario)| (std::cmp::Reverse(cost(scenario)), *place));
    for (place, scenario) in scenarios {
        if let Some((load, share)) = shares.iter_mut().min_by_key(|(load, _)| *load) {
            *load += cost(&scenario);
            share.push((place, scenario));
        }
    }
    shares
        .into_iter()
        .map(|(_, mut share)| {
            share.sort_by_key(|(place, scenario)| (scenario.instances > 100, *place));
            share
        })
        .collect()
}

/// Plays all scenarios, `jobs` at a time, and tells what happens as it does.
pub(crate) fn play(setup: &Setup<'_>, ground: Ground, scenarios: Vec<Placed>, jobs: usize, mut on_news: impl FnMut(News)) -> Result<()> {
    let (send, news) = channel();
    thread::scope(|scope| {
        let workers: Vec<_> = shares(scenarios, jobs)
            .into_iter()
            .map(|share| {
                let send = send.clone();
                scope.spawn(move || work(setup, ground, share, &send))
            })
            .collect();
        drop(send);
        news.into_iter().for_each(&mut on_news);
        workers.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|_| Err(LabError::Broken("a worker panicked".into()))))
    })
}

/// Plays one share. A scenario that takes the VM with it must not take the others: they get a VM of their own.
fn work(setup: &Setup<'_>, ground: Ground, mut todo: Vec<Placed>, news: &Sender<News>) -> Result<()> {
    let mut boots = 0;
    while !todo.is_empty() {
        boots += 1;
        let (mut begun, mut done) = (0, 0);
        let scenarios = todo.iter().map(|(_, scenario)| scenario.clone()).collect();
        let result = ground::play(setup, ground, scenarios, &mut |event| {
            let (at, run) = match event {
                Event::Start { index } => (index, None),
                Event::Done { index, run } => (index, Some(run)),
                Event::Up { .. } | Event::Bye | Event::Failed { .. } => return,
            };
            let Some((place, _)) = todo.get(at) else { return };
            begun = at + 1;
            if run.is_some() {
                done = at + 1;
            }
            // Nobody listens any more only when the whole run is over.
            let _ = news.send(run.map_or(News::Begun(*place), |run| News::Ended(*place, run)));
        });
        let Err(error) = result else { break };
        // Without a scenario to blame, or again and again, it is the lab.
        if begun == 0 || boots > BOOTS {
            return Err(error);
        }
        for (place, _) in todo.drain(..begun).skip(done) {
            let _ = news.send(News::Lost(place, error.to_string()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn placed(instances: &[u16]) -> Vec<Placed> {
        let parse =
            |n: u16| Scenario::parse(&format!("code = \"healthy\"\nstory = \"x\"\ninstances = {n}\n"), Path::new("x.toml")).unwrap();
        instances.iter().copied().map(parse).enumerate().collect()
    }

    fn places(shares: &[Vec<Placed>]) -> Vec<Vec<usize>> {
        shares.iter().map(|share| share.iter().map(|(place, _)| *place).collect()).collect()
    }

    #[test]
    fn shares_cost_alike_and_the_big_come_last() {
        assert_eq!(places(&shares(placed(&[6, 200, 6, 6, 6]), 2)), [vec![3, 1], vec![0, 2, 4]]);
    }

    #[test]
    fn no_share_is_empty_and_none_is_lost() {
        assert_eq!(places(&shares(placed(&[6, 6]), 8)), [[0], [1]]);
        assert_eq!(places(&shares(placed(&[6, 6, 6]), 1)), [[0, 1, 2]]);
    }
}
