//! What a verdict says in words: the headline, what it takes for granted, and whether a reboot would help.

use darkport_model::{Cause, Certainty, Finding, InstanceState, InstanceVerdict, Link, Observation, Reboot, Status};

use crate::check::{Definition, quoted};
use crate::scene::{Scene, Segment};
use crate::subject::Subject;
use crate::uplink::{listed, waits};

/// The answer in one sentence.
pub(crate) fn headline(scene: &Scene<'_>, instances: &[InstanceVerdict], causes: &[Cause], losses: &[Finding], status: Status) -> String {
    let count = |state: InstanceState| instances.iter().filter(|instance| instance.state == state).count();
    let (dark, degraded, off) = (count(InstanceState::Dark), count(InstanceState::Degraded), count(InstanceState::Off));
    let running = instances.len() - off;
    let unexplained = instances.iter().filter(|instance| instance.state == InstanceState::Dark && instance.because.is_none()).count();
    let loss = losses.first();
    let believed = causes.first().filter(|cause| cause.certainty > Certainty::Possible).map(|cause| match loss {
        Some(loss) if unexplained > 0 => format!("{}; {unexplained} more, without a known cause: {}", cause.summary, loss.summary),
        _ => cause.summary.clone(),
    });
    let unknown = || loss.map(|loss| format!("{}; no known cause is proven", loss.summary));
    let first = believed.or_else(unknown).or_else(|| causes.first().map(|cause| cause.summary.clone()));
    match (status, first) {
        (Status::Fault | Status::Ambiguous, Some(first)) if dark > 0 => format!("{dark} of {running} instances dark: {first}"),
        (Status::Fault | Status::Ambiguous, Some(first)) if degraded > 0 => {
            format!("{degraded} of {running} instances lose frames: {first}")
        }
        (Status::Fault, Some(first)) => format!("no instance is cut off, but {first}"),
        (Status::Healthy, _) if running == 0 => "nothing wrong was found, and no instance was found running here".to_owned(),
        (Status::Healthy, _) => {
            let fine = count(InstanceState::Fine);
            let gateway = scene.segments.iter().find_map(|segment| scene.gateway(segment).filter(|probe| probe.answered > 0));
            match gateway {
                Some(probe) => format!("{fine} of {running} instances have a whole path, and the gateway {} answers", probe.target),
                None => format!("{fine} of {running} instances have a whole path as far as this host can see"),
            }
        }
        _ => loss.map_or_else(|| "no answer: too little could be seen".to_owned(), |loss| format!("no answer: {}", loss.summary)),
    }
}

/// What was taken for granted without having been seen.
pub(crate) fn assumptions(scene: &Scene<'_>) -> Vec<String> {
    let mut assumed = Vec::new();
    for segment in &scene.segments {
        let name = &segment.bridge.name;
        if segment.is_internal() {
            assumed
                .push(format!("{name} has no way out of this host, and nothing says that it should: its instances reach each other only"));
        } else if let Some(wanted) =
            segment.wanted.as_ref().filter(|wanted| segment.uplinks.is_empty() && wanted.certainty < Certainty::Proven)
        {
            assumed.push(wanted.because.clone());
        }
        if segment.uplink_ports().any(|(_, port)| waits(port)) {
            assumed.push(format!("spanning tree on {name} is still opening an uplink: look again in half a minute"));
        }
    }
    let foreign = |tap: &Link| tap.master.is_some() && scene.wiring.bridge_of(tap).is_none();
    if scene.running().flat_map(Subject::live_taps).any(foreign) {
        assumed.push("some taps are on a switch that is not looked into (Open vSwitch, VRF): it is taken to be in order".to_owned());
    }
    let unlisted: Vec<_> = scene.running().filter(|subject| subject.instance.is_none()).map(|subject| subject.name.as_str()).collect();
    if !unlisted.is_empty() {
        assumed.push(format!("{}: no inventory names the instance; the port stands for one", listed(&unlisted)));
    }
    if scene.seen.window_ms.is_none() {
        assumed.push("there was one look only, so that nothing is known of rates".to_owned());
    }
    assumed.extend(beyond(scene));
    assumed
}

/// What is taken for granted of everything beyond this host's NICs.
fn beyond(scene: &Scene<'_>) -> Option<String> {
    scene.running().next()?;
    let taken = "wire, switch and network host are taken to be in order";
    if scene.seen.probes.heard.window_ms.is_none() && scene.seen.probes.arp.is_empty() {
        return Some(format!("nothing beyond this host's NICs was probed: {taken}"));
    }
    let not_asked = |segment: &&Segment<'_>| segment.ways().next().is_some() && scene.gateway(segment).is_none();
    let bridges: Vec<_> = scene.segments.iter().filter(not_asked).map(|segment| segment.bridge.name.as_str()).collect();
    if bridges.is_empty() {
        let told = if scene.seen.probes.synthetic.is_empty() {
            "beyond this host ARP was probed only: DHCP, NAT and routing on the network host are taken to be in order"
        } else {
            "beyond this host only what a played instance asks for was probed: NAT and routing on the network host are taken to be in order"
        };
        return Some(told.to_owned());
    }
    Some(format!("no gateway is known on {}, so that nobody beyond this host was asked: {taken}", listed(&bridges)))
}

/// Whether a reboot would help, and what to save first.
pub(crate) fn reboot(seen: &Observation, status: Status, top: Option<&(&'static Definition, Finding)>) -> Option<Reboot> {
    if status == Status::Healthy {
        return None;
    }
    let host = if seen.host.name.is_empty() { "host" } else { &seen.host.name };
    // What is merely possible gives no advice that destroys evidence, or withholds what might help.
    let top = top.filter(|(_, finding)| finding.certainty > Certainty::Possible);
    let capture = if matches!(top, Some((definition, _)) if definition.explanation.reboot_helps == Some(false)) {
        Vec::new()
    } else {
        vec![format!("darkport --save {}", quoted(&format!("{host}-before-reboot.json")))]
    };
    let (helps, because) = match top {
        Some((definition, _)) => (definition.explanation.reboot_helps, definition.explanation.reboot),
        None => (None, "the cause is not known; a reboot may hide it and will destroy the evidence"),
    };
    Some(Reboot::new(helps, because, capture))
}
