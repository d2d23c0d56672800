//! A bridge's forwarding database by the quickest way that answers.
//!
//! The kernel's netlink dump walks all entries of the bridge once for every port (linux, `net/core/rtnetlink.c`, `rtnl_fdb_dump`),
//! so it costs ports × entries. `brforward` walks them once for each page of 256, and tells neither VLANs nor static entries; an
//! entry with age 0 may be static, and each of those few is then asked for by its key, which costs the kernel one hash look-up.

use std::collections::HashMap;
use std::time::Instant;

use darkport_model::{Fdb, FdbEntry, FdbKind, FdbSource, Gap, GapReason, IfIndex, Link, LinkKind, MacAddr, PortVlan, Source, Vid};

use crate::brforward::{PortNumbers, RECORD, decode_brforward};
use crate::decode::{MOST, Tables};
use crate::dump::Dumper;
use crate::request::Request;
use crate::sysfs::Sysfs;

/// What a netlink dump of the whole database may cost before `brforward` is preferred, in nanoseconds.
const QUICK_NS: usize = 10_000_000;
/// What the kernel takes to pass over an entry, and to write one, as measured on linux 6.18.
const STEP_NS: usize = 7;
const ENTRY_NS: usize = 2_000;
/// Entries that are asked for one by one at most.
const ASKED: usize = 2_048;

pub(crate) struct FdbReader<'a> {
    pub(crate) dumper: &'a mut Dumper,
    /// The sysfs of the same namespace, where there is one.
    pub(crate) sysfs: Option<&'a Sysfs>,
    pub(crate) until: Instant,
    pub(crate) links: &'a [Link],
    pub(crate) port_vlans: &'a [PortVlan],
    /// All bridges' entries, where a kernel cannot tell one bridge's alone.
    everything: Option<Tables>,
}

impl<'a> FdbReader<'a> {
    pub(crate) fn new(
        dumper: &'a mut Dumper,
        sysfs: Option<&'a Sysfs>,
        until: Instant,
        links: &'a [Link],
        port_vlans: &'a [PortVlan],
    ) -> Self {
        Self { dumper, sysfs, until, links, port_vlans, everything: None }
    }

    /// The database of one bridge; none when it could not be read at all. `earlier` is an earlier look, whose static entries need
    /// not be asked for again.
    pub(crate) fn read(&mut self, bridge: &Link, earlier: Option<&Fdb>, gaps: &mut Vec<Gap>) -> Option<Fdb> {
        let begun = Instant::now();
        let ports = PortNumbers::of(bridge.index, self.links);
        let records = self.records(bridge, &ports);
        let quick = records.as_ref().is_none_or(|records| {
            let entries = records.len() / RECORD;
            entries * ports.count() * STEP_NS + entries * ENTRY_NS <= QUICK_NS
        });
        let mut fdb = Fdb::default();
        fdb.bridge = bridge.index;
        let mut failed = Vec::new();
        if quick {
            if let Some(entries) = self.by_netlink(bridge, &mut failed) {
                fdb.source = FdbSource::Netlink;
                fdb.entries = entries;
            } else if records.is_none() {
                gaps.append(&mut failed);
                return None;
            }
        }
        if let Some(records) = records.filter(|_| !quick || !failed.is_empty()) {
            self.by_brforward(bridge, &records, &ports, earlier, &mut fdb, gaps);
        } else {
            gaps.append(&mut failed);
        }
        tracing::debug!(bridge = bridge.name, source = ?fdb.source, entries = fdb.entries.len(), elapsed = ?begun.elapsed(), "fdb");
        Some(fdb)
    }

    /// What `brforward` holds; none where it is of no use.
    fn records(&self, bridge: &Link, ports: &PortNumbers) -> Option<Vec<u8>> {
        let sysfs = self.sysfs?;
        // A kernel that does not tell port numbers leaves its records without ports.
        let numbered = ports.count() == self.links.iter().filter(|link| link.master == Some(bridge.index)).count();
        if !numbered {
            return None;
        }
        sysfs
            .brforward(&bridge.name, self.until)
            .inspect_err(|error| tracing::debug!(bridge = bridge.name, %error, "brforward cannot be read"))
            .ok()
    }

    fn by_netlink(&mut self, bridge: &Link, gaps: &mut Vec<Gap>) -> Option<Vec<FdbEntry>> {
        if self.dumper.socket.strict {
            let tables = self.dumper.read(Source::Fdb, &bridge.name, &Request::fdb_of(bridge.index), self.until, gaps)?;
            return Some(tables.fdb_of(bridge.index));
        }
        if self.everything.is_none() {
            self.everything = self.dumper.read(Source::Fdb, &bridge.name, &Request::fdb(), self.until, gaps);
        }
        self.everything.as_ref().map(|tables| tables.fdb_of(bridge.index))
    }

