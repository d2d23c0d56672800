//! An instance that darkport plays itself: a port of the bridge, and behind it a namespace that does what a booting instance does.

mod player;
mod rtnl;
mod services;
mod stage;
mod trail;
mod tries;

pub use player::Player;

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_bridge::{Inspector, Namespace, in_namespace};
use darkport_model::{IfIndex, LinkKind, MacAddr, Observation, SyntheticRun, Vid};

use crate::error::ProbeError;

/// The word of whoever runs darkport that it may change the host for the time of a probe. Nothing that changes a host can be called
/// without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowChanges(());

impl AllowChanges {
    /// Only where a person has asked for it.
    pub fn asked_for() -> Self {
        Self(())
    }
}

/// An instance on a bridge, for a few seconds: a veth whose far end lies in a namespace without a name, which this process alone holds.
/// However the process ends, the kernel takes all of it away. Needs `CAP_NET_ADMIN`, `CAP_NET_RAW` and `CAP_SYS_ADMIN`.
///
/// The port's address begins with `fe:`, so that the bridge does not take it for its own. The instance's is random and
/// locally administered: a DHCP server that knows its clients one by one, as nova-network's, has no offer for it, and no lease is taken.
#[derive(Debug, Clone)]
#[must_use = "nothing is made before `run` is called"]
pub struct Synthetic {
    bridge: String,
    namespace: Namespace,
    vid: Option<Vid>,
    address: Option<(Ipv4Addr, u8)>,
    gateway: Option<Ipv4Addr>,
    mac: MacAddr,
    port_mac: MacAddr,
    name: String,
    beside: HashSet<IfIndex>,
    deadline: Duration,
}

impl Synthetic {
    /// An instance on this bridge, not made yet.
    pub fn on(bridge: impl Into<String>, _: AllowChanges) -> Self {
        let [a, b, c, d, e, f, g, h] = RandomState::new().build_hasher().finish().to_ne_bytes();
        Self {
            bridge: bridge.into(),
            namespace: Namespace::Current,
            vid: None,
            address: None,
            gateway: None,
            mac: MacAddr([0x02, a, b, c, d, e]),
            port_mac: MacAddr([0xfe, a, b, c, d, e]),
            name: format!("dkp{e:02x}{f:02x}{g:02x}{h:02x}"),
            beside: HashSet::new(),
            deadline: Duration::from_secs(20),
        }
    }

    /// The bridge is in this network namespace.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = namespace;
        self
    }

    /// The port is untagged in this VLAN and in no other: for a bridge that filters VLANs. Without it the port has the bridge's default.
    pub fn vlan(mut self, vid: Vid) -> Self {
        self.vid = Some(vid);
        self
    }

    /// It uses this address, with a prefix of this length, if nobody answers for it (RFC 5227). Without one it uses, without taking a lease,
    /// what a DHCP server offers; and without that only what needs no address is tried.
    pub fn address(mut self, address: Ipv4Addr, prefix: u8) -> Self {
        self.address = Some((address, prefix.min(32)));
        self
    }

    /// The gateway that it is to reach; without one the offered one.
    pub fn gateway(mut self, gateway: Ipv4Addr) -> Self {
        self.gateway = Some(gateway);
        self
    }

    /// Ports by which floods leave that say nothing of its own way: other instances' taps.
    pub(crate) fn beside(mut self, ports: HashSet<IfIndex>) -> Self {
        self.beside = ports;
        self
    }

    /// Begins no further try after this time; 20 s unless said otherwise.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The instance's hardware address, known before it is made: whoever watches the host's devices knows its frames by it.
    pub fn mac(&self) -> MacAddr {
        self.mac
    }

    /// Its device's name in the bridge, while it runs.
    pub fn port_name(&self) -> &str {
        &self.name
    }

    /// Makes it, has it do what a booting instance does, and takes it away again.
    ///
    /// # Errors
    /// When it cannot be made: no such bridge, no right, or a bridge that a new port would disturb ([`ProbeError::SpanningTree`],
    /// [`ProbeError::TakesAddress`]). What fails later is a failed test.
    pub fn run(&self) -> Result<SyntheticRun, ProbeError> {
        in_namespace(&self.namespace, || self.run_here())?
    }

    fn run_here(&self) -> Result<SyntheticRun, ProbeError> {
        let mut seen = Observation::default();
        Inspector::open()?.observe(&mut seen);
        let none = || ProbeError::NoDevice(self.bridge.clone());
        let bridge = seen.link_named(&self.bridge).ok_or_else(none)?;
        let LinkKind::Bridge { stp, vlan_filtering, default_pvid, .. } = bridge.kind else { return Err(none()) };
        if !bridge.admin_up {
            return Err(ProbeError::Down(self.bridge.clone()));
        }
        if stp {
            return Err(ProbeError::SpanningTree(self.bridge.clone()));
        }
        let lower = |mac: Option<MacAddr>| mac.is_some_and(|mac| mac < self.port_mac);
        if bridge.mac_pinned != Some(true) && !seen.ports_of(bridge.index).any(|port| lower(port.mac)) {
            return Err(ProbeError::TakesAddress(self.bridge.clone()));
        }
        let plan = stage::Plan {
            name: self.name.clone(),
            bridge: bridge.index.0,
            // The bridge's own: one that follows its ports stays as it is (linux, `net/bridge/br_if.c`, `br_mtu_auto_adjust`).
            mtu: bridge.mtu,
            port_mac: self.port_mac,
            mac: self.mac,
            vlan: self.vid.filter(|_| vlan_filtering).map(|vid| (vid, default_pvid)),
        };
        let mut run = SyntheticRun::new(bridge.index, self.mac);
        run.vid = if vlan_filtering { self.vid.or(default_pvid) } else { None };
        let asked = tries::Asked { mac: self.mac, mtu: bridge.mtu, address: self.address, gateway: self.gateway, deadline: self.deadline };
        let made = |source| ProbeError::Make { device: self.bridge.clone(), source };
        let followed = trail::Followed { mac: self.mac, gateway: self.gateway, beside: self.beside.clone() };
        let (tried, trail) = trail::follow(&followed, || stage::on_stage(&plan, |guest, eth0| tries::all(&asked, guest, eth0)));
        let stage::Played { port, done } = tried.map_err(made)?;
        let tries::Tried { address, offers, mut tests } = done.map_err(made)?;
        trail.tell(&mut tests);
        run.port = Some(IfIndex(port));
        (run.address, run.offers, run.tests) = (address, offers, tests);
        Ok(run)
    }
}
