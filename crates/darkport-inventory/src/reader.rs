//! The reader: the one place here that does I/O.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use darkport_model::{Claim, Fact, FactSource, Gap, GapReason, Instance, LinkKind, Observation, ProcessRole, Source};

use crate::bounds::{MAX_CLAIMS, MAX_DESCRIPTORS};
use crate::claims::{merge_claims, parse_claims};
use crate::domain::{DomainXml, parse_domain_xml, parse_network_xml};
use crate::files;
use crate::intents;
use crate::merge::merge;
use crate::proxmox::parse_proxmox_conf;
use crate::qemu::{QemuCommand, parse_qemu_command};
use crate::taps::{self, parse_fdinfo_iff};

/// Bytes of one descriptor's fdinfo; the `iff:` line is within the first few hundred.
const MAX_FDINFO: usize = 4096;
/// Said of the place that tells of an instance whose network is not the observed one.
const ELSEWHERE: &str = " (in another network namespace)";

/// Reads what ought to be on this host. Everything has a default: the host's own files, no control plane list.
///
/// ```no_run
/// use darkport_inventory::InventoryReader;
/// use darkport_model::Observation;
///
/// let mut seen = Observation::default();
/// InventoryReader::new().claims_file("list.json").observe(&mut seen);
/// ```
#[derive(Debug, Clone)]
pub struct InventoryReader {
    root: PathBuf,
    proc: PathBuf,
    claims: Vec<ClaimsInput>,
    asked_host: Option<String>,
}

#[derive(Debug, Clone)]
enum ClaimsInput {
    File(PathBuf),
    Bytes(String, Vec<u8>),
}

impl Default for InventoryReader {
    fn default() -> Self {
        Self { root: PathBuf::from("/"), proc: PathBuf::from("/proc"), claims: Vec::new(), asked_host: None }
    }
}

impl InventoryReader {
    /// A reader of this host.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `/etc`, `/run`, `/usr` and `/var` from below this directory.
    #[must_use]
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// Takes processes from this directory instead of `/proc`.
    #[must_use]
    pub fn proc(mut self, proc: impl Into<PathBuf>) -> Self {
        self.proc = proc.into();
        self
    }

