//! Which frames the kernel drops while darkport probes, and why: the tracepoint `skb:kfree_skb`, watched by `perf_event_open`. The kernel
//! takes it away with the descriptors, however the process ends; a tracefs instance would stay.

mod format;
mod records;
mod symbols;
#[allow(unsafe_code, reason = "neither events nor detached mounts have a safe interface")]
mod sys;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use darkport_model::{Gap, GapReason, KernelDrop, Observation, Source};

use self::format::Format;
use self::records::Tally;
use crate::error::ProbeError;
use crate::synthetic::AllowChanges;

/// ARP, IPv4, and what carries a VLAN tag in the frame itself (IEEE 802.1Q, 802.1ad). A host that carries much TCP costs so no more than
/// its own drops.
const FILTER: &std::ffi::CStr = c"protocol==0x0806||protocol==0x0800||protocol==0x8100||protocol==0x88a8";
/// Memory for what is recorded, in all: a thousand drops take 14 pages.
const PAGES: usize = 4096;
/// And of it, on each processor. Emptied twenty times a second, the most room does for 90,000 drops a second there.
const PAGES_EACH: (usize, usize) = (8, 64);
const TURN: Duration = Duration::from_millis(50);
/// Processors that are watched at most.
const MOST_CPUS: usize = 1024;
/// A `format` is 8 KiB long in Linux 6.18.
const LONGEST_FORMAT: u64 = 1 << 18;
/// Lines in what it gives.
const MOST: usize = 64;
const WHAT: &str = "the kernel's drops (skb:kfree_skb)";

/// Counts the frames that the kernel drops anywhere on the host, in every namespace, first without probes and then with them. Needs
/// `CAP_PERFMON` (before Linux 5.8 `CAP_SYS_ADMIN`), and root for the tracepoint's description. No longer watched than the value lives.
///
/// ```no_run
/// use darkport_probe::{AllowChanges, Drops};
///
/// let mut seen = darkport_model::Observation::default();
/// let mut drops = Drops::start(AllowChanges::asked_for())?;
/// std::thread::sleep(std::time::Duration::from_secs(1)); // as things are
/// drops.probing_begins();
/// // … probes …
/// drops.finish(&mut seen);
/// # Ok::<(), darkport_probe::ProbeError>(())
/// ```
#[derive(Debug)]
#[must_use = "what was counted is told when it is finished"]
pub struct Drops {
    word: Sender<Sender<()>>,
    counting: JoinHandle<Tally>,
    format: Format,
    begun: Instant,
    probing: Option<Instant>,
}

impl Drops {
    /// Begins to count.
    ///
    /// # Errors
    /// [`ProbeError::Trace`] when the kernel has no such tracepoint, or does not let us watch it: no right, `perf_event_paranoid`, lockdown.
    pub fn start(_: AllowChanges) -> Result<Self, ProbeError> {
        let trace = |doing| move |source| ProbeError::Trace { doing, source };
        let text = description().map_err(trace("read the description of skb:kfree_skb"))?;
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "it is none that is known");
        let format = Format::parse(&text).ok_or_else(malformed).map_err(trace("understand the description of skb:kfree_skb"))?;
        let events = events(format.id).map_err(trace("watch skb:kfree_skb"))?;
        let (word, words) = channel();
        let known = format.clone();
        let counting = std::thread::Builder::new().name("darkport-drops".into()).spawn(move || count(&known, events, &words));
        let counting = counting.map_err(trace("start a thread that counts drops"))?;
        Ok(Self { word, counting, format, begun: Instant::now(), probing: None })
    }

    /// The gap that is left where it could not begin.
    pub fn missing(error: &ProbeError) -> Gap {
        match error {
            ProbeError::Trace { source, .. } => {
                let mut gap = Gap::from_io(Source::Drops, WHAT, source);
                gap.why = format!("{error}: {source}");
                gap
            }
            _ => Gap::new(Source::Drops, WHAT, GapReason::Failed, error.to_string()),
        }
    }

    /// How long it has counted without probes.
    pub fn before(&self) -> Duration {
        self.probing.unwrap_or_else(Instant::now).saturating_duration_since(self.begun)
    }

    /// From now on darkport sends frames, which may be among those dropped. Only the first call counts.
    pub fn probing_begins(&mut self) {
        if self.probing.is_none() {
            // What was dropped until now has to be counted first. A thread that is gone keeps nobody waiting, and is told of at the end.
            let (done, counted) = channel();
            let _ = self.word.send(done);
            let _ = counted.recv();
            self.probing = Some(Instant::now());
        }
    }

    /// Ends, and fills in `into.probes.drops`, what was dropped most often first.
    pub fn finish(mut self, into: &mut Observation) {
        self.probing_begins();
        let (before, during) = (self.before(), self.probing.map(|probing| probing.elapsed()).unwrap_or_default());
        // The thread ends when nobody can tell it anything any more.
        drop(self.word);
        let Ok(tally) = self.counting.join() else {
            return into.gaps.push(Gap::new(Source::Drops, WHAT, GapReason::Failed, "counting stopped by a fault in darkport itself"));
        };
        if tally.lost > 0 {
            let why = format!("{} drops came faster than they could be counted", tally.lost);
            into.gaps.push(Gap::new(Source::Drops, WHAT, GapReason::TooLarge, why));
        }
        let addresses: Vec<u64> = tally.counts().map(|(dropped, _)| dropped.location).collect();
        let functions = functions(&addresses, &mut into.gaps);
        into.probes.drops = told(&tally, &self.format, &functions, before, during);
        tracing::debug!(kinds = into.probes.drops.len(), lost = tally.lost, ?before, ?during, "counted the kernel's drops");
    }
}

