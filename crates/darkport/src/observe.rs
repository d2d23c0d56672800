//! The looking itself: one thread reads step by step and hands over what it has after each, so that a step that hangs costs only
//! what it would have read.
#![allow(clippy::disallowed_methods, reason = "this module observes: it reads the clocks and waits between the two looks")]

use std::sync::PoisonError;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use darkport_bridge::{Inspector, Namespace, in_namespace};
use darkport_host::HostReader;
use darkport_inventory::InventoryReader;
use darkport_model::{Gap, GapReason, Observation, Source, Timestamp};
use darkport_probe::{AllowChanges, Capture, Drops, Examiner, Player};

use crate::observer::{Claims, ObserveError, Plan};
use crate::source::Reader;

/// As long as an instance that meets with silence everywhere takes to ask for all that it needs.
const PLAYS_FOR: Duration = Duration::from_secs(10);

/// One step of the reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    First(Reader),
    Wait,
    Again(Reader),
}

/// What the reading thread tells.
enum Message {
    Begins(Step),
    Ended(Box<Observation>),
    NoNamespace(ObserveError),
}

pub(crate) fn run(plan: &Plan, progress: &mut dyn FnMut(&str)) -> Result<Observation, ObserveError> {
    let end = Instant::now() + plan.deadline;
    let steps = steps(plan);
    let (sender, receiver) = channel();
    let reading = Reading { plan: plan.clone(), steps: steps.clone(), end, sender };
    thread::Builder::new().name("darkport-observe".into()).spawn(move || reading.run()).map_err(ObserveError::Thread)?;
    let mut seen = collect(&receiver, &steps, end, plan, progress)?;
    for reader in Reader::ALL.into_iter().filter(|reader| !plan.readers.contains(reader)) {
        reader.missing(&mut seen, GapReason::NotAsked, "it was not asked for");
    }
    env!("CARGO_PKG_VERSION").clone_into(&mut seen.darkport);
    seen.taken_at = now();
    Ok(seen)
}

fn steps(plan: &Plan) -> Vec<Step> {
    let mut steps: Vec<Step> = Reader::ALL.into_iter().filter(|reader| plan.readers.contains(reader)).map(Step::First).collect();
    let twice = Reader::ALL.into_iter().filter(|reader| *reader != Reader::Probes && plan.readers.contains(reader));
    let twice: Vec<Step> = twice.map(Step::Again).collect();
    if !plan.window.is_zero() && !twice.is_empty() {
        steps.push(Step::Wait);
        steps.extend(twice);
    }
    steps
}

/// Takes what the reading thread hands over, until it is done or the deadline comes.
fn collect(
    receiver: &Receiver<Message>,
    steps: &[Step],
    end: Instant,
    plan: &Plan,
    progress: &mut dyn FnMut(&str),
) -> Result<Observation, ObserveError> {
    let mut seen = Observation::default();
    let mut left = steps.iter();
    let mut under_way = None;
    loop {
        match receiver.recv_timeout(end.saturating_duration_since(Instant::now())) {
            Ok(Message::Begins(step)) => {
                left.next();
                under_way = Some(step);
                progress(&describe(step, plan));
            }
            Ok(Message::Ended(now)) => {
                under_way = None;
                seen = *now;
            }
            Ok(Message::NoNamespace(error)) => return Err(error),
            Err(RecvTimeoutError::Disconnected) if under_way.is_none() && left.len() == 0 => return Ok(seen),
            Err(error) => {
                let (reason, why) = match error {
                    RecvTimeoutError::Timeout => {
                        (GapReason::Deadline, format!("it had not returned when the deadline of {:?} came", plan.deadline))
                    }
                    // The thread is gone in the middle of a step: a fault of ours, and a fact all the same.
                    RecvTimeoutError::Disconnected => (GapReason::Failed, "the reading stopped by a fault in darkport itself".to_owned()),
                };
                for step in under_way.into_iter().chain(left.copied()) {
                    unread(step, &mut seen, reason, &why);
                }
                return Ok(seen);
            }
        }
    }
}

fn describe(step: Step, plan: &Plan) -> String {
    match step {
        Step::First(Reader::Probes) if plan.allowed.is_some() => "asking instances and gateway, and playing an instance".to_owned(),
        Step::First(Reader::Probes) => "asking instances and gateway".to_owned(),
        Step::First(reader) => format!("reading {reader}"),
        Step::Wait => format!("watching counters for {:.1} s", plan.window.as_secs_f64()),
        Step::Again(reader) => format!("reading {reader} again"),
    }
}

fn unread(step: Step, seen: &mut Observation, reason: GapReason, why: &str) {
    match step {
        Step::First(reader) => reader.missing(seen, reason, why),
        Step::Again(reader) => {
            let source = match reader {
                Reader::Bridge => Source::Links,
                Reader::Inventory => Source::Instances,
                _ => Source::Host,
            };
            seen.gaps.push(Gap::new(source, format!("second look at {reader}"), reason, why));
        }
        Step::Wait => {}
    }
}

/// The reading thread's side.
struct Reading {
    plan: Plan,
    steps: Vec<Step>,
    end: Instant,
    sender: Sender<Message>,
}

impl Reading {
    fn run(self) {
        let (namespace, sender) = (self.plan.namespace.clone(), self.sender.clone());
        if let Err(source) = in_namespace(&namespace, move || self.read()) {
            let _ = sender.send(Message::NoNamespace(ObserveError::Namespace { namespace: name_of(&namespace), source }));
        }
    }