    /// Reads a control plane list from this file, in any form that [`parse_claims`](crate::parse_claims) knows. May be given several times.
    #[must_use]
    pub fn claims_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.claims.push(ClaimsInput::File(path.into()));
        self
    }

    /// Takes a control plane list that the caller has read, from standard input for instance; `name` is how errors call it.
    #[must_use]
    pub fn claims(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.claims.push(ClaimsInput::Bytes(name.into(), bytes.into()));
        self
    }

    /// The host that the lists were asked for (`nova list --host HOST`).
    #[must_use]
    pub fn asked_host(mut self, host: impl Into<String>) -> Self {
        self.asked_host = Some(host.into());
        self
    }

    /// Fills `into.inventory` and adds gaps. Processes are taken from `into.host.processes` and taps' addresses from `into.links`:
    /// observe these first.
    pub fn observe(&self, into: &mut Observation) {
        let mut gaps: Vec<Gap> = into.gaps.iter().filter_map(|gap| self.hidden(gap)).take(1).collect();
        into.inventory.instances = self.instances(into, &mut gaps);
        into.inventory.claims = self.claims_said(&mut gaps);
        intents::read(&self.root, &mut into.inventory, &mut gaps);
        tracing::debug!(instances = into.inventory.instances.len(), gaps = gaps.len(), "inventory read");
        files::fold(gaps, &mut into.gaps);
    }

    /// A second look, at the end of the window: an instance whose domain's file or process went meanwhile was being stopped, and
    /// must not be taken for one that is cut off.
    pub fn observe_again(&self, into: &mut Observation) {
        let known: HashSet<u32> = into.host.processes.iter().map(|process| process.pid).collect();
        for instance in &mut into.inventory.instances {
            let Some(running) = instance.running.as_mut().filter(|running| running.value) else { continue };
            // A place that was cut, or was no UTF-8, names no file.
            let whole = !running.place.contains(['…', char::REPLACEMENT_CHARACTER]);
            let file_gone = running.source == FactSource::LiveXml && whole && files::is_gone(Path::new(&running.place));
            // A process that was gone at the first look already is no change.
            let process = instance.pid.filter(|pid| known.contains(pid)).map(|pid| self.proc.join(pid.to_string()));
            let process_gone = process.as_deref().is_some_and(files::is_gone);
            if file_gone || process_gone {
                running.value = false;
                running.place.push_str(" (gone at the second look)");
            }
        }
    }

    /// The instances that a gap in the list of processes may hide: the whole list, or a process of which neither name nor threads are
    /// known. Any other process that could not be read in full is there all the same.
    fn hidden(&self, gap: &Gap) -> Option<Gap> {
        let what = Path::new(&gap.what);
        let whole = what == self.proc;
        let hides = whole || (gap.reason == GapReason::Permission && (what.ends_with("comm") || what.ends_with("task")));
        let why = match gap.reason {
            GapReason::Permission => "processes of other users are hidden, so instances may be",
            _ => "not all processes could be listed, so instances may be missing",
        };
        let applies = gap.source == Source::Processes && hides;
        applies.then(|| Gap::new(Source::Instances, gap.what.clone(), gap.reason, why))
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn instances(&self, seen: &Observation, gaps: &mut Vec<Gap>) -> Vec<Instance> {
        let networks = self.networks(gaps);
        let mut parts = Vec::new();
        let mut live = Directory::default();
        // /var/run is where a system older than /run keeps it, and a link to /run on others.
        for dir in ["run/libvirt/qemu", "var/run/libvirt/qemu"] {
            let before = gaps.len();
            live = domains(&self.path(dir), &networks, &mut parts, gaps);
            if live.listed || gaps.len() > before {
                break;
            }
        }
        let mut defined = Vec::new();
        domains(&self.path("etc/libvirt/qemu"), &networks, &mut defined, gaps);
        for instance in &mut defined {
            if live.listed && !live.unread.contains(&instance.name) {
                instance.running.get_or_insert_with(|| Fact::new(false, FactSource::PersistentXml, live.path.clone()));
            }
        }
        parts.append(&mut defined);
        for part in &mut parts {
            let elsewhere = part.pid.is_some_and(|pid| is_elsewhere(seen, pid));
            if let Some(running) = part.running.as_mut().filter(|running| elsewhere && running.value) {
                running.value = false;
                running.place.push_str(ELSEWHERE);
            }
        }
        parts.extend(self.processes(seen, gaps));
        parts.extend(self.proxmox(seen, gaps));
        merge(parts)
    }

    /// Proxmox VE's virtual machines.
    fn proxmox(&self, seen: &Observation, gaps: &mut Vec<Gap>) -> Vec<Instance> {
        let is_vlan_aware = |bridge: &str| match seen.link_named(bridge)?.kind {
            LinkKind::Bridge { vlan_filtering, .. } => Some(vlan_filtering),
            _ => None,
        };
        // qemu-server writes a file with the number of each process that it starts, and takes it away.
        let running = self.path("var/run/qemu-server");
        let started = running.is_dir();
        let mut instances = Vec::new();
        for file in files::list(&self.path("etc/pve/qemu-server"), &[".conf"], Source::Instances, gaps).unwrap_or_default() {
            let Some(id) = file.file_stem().and_then(|stem| stem.to_str()?.parse().ok()) else { continue };
            match files::read(&file, Source::Instances) {
                Ok(None) => {}
                Ok(Some(bytes)) => {
                    let (mut instance, errors) = parse_proxmox_conf(&file.to_string_lossy(), id, &bytes, &is_vlan_aware);
                    let started_as = running.join(format!("{id}.pid"));
                    if started && !started_as.exists() {
                        instance.running = Some(Fact::new(false, FactSource::Configuration, running.to_string_lossy()));
                    } else if number_in(&started_as).is_some_and(|pid| is_elsewhere(seen, pid)) {
                        let place = format!("{}{ELSEWHERE}", started_as.to_string_lossy());
                        instance.running = Some(Fact::new(false, FactSource::Configuration, place));
                    }
                    instances.push(instance);
                    gaps.extend(errors.iter().map(|error| error.to_gap(Source::Instances)));
                }
                Err(gap) => gaps.push(gap),
            }
        }
        instances
    }

    /// Instances that run, as their processes tell. What is in another network namespace has its taps there, which are not observed.
    fn processes(&self, seen: &Observation, gaps: &mut Vec<Gap>) -> Vec<Instance> {
        let qemu = seen
            .host
            .processes
            .iter()
            .filter(|process| process.role == ProcessRole::Qemu && !process.elsewhere && !process.command.is_empty());
        let read = qemu.map(|process| {
            let command = parse_qemu_command(&process.command);
            let taps = self.taps(process.pid, &command, gaps);
            let dir = self.proc.join(process.pid.to_string());
            let mut instance = taps::instance(process.pid, command, &taps, &seen.links, &dir.to_string_lossy());
            if instance.name.is_empty() {
                instance.name = format!("process {}", process.pid);
            }
            instance
        });
        read.collect()
    }

    /// The devices of a process's tun descriptors: of those that the command line names, or of all where it leaves one open.
    fn taps(&self, pid: u32, command: &QemuCommand, gaps: &mut Vec<Gap>) -> Vec<(u32, String)> {
        let dir = self.proc.join(pid.to_string()).join("fdinfo");
        let mut descriptors: Vec<u32> = command.nics.iter().flat_map(|nic| nic.fds.iter().copied()).collect();
        if taps::needs_search(command) {
            let listed = files::list(&dir, &[""], Source::Instances, gaps).unwrap_or_default();
            descriptors = listed.iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect();
        }
        if descriptors.len() > MAX_DESCRIPTORS {
            let why = format!("more than {MAX_DESCRIPTORS} descriptors: the rest was not looked at");
            gaps.push(Gap::new(Source::Instances, dir.to_string_lossy(), GapReason::TooLarge, why));
        }
        descriptors.sort_unstable();
        let mut taps = Vec::new();
        for descriptor in descriptors.into_iter().take(MAX_DESCRIPTORS) {
            match files::read_at_most(&dir.join(descriptor.to_string()), MAX_FDINFO) {
                Ok(bytes) => taps.extend(parse_fdinfo_iff(&bytes).map(|tap| (descriptor, tap))),
                // Closed, or the process is gone: nobody holds it.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => {
                    gaps.push(Gap::from_io(Source::Instances, dir.to_string_lossy(), &error));
                    break;
                }
            }
        }
        taps
    }

    fn claims_said(&self, gaps: &mut Vec<Gap>) -> Vec<Claim> {
        let mut claims = Vec::new();
        for input in &self.claims {
            let parsed = match input {
                ClaimsInput::Bytes(name, bytes) => parse_claims(name, bytes),
                // Not `files::read`: the list may come through a pipe.
                ClaimsInput::File(path) => match files::read_at_most(path, MAX_CLAIMS) {
                    Ok(bytes) => parse_claims(&path.to_string_lossy(), &bytes),
                    Err(error) => {
                        gaps.push(Gap::from_io(Source::Claims, path.to_string_lossy(), &error));
                        continue;
                    }
                },
            };
            claims.extend(parsed.claims);
            gaps.extend(parsed.errors.iter().map(|error| error.to_gap(Source::Claims)));
        }
        for claim in &mut claims {
            claim.asked_host.clone_from(&self.asked_host);
        }
        merge_claims(claims)
    }

    /// The bridge of each libvirt network.
    fn networks(&self, gaps: &mut Vec<Gap>) -> HashMap<String, String> {
        let mut bridges = HashMap::new();
        for dir in ["run/libvirt/network", "etc/libvirt/qemu/networks"] {
            for file in files::list(&self.path(dir), &[".xml"], Source::Instances, gaps).unwrap_or_default() {
                let name = file.to_string_lossy();
                match files::read(&file, Source::Instances) {
                    Ok(None) => {}
                    Ok(Some(bytes)) => match parse_network_xml(&name, &bytes) {
                        Ok((network, Some(bridge))) => {
                            bridges.entry(network).or_insert(bridge);
                        }
                        Ok((_, None)) => {}
                        Err(error) => gaps.push(error.to_gap(Source::Instances)),
                    },
                    Err(gap) => gaps.push(gap),
                }
            }
        }
        bridges
    }
}

