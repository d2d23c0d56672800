//! The machine on sockets.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use darkport_bridge::{Inspector, Namespace, in_namespace};
use darkport_model::{Carrier, DhcpProbe, Gap, GapReason, IpPrefix, Link, MacAddr, Observation, OperState, Source, Vid};

use super::book::Book;
use super::drive::drive;
use super::findings;
use super::machine::DhcpMachine;
use super::plan::{DhcpPlan, DhcpSettings, TakeLease};
use super::report::{DhcpReport, DhcpStats};
use crate::error::ProbeError;
use crate::socket::{Filter, PacketSocket, SocketOptions};

/// Expected servers that are looked for at most.
const EXPECTED: usize = 64;

/// Asks, on one interface, who offers an address, and follows the offers through the devices of this host. It takes no lease unless told to, and then
/// gives it back. Needs `CAP_NET_RAW`.
///
/// A server on this very host does not hear what is sent from the host's own side of a bridge: for that one a guest's place is needed
/// ([`Synthetic`](crate::Synthetic)).
///
/// ```no_run
/// let report = darkport_probe::Dhcp::on("br1102").expect([[10, 68, 16, 1].into()]).run()?;
/// println!("{} servers offer", report.probe.offers.len());
/// # Ok::<(), darkport_probe::ProbeError>(())
/// ```
#[must_use = "nothing is asked until `run` is called"]
pub struct Dhcp {
    device: String,
    namespace: Namespace,
    vid: Option<Vid>,
    mac: Option<MacAddr>,
    frame_from: Option<MacAddr>,
    client_id: Option<Vec<u8>>,
    expected: Vec<Ipv4Addr>,
    network: Option<IpPrefix>,
    lease: TakeLease,
    settings: DhcpSettings,
    progress: Box<dyn FnMut(Duration) + Send>,
}

impl std::fmt::Debug for Dhcp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dhcp").field("device", &self.device).field("mac", &self.mac).field("lease", &self.lease).finish_non_exhaustive()
    }
}

