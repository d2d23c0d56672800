//! From netlink messages to the model's values. No socket here: bytes in, values out.

mod bridge;
mod kind;
mod l3;
mod link;
mod neighbour;
mod qdisc;

use darkport_model::{
    Address, Fdb, FdbEntry, FdbSource, Gap, GapReason, IfIndex, Link, Neighbour, Observation, Port, PortVlan, Qdisc, Route, Rule, Source,
};

use crate::wire::{AF_BRIDGE, Malformed, Message, Messages};

// linux, include/uapi/linux/rtnetlink.h
pub(crate) const RTM_NEWLINK: u16 = 16;
pub(crate) const RTM_NEWADDR: u16 = 20;
pub(crate) const RTM_NEWROUTE: u16 = 24;
pub(crate) const RTM_NEWNEIGH: u16 = 28;
pub(crate) const RTM_NEWRULE: u16 = 32;
pub(crate) const RTM_NEWQDISC: u16 = 36;

/// What is kept of one kind of thing at most, so that no host makes an observation grow without bound. A full Internet routing
/// table is larger, the neighbour table of a hypervisor never is.
pub(crate) const MOST: usize = 262_144;

/// What a dump brought so far.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) links: Vec<Link>,
    /// Ports as the `AF_BRIDGE` dump tells them: for kernels before 3.15, whose own link dump does not.
    pub(crate) ports: Vec<(IfIndex, Port)>,
    pub(crate) port_vlans: Vec<PortVlan>,
    /// Forwarding entries with the bridge that each belongs to.
    pub(crate) fdb: Vec<(IfIndex, FdbEntry)>,
    pub(crate) neighbours: Vec<Neighbour>,
    pub(crate) addresses: Vec<Address>,
    pub(crate) routes: Vec<Route>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) qdiscs: Vec<Qdisc>,
    /// Messages that could not be understood, and why the first could not.
    undecodable: usize,
    first_error: Option<Malformed>,
    /// Things beyond [`MOST`], which were passed over.
    left_out: usize,
}

impl Tables {
    /// Takes one message in; one that makes no sense is counted and leaves no other trace.
    pub(crate) fn take(&mut self, message: &Message<'_>) {
        let family = message.body.first().copied().unwrap_or_default();
        let taken = match (message.kind, family) {
            (RTM_NEWLINK, AF_BRIDGE) => self.take_bridge_port(message),
            (RTM_NEWLINK, _) => link::decode(message).map(|link| put(&mut self.links, link, &mut self.left_out)),
            (RTM_NEWNEIGH, AF_BRIDGE) => neighbour::decode_fdb(message)
                .map(|entry| entry.into_iter().for_each(|entry| put(&mut self.fdb, entry, &mut self.left_out))),
            (RTM_NEWNEIGH, _) => neighbour::decode(message)
                .map(|neighbour| neighbour.into_iter().for_each(|neighbour| put(&mut self.neighbours, neighbour, &mut self.left_out))),
            (RTM_NEWADDR, _) => l3::decode_address(message)
                .map(|address| address.into_iter().for_each(|address| put(&mut self.addresses, address, &mut self.left_out))),
            (RTM_NEWROUTE, _) => l3::decode_route(message, |route| put(&mut self.routes, route, &mut self.left_out)),
            (RTM_NEWRULE, _) => l3::decode_rule(message).map(|rule| put(&mut self.rules, rule, &mut self.left_out)),
            (RTM_NEWQDISC, _) => qdisc::decode(message).map(|qdisc| put(&mut self.qdiscs, qdisc, &mut self.left_out)),
            _ => Ok(()),
        };
        if let Err(error) = taken {
            self.undecodable(error);
        }
    }

    pub(crate) fn undecodable(&mut self, error: Malformed) {
        self.undecodable += 1;
        self.first_error.get_or_insert(error);
    }

    fn take_bridge_port(&mut self, message: &Message<'_>) -> Result<(), Malformed> {
        let seen = bridge::decode_port(message)?;
        if let Some(port) = seen.port {
            put(&mut self.ports, (seen.index, port), &mut self.left_out);
        }
        for vlan in seen.vlans {
            put(&mut self.port_vlans, vlan, &mut self.left_out);
        }
        Ok(())
    }

    /// What of this dump is missing, as gaps: one for all messages that could not be understood, one for what was too much.
    pub(crate) fn gaps(&self, source: Source, what: &str) -> Vec<Gap> {
        let mut gaps = Vec::new();
        if let Some(error) = self.first_error {
            let why = format!("{} messages could not be decoded; the first: {error}", self.undecodable);
            gaps.push(Gap::new(source, what, GapReason::Malformed, why));
        }
        if self.left_out > 0 {
            let why = format!("more than the {MOST} that are kept: {} left out", self.left_out);
            gaps.push(Gap::new(source, what, GapReason::TooLarge, why));
        }
        gaps
    }

    /// The entries of one bridge.
    pub(crate) fn fdb_of(&self, bridge: IfIndex) -> Vec<FdbEntry> {
        self.fdb.iter().filter(|(of, _)| *of == bridge).map(|(_, entry)| entry.clone()).collect()
    }
}

fn put<T>(into: &mut Vec<T>, value: T, left_out: &mut usize) {
    if into.len() < MOST {
        into.push(value);
    } else {
        *left_out += 1;
    }
}

/// Decodes netlink messages as a kernel sent them, such as a recorded dump, and adds what they tell to an observation.
///
/// Messages of any `NETLINK_ROUTE` kind may follow one another in any order; kinds that darkport does not use are passed over.
/// What cannot be understood becomes one [`Gap`] with the number of such messages. Never panics, whatever the bytes.
pub fn decode(messages: &[u8], into: &mut Observation) {
    let mut tables = Tables::default();
    for message in Messages(messages) {
        match message {
            Ok(message) => tables.take(&message),
            Err(error) => tables.undecodable(error),
        }
    }
    into.gaps.extend(tables.gaps(Source::Links, "recorded netlink dump"));
    tables.fdb.sort_by_key(|(bridge, _)| *bridge);
    for of_one in tables.fdb.chunk_by(|(a, _), (b, _)| a == b) {
        let mut fdb = Fdb::default();
        fdb.bridge = of_one.first().map(|(bridge, _)| *bridge).unwrap_or_default();
        fdb.source = FdbSource::Netlink;
        fdb.entries = of_one.iter().map(|(_, entry)| entry.clone()).collect();
        into.fdbs.push(fdb);
    }
    bridge::complete_ports(&mut tables.links, &tables.ports);
    into.links.append(&mut tables.links);
    into.port_vlans.append(&mut tables.port_vlans);
    into.neighbours.append(&mut tables.neighbours);
    into.addresses.append(&mut tables.addresses);
    into.routes.append(&mut tables.routes);
    into.rules.append(&mut tables.rules);
    into.qdiscs.append(&mut tables.qdiscs);
}

pub(crate) use bridge::complete_ports;
