//! What is not as it ought to be.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use darkport_model::{DhcpProbe, IpPrefix, MacAddr};

use super::report::DhcpFinding;

/// `silence_counts`: everything was heard, everybody asked often enough, and nobody left out.
pub(super) fn findings(probe: &DhcpProbe, network: Option<IpPrefix>, silence_counts: bool) -> Vec<DhcpFinding> {
    let mut found = Vec::new();
    let servers: BTreeSet<Ipv4Addr> = probe.offers.iter().map(|offer| offer.server).collect();
    if silence_counts {
        if servers.is_empty() && probe.alive.is_empty() {
            found.push(DhcpFinding::Silence);
        }
        // Where offers were too many to keep, this server's is among those kept if it came: room is kept for it.
        let silent = probe.expected.iter().filter(|server| !servers.contains(server));
        found.extend(silent.map(|server| DhcpFinding::SilentServer { server: *server, alive: probe.alive.contains(server) }));
    }
    if !probe.expected.is_empty() {
        let unexpected = probe.offers.iter().filter(|offer| !probe.expected.contains(&offer.server));
        found.extend(unexpected.map(|offer| DhcpFinding::UnexpectedServer {
            server: offer.server,
            frame_from: offer.frame_from,
            came_in_by: offer.came_in_by,
        }));
    } else if servers.len() > 1 {
        found.push(DhcpFinding::SeveralServers { servers: servers.iter().copied().collect() });
    }
    for &server in &servers {
        let own = || probe.offers.iter().filter(move |offer| offer.server == server);
        // Two relays pass one server's offer on, each from its own address.
        let frames_from: Vec<MacAddr> = own().filter(|offer| offer.relay.is_none()).map(|offer| offer.frame_from).collect();
        if frames_from.len() > 1 {
            found.push(DhcpFinding::SharedIdentity { server, frames_from });
        }
        if own().any(|offer| offer.checksum_ok == Some(false)) {
            found.push(DhcpFinding::BadChecksum { server });
        }
        if own().any(|offer| offer.checksum_unfinished) {
            found.push(DhcpFinding::UnfinishedChecksum { server });
        }
        if own().any(|offer| offer.malformed) {
            found.push(DhcpFinding::Malformed { server });
        }
    }
    for offer in &probe.offers {
        if let Some(network) = network.filter(|network| !network.contains(offer.address.into())) {
            found.push(DhcpFinding::WrongSubnet { server: offer.server, address: offer.address, network });
        }
    }
    if probe.cut {
        found.push(DhcpFinding::Flood { kept: probe.offers.len() });
    }
    if let Some(lease) = probe.lease {
        let address = lease.address;
        found.extend(probe.refused.iter().map(|&server| DhcpFinding::Refused { server, address }));
        if lease.granted.is_none() && !probe.unheard {
            found.push(DhcpFinding::NoAcknowledgement { server: lease.server, address });
        }
    }
    found
}
