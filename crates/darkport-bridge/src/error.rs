//! What keeps an inspection from starting at all.

use std::io;
use std::path::PathBuf;

/// Why a host could not be looked at. What goes wrong later is no error but a [`Gap`](darkport_model::Gap).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The netlink socket could not be had.
    #[error("failed to open a NETLINK_ROUTE socket")]
    OpenSocket(#[source] io::Error),
    /// The namespace's file could not be opened.
    #[error("failed to open the network namespace {}", path.display())]
    OpenNamespace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The namespace could not be entered (`setns(2)`; it needs `CAP_SYS_ADMIN` in it).
    #[error("failed to enter the network namespace {}", path.display())]
    EnterNamespace {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The thread that was to enter the namespace could not be started.
    #[error("failed to start a thread for the network namespace {}", path.display())]
    StartThread {
        /// The namespace's file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl BridgeError {
    /// Whether more rights would help.
    pub fn needs_privilege(&self) -> bool {
        let (Self::OpenSocket(source)
        | Self::OpenNamespace { source, .. }
        | Self::EnterNamespace { source, .. }
        | Self::StartThread { source, .. }) = self;
        source.kind() == io::ErrorKind::PermissionDenied
    }
}
