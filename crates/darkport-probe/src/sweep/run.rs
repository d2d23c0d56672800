//! The machine on a socket.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_bridge::{Inspector, Namespace, in_namespace};
use darkport_model::{Carrier, Gap, GapReason, IpPrefix, Link, MacAddr, Observation, OperState, Source, Vid};

use super::findings::{self, Ports};
use super::machine::Machine;
use super::plan::{Plan, Settings, Target};
use super::report::{SweepReport, SweepStats};
use super::state::Next;
use crate::error::ProbeError;
use crate::socket::{Batch, Filter, PacketSocket, SocketOptions};

/// How often progress is told.
const TELL: Duration = Duration::from_millis(100);
/// Frames taken in one go before time is looked at again: a flood must not stop the clock.
const TURN: usize = 16_384;

/// How far a sweep is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweepProgress {
    /// Targets that are done with.
    pub settled: usize,
    /// All targets.
    pub targets: usize,
}

/// Asks, on one interface, who has which address: by ARP, and where wanted by ICMP echo in frames to whoever answered. The kernel's
/// neighbour table plays no part in it. Needs `CAP_NET_RAW`.
///
/// ```no_run
/// use darkport_probe::{HostState, Sweep, Target};
///
/// let mut sweep = Sweep::on("br1102").targets(darkport_probe::hosts("10.68.16.0/21".parse()?)?.into_iter().map(Target::new));
/// let report = sweep.run()?;
/// println!("{} answer", report.count(HostState::Answered));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a sweep asks only when `run` is called"]
pub struct Sweep {
    device: String,
    namespace: Namespace,
    vid: Option<Vid>,
    source: Option<Ipv4Addr>,
    targets: Vec<Target>,
    settings: Settings,
    progress: Box<dyn FnMut(SweepProgress) + Send>,
}

impl std::fmt::Debug for Sweep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sweep").field("device", &self.device).field("targets", &self.targets.len()).finish_non_exhaustive()
    }
}

impl Sweep {
    /// A sweep on an interface: a bridge, one of its ports, a VLAN device, a NIC.
    pub fn on(device: impl Into<String>) -> Self {
        Self {
            device: device.into(),
            namespace: Namespace::Current,
            vid: None,
            source: None,
            targets: Vec::new(),
            settings: Settings::default(),
            progress: Box::new(|_| ()),
        }
    }

    /// In this network namespace. Needs `CAP_SYS_ADMIN` for any but the current one.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// In a VLAN: questions carry its tag, and only answers with it count.
    pub fn vlan(mut self, vid: Vid) -> Self {
        self.vid = Some(vid);
        self
    }

    /// Asks from this address, instead of from the host's own where it has one and from 0.0.0.0 where not. Whoever is asked takes note
    /// of it: an address that somebody else uses would be taken from them for a while.
    pub fn source(mut self, address: Ipv4Addr) -> Self {
        self.source = Some(address);
        self
    }

    /// Asks for these as well.
    pub fn targets(mut self, targets: impl IntoIterator<Item = Target>) -> Self {
        self.targets.extend(targets);
        self
    }

