//! What goes wrong beyond this host's NICs. Nothing there can be looked at from here: it is told by who answers, who is heard, and what
//! is not. So each of these is inferred from silence, and steps back where something nearer explains the same instances.

pub(super) mod network_host_down;
pub(super) mod switch_silent;
pub(super) mod vlan_not_trunked;

use std::net::Ipv4Addr;

use darkport_model::{ArpProbe, Certainty, Finding, Link, Vid, Whom};

use crate::beyond::{Rx, vid_of};
use crate::reach::{Trail, tagged};
use crate::scene::{Scene, Segment};

/// A question for the gateway that left this host and had no answer.
struct Unanswered<'s, 'a> {
    segment: &'s Segment<'a>,
    probe: &'a ArpProbe,
    /// The last device that it left by.
    nic: &'a Link,
    vid: Option<Vid>,
    beyond: Beyond,
    /// As sure as it can be told from here: likely where more than this silence says so.
    certainty: Certainty,
}

/// What is heard from beyond the NIC meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Beyond {
    /// Others in this VLAN who answer, or who ask for the gateway in vain as well.
    Others(Vec<Ipv4Addr>),
    /// Nobody in particular.
    Frames(Rx),
}

/// Every segment whose gateway does not answer although the question left.
fn unanswered<'s, 'a>(scene: &'s Scene<'a>) -> Vec<Unanswered<'s, 'a>> {
    let of = |segment: &'s Segment<'a>| {
        let probe = scene.silent_gateway(segment).filter(|_| !segment.is_cut())?;
        let Trail::Left(nic, vid) = scene.trail_out(segment, probe) else { return None };
        let chain = segment.ways().find(|chain| chain.all().any(|device| device.index == nic.index))?;
        let vid = vid.or_else(|| chain.devices.iter().find_map(|device| vid_of(device)));
        let answering = scene.asked(segment).filter(|other| other.whom == Whom::Other && other.answered > 0).map(|other| other.target);
        let mut others = scene.asking(chain, probe.target);
        others.extend(answering);
        let beyond = if others.is_empty() { Beyond::Frames(Scene::heard_by(chain)) } else { Beyond::Others(others.into_iter().collect()) };
        let certainty = if scene.bears_out(segment, chain, probe.target) { Certainty::Likely } else { Certainty::Possible };
        Some(Unanswered { segment, probe, nic, vid, beyond, certainty })
    };
    scene.segments.iter().filter_map(of).collect()
}

impl Unanswered<'_, '_> {
    /// The finding's first evidence, which is the same for all: what was asked, where it left, what came.
    fn told(&self, finding: Finding, scene: &Scene<'_>) -> Finding {
        let Self { segment, probe, nic, vid, .. } = self;
        finding.affecting(scene.names_on(segment)).seen(
            format!(
                "asked for {} {} times from {}: every question left by {}{}, no answer came",
                probe.target,
                probe.sent,
                segment.bridge.name,
                nic.name,
                tagged(*vid)
            ),
            "ARP, traced",
        )
    }
}

/// Why none of these is so, where somebody was asked at all.
fn answered(scene: &Scene<'_>) -> Option<String> {
    let alive = |segment| scene.gateway(segment).filter(|probe| probe.answered > 0);
    let probe = scene.segments.iter().find_map(alive)?;
    Some(format!("{}, the gateway, answered {} of {} questions", probe.target, probe.answered, probe.sent))
}
