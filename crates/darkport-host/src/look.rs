//! One look at the host's files: bounded, and whatever cannot be read becomes a gap.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::Duration;

use darkport_model::{Gap, GapReason, Source};

/// The most that is read of a file of `/proc` or `/sys`.
pub(crate) const FILE_MAX: usize = 1 << 20;
/// The most that is read of a table under `/proc/net`.
pub(crate) const TABLE_MAX: usize = 8 << 20;

/// Where the kernel shows itself.
#[derive(Debug, Clone)]
pub(crate) struct Roots {
    pub(crate) proc: PathBuf,
    pub(crate) sys: PathBuf,
}

impl Roots {
    /// Whether these are the running kernel's own, so that asking the kernel itself gives facts about the same host.
    pub(crate) fn are_live(&self) -> bool {
        self.proc == Path::new("/proc") && self.sys == Path::new("/sys")
    }

    /// The network tables of the calling thread's namespace, and whether they may be another's: `/proc/net` is the main thread's, and
    /// kernels before 3.17 show no other (linux, `fs/proc/proc_net.c`).
    fn net(&self) -> (PathBuf, bool) {
        let own = self.proc.join("thread-self/net");
        if own.exists() {
            return (own, false);
        }
        let namespace = |task: &str| std::fs::read_link(self.proc.join(task).join("ns/net")).ok();
        let thread = format!("self/task/{}", nix::unistd::gettid());
        (self.proc.join("self/net"), namespace(&thread) != namespace("self"))
    }
}

/// What the absence of a file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absence {
    /// Every kernel that darkport knows has it: something is wrong.
    Gap,
    /// A fact: this kernel was built, or runs now, without it.
    Fact,
}

/// A text that is not of its form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected {expected}")]
pub(crate) struct Malformed {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) expected: &'static str,
}

impl Malformed {
    /// For a line counted from 0.
    pub(crate) fn at(index: usize, expected: &'static str) -> Self {
        Self { line: index.saturating_add(1), expected }
    }
}

/// Reads, and collects what could not be read.
#[derive(Debug)]
pub(crate) struct Look<'a> {
    pub(crate) roots: &'a Roots,
    net: PathBuf,
    gaps: Vec<Gap>,
    summed: BTreeMap<(Source, &'static str, GapReason), (Gap, usize)>,
}

impl<'a> Look<'a> {
    pub(crate) fn new(roots: &'a Roots) -> Self {
        let (net, foreign) = roots.net();
        let mut gaps = Vec::new();
        if foreign {
            let why = "these are of the main thread's network namespace: this kernel shows no other (before linux 3.17)";
            let what = net.display().to_string();
            gaps.extend(
                [Source::Softnet, Source::Snmp, Source::Conntrack, Source::Bonding]
                    .map(|source| Gap::new(source, what.clone(), GapReason::Failed, why)),
            );
        }
        Self { roots, net, gaps, summed: BTreeMap::new() }
    }

    pub(crate) fn proc(&self, path: impl AsRef<Path>) -> PathBuf {
        self.roots.proc.join(path)
    }

    pub(crate) fn sys(&self, path: impl AsRef<Path>) -> PathBuf {
        self.roots.sys.join(path)
    }

    pub(crate) fn net(&self, path: impl AsRef<Path>) -> PathBuf {
        self.net.join(path)
    }

