//! The way of an instance's frames as hops that a person can read.

use std::collections::HashMap;

use darkport_model::{Effect, Finding, Hop, HopKind, HopState, Path};

use crate::scene::Scene;
use crate::subject::{Attachment, Subject};
use crate::uplink::Chain;

/// What findings say of each place, so that a thousand paths need no thousand searches.
pub(crate) struct Marks<'f>(HashMap<(HopKind, &'f str), HopState>);

impl<'f> Marks<'f> {
    pub(crate) fn new(findings: &'f [Finding]) -> Self {
        let mut marks = HashMap::new();
        for finding in findings {
            let state = match finding.effect {
                Effect::Dark => HopState::Broken,
                Effect::Degraded => HopState::Lossy,
                _ => continue,
            };
            let mark = marks.entry((finding.hop, finding.at.as_str())).or_insert(state);
            *mark = state.max(*mark);
        }
        Self(marks)
    }

    fn of(&self, kind: HopKind, name: &str) -> HopState {
        self.0.get(&(kind, name)).copied().unwrap_or(HopState::Fine)
    }
}

/// The paths of an instance, one for each of its interfaces.
pub(crate) fn paths(scene: &Scene<'_>, subject: &Subject<'_>, marks: &Marks<'_>) -> Vec<Path> {
    subject.nics.iter().map(|nic| path(scene, subject, nic, marks)).collect()
}

fn path(scene: &Scene<'_>, subject: &Subject<'_>, nic: &Attachment<'_>, marks: &Marks<'_>) -> Path {
    let mut hops =
        vec![Hop::new(HopKind::Guest, subject.name.clone(), None), Hop::new(HopKind::Tap, nic.label(), nic.tap.map(|tap| tap.index))];
    if let Some(tap) = nic.tap.filter(|tap| tap.master.is_some()) {
        hops.push(Hop::new(HopKind::TapPort, tap.name.clone(), Some(tap.index)));
    }
    let bridges = scene.bridges_of(nic);
    for bridge in &bridges {
        hops.push(Hop::new(HopKind::Bridge, bridge.name.clone(), Some(bridge.index)));
        let Some(segment) = scene.segments.iter().find(|segment| segment.bridge.index == bridge.index) else { continue };
        if let Some(address) = segment.addresses.first() {
            hops.push(Hop::new(HopKind::Gateway, address.prefix.address().to_string(), Some(bridge.index)));
        }
        // One way out is drawn: the one that a finding is about, else the first.
        let drawn = segment.uplinks.iter().find(|chain| chain.all().any(|link| marks.of(Chain::hop(link), &link.name) != HopState::Fine));
        if let Some(chain) = drawn.or(segment.uplinks.first()) {
            hops.push(Hop::new(HopKind::UplinkPort, chain.port.name.clone(), Some(chain.port.index)));
            let devices = chain.devices.iter().filter(|_| chain.leads_to.is_none());
            hops.extend(devices.map(|link| Hop::new(Chain::hop(link), link.name.clone(), Some(link.index))));
            hops.extend(chain.slaves.iter().map(|link| Hop::new(HopKind::Nic, link.name.clone(), Some(link.index))));
        } else if let Some(wanted) = segment.wanted.as_ref().filter(|_| segment.addresses.is_empty()) {
            hops.push(Hop::new(HopKind::UplinkPort, wanted.name.clone(), wanted.link.map(|link| link.index)));
            let kind = if wanted.vid.is_some() { HopKind::VlanDevice } else { HopKind::Nic };
            hops.push(Hop::new(kind, wanted.name.clone(), wanted.link.map(|link| link.index)));
        }
    }
    for hop in &mut hops {
        hop.state = marks.of(hop.kind, &hop.name);
    }
    if hops.iter().any(|hop| hop.kind == HopKind::UplinkPort) {
        let mut wire = Hop::new(HopKind::Wire, "wire", None);
        wire.state = HopState::Unseen;
        hops.push(wire);
    }
    Path::new(subject.name.clone(), nic.mac, hops)
}