/// Whether a process is known, and known to be in another network namespace than the observed.
fn is_elsewhere(seen: &Observation, pid: u32) -> bool {
    seen.host.processes.iter().any(|process| process.pid == pid && process.elsewhere)
}

/// The number in a file that holds nothing else.
fn number_in(path: &Path) -> Option<u32> {
    let bytes = files::read(path, Source::Instances).ok()??;
    std::str::from_utf8(&bytes).ok()?.trim().parse().ok()
}

/// What came of reading a directory of domains.
#[derive(Debug, Default)]
struct Directory {
    path: String,
    listed: bool,
    /// Names of domains whose files are there but could not be read.
    unread: HashSet<String>,
}

fn domains(dir: &Path, networks: &HashMap<String, String>, into: &mut Vec<Instance>, gaps: &mut Vec<Gap>) -> Directory {
    let mut outcome = Directory { path: dir.to_string_lossy().into_owned(), ..Directory::default() };
    let Some(found) = files::list(dir, &[".xml"], Source::Instances, gaps) else { return outcome };
    outcome.listed = true;
    for file in found {
        let name = file.to_string_lossy();
        let gap = match files::read(&file, Source::Instances) {
            Ok(None) => continue,
            Ok(Some(bytes)) => match parse_domain_xml(&name, &bytes) {
                Ok(domain) => {
                    into.push(with_bridges(domain, networks));
                    continue;
                }
                Err(error) => error.to_gap(Source::Instances),
            },
            Err(gap) => gap,
        };
        outcome.unread.extend(file.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        gaps.push(gap);
    }
    outcome
}

/// Fills in the bridges of interfaces that name a libvirt network only.
fn with_bridges(domain: DomainXml, networks: &HashMap<String, String>) -> Instance {
    let DomainXml { mut instance, networks: named } = domain;
    let source = instance.running.as_ref().map_or(FactSource::PersistentXml, |fact| fact.source);
    for (nic, network) in instance.nics.iter_mut().zip(named) {
        if let Some((network, bridge)) = network.and_then(|network| networks.get(&network).map(|bridge| (network, bridge))) {
            nic.bridge.get_or_insert_with(|| Fact::new(bridge.clone(), source, format!("libvirt network {network}")));
        }
    }
    instance
}
