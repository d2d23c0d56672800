//! The two looks.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use darkport_model::{Gap, GapReason, Link, LinkKind, Observation, Source};

use crate::again;
use crate::decode::{Tables, complete_ports};
use crate::dump::Dumper;
use crate::error::BridgeError;
use crate::fdb::FdbReader;
use crate::request::Request;
use crate::socket::Socket;
use crate::sysfs::Sysfs;
use crate::wire::{AF_INET, AF_INET6};

/// Looks at the interfaces, bridges and tables of one network namespace.
pub struct Inspector {
    dumper: Dumper,
    sysfs: Sysfs,
    deadline: Duration,
    sources: Vec<Source>,
}

/// What an inspector reads unless told otherwise: everything it can.
const ALL: [Source; 7] =
    [Source::Links, Source::Qdiscs, Source::Fdb, Source::BridgeVlans, Source::Addresses, Source::Neighbours, Source::Routes];

impl Inspector {
    /// An inspector of the calling thread's network namespace (see [`in_namespace`](crate::in_namespace)); it stays with that
    /// namespace wherever it is moved to. It needs no rights: what the kernel tells only to privileged callers becomes a gap.
    ///
    /// # Errors
    /// [`BridgeError::OpenSocket`] when the kernel gives no netlink socket.
    pub fn open() -> Result<Self, BridgeError> {
        let socket = Socket::open().map_err(BridgeError::OpenSocket)?;
        Ok(Self {
            dumper: Dumper { socket, retries: 3 },
            sysfs: Sysfs::new("/sys".into()),
            deadline: Duration::from_secs(10),
            sources: ALL.to_vec(),
        })
    }

    /// Reads sysfs files under another directory than `/sys`: for a process in a container `/proc/PID/root/sys`, for instance. A
    /// sysfs that shows another namespace than the inspector's is noticed and not used.
    #[must_use]
    pub fn with_sysfs(mut self, root: impl Into<PathBuf>) -> Self {
        self.sysfs = Sysfs::new(root.into());
        self
    }