    fn by_brforward(
        &mut self,
        bridge: &Link,
        records: &[u8],
        ports: &PortNumbers,
        earlier: Option<&Fdb>,
        fdb: &mut Fdb,
        gaps: &mut Vec<Gap>,
    ) {
        let (entries, strangers) = decode_brforward(records, ports);
        fdb.entries = entries;
        fdb.source = FdbSource::BrforwardThenNetlink;
        let mut gap = |reason, why: String| gaps.push(Gap::new(Source::Fdb, &bridge.name, reason, why));
        if strangers > 0 {
            gap(GapReason::Torn, format!("{strangers} entries of brforward are on ports that came or went meanwhile"));
        }
        if fdb.entries.len() + strangers >= MOST {
            gap(GapReason::TooLarge, format!("more than the {MOST} entries that are kept"));
        }
        if matches!(bridge.kind, LinkKind::Bridge { vlan_filtering: true, .. }) {
            gap(
                GapReason::Absent,
                "brforward does not tell VLANs, and a netlink dump of so many entries on so many ports takes too long".into(),
            );
        }
        if let Err((reason, why)) = self.tell_static(bridge, earlier, fdb) {
            fdb.source = FdbSource::Brforward;
            gap(reason, why);
        }
        if self.dumper.socket.strict {
            if let Some(own) = self.dumper.read(Source::Fdb, &bridge.name, &Request::fdb_own(bridge.index), self.until, gaps) {
                fdb.entries.extend(own.fdb_of(bridge.index).into_iter().filter(|entry| entry.port == bridge.index));
            }
        }
    }

    /// Asks which of the entries with age 0 are static. The error says why that stays open.
    fn tell_static(&mut self, bridge: &Link, earlier: Option<&Fdb>, fdb: &mut Fdb) -> Result<(), (GapReason, String)> {
        let earlier: HashMap<(MacAddr, IfIndex), &FdbEntry> =
            earlier.iter().flat_map(|fdb| &fdb.entries).map(|entry| ((entry.mac, entry.port), entry)).collect();
        let filtering = matches!(bridge.kind, LinkKind::Bridge { vlan_filtering: true, .. });
        let mut questions = Vec::new();
        let mut suspects = 0usize;
        for entry in fdb.entries.iter_mut().filter(|entry| entry.kind == FdbKind::Learned && entry.age_cs == Some(0)) {
            match earlier.get(&(entry.mac, entry.port)) {
                Some(before) if before.kind != FdbKind::Learned => adopt(entry, before),
                Some(before) if before.age_cs.is_some_and(|age| age > 0) => {}
                _ => {
                    suspects += 1;
                    if questions.len() < ASKED {
                        let vid = self.pvid(entry.port).filter(|_| filtering);
                        questions.push(Request::fdb_entry(bridge.index, entry.mac, vid));
                    }
                }
            }
        }
        if questions.is_empty() {
            return Ok(());
        }
        let mut answers = Tables::default();
        let asked = self.dumper.socket.ask(&questions, self.until, |message| answers.take(message));
        let answers: HashMap<(MacAddr, IfIndex), FdbEntry> =
            answers.fdb.into_iter().map(|(_, entry)| ((entry.mac, entry.port), entry)).collect();
        for entry in fdb.entries.iter_mut().filter(|entry| entry.age_cs == Some(0)) {
            if let Some(answer) = answers.get(&(entry.mac, entry.port)) {
                adopt(entry, answer);
            }
        }
        asked.map_err(|failure| {
            let gap = failure.gap(Source::Fdb, &bridge.name);
            (gap.reason, format!("whether {suspects} entries are static could not be asked: {}", gap.why))
        })?;
        if suspects > questions.len() {
            let open = suspects - questions.len();
            return Err((
                GapReason::TooLarge,
                format!("{open} of {suspects} entries that may be static were not asked for, shown as learned"),
            ));
        }
        Ok(())
    }

    fn pvid(&self, port: IfIndex) -> Option<Vid> {
        self.port_vlans.iter().find(|vlan| vlan.port == port && vlan.pvid).map(|vlan| vlan.first)
    }
}

fn adopt(entry: &mut FdbEntry, told: &FdbEntry) {
    entry.kind = told.kind;
    entry.vid = told.vid;
    if entry.kind != FdbKind::Learned {
        entry.age_cs = None;
    }
}
