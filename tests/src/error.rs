//! What can go wrong in the lab itself, as opposed to in what it tests.

use std::io;

/// A failure of the lab.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum LabError {
    /// An operating-system call failed.
    #[error("{doing}: {source}")]
    Io {
        /// The operation and its object.
        doing: String,
        /// What the system said.
        source: io::Error,
    },
    /// A command ended badly.
    #[error("`{command}` ended with {status}: {output}")]
    Command {
        /// As it was run.
        command: String,
        /// Its exit status.
        status: String,
        /// The last of what it printed.
        output: String,
    },
    /// A scenario file cannot be used; the text names file and line.
    #[error("{0}")]
    Scenario(String),
    /// The lab is not what it ought to be.
    #[error("{0}")]
    Broken(String),
}

/// The lab's result.
pub(crate) type Result<T> = std::result::Result<T, LabError>;

/// Adds the operation to an error.
pub(crate) trait Doing<T> {
    /// Says what was being done.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| LabError::Io { doing: what(), source })
    }
}

impl<T> Doing<T> for nix::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|errno| LabError::Io { doing: what(), source: errno.into() })
    }
}