    /// How long one look may take; 10 seconds unless told otherwise. What it does not reach becomes a gap.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How often a dump that changed while it was read (`NLM_F_DUMP_INTR`) is read anew; 3 times unless told otherwise. After
    /// that it is kept as it came, with a gap that says so.
    #[must_use]
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.dumper.retries = retries;
        self
    }

    /// Reads these parts only; each of the others becomes a gap ([`GapReason::NotAsked`]). Without [`Source::Links`] there are no
    /// forwarding databases either, since nothing says which links are bridges.
    #[must_use]
    pub fn with_sources(mut self, sources: impl IntoIterator<Item = Source>) -> Self {
        self.sources = sources.into_iter().collect();
        self
    }

    /// The first look: fills links, qdiscs, forwarding databases, port VLANs, addresses, neighbours, routes and rules, and adds
    /// what could not be read to the gaps.
    pub fn observe(&mut self, into: &mut Observation) {
        let until = Instant::now() + self.deadline;
        for source in ALL.into_iter().filter(|source| !self.sources.contains(source)) {
            into.gaps.push(Gap::new(source, "netlink", GapReason::NotAsked, "it was not asked for"));
        }
        let mut read = |source, what: &str, request: Request| self.read(source, what, &request, until, &mut into.gaps);

        let links = read(Source::Links, "links", Request::links());
        let qdiscs = read(Source::Qdiscs, "qdiscs", Request::qdiscs());
        let ports = read(Source::BridgeVlans, "bridge VLANs", Request::bridge_vlans());
        let addresses = read(Source::Addresses, "addresses", Request::addresses());
        let neighbours = read(Source::Neighbours, "neighbours", Request::neighbours());
        // A kernel without a family answers with the tables of all others.
        let routes = [(AF_INET, false), (AF_INET6, true)].map(|(family, ipv6)| {
            let mut routes = read(Source::Routes, "routes", Request::routes(family)).routes;
            routes.retain(|route| route.destination.address().is_ipv6() == ipv6);
            routes
        });
        let rules = [(AF_INET, false), (AF_INET6, true)].map(|(family, ipv6)| {
            let mut rules = read(Source::Routes, "policy rules", Request::rules(family)).rules;
            rules.retain(|rule| rule.ipv6 == ipv6);
            rules
        });

        into.links = links.links;
        complete_ports(&mut into.links, &ports.ports);
        into.qdiscs = qdiscs.qdiscs;
        into.port_vlans = ports.port_vlans;
        into.addresses = addresses.addresses;
        into.neighbours = neighbours.neighbours;
        into.routes = routes.into_iter().flatten().collect();
        into.rules = rules.into_iter().flatten().collect();
        self.observe_bridges(until, into);
    }

    /// What is read bridge by bridge.
    fn observe_bridges(&mut self, until: Instant, into: &mut Observation) {
        let sysfs = self.trusted_sysfs(&into.links, &mut into.gaps);
        if let Some(sysfs) = &sysfs {
            for link in into.links.iter_mut().filter(|link| is_bridge(link)) {
                link.mac_pinned = sysfs.address_was_set(&link.name);
            }
        }
        if self.sources.contains(&Source::Fdb) {
            let mut reader = FdbReader::new(&mut self.dumper, sysfs.as_ref(), until, &into.links, &into.port_vlans);
            let bridges = into.links.iter().filter(|link| is_bridge(link));
            into.fdbs = bridges.filter_map(|bridge| reader.read(bridge, None, &mut into.gaps)).collect();
        }
    }

    /// A dump, where it is asked for; nothing where it failed, which is a gap then.
    fn read(&mut self, source: Source, what: &str, request: &Request, until: Instant, gaps: &mut Vec<Gap>) -> Tables {
        let asked = self.sources.contains(&source);
        asked.then(|| self.dumper.read(source, what, request, until, gaps)).flatten().unwrap_or_default()
    }

    /// The second look, a window after the first: reads links, qdiscs and forwarding databases anew.
    ///
    /// Counters get their second reading. What else the links' dump tells replaces what the first look saw, since the newest state
    /// is the one to be judged. A link that is gone keeps its first state, without a second reading, and is told as a gap; so are a
    /// link that came and one that was renamed. Forwarding databases are replaced too; an address that is on another port now has
    /// [`previous_port`](darkport_model::FdbEntry::previous_port). Neighbours, routes and the rest stay as they were first seen.
    pub fn observe_again(&mut self, into: &mut Observation) {
        let until = Instant::now() + self.deadline;
        if self.sources.contains(&Source::Links) {
            if let Some(tables) = self.dumper.read(Source::Links, "links, second look", &Request::links(), until, &mut into.gaps) {
                again::links(&mut into.links, tables.links, &mut into.gaps);
            }
        }
        if self.sources.contains(&Source::Qdiscs) {
            if let Some(tables) = self.dumper.read(Source::Qdiscs, "qdiscs, second look", &Request::qdiscs(), until, &mut into.gaps) {
                again::qdiscs(&mut into.qdiscs, tables.qdiscs);
            }
        }
        if !self.sources.contains(&Source::Fdb) {
            return;
        }
        let sysfs = self.trusted_sysfs(&into.links, &mut Vec::new());
        let mut reader = FdbReader::new(&mut self.dumper, sysfs.as_ref(), until, &into.links, &into.port_vlans);
        for bridge in into.links.iter().filter(|link| is_bridge(link) && link.counters.last.is_some()) {
            let earlier = into.fdbs.iter_mut().find(|fdb| fdb.bridge == bridge.index);
            let Some(newer) = reader.read(bridge, earlier.as_deref(), &mut into.gaps) else { continue };
            match earlier {
                Some(earlier) => again::fdb(earlier, newer),
                None => into.fdbs.push(newer),
            }
        }
    }

    /// The sysfs, if it shows the namespace that these links are of.
    fn trusted_sysfs(&self, links: &[Link], gaps: &mut Vec<Gap>) -> Option<Sysfs> {
        if !links.iter().any(is_bridge) {
            return None;
        }
        match self.sysfs.shows(links) {
            Ok(()) => Some(self.sysfs.clone()),
            Err(why) => {
                gaps.push(Gap::new(Source::Links, "sysfs", GapReason::Absent, why));
                None
            }
        }
    }
}

fn is_bridge(link: &Link) -> bool {
    matches!(link.kind, LinkKind::Bridge { .. })
}