impl Dhcp {
    /// Asks on an interface: a bridge, a VLAN device, a NIC, an instance's own side.
    pub fn on(device: impl Into<String>) -> Self {
        Self {
            device: device.into(),
            namespace: Namespace::Current,
            vid: None,
            mac: None,
            frame_from: None,
            client_id: None,
            expected: Vec::new(),
            network: None,
            lease: TakeLease::No,
            settings: DhcpSettings::default(),
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

    /// As the client with this hardware address, from which the frames come too: switches learn it here. Without it the interface's own.
    pub fn mac(mut self, mac: MacAddr) -> Self {
        self.mac = Some(mac);
        self
    }

    /// Sends the frames from this hardware address instead of the client's, so that no switch learns anything new.
    pub fn frame_from(mut self, mac: MacAddr) -> Self {
        self.frame_from = Some(mac);
        self
    }

    /// With this client identifier (option 61), 255 bytes at most.
    pub fn client_id(mut self, id: impl Into<Vec<u8>>) -> Self {
        let mut id = id.into();
        id.truncate(255);
        self.client_id = Some(id);
        self
    }

    /// These servers ought to offer: their silence is a finding, and anybody else's offer. Sixty-four at most.
    pub fn expect(mut self, servers: impl IntoIterator<Item = Ipv4Addr>) -> Self {
        for server in servers {
            if self.expected.len() < EXPECTED && !self.expected.contains(&server) {
                self.expected.push(server);
            }
        }
        self
    }

    /// Offers ought to be of this network.
    pub fn network(mut self, network: IpPrefix) -> Self {
        self.network = Some(network);
        self
    }

    /// Takes a lease and gives it back. With an instance's own hardware address that ends *its* lease.
    pub fn take_lease(mut self, lease: TakeLease) -> Self {
        self.lease = lease;
        self
    }

    /// Asks in this way.
    pub fn settings(mut self, settings: DhcpSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Called four times a second with the time since the start, on the thread that asks.
    pub fn on_progress(mut self, progress: impl FnMut(Duration) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Asks, and returns when everything is known or time is over.
    ///
    /// # Errors
    /// When it cannot begin: no such interface or namespace, no right. What goes wrong later is a gap.
    pub fn run(&mut self) -> Result<DhcpReport, ProbeError> {
        in_namespace(&self.namespace.clone(), || self.run_here())?
    }

    fn run_here(&mut self) -> Result<DhcpReport, ProbeError> {
        let mut seen = Observation::default();
        Inspector::open()?.with_sources([Source::Links, Source::Addresses]).observe(&mut seen);
        let device = self.device(&seen)?;
        let plan = self.plan(device, &seen)?;
        let open = |options, filter| {
            PacketSocket::open(options, &filter).map_err(|source| ProbeError::Open { device: device.name.clone(), source })
        };
        // 0 is every interface (packet(7)).
        let mut everywhere = SocketOptions::new(0);
        everywhere.outgoing = true;
        let mut watch = open(everywhere, Filter::Dhcp { xid: Some(plan.xid) })?;
        let out = open(SocketOptions::new(device.index.0), Filter::Nothing)?;
        let mut book = Book::new(plan.xid);
        let mut machine = DhcpMachine::new(plan);

        let mut gaps = Vec::new();
        let mut gap = |reason, why: String| gaps.push(Gap::new(Source::Probes, format!("DHCP on {}", device.name), reason, why));
        if let Err(error) = drive(&mut machine, device.index.0, &mut watch, &out, &mut book, &mut self.progress) {
            gap(GapReason::Failed, format!("it ended early: {error}"));
        }
        let took = watch.now();
        let dropped = watch.dropped().unwrap_or_else(|error| {
            gap(GapReason::Failed, format!("whether answers were lost cannot be told: {error}"));
            0
        });
        if dropped > 0 {
            gap(GapReason::Torn, format!("{dropped} frames found no room in the receive buffer, so that silence says nothing"));
        }
        let mut probe = told(&machine, &book, device);
        let missing = probe.expected.iter().any(|server| !probe.offers.iter().any(|offer| offer.server == *server));
        let silent = probe.offers.is_empty() || missing;
        if silent && !machine.has_waited(took) {
            gap(GapReason::Deadline, format!("{} questions in {took:.1?} are too few to tell silence from loss", probe.sent));
        }
        // What this host sends on a device of its own does not come back up to its own servers.
        let own = |server: &Ipv4Addr| seen.addresses.iter().any(|address| address.prefix.address() == IpAddr::V4(*server));
        let here = probe.expected.iter().any(own) || (probe.expected.is_empty() && serves_here());
        if silent && here {
            let why = "a DHCP server of this host does not hear what the host itself sends: ask from an instance's place";
            gap(GapReason::NotAsked, why.to_owned());
        }
        probe.unheard = gaps.iter().any(|gap| gap.source == Source::Probes);
        let findings = findings::findings(&probe, self.network, !probe.unheard);
        let counts = machine.counts();
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let stats = DhcpStats { took_us, answers: counts.answers, strays: counts.strays, dropped };
        tracing::debug!(device = device.name, ?took, ?counts, "DHCP");
        let mentioned = |link: &&Link| link.index == device.index || probe.way.iter().any(|crossing| crossing.link == link.index);
        let links = seen.links.iter().filter(mentioned).map(|link| (link.index, link.name.clone())).collect();
        Ok(DhcpReport { device: device.name.clone(), probe, findings, gaps, stats, links })
    }

    fn device<'a>(&self, seen: &'a Observation) -> Result<&'a Link, ProbeError> {
        if let (None, Some(gap)) = (seen.links.first(), seen.gaps_in(Source::Links).next()) {
            return Err(ProbeError::Links(gap.to_string()));
        }
        let device = seen.link_named(&self.device).ok_or_else(|| ProbeError::NoDevice(self.device.clone()))?;
        let dead = matches!(device.oper_state, OperState::Down | OperState::LowerLayerDown | OperState::NotPresent);
        match device.admin_up {
            false => Err(ProbeError::Down(device.name.clone())),
            true if dead || device.carrier == Carrier::Down => Err(ProbeError::NoCarrier(device.name.clone())),
            true => Ok(device),
        }
    }

    fn plan(&self, device: &Link, seen: &Observation) -> Result<DhcpPlan, ProbeError> {
        let own = device.mac.filter(|mac| mac.is_unicast()).ok_or_else(|| ProbeError::NotEthernet(device.name.clone()))?;
        let [a, b, c, d, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
        let mut plan = DhcpPlan::new(self.mac.unwrap_or(own), u32::from_be_bytes([a, b, c, d]));
        plan.frame_from = self.frame_from.unwrap_or(plan.mac);
        plan.client_id.clone_from(&self.client_id);
        plan.vid = self.vid;
        plan.expected.clone_from(&self.expected);
        plan.network = self.network;
        plan.lease = self.lease;
        plan.settings = self.settings.clone();
        // A tag of our own leads into another network than the interface's addresses are of.
        let of_this = |address: &&darkport_model::Address| address.link == device.index && self.vid.is_none();
        plan.inform = seen.addresses.iter().filter(of_this).find_map(|address| match address.prefix.address() {
            IpAddr::V4(address) if !address.is_link_local() => Some(address),
            _ => None,
        });
        Ok(plan)
    }
}

/// Whether a program of this network namespace has the server's port open (linux, `net/ipv4/udp.c`, `udp4_format_sock`).
fn serves_here() -> bool {
    let table = fs::read_to_string("/proc/thread-self/net/udp").unwrap_or_default();
    table.lines().skip(1).any(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(":0043")))
}

fn told(machine: &DhcpMachine, book: &Book, device: &Link) -> DhcpProbe {
    let plan = machine.plan();
    let mut probe = DhcpProbe::new(device.index, plan.mac);
    probe.vid = plan.vid;
    probe.sent = machine.counts().discovers;
    probe.offers = machine.offers().to_vec();
    for offer in &mut probe.offers {
        offer.way = book.way_of(offer.server, offer.frame_from);
        offer.came_in_by = offer.way.iter().find(|crossing| !crossing.outgoing).map(|crossing| crossing.link);
    }
    probe.cut = machine.is_cut();
    probe.alive = machine.alive().to_vec();
    probe.refused = machine.refused().to_vec();
    probe.lease = machine.lease().copied();
    probe.expected.clone_from(&plan.expected);
    probe.way = book.way();
    probe
}