/// The counting thread: empties the kernel's memory until nobody can tell it anything any more.
fn count(format: &Format, mut events: Vec<(sys::Ring, OwnedFd)>, words: &Receiver<Sender<()>>) -> Tally {
    let (mut tally, mut bytes, mut probing) = (Tally::default(), Vec::new(), false);
    loop {
        let word = words.recv_timeout(TURN);
        for (ring, _) in &mut events {
            bytes.clear();
            ring.drain(&mut bytes);
            tally.take(format, &bytes, probing);
        }
        match word {
            Ok(done) => {
                probing = true;
                drop(done);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return tally,
        }
    }
}

/// The file `format` of the tracepoint. Where the tracing file system is not mounted, it is looked into without mounting it anywhere.
fn description() -> io::Result<String> {
    const EVENT: &str = "events/skb/kfree_skb/format";
    let read = |dir: &str| {
        let mut text = String::new();
        File::open(format!("{dir}/{EVENT}"))?.take(LONGEST_FORMAT).read_to_string(&mut text).map(|_| text)
    };
    read("/sys/kernel/tracing").or_else(|first| {
        let detached = sys::detached_tracefs().and_then(|dir| read(&format!("/proc/self/fd/{}", dir.as_raw_fd())));
        // Before Linux 5.2 there is no other way than the old place.
        let better = |second| if first.kind() == io::ErrorKind::NotFound { second } else { first };
        detached.or_else(|second| read("/sys/kernel/debug/tracing").map_err(|_| better(second)))
    })
}

/// The tracepoint on each processor, with the memory that it is recorded into.
fn events(id: u64) -> io::Result<Vec<(sys::Ring, OwnedFd)>> {
    let list = std::fs::read_to_string("/sys/devices/system/cpu/online")?;
    let cpus: Vec<u32> = online(&list).take(MOST_CPUS).collect();
    let pages = pages_each(cpus.len());
    let mut events = Vec::new();
    for cpu in cpus {
        let event = match sys::open(id, cpu) {
            // It was taken out meanwhile.
            Err(error) if error.raw_os_error() == Some(nix::libc::ENODEV) => continue,
            event => event?,
        };
        sys::filter(&event, FILTER)?;
        let ring = sys::Ring::map(&event, pages)?;
        sys::enable(&event)?;
        events.push((ring, event));
    }
    if events.is_empty() { Err(io::ErrorKind::NotFound.into()) } else { Ok(events) }
}

/// A power of two, as the kernel wants it (linux, `kernel/events/core.c`, `perf_mmap`).
fn pages_each(cpus: usize) -> usize {
    let share = (PAGES / cpus.max(1)).clamp(PAGES_EACH.0, PAGES_EACH.1);
    1 << share.ilog2()
}

/// The processors of a list such as `0-3,8`.
fn online(list: &str) -> impl Iterator<Item = u32> + '_ {
    list.trim().split(',').flat_map(|range| {
        let (from, to) = range.split_once('-').unwrap_or((range, range));
        let ends = from.parse::<u32>().ok().zip(to.parse::<u32>().ok());
        ends.into_iter().flat_map(|(from, to)| from..=to)
    })
}

fn functions(addresses: &[u64], gaps: &mut Vec<Gap>) -> BTreeMap<u64, String> {
    if addresses.is_empty() {
        return BTreeMap::new();
    }
    let found = File::open("/proc/kallsyms").and_then(|file| symbols::functions(BufReader::new(file), addresses));
    match found {
        Ok(found) => {
            if found.is_empty() {
                let why = "the kernel hides its addresses (kernel.kptr_restrict): the functions that dropped frames have no names";
                gaps.push(Gap::new(Source::Drops, "/proc/kallsyms", GapReason::Permission, why));
            }
            found
        }
        Err(error) => {
            gaps.push(Gap::from_io(Source::Drops, "/proc/kallsyms", &error));
            BTreeMap::new()
        }
    }
}

/// A function drops at several places; they count together.
fn told(tally: &Tally, format: &Format, functions: &BTreeMap<u64, String>, before: Duration, during: Duration) -> Vec<KernelDrop> {
    let mut sums: BTreeMap<(u16, String, String), (u32, u32)> = BTreeMap::new();
    for (dropped, count) in tally.counts() {
        let function = functions.get(&dropped.location).cloned().unwrap_or_default();
        let sum = sums.entry((dropped.protocol, format.name(dropped.reason), function)).or_default();
        *sum = (sum.0.saturating_add(count.during), sum.1.saturating_add(count.before));
    }
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let drops = sums.into_iter().map(|((protocol, reason, function), (frames, earlier))| {
        let mut drop = KernelDrop::new(reason, function);
        (drop.protocol, drop.frames, drop.over_ms) = (protocol, frames, milliseconds(during));
        (drop.before, drop.before_ms) = (earlier, milliseconds(before));
        drop
    });
    let mut drops: Vec<KernelDrop> = drops.collect();
    drops.sort_by_key(|drop| std::cmp::Reverse(drop.frames));
    drops.truncate(MOST);
    drops
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_listed_in_ranges() {
        assert_eq!(online("0-3,8\n").collect::<Vec<_>>(), [0, 1, 2, 3, 8]);
        assert_eq!(online("0").collect::<Vec<_>>(), [0]);
        assert_eq!(online("0-4294967295").take(MOST_CPUS).count(), MOST_CPUS);
        assert_eq!(online("a-b,,-").count(), 0);
    }

    #[test]
    fn many_processors_share_the_room() {
        for (cpus, pages) in [(0, 64), (2, 64), (64, 64), (96, 32), (256, 16), (MOST_CPUS, 8)] {
            assert_eq!(pages_each(cpus), pages, "{cpus}");
        }
    }
}
