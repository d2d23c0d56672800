//! Whether a process is in the network namespace that is observed: what it holds and serves is in its own.

use std::path::{Path, PathBuf};

use super::unreadable;
use crate::look::Look;

/// The network namespace of the calling thread, which is the observed one. The link's text (`net:[4026531840]`) is the namespace's own:
/// two are the same namespace when their texts are (namespaces(7)).
pub(super) fn observed(look: &Look<'_>) -> Option<PathBuf> {
    // `thread-self` is there since linux 3.17.
    let tasks = ["thread-self".to_owned(), format!("self/task/{}", nix::unistd::gettid())];
    tasks.into_iter().find_map(|task| std::fs::read_link(look.proc(task).join("ns/net")).ok())
}

/// Whether the process in `directory` is surely in another namespace than `observed`.
pub(super) fn is_elsewhere(look: &mut Look<'_>, directory: &Path, observed: Option<&Path>) -> bool {
    let Some(observed) = observed else { return false };
    let path = directory.join("ns/net");
    match std::fs::read_link(&path) {
        Ok(its) => its != observed,
        Err(error) => {
            unreadable(look, "namespace", &path, &error);
            false
        }
    }
}
