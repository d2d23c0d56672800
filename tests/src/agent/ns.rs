//! Entering namespaces without `fork`: a thread enters them and spawns from there.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Child, Command};
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{Doing, LabError, Result};

/// Runs `work` on a thread of its own, which may change its namespaces as it likes.
pub(super) fn on_own_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join().unwrap_or_else(|_| Err(LabError::Broken("a thread of the lab panicked".into()))))
}

/// Runs `work` in a network namespace.
pub(super) fn in_net<T: Send>(net: &File, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    on_own_thread(|| {
        setns(net.as_fd(), CloneFlags::CLONE_NEWNET).doing(|| "entering a network namespace".into())?;
        work()
    })
}

/// The namespaces of a process, held open.
#[derive(Debug)]
pub(super) struct Namespaces {
    /// Its network.
    pub(super) net: File,
    others: [(File, CloneFlags); 3],
}

impl Namespaces {
    /// Those of a process, as `/proc` shows it.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let open = |kind: &str| {
            let path = format!("/proc/{pid}/ns/{kind}");
            File::open(&path).doing(|| format!("opening {path}"))
        };
        Ok(Self {
            net: open("net")?,
            others: [
                (open("uts")?, CloneFlags::CLONE_NEWUTS),
                (open("pid")?, CloneFlags::CLONE_NEWPID),
                (open("mnt")?, CloneFlags::CLONE_NEWNS),
            ],
        })
    }

    /// Starts a command in all of them.
    pub(super) fn spawn(&self, command: &mut Command) -> Result<Child> {
        let shown = format!("{command:?}");
        on_own_thread(|| {
            // A thread that shares its root and working directory cannot change its mount namespace.
            unshare(CloneFlags::CLONE_FS).doing(|| "leaving the shared file-system state".into())?;
            setns(self.net.as_fd(), CloneFlags::CLONE_NEWNET).doing(|| "entering a host's network".into())?;
            for (file, kind) in &self.others {
                setns(file.as_fd(), *kind).doing(|| format!("entering a host ({kind:?})"))?;
            }
            command.spawn().doing(|| format!("starting {shown}"))
        })
    }
}
