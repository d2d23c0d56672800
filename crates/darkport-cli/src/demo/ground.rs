//! The ground that the demo stands on: user, network, mount and host-name namespaces of this process alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getegid, geteuid, sethostname};

use crate::input::FileError;

/// Why the demo cannot be live, or went wrong.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    #[error("this kernel or container does not let this user {0}")]
    Forbidden(&'static str, #[source] io::Error),
    #[error("`{0}` cannot be run: it comes with iproute2 (apt-get install iproute2)")]
    NoTool(&'static str, #[source] io::Error),
    #[error("`{command}` failed: {message}")]
    Command { command: String, message: String },
    #[error("the demo's own network does not come up: {0} instances reach the gateway")]
    DoesNotWork(usize),
    #[error("with this kernel the demo's way to {0} breaks nothing")]
    NotBroken(&'static str),
    #[error("nothing can be broken with this kernel")]
    NothingToBreak,
    #[error("this kernel has no {0}, which breaking this needs")]
    Kernel(&'static str),
    #[error("a namespace of the demo cannot be entered")]
    Namespace(#[from] darkport::BridgeError),
    #[error("the demo's host cannot be observed")]
    Observe(#[source] darkport::ObserveError),
    #[error("the observation is not kept")]
    Save(#[source] FileError),
    #[error("failed to {0}")]
    System(&'static str, #[source] io::Error),
    #[error("failed to print")]
    Print(#[source] io::Error),
}

impl DemoError {
    /// With its reason, as one line.
    pub(super) fn told(&self) -> String {
        let source = std::error::Error::source(self).map(|source| format!(": {source}"));
        format!("{self}{}", source.unwrap_or_default())
    }
}

/// Proof that this process stands on its own ground, and the directory there that is a file tree of its own.
pub(super) struct Ground {
    scratch: PathBuf,
}

impl Ground {
    /// Leaves the host's namespaces. Must be called while the process has one thread only (unshare(2), `CLONE_NEWUSER`).
    pub(super) fn enter() -> Result<Self, DemoError> {
        let (uid, gid) = (geteuid(), getegid());
        let own = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS;
        match unshare(own | CloneFlags::CLONE_NEWUSER) {
            Ok(()) => {
                let map = |path: &str, text: String| {
                    fs::write(path, text).map_err(|error| DemoError::Forbidden("map itself to root in a namespace", error))
                };
                // Since Linux 3.19 a group map needs this first (user_namespaces(7)); an older kernel has no such file.
                let _ = fs::write("/proc/self/setgroups", "deny");
                map("/proc/self/uid_map", format!("0 {uid} 1"))?;
                map("/proc/self/gid_map", format!("0 {gid} 1"))?;
            }
            // Root needs no user namespace for it, where they are switched off.
            Err(_) if uid.is_root() && unshare(own).is_ok() => {}
            Err(error) => return Err(DemoError::Forbidden("make namespaces of its own", error.into())),
        }
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
            .map_err(|error| DemoError::Forbidden("keep its mounts to itself", error.into()))?;
        // A sysfs shows the network namespace that it was mounted in. Some containers forbid the mount: then darkport does without
        // it, as it does for any other namespace than its own, and takes the forwarding entries over netlink.
        let _ = mount(Some("demo"), "/sys", Some("sysfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, none);
        let scratch = ["/mnt", "/media", "/srv", "/var/tmp", "/tmp"].into_iter().map(Path::new).find(|path| path.is_dir());
        let scratch = scratch.unwrap_or(Path::new("/run")).to_owned();
        mount(Some("demo"), &scratch, Some("tmpfs"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, Some("size=4m"))
            .map_err(|error| DemoError::Forbidden("mount a tmpfs of its own", error.into()))?;
        sethostname("virt1012").map_err(|error| DemoError::Forbidden("name the host", error.into()))?;
        Ok(Self { scratch })
    }

    /// A directory in memory that no other process sees.
    pub(super) fn scratch(&self) -> &Path {
        &self.scratch
    }
}