    fn read(self) {
        let mut seen = Observation::default();
        let mut inspector = None;
        let mut drops = self.drops(&mut seen);
        let mut host = self.host_reader();
        let begun = Instant::now();
        let mut first_look = None;
        let mut cost = Duration::ZERO;
        for step in &self.steps {
            // The receiver is gone once the deadline has passed: nobody wants the rest.
            if self.sender.send(Message::Begins(*step)).is_err() {
                return;
            }
            match step {
                Step::First(Reader::Bridge) => match Inspector::open() {
                    Ok(mut opened) => {
                        first_look = Some(Instant::now());
                        opened.observe(&mut seen);
                        inspector = Some(opened);
                    }
                    Err(error) => Reader::Bridge.missing(&mut seen, GapReason::Failed, &chain(&error)),
                },
                Step::First(Reader::Host) => {
                    first_look.get_or_insert_with(Instant::now);
                    host.observe(&mut seen);
                    cost = begun.elapsed();
                }
                Step::First(Reader::Inventory) => self.inventory_reader().observe(&mut seen),
                Step::First(Reader::Probes) => self.probe(first_look, drops.take(), &mut seen),
                Step::Wait => self.wait(first_look, cost),
                Step::Again(reader) => {
                    // The window is the time between the two looks at the first thing read, not what was asked for.
                    if let (Some(first), None) = (first_look, seen.window_ms) {
                        seen.window_ms = u64::try_from(first.elapsed().as_millis()).ok();
                    }
                    match (reader, &mut inspector) {
                        (Reader::Bridge, Some(inspector)) => inspector.observe_again(&mut seen),
                        (Reader::Host, _) => host.observe_again(&mut seen),
                        (Reader::Inventory, _) => self.inventory_reader().observe_again(&mut seen),
                        _ => {}
                    }
                }
            }
            if self.sender.send(Message::Ended(Box::new(seen.clone()))).is_err() {
                return;
            }
        }
    }

    /// Counts what the kernel drops from now on, before anything is sent.
    fn drops(&self, seen: &mut Observation) -> Option<Drops> {
        let allowed = self.plan.allowed.filter(|_| self.plan.readers.contains(&Reader::Probes))?;
        let started = Drops::start(allowed);
        started.map_err(|error| seen.gaps.push(Drops::missing(&error))).ok()
    }

    /// Asks and listens while the window passes.
    fn probe(&self, first_look: Option<Instant>, mut drops: Option<Drops>, seen: &mut Observation) {
        let left = self.end.saturating_duration_since(Instant::now());
        if self.plan.window.is_zero() {
            Reader::Probes.missing(seen, GapReason::NotAsked, "silence takes a window to be told from loss");
        } else if left < self.plan.window {
            Reader::Probes.missing(seen, GapReason::Deadline, "the deadline leaves no time for it");
        } else {
            if let Some(drops) = &mut drops {
                // What is dropped without probes needs time to be told from what is dropped with them.
                thread::sleep((self.plan.window / 2).saturating_sub(drops.before()));
                drops.probing_begins();
            }
            let passed = first_look.map(|first| first.elapsed()).unwrap_or_default();
            let examiner = Examiner::new(self.plan.window.saturating_sub(passed));
            if let Some(kept) = &self.plan.capture {
                let mut capture = Capture::default();
                examiner.observe_keeping(seen, &mut capture);
                *kept.lock().unwrap_or_else(PoisonError::into_inner) = capture;
            } else {
                examiner.observe(seen);
            }
            if let Some(allowed) = self.plan.allowed {
                self.play(allowed, seen);
            }
            if let Some(drops) = drops {
                drops.finish(seen);
            }
        }
    }

    /// Does what an instance does, where the instances are.
    fn play(&self, allowed: AllowChanges, seen: &mut Observation) {
        // The second looks need some of it too.
        let left = self.end.saturating_duration_since(Instant::now()) / 2;
        if left < PLAYS_FOR {
            let why = "the deadline leaves no time for it";
            seen.gaps.push(Gap::new(Source::Synthetic, "an instance on each bridge", GapReason::Deadline, why));
        } else {
            Player::new(allowed).deadline(left).observe(seen);
        }
    }

    /// Waits for the rest of the window; for less where the second look would come after the deadline.
    fn wait(&self, first_look: Option<Instant>, cost: Duration) {
        let full = first_look.unwrap_or_else(Instant::now) + self.plan.window;
        let latest = self.end.checked_sub(cost * 2).unwrap_or(self.end);
        thread::sleep(full.min(latest).saturating_duration_since(Instant::now()));
    }

    fn host_reader(&self) -> HostReader {
        let mut reader = HostReader::new();
        if let Some(proc) = &self.plan.proc {
            reader = reader.proc(proc);
        }
        if let Some(sys) = &self.plan.sys {
            reader = reader.sys(sys);
        }
        reader
    }

    fn inventory_reader(&self) -> InventoryReader {
        let mut reader = InventoryReader::new();
        if let Some(root) = &self.plan.root {
            reader = reader.root(root);
        }
        if let Some(proc) = &self.plan.proc {
            reader = reader.proc(proc);
        }
        for claims in &self.plan.claims {
            reader = match claims {
                Claims::File(path) => reader.claims_file(path),
                Claims::Text { name, bytes } => reader.claims(name, bytes.clone()),
            };
        }
        if let Some(host) = &self.plan.asked_host {
            reader = reader.asked_host(host);
        }
        reader
    }
}

fn name_of(namespace: &Namespace) -> String {
    match namespace {
        Namespace::Path(path) => path.display().to_string(),
        Namespace::Pid(pid) => format!("of process {pid}"),
        _ => "of this process".to_owned(),
    }
}

/// An error with its sources, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or_default())
}
