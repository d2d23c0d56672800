//! The probes that every diagnosis makes, which change nothing: ARP from each bridge to its instances and to the gateway, while a watch over
//! all devices tells where questions and answers went, and what instances and others say by themselves.

mod questions;

use std::collections::HashSet;
use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use darkport_model::{ArpAnswer, ArpProbe, Gap, GapReason, IfIndex, Link, LinkKind, Observation, Source, Whom};

use self::questions::{Errand, Question, errands, overheard};
pub(crate) use self::questions::{ipv4, runs};
use crate::pcapng::Capture;
use crate::socket::{Batch, Filter, PacketSocket, PacketType, SocketOptions};
use crate::sweep::{Ask, Machine, Next, Outcome, Plan, Settings, Target};
use crate::watch::Ledger;

/// What is overheard by then may be asked about too.
const OVERHEAR: Duration = Duration::from_millis(600);
/// Even without a window, silence takes this long to be told from loss.
const SHORTEST: Duration = Duration::from_millis(1700);
/// Frames taken in one go before time is looked at again.
const TURN: usize = 4096;
/// Frames that may be flooded to guests in all, should nobody answer: of more instances than that allows some are asked, as a sample.
const FLOOD: usize = 60_000;
/// Tries that silence takes at most.
const TRIES: usize = 12;

/// Asks on every bridge that has running instances, and listens, for a time. Needs `CAP_NET_RAW`. It sends ARP requests from the bridges' own
/// hardware addresses and from 0.0.0.0 (RFC 5227, 2.1.1), so that no neighbour takes note of anything.
///
/// ```no_run
/// use std::time::Duration;
///
/// let mut seen = darkport_model::Observation::default();
/// darkport_bridge::Inspector::open()?.observe(&mut seen);
/// darkport_probe::Examiner::new(Duration::from_secs(2)).observe(&mut seen);
/// # Ok::<(), darkport_bridge::BridgeError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "an examiner asks only when `observe` is called"]
pub struct Examiner {
    window: Duration,
}

/// Questions under way on one bridge.
struct Asking<'e, 'a> {
    errand: &'e Errand<'a>,
    questions: Vec<Question>,
    machine: Machine,
    socket: PacketSocket,
    asks: Vec<Ask>,
    next: Duration,
    done: bool,
    failed: bool,
}

impl Examiner {
    /// One that listens for `window`; a little longer where that is too short to tell silence from loss.
    pub fn new(window: Duration) -> Self {
        Self { window }
    }

    /// Fills `into.probes`. `into.links`, `into.addresses`, `into.routes` and `into.inventory` are to be filled before: they say whom to ask. What could not
    /// be asked or heard is a gap.
    pub fn observe(&self, into: &mut Observation) {
        self.examine(into, &mut Ledger::default());
    }

    /// The same, and what it sent and had for an answer is kept in `capture`, frame by frame and device by device.
    pub fn observe_keeping(&self, into: &mut Observation, capture: &mut Capture) {
        let mut kept = Capture::default();
        kept.names = into.links.iter().map(|link| (link.index, link.name.clone())).collect();
        let mut ledger = Ledger::default();
        ledger.capture = Some(kept);
        self.examine(into, &mut ledger);
        *capture = ledger.capture.unwrap_or_default();
    }

    fn examine(&self, into: &mut Observation, ledger: &mut Ledger) {
        let (probes, gaps) = {
            let (errands, mut gaps) = errands(into);
            match self.run(into, &errands, ledger, &mut gaps) {
                Ok(probes) => (probes, gaps),
                Err(error) => {
                    gaps.push(Gap::from_io(Source::Probes, "ARP to the instances and the gateway", &error));
                    (darkport_model::Probes::default(), gaps)
                }
            }
        };
        into.probes = probes;
        into.gaps.extend(gaps);
    }

