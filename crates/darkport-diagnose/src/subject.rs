//! The instances that the diagnosis is about: those of the inventory, and guest-facing ports that no inventory knows.

use std::collections::HashSet;

use darkport_model::{Carrier, Fact, FactSource, Instance, Link, MacAddr, Observation, Source, Vid};

use crate::check::blinds;
use crate::ports::{Role, role};
use crate::wiring::Wiring;

/// An instance.
pub(crate) struct Subject<'a> {
    pub(crate) name: String,
    pub(crate) instance: Option<&'a Instance>,
    pub(crate) life: Life,
    pub(crate) nics: Vec<Attachment<'a>>,
}

/// Whether an instance ought to have network now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Runs,
    /// Off, paused or suspended: not expected to answer.
    Off,
    Unknown,
}

/// One network interface of an instance, held against what is there.
pub(crate) struct Attachment<'a> {
    pub(crate) mac: Option<MacAddr>,
    /// The tap's name, where anything says.
    pub(crate) tap_name: Option<&'a Fact<String>>,
    /// The tap itself.
    pub(crate) tap: Option<&'a Link>,
    /// The bridge that it ought to be in.
    pub(crate) wanted_bridge: Option<&'a Fact<String>>,
    /// The bridge that it is in.
    pub(crate) bridge: Option<&'a Link>,
    /// The VLAN that it ought to be in.
    pub(crate) wanted_vid: Option<&'a Fact<Vid>>,
    pub(crate) wanted_mtu: Option<&'a Fact<u32>>,
    /// Its link is down on purpose.
    pub(crate) down_on_purpose: bool,
}

impl<'a> Subject<'a> {
    pub(crate) fn runs(&self) -> bool {
        self.life == Life::Runs
    }

    /// The process that ought to run it, where libvirt names one that is not there (any more).
    pub(crate) fn lost_process(&self, seen: &Observation) -> Option<u32> {
        let pid = self.instance?.pid?;
        let blind = seen.gaps_in(Source::Processes).next().is_some();
        let alive = seen.host.processes.iter().any(|process| process.pid == pid);
        (!blind && !alive).then_some(pid)
    }

    /// Its taps that exist and that nobody wants down.
    pub(crate) fn live_taps(&self) -> impl Iterator<Item = &'a Link> {
        self.nics.iter().filter_map(Attachment::live_tap)
    }
}

impl<'a> Attachment<'a> {
    /// Its tap, where it exists and nobody wants it down.
    pub(crate) fn live_tap(&self) -> Option<&'a Link> {
        self.tap.filter(|_| !self.down_on_purpose)
    }

    /// How to name it in a sentence.
    pub(crate) fn label(&self) -> &str {
        self.tap.map(|tap| tap.name.as_str()).or(self.tap_name.map(|fact| fact.value.as_str())).unwrap_or("its interface")
    }
}

pub(crate) fn subjects<'a>(wiring: &Wiring<'a>) -> Vec<Subject<'a>> {
    let mut found: Vec<_> = wiring.seen.inventory.instances.iter().map(|instance| known(wiring, instance)).collect();
    let covered: HashSet<_> = found.iter().flat_map(|subject| &subject.nics).filter_map(|nic| nic.tap).map(|tap| tap.index).collect();
    found.extend(wiring.seen.links.iter().filter(|link| !covered.contains(&link.index)).filter_map(|link| unlisted(wiring, link)));
    found
}

fn known<'a>(wiring: &Wiring<'a>, instance: &'a Instance) -> Subject<'a> {
    let paused = instance.paused.as_ref().is_some_and(|fact| fact.value);
    let hidden = || wiring.seen.gaps_in(Source::Processes).chain(wiring.seen.gaps_in(Source::Instances)).any(blinds);
    let life = match instance.is_running() {
        Some(true) if !paused => Life::Runs,
        Some(_) => Life::Off,
        // No libvirt says so, no process runs it, and processes could be seen.
        None if !hidden() => Life::Off,
        None => Life::Unknown,
    };
    let nics = instance.nics.iter().map(|nic| {
        let tap = nic.tap.as_ref().and_then(|fact| wiring.named(&fact.value));
        Attachment {
            mac: nic.mac.as_ref().map(|fact| fact.value),
            tap_name: nic.tap.as_ref(),
            tap,
            wanted_bridge: nic.bridge.as_ref(),
            bridge: tap.and_then(|tap| wiring.bridge_of(tap)),
            wanted_vid: nic.vid.as_ref(),
            wanted_mtu: nic.mtu.as_ref(),
            down_on_purpose: nic.link_down.as_ref().is_some_and(|fact| fact.value),
        }
    });
    Subject { name: instance.name.clone(), instance: Some(instance), life, nics: nics.collect() }
}

/// A guest-facing bridge port that no inventory names stands for an instance of its own, called by the port's name. A veth whose other
/// end is on this host as well leads to another bridge, or is somebody's leftover.
fn unlisted<'a>(wiring: &Wiring<'a>, link: &'a Link) -> Option<Subject<'a>> {
    let bridge = wiring.bridge_of(link)?;
    if !link.is_guest_facing() || role(wiring, link) != Role::Guest || wiring.peer(link).is_some() {
        return None;
    }
    // Nobody says that it ought to run: a port without a reader is somebody's leftover, not a dark instance.
    let life = if link.admin_up && link.carrier == Carrier::Up { Life::Runs } else { Life::Off };
    let nic = Attachment {
        mac: None,
        tap_name: None,
        tap: Some(link),
        wanted_bridge: None,
        bridge: Some(bridge),
        wanted_vid: None,
        wanted_mtu: None,
        down_on_purpose: false,
    };
    Some(Subject { name: link.name.clone(), instance: None, life, nics: vec![nic] })
}

/// Whether a nic's facts come from a domain's XML, which would name a bridge if there ought to be one.
pub(crate) fn xml_knows(fact: &Fact<String>) -> bool {
    matches!(fact.source, FactSource::LiveXml | FactSource::PersistentXml)
}
