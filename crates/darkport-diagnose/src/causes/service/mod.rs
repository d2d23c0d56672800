//! What an instance needs of servers beyond this host. Only an instance that was played can tell: nothing else asks for it.

pub(super) mod dhcp_reply_lost;
pub(super) mod metadata_unreachable;
pub(super) mod rogue_dhcp_server;

use std::collections::BTreeSet;
use std::net::IpAddr;

use darkport_model::SyntheticRun;

use crate::scene::{Scene, Segment};

/// What was played, and where.
fn played<'s, 'a>(scene: &'s Scene<'a>) -> Vec<(&'s Segment<'a>, &'a SyntheticRun)> {
    scene.segments.iter().flat_map(|segment| scene.played(segment).map(move |run| (segment, run))).collect()
}

/// The DHCP servers that nova's filters let instances of a segment hear.
fn nova_servers(scene: &Scene<'_>, segment: &Segment<'_>) -> BTreeSet<IpAddr> {
    let nics = scene.members(segment).filter_map(|(subject, _)| subject.instance).flat_map(|instance| &instance.nics);
    nics.flat_map(|nic| &nic.gateways).map(|fact| fact.value).collect()
}
