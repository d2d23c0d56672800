//! Instances played where the host's own are: one for each bridge, and where that filters VLANs for each VLAN.

use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::thread;
use std::time::Duration;

use darkport_model::{ArpProbe, Gap, GapReason, IfIndex, Link, LinkKind, Observation, Origin, Source, SyntheticRun, TestKind, Vid, Whom};

use super::{AllowChanges, Synthetic};
use crate::error::ProbeError;
use crate::examine::{ipv4, runs};

/// More are not played: a host has one or two such bridges, and each costs the network a new hardware address.
const MOST: usize = 8;

/// Plays an instance on every bridge that has running ones, all at a time, for some seconds. Needs what [`Synthetic`] needs.
///
/// ```no_run
/// use darkport_probe::{AllowChanges, Player};
///
/// let mut seen = darkport_model::Observation::default();
/// darkport_bridge::Inspector::open()?.observe(&mut seen);
/// Player::new(AllowChanges::asked_for()).observe(&mut seen);
/// # Ok::<(), darkport_bridge::BridgeError>(())
/// ```
#[derive(Debug, Clone, Copy)]
#[must_use = "nothing is played before `observe` is called"]
pub struct Player {
    allowed: AllowChanges,
    deadline: Duration,
}

/// Where one is to be played.
#[derive(Debug, Default, PartialEq, Eq)]
struct Place {
    bridge: String,
    vid: Option<Vid>,
    gateway: Option<Ipv4Addr>,
}

impl Player {
    /// One that may make the devices.
    pub fn new(allowed: AllowChanges) -> Self {
        Self { allowed, deadline: Duration::from_secs(20) }
    }

    /// Begins no further try after this time; 20 s unless said otherwise.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Fills `into.probes.synthetic`, and adds its question for the gateway to `into.probes.arp`. `into.links`, `into.port_vlans` and `into.inventory` are to be filled before, and `into.probes.arp` where the
    /// gateway was asked for: they say where to play, and whom to reach. Where it was not possible is a gap.
    pub fn observe(&self, into: &mut Observation) {
        let (places, taps) = places(into);
        let beyond = places.len().saturating_sub(MOST);
        let runs: Vec<_> = thread::scope(|scope| {
            let play = |place: Place| {
                let mut synthetic = Synthetic::on(&place.bridge, self.allowed).beside(taps.clone()).deadline(self.deadline);
                synthetic = place.vid.into_iter().fold(synthetic, Synthetic::vlan);
                synthetic = place.gateway.into_iter().fold(synthetic, Synthetic::gateway);
                let name = place.bridge;
                // A thread that cannot be had is a gap like any other.
                let thread = thread::Builder::new().name("play".into()).spawn_scoped(scope, move || synthetic.run());
                (name, thread)
            };
            let playing: Vec<_> = places.into_iter().take(MOST).map(play).collect();
            let ended = |(name, thread): (String, std::io::Result<thread::ScopedJoinHandle<'_, _>>)| match thread {
                Ok(thread) => (name, thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))),
                Err(source) => (name.clone(), Err(ProbeError::Make { device: name, source })),
            };
            playing.into_iter().map(ended).collect()
        });
        for (name, run) in runs {
            match run {
                Ok(run) => {
                    into.probes.arp.extend(gateway_asked(&run));
                    into.probes.synthetic.push(run);
                }
                Err(error) => into.gaps.push(missing(&name, &error)),
            }
        }
        if beyond > 0 {
            let why = format!("{MOST} bridges are played on at most");
            into.gaps.push(Gap::new(Source::Synthetic, format!("{beyond} more bridges"), GapReason::NotAsked, why));
        }
    }
}

/// Its question for the gateway, as one of those that are asked from the bridge itself: where the host is no member of the instances' VLAN
/// there is none else.
fn gateway_asked(run: &SyntheticRun) -> Option<ArpProbe> {
    let test = run.tests.iter().find(|test| test.kind == TestKind::ArpGateway && test.tries > 0)?;
    let mut probe = ArpProbe::new(run.bridge, test.target.and_then(ipv4)?, Whom::Gateway);
    (probe.vid, probe.origin) = (run.vid, Origin::SyntheticInstance);
    (probe.sent, probe.answered) = (test.tries, test.passed);
    probe.way.clone_from(&test.way);
    Some(probe)
}

fn missing(bridge: &str, error: &ProbeError) -> Gap {
    let what = format!("an instance on {bridge}");
    match error {
        ProbeError::Make { source, .. } => Gap::from_io(Source::Synthetic, what, source),
        // It stays away of its own accord.
        error => Gap::new(Source::Synthetic, what, GapReason::NotAsked, error.to_string()),
    }
}