    /// The text of a file. One that is longer than `max` leaves a gap and is cut after its last whole line.
    pub(crate) fn text(&mut self, source: Source, path: &Path, max: usize, absence: Absence) -> Option<String> {
        match read_bounded(path, max) {
            Ok((text, false)) => Some(text),
            Ok((mut text, true)) => {
                self.gap(Gap::new(source, path.display().to_string(), GapReason::TooLarge, format!("longer than {max} bytes")));
                text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
                Some(text)
            }
            Err(error) if absence == Absence::Fact && error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                self.gap(from_io(source, path, &error));
                None
            }
        }
    }

    /// What `parse` makes of a file; a text that is not of its form is a gap.
    pub(crate) fn parsed<T>(
        &mut self,
        source: Source,
        path: &Path,
        absence: Absence,
        parse: impl FnOnce(&str) -> Result<T, Malformed>,
    ) -> Option<T> {
        let text = self.text(source, path, TABLE_MAX, absence)?;
        parse(&text).map_err(|error| self.malformed(source, path, &error)).ok()
    }

    pub(crate) fn malformed(&mut self, source: Source, path: &Path, error: &Malformed) {
        self.gap(Gap::new(source, path.display().to_string(), GapReason::Malformed, error.to_string()));
    }

    pub(crate) fn gap(&mut self, gap: Gap) {
        self.gaps.push(gap);
    }

    /// Keeps one gap for all of a `kind`, so that 1,000 unreadable processes make one line: the first is told, the others counted.
    pub(crate) fn sum(&mut self, kind: &'static str, gap: Gap) {
        self.summed.entry((gap.source, kind, gap.reason)).or_insert((gap, 0)).1 += 1;
    }

    /// The gaps of this look.
    pub(crate) fn into_gaps(self) -> impl Iterator<Item = Gap> {
        self.gaps.into_iter().chain(self.summed.into_values().map(|(mut gap, count)| {
            if count > 1 {
                gap.why = format!("{} (and {} more likewise)", gap.why, count - 1);
            }
            gap
        }))
    }
}

/// The gap that an error at `path` leaves. `EOPNOTSUPP` is a kernel that has the file and not the thing (pressure with `psi=0`).
pub(crate) fn from_io(source: Source, path: &Path, error: &io::Error) -> Gap {
    let mut gap = Gap::from_io(source, path.display().to_string(), error);
    if error.kind() == io::ErrorKind::Unsupported {
        gap.reason = GapReason::Absent;
    }
    gap
}

/// Up to `max` bytes of a file as text, invalid UTF-8 replaced, and whether there was more.
pub(crate) fn read_bounded(path: &Path, max: usize) -> io::Result<(String, bool)> {
    // Room for most files at once: each further read makes the kernel format a table again.
    let mut bytes = Vec::with_capacity(4096);
    File::open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    let more = bytes.len() > max;
    bytes.truncate(max);
    let text = String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Ok((text, more))
}

/// As [`read_bounded`], but gives up after `patience`. Some files of a process need a lock that a stuck thread can hold for ever,
/// which is how `ps` hangs on a sick host.
///
/// # Errors
/// [`io::ErrorKind::TimedOut`] when it took longer; the reading thread is left behind then.
pub(crate) fn read_patiently(path: &Path, max: usize, patience: Duration) -> io::Result<(String, bool)> {
    let (done, answer) = mpsc::sync_channel(1);
    let path = path.to_owned();
    std::thread::Builder::new().name("darkport-read".into()).spawn(move || {
        let _ = done.send(read_bounded(&path, max));
    })?;
    answer.recv_timeout(patience).unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_cut_at_a_line_and_leaves_a_gap() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { proc: dir.path().into(), sys: dir.path().into() };
        std::fs::write(dir.path().join("long"), b"one\ntwo\nthr\xffee\n").unwrap();
        let mut look = Look::new(&roots);
        let text = look.text(Source::Snmp, &dir.path().join("long"), 10, Absence::Gap);
        assert_eq!(text.as_deref(), Some("one\ntwo\n"));
        let gaps: Vec<_> = look.into_gaps().collect();
        assert!(matches!(&gaps[..], [gap] if gap.reason == GapReason::TooLarge), "{gaps:?}");
    }

    #[test]
    fn gaps_of_a_kind_are_summed() {
        let roots = Roots { proc: "/nowhere".into(), sys: "/nowhere".into() };
        let mut look = Look::new(&roots);
        for pid in 1..=42 {
            look.sum("task", Gap::new(Source::Processes, format!("/proc/{pid}/task"), GapReason::Permission, "denied"));
        }
        let gaps: Vec<_> = look.into_gaps().collect();
        assert!(matches!(&gaps[..], [gap] if gap.to_string() == "/proc/1/task: denied (and 41 more likewise)"), "{gaps:?}");
    }

    #[test]
    fn a_read_that_hangs_is_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let error = read_patiently(&fifo, 10, Duration::from_millis(20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
