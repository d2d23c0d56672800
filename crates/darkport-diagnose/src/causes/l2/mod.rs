//! Who answers for an address that is somebody else's.

pub(super) mod duplicate_instance_ip;
pub(super) mod duplicate_instance_mac;
pub(super) mod gateway_duplicate_ip;
pub(super) mod proxy_arp_hijack;

use std::collections::{BTreeMap, BTreeSet};

use darkport_model::{ArpAnswer, ArpProbe, HopKind, MacAddr, Whom};

use crate::scene::Scene;

/// One that answers for so many addresses that are others' takes all, rather than being given one address by mistake.
const MANY: usize = 3;

/// Where an answer came in: a tap of this host, or the wire.
fn place(scene: &Scene<'_>, answer: &ArpAnswer) -> (HopKind, String) {
    let device = answer.came_in_by.and_then(|link| scene.wiring.link(link));
    match device.map(|device| (scene.hop_of(device), device.name.clone())) {
        Some((HopKind::TapPort, name)) => (HopKind::TapPort, name),
        _ => (HopKind::Wire, "wire".to_owned()),
    }
}

/// `02:… by vnet3`.
fn told(scene: &Scene<'_>, answer: &ArpAnswer) -> String {
    let device =
        answer.came_in_by.and_then(|link| scene.wiring.link(link)).map(|device| format!(" by {}", device.name)).unwrap_or_default();
    format!("{}{device}", answer.mac)
}

/// Those who answer for addresses that are others', with the questions that they answered: for an instance anybody but itself.
fn impostors<'a>(scene: &'a Scene<'_>) -> BTreeMap<MacAddr, Vec<(&'a ArpProbe, &'a ArpAnswer)>> {
    let mut found: BTreeMap<MacAddr, Vec<_>> = BTreeMap::new();
    for probe in &scene.seen.probes.arp {
        let Whom::Instance(name) = &probe.whom else { continue };
        let nics = || scene.subjects.iter().filter(|subject| subject.name == *name).flat_map(|subject| &subject.nics);
        let own: BTreeSet<MacAddr> = nics().filter_map(|nic| nic.mac).collect();
        // Whatever comes out of its own tap is its own answer, under whichever hardware address: guests set theirs, and have guests.
        let by_itself = |answer: &ArpAnswer| nics().filter_map(|nic| nic.tap).any(|tap| answer.came_in_by == Some(tap.index));
        // Without knowing its own address nobody can be called another.
        for answer in probe.answers.iter().filter(|answer| !own.is_empty() && !own.contains(&answer.mac) && !by_itself(answer)) {
            found.entry(answer.mac).or_default().push((probe, answer));
        }
    }
    found
}