    /// Asks in this way.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Called every tenth of a second, on the thread that sweeps.
    pub fn on_progress(mut self, progress: impl FnMut(SweepProgress) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Asks, and returns when everything is known or time is over.
    ///
    /// # Errors
    /// When it cannot begin: no such interface or namespace, no right, nobody to ask for. What goes wrong later is a gap.
    pub fn run(&mut self) -> Result<SweepReport, ProbeError> {
        in_namespace(&self.namespace.clone(), || self.run_here())?
    }

    fn run_here(&mut self) -> Result<SweepReport, ProbeError> {
        let seen = look(&[Source::Links, Source::Addresses])?;
        let device = self.device(&seen)?;
        let mac = device.mac.filter(|mac| mac.is_unicast()).ok_or_else(|| ProbeError::NotEthernet(device.name.clone()))?;
        let mut machine = Machine::new(self.plan(mac, device, &seen)?);
        let filter = Filter::Answers { mac, id: machine.plan().echo_id() };
        let mut socket = PacketSocket::open(SocketOptions::new(device.index.0), &filter)
            .map_err(|source| ProbeError::Open { device: device.name.clone(), source })?;

        let mut gaps = Vec::new();
        let mut gap = |reason, why: String| gaps.push(Gap::new(Source::Probes, format!("sweep on {}", device.name), reason, why));
        if let Err(error) = drive(&mut machine, &mut socket, &mut self.progress) {
            gap(GapReason::Failed, format!("it ended early: {error}"));
        }
        let took = socket.now();
        let dropped = socket.dropped().unwrap_or_else(|error| {
            gap(GapReason::Failed, format!("whether answers were lost cannot be told: {error}"));
            0
        });
        if dropped > 0 {
            gap(GapReason::Torn, format!("{dropped} frames found no room in the receive buffer, so that silence says nothing"));
        }
        let (settled, targets) = machine.settled();
        if settled < targets {
            let why = format!("{} of {targets} addresses were not asked as often as it takes in {took:.1?}", targets - settled);
            gap(GapReason::Deadline, why);
        }
        let ports = self.ports(device, &machine, &mut gaps);
        Ok(self.report(&machine, device, &ports, gaps, took, dropped))
    }

    fn device<'a>(&self, seen: &'a Observation) -> Result<&'a Link, ProbeError> {
        if let (None, Some(gap)) = (seen.links.first(), seen.gaps_in(Source::Links).next()) {
            return Err(ProbeError::Links(gap.to_string()));
        }
        let device = seen.link_named(&self.device).ok_or_else(|| ProbeError::NoDevice(self.device.clone()))?;
        // A carrier that the kernel has not worked off yet (`linkwatch`) shows in the operational state only.
        let dead = matches!(device.oper_state, OperState::Down | OperState::LowerLayerDown | OperState::NotPresent);
        match device.admin_up {
            false => Err(ProbeError::Down(device.name.clone())),
            true if dead || device.carrier == Carrier::Down => Err(ProbeError::NoCarrier(device.name.clone())),
            true => Ok(device),
        }
    }

    fn plan(&mut self, mac: MacAddr, device: &Link, seen: &Observation) -> Result<Plan, ProbeError> {
        let mut plan = Plan::new(mac, self.targets.clone())?;
        plan.vid = self.vid;
        plan.settings = self.settings.clone();
        plan.secret = RandomState::new().build_hasher().finish();
        plan.own = match self.source.and_then(|source| IpPrefix::new(source.into(), 0).ok()) {
            Some(everywhere) => vec![everywhere],
            // A tag of the sweep's own leads into another network than the interface's addresses are of.
            None if self.vid.is_some() => Vec::new(),
            None => seen
                .addresses
                .iter()
                .filter(|own| own.link == device.index && own.prefix.address().is_ipv4())
                .map(|own| own.prefix)
                .collect(),
        };
        Ok(plan)
    }

    /// Which port each answer came in on. Read afterwards: the answers themselves told the bridge.
    fn ports(&self, device: &Link, machine: &Machine, gaps: &mut Vec<Gap>) -> Ports {
        let bridge = matches!(device.kind, darkport_model::LinkKind::Bridge { .. });
        if !bridge || machine.counts().answers == 0 {
            return Ports::of(device, &[], &[]);
        }
        match look(&[Source::Links, Source::BridgeVlans, Source::Fdb]) {
            Ok(seen) => {
                gaps.extend(seen.gaps.iter().filter(|gap| gap.source == Source::Fdb && gap.reason != GapReason::NotAsked).cloned());
                Ports::of(device, &seen.links, &seen.fdbs)
            }
            Err(error) => {
                gaps.push(Gap::new(Source::Fdb, &self.device, GapReason::Failed, error.to_string()));
                Ports::default()
            }
        }
    }

    fn report(&self, machine: &Machine, device: &Link, ports: &Ports, gaps: Vec<Gap>, took: Duration, dropped: u64) -> SweepReport {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let hosts = findings::hosts(machine, ports, dropped > 0);
        let findings = findings::findings(&hosts, machine.plan().targets.iter().map(|target| target.mac));
        let counts = machine.counts();
        let measured = machine.measured();
        let stats = SweepStats {
            took_us: micros(took),
            broadcasts: counts.broadcasts,
            unicasts: counts.unicasts,
            answers: counts.answers,
            strays: counts.strays,
            dropped,
            rtt_us: measured.map(|(rtt, _)| micros(rtt)),
            loss: measured.map(|(_, loss)| loss),
        };
        tracing::debug!(device = device.name, ?took, ?counts, "sweep");
        SweepReport { device: device.name.clone(), vid: self.vid, hosts, findings, gaps, stats }
    }
}

/// Reads these parts of what the kernel knows.
fn look(sources: &[Source]) -> Result<Observation, ProbeError> {
    let mut seen = Observation::default();
    Inspector::open()?.with_sources(sources.iter().copied()).observe(&mut seen);
    Ok(seen)
}

/// Runs the machine to its end.
fn drive(machine: &mut Machine, socket: &mut PacketSocket, progress: &mut dyn FnMut(SweepProgress)) -> std::io::Result<()> {
    let (mut asks, mut batch) = (Vec::new(), Batch::default());
    let mut told = Duration::ZERO;
    loop {
        // What came in by now is heard first, so that nobody is called silent whose answer is here already.
        let now = socket.now();
        let mut taken = 0;
        loop {
            let count = socket.receive(Duration::ZERO, |frame| {
                machine.poll(now, Some(frame), &mut asks);
            })?;
            taken += count;
            if count == 0 || taken >= TURN {
                break;
            }
        }
        let next = machine.poll(now, None, &mut asks);
        for ask in asks.drain(..) {
            batch.push(|bytes| machine.encode(&ask, bytes));
        }
        if !batch.is_empty() {
            socket.send(&batch)?;
            batch.clear();
            machine.sent(now, socket.now());
        }
        if now >= told + TELL {
            told = now;
            let (settled, targets) = machine.settled();
            progress(SweepProgress { settled, targets });
        }
        match next {
            Next::Done => return Ok(()),
            Next::Wait(until) => {
                let wait = until.min(told + TELL).saturating_sub(socket.now());
                socket.wait(wait)?;
            }
        }
    }
}