    fn run(
        &self,
        seen: &Observation,
        errands: &[Errand<'_>],
        ledger: &mut Ledger,
        gaps: &mut Vec<Gap>,
    ) -> io::Result<darkport_model::Probes> {
        let mut probes = darkport_model::Probes::default();
        if errands.is_empty() {
            return Ok(probes);
        }
        // 0 is every interface (packet(7)).
        let mut options = SocketOptions::new(0);
        options.outgoing = true;
        let mut watch = PacketSocket::open(options, &Filter::Arp)?;
        let end = self.window.max(SHORTEST);
        if let Some(capture) = &mut ledger.capture {
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            capture.begun = wall.saturating_sub(watch.now());
        }
        ledger.interest.askers.extend(errands.iter().map(|errand| errand.mac));
        ledger.interest.taps.extend(errands.iter().flat_map(Errand::taps));
        let mut askings = Vec::new();
        for errand in errands {
            let (questions, left_out) = sample(&errand.questions, errand.ports);
            if left_out > 0 {
                let why = format!(
                    "{left_out} instances were not asked: if they were all silent, the questions would flood its {} ports",
                    errand.ports
                );
                gaps.push(Gap::new(Source::Probes, format!("ARP on {}", errand.bridge.name), GapReason::NotAsked, why));
            }
            begin(errand, questions, end, ledger, &mut askings, gaps);
        }
        let mut listened = false;
        loop {
            let now = watch.now();
            if !listened && now >= OVERHEAR.min(self.window) {
                listened = true;
                let heard = ledger.arp();
                for errand in errands {
                    let answers =
                        askings.iter().filter(|asking| asking.errand.bridge.index == errand.bridge.index).any(Asking::gateway_answers);
                    let more = overheard(errand, &heard, &ways_out(seen, errand), answers);
                    let (more, _) = sample(&more, errand.ports);
                    begin(errand, more, end, ledger, &mut askings, gaps);
                }
            }
            hear(&mut watch, now, ledger, &mut askings)?;
            let mut next = if listened { end } else { OVERHEAR.min(self.window) };
            for asking in &mut askings {
                asking.ask(now, gaps);
                if !asking.done {
                    next = next.min(asking.next);
                }
            }
            if now >= end || (listened && now >= self.window && askings.iter().all(|asking| asking.done)) {
                break;
            }
            watch.wait(next.max(now).saturating_sub(watch.now()))?;
        }
        let took = watch.now();
        let dropped = watch.dropped()?;
        if dropped > 0 {
            let why = format!("{dropped} frames found no room in the receive buffer, so that silence says nothing");
            gaps.push(Gap::new(Source::Probes, "ARP overheard", GapReason::Changed, why));
        }
        probes.arp = askings.iter().flat_map(|asking| asking.told(ledger, dropped > 0)).collect();
        probes.heard = ledger.heard(took, dropped);
        tracing::debug!(asked = probes.arp.len(), heard = probes.heard.arp.len(), ?took, "probed");
        Ok(probes)
    }
}

/// As many questions as may be asked on a bridge with so many ports, and how many are left out. The gateway and strangers are few and always asked;
/// of the instances every nth.
fn sample(questions: &[Question], ports: usize) -> (Vec<Question>, usize) {
    let most = (FLOOD / TRIES / ports.max(1)).max(2);
    let (instances, others): (Vec<_>, Vec<_>) = questions.iter().cloned().partition(|question| matches!(question.whom, Whom::Instance(_)));
    let every = instances.len().div_ceil(most).max(1);
    let left_out = instances.len() - instances.len().div_ceil(every);
    (others.into_iter().chain(instances.into_iter().step_by(every)).collect(), left_out)
}

/// Begins to ask, where there is anybody to ask for.
fn begin<'e, 'a>(
    errand: &'e Errand<'a>,
    questions: Vec<Question>,
    end: Duration,
    ledger: &mut Ledger,
    askings: &mut Vec<Asking<'e, 'a>>,
    gaps: &mut Vec<Gap>,
) {
    let target = |question: &Question| {
        let target = Target::expected(question.address);
        question.mac.map_or(target.clone(), |mac| target.mac(mac))
    };
    let Ok(mut plan) = Plan::new(errand.mac, questions.iter().map(target).collect()) else { return };
    // From 0.0.0.0 always, also where the host has an address there: whoever is asked would take note of that and of the bridge's hardware
    // address, and what neighbours wrongly believe is evidence (`bridge-mac-changed`).
    // The last moments are for answers that are under way.
    let deadline = end.saturating_sub(Duration::from_millis(20));
    plan.settings = Settings { deadline, ..Settings::default() };
    let asked = questions.iter().map(|question| ((errand.mac, question.address), question.tap));
    ledger.interest.asked.extend(asked);
    match PacketSocket::open(SocketOptions::new(errand.bridge.index.0), &Filter::Nothing) {
        Ok(socket) => {
            let machine = Machine::new(plan);
            askings.push(Asking { errand, questions, machine, socket, asks: Vec::new(), next: Duration::ZERO, done: false, failed: false });
        }
        Err(error) => gaps.push(Gap::from_io(Source::Probes, format!("ARP on {}", errand.bridge.name), &error)),
    }
}

/// Takes what came in, for the book and for whoever waits for it.
fn hear(watch: &mut PacketSocket, now: Duration, ledger: &mut Ledger, askings: &mut [Asking<'_, '_>]) -> io::Result<()> {
    let mut taken = 0;
    loop {
        let count = watch.receive(Duration::ZERO, |received| {
            ledger.note(&received);
            let came_in = received.kind != PacketType::Outgoing;
            let waiting = askings.iter_mut().filter(|asking| came_in && asking.errand.bridge.index.0 == received.interface);
            for asking in waiting {
                asking.machine.poll(now, Some(received), &mut asking.asks);
            }
        })?;
        taken += count;
        if count == 0 || taken >= TURN {
            return Ok(());
        }
    }
}

impl Asking<'_, '_> {
    fn ask(&mut self, now: Duration, gaps: &mut Vec<Gap>) {
        match self.machine.poll(now, None, &mut self.asks) {
            Next::Wait(until) => self.next = until,
            Next::Done => self.done = true,
        }
        let mut batch = Batch::default();
        for ask in self.asks.drain(..) {
            batch.push(|bytes| self.machine.encode(&ask, bytes));
        }
        if let Err(error) = self.socket.send(&batch) {
            gaps.push(Gap::from_io(Source::Probes, format!("ARP on {}", self.errand.bridge.name), &error));
            (self.done, self.failed) = (true, true);
        }
    }

