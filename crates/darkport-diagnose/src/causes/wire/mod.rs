//! What goes wrong beyond this host's NICs. Nothing there can be looked at from here: it is told by who answers, who is heard, and what
//! is not. So each of these is inferred from silence, and steps back where something nearer explains the same instances.

pub(super) mod network_host_down;
pub(super) mod switch_silent;
pub(super) mod vlan_not_trunked;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use darkport_model::{ArpProbe, Finding, Link, LinkKind, Vid, Whom};

use crate::reach::{Trail, tagged};
use crate::scene::{Scene, Segment};
use crate::uplink::Chain;

/// As often within the window asks only who gets no answer (linux, `net/core/neighbour.c`: one question a second, three in all).
const AGAIN: u32 = 2;

/// A question for the gateway that left this host and had no answer.
struct Unanswered<'s, 'a> {
    segment: &'s Segment<'a>,
    probe: &'a ArpProbe,
    /// The last device that it left by.
    nic: &'a Link,
    vid: Option<Vid>,
    beyond: Beyond,
}

/// What is heard from beyond the NIC meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Beyond {
    /// Nothing at all.
    Nothing,
    /// Frames, but none of this VLAN, of which there were some before.
    OtherVlans,
    /// Others in this VLAN who answer, or who ask for the gateway in vain as well.
    OthersInVain(Vec<Ipv4Addr>),
    /// Frames of this VLAN, of which nobody can say whether ours reach their senders.
    SameVlan,
    /// It cannot be told.
    Unknown,
}

/// Every segment whose gateway does not answer although the question left.
fn unanswered<'s, 'a>(scene: &'s Scene<'a>) -> Vec<Unanswered<'s, 'a>> {
    let of = |segment: &'s Segment<'a>| {
        let probe = scene.silent_gateway(segment).filter(|_| !segment.is_cut())?;
        let Trail::Left(nic, vid) = scene.trail_out(segment, probe) else { return None };
        let chain = segment.ways().find(|chain| chain.all().any(|device| device.index == nic.index))?;
        let vid = vid.or_else(|| chain.devices.iter().find_map(|device| vid_of(device)));
        Some(Unanswered { segment, probe, nic, vid, beyond: beyond(scene, segment, chain, nic, probe) })
    };
    scene.segments.iter().filter_map(of).collect()
}

fn beyond<'a>(scene: &Scene<'a>, segment: &Segment<'a>, chain: &Chain<'a>, nic: &Link, probe: &ArpProbe) -> Beyond {
    let rise = |link: &Link| link.counters.rise(|count| count.rx_packets);
    let answering = scene.asked(segment).filter(|other| other.whom == Whom::Other && other.answered > 0).map(|other| other.target);
    let others: BTreeSet<Ipv4Addr> = answering.chain(asking(scene, chain, probe.target)).collect();
    if !others.is_empty() {
        return Beyond::OthersInVain(others.into_iter().collect());
    }
    let vlan = chain.devices.iter().find(|device| vid_of(device).is_some());
    match (rise(nic), vlan.map(|vlan| (rise(vlan), vlan.counters.first.rx_packets))) {
        (Some(0), _) => Beyond::Nothing,
        (Some(_), Some((Some(0), before))) if before > 0 => Beyond::OtherVlans,
        (Some(_), Some((Some(1..), _))) => Beyond::SameVlan,
        _ => Beyond::Unknown,
    }
}

/// Who, beyond the NIC, was overheard asking for the gateway again and again. Who asks once may well have been answered: the answer goes to
/// them alone.
fn asking(scene: &Scene<'_>, chain: &Chain<'_>, gateway: Ipv4Addr) -> impl Iterator<Item = Ipv4Addr> {
    let port = chain.port.index;
    let own: BTreeSet<_> = scene.subjects.iter().flat_map(|subject| &subject.nics).filter_map(|nic| nic.mac).collect();
    let heard = scene.seen.probes.heard.arp.iter();
    let foreign = heard
        .filter(move |heard| heard.link == port && !heard.outgoing && !heard.reply && heard.target == gateway && heard.frames >= AGAIN);
    foreign.filter(move |heard| !own.contains(&heard.sender_mac) && !heard.sender.is_unspecified()).map(|heard| heard.sender)
}

fn vid_of(link: &Link) -> Option<Vid> {
    match link.kind {
        LinkKind::Vlan { vid, .. } => Some(vid),
        _ => None,
    }
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
