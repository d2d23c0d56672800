//! The reader: which source goes where.

use std::path::PathBuf;

use darkport_model::Observation;

use crate::look::{Look, Roots};
use crate::process::Seen;
use crate::{bonding, conntrack, ethtool, interfaces, kernel, memory, neighbour, process, rules, snmp, softnet, sysctl};

/// Looks at a host twice and fills [`Observation::host`], in the network namespace of the calling thread.
///
/// Nothing that it reads changes the host, and nothing fails: what could not be read is a [`Gap`](darkport_model::Gap). Files are read
/// up to 1 MiB, tables under `/proc/net` up to 8 MiB.
///
/// These absences are facts of the host and leave no gap: connection tracking that is not loaded, `br_netfilter` that is not loaded,
/// a kernel without IPv6, without page merging or without bonds.
#[derive(Debug)]
pub struct HostReader {
    roots: Roots,
    seen: Seen,
}

impl Default for HostReader {
    fn default() -> Self {
        Self { roots: Roots { proc: "/proc".into(), sys: "/sys".into() }, seen: Seen::default() }
    }
}

impl HostReader {
    /// A reader of this host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes another directory for `/proc`. What only the running kernel itself can tell (offload features, and the neighbour table's
    /// limits where `/proc` does not show them) is not asked then.
    #[must_use]
    pub fn proc(mut self, root: impl Into<PathBuf>) -> Self {
        self.roots.proc = root.into();
        self
    }

    /// Takes another directory for `/sys`, as [`proc`](Self::proc) does for `/proc`.
    #[must_use]
    pub fn sys(mut self, root: impl Into<PathBuf>) -> Self {
        self.roots.sys = root.into();
        self
    }

    /// The first look. `into.links` and `into.addresses` are to be filled before: they say whose settings to read.
    pub fn observe(&mut self, into: &mut Observation) {
        let mut look = Look::new(&self.roots);
        // What moves quickly comes first, so that the window between the two looks is the same for all of it.
        let mut host = std::mem::take(&mut into.host);
        host.softnet = softnet::read(&mut look);
        host.snmp = snmp::read(&mut look);
        host.conntrack = conntrack::read(&mut look);
        host.arp_table = neighbour::read(&mut look);
        host.processes = process::read(&mut look, &mut self.seen);
        kernel::read(&mut look, &mut host);
        memory::read(&mut look, &mut host);
        let links = interfaces::with_settings(&mut look, into);
        host.sysctls = sysctl::read(&mut look, &links);
        host.bonds = bonding::read(&mut look, &into.links);
        let links = interfaces::with_offloads(&mut look, into);
        host.ethtool = ethtool::read(&mut look, &links);
        host.drop_rules = rules::read(&mut look);
        into.host = host;
        into.gaps.extend(look.into_gaps());
        tracing::debug!(processes = into.host.processes.len(), sysctls = into.host.sysctls.len(), "looked at the host");
    }

    /// The second look: the `last` of every [`Sampled`](darkport_model::Sampled) value that the first one found. A process, a thread or
    /// a processor that is gone by then keeps none.
    pub fn observe_again(&mut self, into: &mut Observation) {
        let mut look = Look::new(&self.roots);
        softnet::read_again(&mut look, &mut into.host.softnet);
        snmp::read_again(&mut look, &mut into.host.snmp);
        if let Some(table) = &mut into.host.conntrack {
            conntrack::read_again(&mut look, table);
        }
        if let Some(table) = &mut into.host.arp_table {
            neighbour::read_again(&mut look, table);
        }
        process::read_again(&mut look, &self.seen, &mut into.host.processes);
        if let Some(ksm) = &mut into.host.ksm {
            memory::read_again(&mut look, ksm);
        }
        rules::read_again(&mut look, &mut into.host.drop_rules);
        for gap in look.into_gaps() {
            // What could not be read twice is one gap.
            if !into.gaps.contains(&gap) {
                into.gaps.push(gap);
            }
        }
    }
}