    fn gateway_answers(&self) -> bool {
        let answered = |address| {
            let at = self.machine.plan().targets.iter().position(|target| target.address == address);
            at.and_then(|at| self.machine.states().get(at)).is_some_and(|state| !state.holders.is_empty())
        };
        self.questions.iter().any(|question| question.whom == Whom::Gateway && answered(question.address))
    }

    fn told<'s>(&'s self, ledger: &'s Ledger, dropped: bool) -> impl Iterator<Item = ArpProbe> + 's {
        let mac = self.errand.mac;
        self.machine.plan().targets.iter().zip(self.machine.states()).filter_map(move |(target, state)| {
            let question = self.questions.iter().find(|question| question.address == target.address)?;
            let mut probe = ArpProbe::new(self.errand.bridge.index, target.address, question.whom.clone());
            let rtt = match state.arp {
                Outcome::Answered(rtt) => rtt.and_then(|rtt| u64::try_from(rtt.as_micros()).ok()),
                _ => None,
            };
            let answers = state.holders.iter().enumerate().map(|(at, holder)| {
                let mut answer = ArpAnswer::new(holder.mac);
                answer.frame_from = (holder.frame_from != holder.mac).then_some(holder.frame_from);
                answer.came_in_by = ledger.came_in_by(mac, target.address, holder.mac);
                (answer.count, answer.rtt_us) = (holder.answers, rtt.filter(|_| at == 0));
                answer
            });
            probe.answers = answers.collect();
            probe.sent = u32::from(state.arp_tries);
            let most = state.holders.iter().map(|holder| holder.answers).max().unwrap_or(0);
            probe.answered = most.min(probe.sent);
            probe.way = ledger.way(mac, target.address);
            // The last try may still be under way when time is over; those before it had theirs.
            let enough = state.arp == Outcome::Silent || state.arp_tries > self.machine.plan().settings.tries;
            probe.unheard = dropped || self.failed || (state.holders.is_empty() && !enough);
            Some(probe)
        })
    }
}

/// The ports of a bridge that face no guest of its own.
fn ways_out(seen: &Observation, errand: &Errand<'_>) -> HashSet<IfIndex> {
    let taps: HashSet<IfIndex> = errand.taps().collect();
    let tun = |link: &Link| matches!(link.kind, LinkKind::Tun { .. });
    seen.ports_of(errand.bridge.index).filter(|port| !taps.contains(&port.index) && !tun(port)).map(|port| port.index).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn a_thousand_ports_are_not_flooded() {
        let question = |number: u32, whom| Question { address: Ipv4Addr::from(number), whom, mac: None, tap: None };
        let mut all: Vec<_> = (2..1002).map(|number| question(number, Whom::Instance(number.to_string()))).collect();
        all.push(question(1, Whom::Gateway));
        let (asked, left_out) = sample(&all, 1001);
        assert_eq!((asked.len(), left_out, &asked[0].whom), (5, 996, &Whom::Gateway));
        assert!(asked.len() * TRIES * 1001 < FLOOD + 24_000);
        assert_eq!(sample(&all[..38], 39).1, 0);
    }
}
