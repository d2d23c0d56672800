//! The way of an instance's frames as hops that a person can read, and how far it is broken.

use darkport_model::{Effect, Finding, Hop, HopKind, HopState, Path};

use crate::scene::Scene;
use crate::subject::{Attachment, Subject};
use crate::uplink::Chain;

/// The paths of an instance, one for each of its interfaces, with what the findings that touch this instance say of their hops.
pub(crate) fn paths(scene: &Scene<'_>, subject: &Subject<'_>, findings: &[&Finding]) -> Vec<Path> {
    let mut paths: Vec<Path> = subject.nics.iter().map(|nic| path(scene, subject, nic, findings)).collect();
    for path in &mut paths {
        for hop in &mut path.hops {
            hop.state = state(findings, hop).max(hop.state);
        }
    }
    paths
}

/// The worst that befalls the frames of a path: what its hops say, or a finding about the host as a whole.
pub(crate) fn worst(paths: &[Path], at: usize, findings: &[&Finding]) -> Effect {
    let Some(path) = paths.get(at) else { return Effect::None };
    let of_hops = path.hops.iter().map(|hop| match hop.state {
        HopState::Broken => Effect::Dark,
        HopState::Lossy => Effect::Degraded,
        _ => Effect::None,
    });
    let placed = |finding: &Finding| paths.iter().flat_map(|path| &path.hops).any(|hop| is_at(finding, hop));
    let of_host = findings.iter().filter(|finding| !placed(finding)).map(|finding| finding.effect);
    of_hops.chain(of_host).max().unwrap_or(Effect::None)
}

fn is_at(finding: &Finding, hop: &Hop) -> bool {
    finding.hop == hop.kind && finding.at == hop.name
}

fn state(findings: &[&Finding], hop: &Hop) -> HopState {
    let here = findings.iter().filter(|finding| is_at(finding, hop)).map(|finding| finding.effect).max();
    match here {
        Some(Effect::Dark) => HopState::Broken,
        Some(Effect::Degraded) => HopState::Lossy,
        _ => HopState::Fine,
    }
}

fn path(scene: &Scene<'_>, subject: &Subject<'_>, nic: &Attachment<'_>, findings: &[&Finding]) -> Path {
    let mut hops =
        vec![Hop::new(HopKind::Guest, subject.name.clone(), None), Hop::new(HopKind::Tap, nic.label(), nic.tap.map(|tap| tap.index))];
    if let Some(tap) = nic.tap.filter(|tap| tap.master.is_some()) {
        hops.push(Hop::new(HopKind::TapPort, tap.name.clone(), Some(tap.index)));
    }
    let bridges = scene.bridges_of(nic);
    if let (true, Some(wanted)) = (bridges.is_empty(), nic.wanted_bridge) {
        hops.push(Hop::new(HopKind::Bridge, wanted.value.clone(), None));
    }
    for bridge in &bridges {
        hops.push(Hop::new(HopKind::Bridge, bridge.name.clone(), Some(bridge.index)));
        let Some(segment) = scene.segment(bridge.index) else { continue };
        if let Some(address) = segment.addresses.first() {
            hops.push(Hop::new(HopKind::Gateway, address.prefix.address().to_string(), Some(bridge.index)));
        }
        // One way out is drawn: the one that a finding is about, else the first.
        let about = |chain: &&Chain<'_>| chain.all().any(|link| findings.iter().any(|finding| finding.at == link.name));
        if let Some(chain) = segment.ways().find(about).or_else(|| segment.ways().next()) {
            hops.push(Hop::new(HopKind::UplinkPort, chain.port.name.clone(), Some(chain.port.index)));
            let devices = chain.all().filter(|link| link.index != chain.port.index || Chain::hop(link) != HopKind::UplinkPort);
            hops.extend(devices.map(|link| Hop::new(hop_of(chain, link), link.name.clone(), Some(link.index))));
        } else if let Some(wanted) = &segment.wanted {
            hops.push(Hop::new(HopKind::UplinkPort, wanted.name.clone(), None));
            let kind = if wanted.vid.is_some() { HopKind::VlanDevice } else { HopKind::Nic };
            hops.push(Hop::new(kind, wanted.name.clone(), None));
        }
    }
    if hops.iter().any(|hop| hop.kind == HopKind::UplinkPort) {
        let mut wire = Hop::new(HopKind::Wire, "wire", None);
        wire.state = HopState::Unseen;
        hops.push(wire);
    }
    Path::new(subject.name.clone(), nic.mac, hops)
}

/// Members of a bond are NICs, whatever they are made of.
fn hop_of(chain: &Chain<'_>, link: &darkport_model::Link) -> HopKind {
    if chain.slaves.iter().any(|slave| slave.index == link.index) { HopKind::Nic } else { Chain::hop(link) }
}