/// The bridges of running instances with the VLAN that their taps are in, and all their taps.
fn places(seen: &Observation) -> (Vec<Place>, HashSet<IfIndex>) {
    let mut found: BTreeMap<(IfIndex, Option<Vid>), Place> = BTreeMap::new();
    let mut taps = HashSet::new();
    for nic in seen.inventory.instances.iter().filter(|instance| runs(instance)).flat_map(|instance| &instance.nics) {
        let Some(tap) = nic.tap.as_ref().and_then(|tap| seen.link_named(&tap.value)) else { continue };
        taps.insert(tap.index);
        let Some(bridge) = tap.master.and_then(|master| seen.link(master)) else { continue };
        let LinkKind::Bridge { vlan_filtering, .. } = bridge.kind else { continue };
        let untagged = seen.port_vlans.iter().find(|vlan| vlan.port == tap.index && vlan.pvid).map(|vlan| vlan.first);
        let vid = untagged.filter(|_| vlan_filtering);
        let place = found.entry((bridge.index, vid)).or_insert_with(|| Place {
            bridge: bridge.name.clone(),
            vid,
            gateway: asked_for(seen, bridge),
        });
        let told = || nic.gateways.iter().find_map(|fact| ipv4(fact.value));
        place.gateway = place.gateway.or_else(told);
    }
    (found.into_values().collect(), taps)
}

/// The gateway that was asked for on a bridge; the one that answered, where there are several.
fn asked_for(seen: &Observation, bridge: &Link) -> Option<Ipv4Addr> {
    let here = seen.probes.arp.iter().filter(|probe| probe.bridge == bridge.index && probe.whom == Whom::Gateway);
    here.max_by_key(|probe| probe.answered).map(|probe| probe.target)
}

#[cfg(test)]
mod tests {
    use darkport_model::{Fact, FactSource, Instance, Nic, PortVlan};

    use super::*;

    fn fact<T>(value: T) -> Fact<T> {
        Fact::new(value, FactSource::LiveXml, "i.xml")
    }

    fn vid(number: u16) -> Vid {
        number.try_into().unwrap()
    }

    /// br1102 (1), and three instances on vnet0 (10) and so on.
    fn host(filtering: bool) -> Observation {
        let mut seen = Observation::default();
        let mut bridge = Link::new(1, "br1102");
        bridge.kind = LinkKind::bridge();
        if let LinkKind::Bridge { vlan_filtering, .. } = &mut bridge.kind {
            *vlan_filtering = filtering;
        }
        seen.links.push(bridge);
        for at in 0..3 {
            let mut tap = Link::new(10 + at, format!("vnet{at}"));
            tap.master = Some(IfIndex(1));
            seen.links.push(tap);
            let mut instance = Instance::named(format!("i-{at}"));
            instance.running = Some(fact(true));
            let mut nic = Nic::default();
            nic.tap = Some(fact(format!("vnet{at}")));
            instance.nics.push(nic);
            seen.inventory.instances.push(instance);
        }
        seen
    }

    #[test]
    fn one_a_bridge_with_the_gateway_that_answered() {
        let mut seen = host(false);
        for (target, answered) in [([10, 0, 0, 9], 0), ([10, 0, 0, 1], 6)] {
            let mut probe = ArpProbe::new(IfIndex(1), target.into(), Whom::Gateway);
            probe.answered = answered;
            seen.probes.arp.push(probe);
        }
        let (places, taps) = places(&seen);
        assert_eq!(places, [Place { bridge: "br1102".into(), vid: None, gateway: Some([10, 0, 0, 1].into()) }]);
        assert_eq!(taps, [IfIndex(10), IfIndex(11), IfIndex(12)].into());
    }

    #[test]
    fn one_a_vlan_where_the_bridge_filters_them() {
        let mut seen = host(true);
        for (port, number) in [(10, 7), (11, 8), (12, 7)] {
            seen.port_vlans.push(PortVlan::new(IfIndex(port), vid(number), true, true));
        }
        seen.inventory.instances[1].nics[0].gateways.push(fact([10, 0, 8, 1].into()));
        let (places, _) = places(&seen);
        let told: Vec<_> = places.iter().map(|place| (place.vid, place.gateway)).collect();
        assert_eq!(told, [(Some(vid(7)), None), (Some(vid(8)), Some([10, 0, 8, 1].into()))]);
    }

    #[test]
    fn none_where_nothing_runs() {
        let mut seen = host(false);
        for instance in &mut seen.inventory.instances {
            instance.running = Some(fact(false));
        }
        assert!(places(&seen).0.is_empty());
    }
}
