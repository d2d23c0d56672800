//! Network namespaces, entered by a thread of their own so that the caller stays where it is.

use std::fs::File;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::thread;

use nix::sched::{CloneFlags, setns};

use crate::error::BridgeError;

/// A network namespace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Namespace {
    /// The one that the calling thread is in.
    #[default]
    Current,
    /// The one behind a file, such as `/run/netns/NAME`.
    Path(PathBuf),
    /// The one that a process is in.
    Pid(u32),
}

impl Namespace {
    fn file(&self) -> Option<PathBuf> {
        match self {
            Self::Current => None,
            Self::Path(path) => Some(path.clone()),
            Self::Pid(pid) => Some(format!("/proc/{pid}/ns/net").into()),
        }
    }
}

/// Runs `work` in a network namespace and gives back what it returned.
///
/// For another namespace than the current one `work` runs on a thread that has entered it (`setns(2)`) and ends with it; the
/// caller's thread never leaves its own. `/sys` stays the caller's, whichever namespace that shows.
///
/// A panic of `work` goes on in the caller.
///
/// # Errors
/// When the namespace cannot be opened or entered, or no thread can be started.
pub fn in_namespace<T: Send>(namespace: &Namespace, work: impl FnOnce() -> T + Send) -> Result<T, BridgeError> {
    let Some(path) = namespace.file() else { return Ok(work()) };
    let file = File::open(&path).map_err(|source| BridgeError::OpenNamespace { path: path.clone(), source })?;
    let entered = thread::scope(|scope| {
        let enter_and_work = || setns(&file, CloneFlags::CLONE_NEWNET).map(|()| work());
        let thread = thread::Builder::new().name("netns".into()).spawn_scoped(scope, enter_and_work)?;
        Ok(thread.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    match entered {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(errno)) => Err(BridgeError::EnterNamespace { path, source: errno.into() }),
        Err(source) => Err(BridgeError::StartThread { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_current_namespace_needs_nothing() {
        assert_eq!(in_namespace(&Namespace::Current, || 7).unwrap(), 7);
    }

    #[test]
    fn a_namespace_that_is_not_there_says_which() {
        let error = in_namespace(&Namespace::Path("/nonexistent/netns".into()), || 7).unwrap_err();
        assert_eq!(error.to_string(), "failed to open the network namespace /nonexistent/netns");
        assert!(!error.needs_privilege());
    }

    #[test]
    fn a_file_that_is_no_namespace_is_not_entered() {
        let error = in_namespace(&Namespace::Path("/dev/null".into()), || 7).unwrap_err();
        assert!(matches!(error, BridgeError::EnterNamespace { .. }), "{error}");
    }
}
