//! A process's threads: `/proc/PID/task/TID/{stat,wchan}`. Neither needs a lock that a stuck thread can hold.

use std::path::Path;

use darkport_model::{Gap, GapReason, Process, Sampled, Source, Thread, bounded};

use super::{Seen, unreadable};
use crate::look::{Look, Malformed, read_bounded};

/// What a line of `stat` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) name: String,
    pub(crate) state: char,
    /// Ticks in user and in kernel mode together.
    pub(crate) cpu_ticks: u64,
    /// Ticks after boot at which it started: tells a number's second owner from its first.
    pub(crate) started: u64,
}

/// `TID (NAME) STATE …` (linux, `fs/proc/array.c`, `do_task_stat`). The name may have spaces and parentheses of its own, so that it ends
/// at the last one.
pub(crate) fn parse_stat(text: &str) -> Result<Stat, Malformed> {
    let malformed = || Malformed { line: 1, expected: "TID (NAME) STATE and 19 numbers" };
    let (_, rest) = text.split_once('(').ok_or_else(malformed)?;
    let (name, rest) = rest.rsplit_once(')').ok_or_else(malformed)?;
    let fields: Vec<&str> = rest.split_whitespace().take(20).collect();
    // The state is field 3 of proc(5).
    let number = |field: usize| fields.get(field - 3).and_then(|number| number.parse::<u64>().ok()).ok_or_else(malformed);
    Ok(Stat {
        name: bounded(name, 64),
        state: fields.first().and_then(|state| state.chars().next()).ok_or_else(malformed)?,
        cpu_ticks: number(14)?.saturating_add(number(15)?),
        started: number(22)?,
    })
}

/// The threads of the process in `directory`, which are noted in `seen` up to `max` of all processes.
pub(super) fn read(look: &mut Look<'_>, directory: &Path, pid: u32, seen: &mut Seen, max: usize) -> Vec<Thread> {
    let tasks = directory.join("task");
    let entries = match std::fs::read_dir(&tasks) {
        Ok(entries) => entries,
        Err(error) => {
            unreadable(look, "task", &tasks, &error);
            return Vec::new();
        }
    };
    let mut tids: Vec<u32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    tids.sort_unstable();
    let mut threads = Vec::with_capacity(tids.len().min(64));
    for tid in tids {
        if seen.len() == max {
            let why = format!("not read: {max} threads were read before");
            look.sum("threads", Gap::new(Source::Processes, tasks.display().to_string(), GapReason::TooLarge, why));
            break;
        }
        let task = tasks.join(tid.to_string());
        let Some(stat) = stat(look, &task) else { continue };
        seen.insert(tid, (pid, stat.started));
        let mut thread = Thread::default();
        thread.tid = tid;
        thread.name = stat.name;
        thread.waits_in = waits_in(&task, stat.state);
        thread.state = Sampled::once(stat.state);
        thread.cpu_ticks = Sampled::once(stat.cpu_ticks);
        threads.push(thread);
    }
    threads
}

/// The second look at the same threads.
pub(crate) fn read_again(look: &mut Look<'_>, seen: &Seen, processes: &mut [Process]) {
    for thread in processes.iter_mut().flat_map(|process| &mut process.threads) {
        let Some((pid, started)) = seen.get(&thread.tid) else { continue };
        let task = look.proc(format!("{pid}/task/{}", thread.tid));
        let Some(stat) = stat(look, &task).filter(|stat| stat.started == *started) else { continue };
        thread.waits_in = waits_in(&task, stat.state).or(thread.waits_in.take());
        thread.state.last = Some(stat.state);
        thread.cpu_ticks.last = Some(stat.cpu_ticks);
    }
}

fn stat(look: &mut Look<'_>, task: &Path) -> Option<Stat> {
    let path = task.join("stat");
    let text = match read_bounded(&path, 4096) {
        Ok((text, _)) => text,
        Err(error) => {
            unreadable(look, "stat", &path, &error);
            return None;
        }
    };
    let stat = parse_stat(&text);
    if let Err(error) = &stat {
        look.sum("stat", Gap::new(Source::Processes, path.display().to_string(), GapReason::Malformed, error.to_string()));
    }
    stat.ok()
}

/// What a thread that cannot be interrupted waits in; `0` is a kernel that does not tell (or not us). Sleep of the ordinary kind is what
/// idle threads do, and reading that of 10,000 would cost more than the rest of the look.
fn waits_in(task: &Path, state: char) -> Option<String> {
    if state != 'D' {
        return None;
    }
    let (function, _) = read_bounded(&task.join("wchan"), 4096).ok()?;
    let function = function.trim();
    (!function.is_empty() && function != "0").then(|| bounded(function, 128))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_may_try_to_look_like_fields() {
        let text = "4711 (CPU 0) R (KVM) D 1 4711 4711 0 -1 1077936128 1 2 3 4 150 50 7 8 20 0 3 0 8913 1 2\n";
        let stat = parse_stat(text).unwrap();
        assert_eq!(stat, Stat { name: "CPU 0) R (KVM".into(), state: 'D', cpu_ticks: 200, started: 8913 });
        for bad in ["", "1 (x", "1 (x)", "1 (x) R 1 2", ") 1 ("] {
            assert!(parse_stat(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9]{0,4} ?\\(?.{0,10}\\)? [RSD]( [0-9]{0,20}){0,22}") {
            let _ = parse_stat(&text);
        }
    }
}
