//! Processes that matter to an instance's network.

mod cmdline;
mod namespace;
mod role;
mod threads;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use darkport_model::{Gap, GapReason, Process, ProcessRole, Source, Thread, bounded};

pub(crate) use self::cmdline::parse_cmdline;
use self::role::Candidate;
pub(crate) use self::role::{candidate, role_of_command};
pub(crate) use self::threads::parse_stat;
pub(crate) use self::threads::read_again;
use crate::look::{FILE_MAX, Look, from_io, read_bounded, read_patiently};

/// The most processes looked at, and the most threads kept in all.
const PROCESSES_MAX: usize = 65_536;
const THREADS_MAX: usize = 65_536;
/// How long the command line of a process with a stuck thread may take.
const PATIENCE: Duration = Duration::from_millis(200);

/// The threads that the first look saw, for the second: by number, the process under which it is found and when it started.
pub(crate) type Seen = BTreeMap<u32, (u32, u64)>;

pub(crate) fn read(look: &mut Look<'_>, seen: &mut Seen) -> Vec<Process> {
    seen.clear();
    let mut processes = Vec::new();
    let mut vhosts = Vec::new();
    // After one command line that hangs the others of its kind would cost the same wait each.
    let mut hung = false;
    let observed = namespace::observed(look);
    for pid in pids(look) {
        let directory = look.proc(pid.to_string());
        let comm = match read_bounded(&directory.join("comm"), 4096) {
            Ok((comm, _)) => bounded(comm.trim_end_matches('\n'), 64),
            Err(error) => {
                unreadable(look, "comm", &directory.join("comm"), &error);
                continue;
            }
        };
        let candidate = candidate(&comm);
        if candidate == Candidate::Nothing {
            continue;
        }
        if candidate == Candidate::Script {
            let role = role_of_command(&command(look, &directory, false, &mut hung));
            if role == ProcessRole::Other {
                continue;
            }
        }
        let threads = threads::read(look, &directory, pid, seen, THREADS_MAX);
        if threads.is_empty() {
            continue;
        }
        if let Candidate::VhostWorker(owner) = candidate {
            vhosts.push((owner, pid, comm, threads));
            continue;
        }
        let mut process = Process::default();
        process.pid = pid;
        process.comm = comm;
        let stuck = threads.iter().any(|thread| thread.state.first == 'D');
        process.command = command(look, &directory, stuck, &mut hung);
        process.role = match candidate {
            Candidate::Role(role) => role,
            _ => role_of_command(&process.command),
        };
        process.threads = threads;
        // A kernel thread has no command line, and the namespace that it has says nothing.
        process.elsewhere = !process.command.is_empty() && namespace::is_elsewhere(look, &directory, observed.as_deref());
        processes.push(process);
    }
    attribute(&mut processes, vhosts);
    processes
}

/// Before linux 6.4 a vhost worker is a kernel thread named after the thread that opened `/dev/vhost-net` (linux, `drivers/vhost/vhost.c`):
/// it goes to that process, or stands for itself where there is none.
fn attribute(processes: &mut Vec<Process>, vhosts: Vec<(u32, u32, String, Vec<Thread>)>) {
    let owners: BTreeMap<u32, usize> =
        processes.iter().enumerate().flat_map(|(index, process)| process.threads.iter().map(move |thread| (thread.tid, index))).collect();
    for (owner, pid, comm, threads) in vhosts {
        if let Some(process) = owners.get(&owner).and_then(|index| processes.get_mut(*index)) {
            process.threads.extend(threads);
        } else {
            let mut process = Process::default();
            (process.pid, process.comm, process.role, process.threads) = (pid, comm, ProcessRole::Vhost, threads);
            processes.push(process);
        }
    }
}

/// All process numbers, in order.
fn pids(look: &mut Look<'_>) -> Vec<u32> {
    let root = look.roots.proc.clone();
    let entries = match std::fs::read_dir(&root) {
        Ok(entries) => entries,
        Err(error) => {
            look.gap(from_io(Source::Processes, &root, &error));
            return Vec::new();
        }
    };
    let mut pids: Vec<u32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    // Every process namespace has a process 1, unless `/proc` was mounted with hidepid=2 and it is somebody else's.
    if pids.first() != Some(&1) {
        let why = "process 1 is not shown, so that those of other users are hidden (hidepid)";
        look.gap(Gap::new(Source::Processes, root.display().to_string(), GapReason::Permission, why));
    }
    if pids.len() > PROCESSES_MAX {
        let why = format!("{} processes; the first {PROCESSES_MAX} were looked at", pids.len());
        look.gap(Gap::new(Source::Processes, root.display().to_string(), GapReason::TooLarge, why));
        pids.truncate(PROCESSES_MAX);
    }
    pids
}

/// The command line. It lies in the process's memory, whose lock a stuck thread may hold: then it is read with a limit of time.
fn command(look: &mut Look<'_>, directory: &Path, stuck: bool, hung: &mut bool) -> Vec<String> {
    let path = directory.join("cmdline");
    let read = match (stuck, *hung) {
        (false, _) => read_bounded(&path, FILE_MAX),
        (true, false) => read_patiently(&path, FILE_MAX, PATIENCE),
        (true, true) => Err(io::ErrorKind::TimedOut.into()),
    };
    match read {
        Ok((text, _)) => parse_cmdline(&text),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => {
            *hung = true;
            let why = "it has a thread in uninterruptible sleep, and reading hangs on such a process's memory";
            look.sum("hang", Gap::new(Source::Processes, path.display().to_string(), GapReason::Deadline, why));
            Vec::new()
        }
        Err(error) => {
            unreadable(look, "cmdline", &path, &error);
            Vec::new()
        }
    }
}

/// A process that ended in between is no gap (`ENOENT` at opening, `ESRCH` at reading); others make one gap of a kind.
fn unreadable(look: &mut Look<'_>, kind: &'static str, path: &Path, error: &io::Error) {
    const ESRCH: i32 = 3;
    if error.kind() != io::ErrorKind::NotFound && error.raw_os_error() != Some(ESRCH) {
        look.sum(kind, from_io(Source::Processes, path, error));
    }
}
