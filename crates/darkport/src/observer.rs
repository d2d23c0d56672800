//! How to look at a host: which parts, where, for how long.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use darkport_bridge::{BridgeError, Namespace};
use darkport_model::Observation;
use darkport_probe::{AllowChanges, Capture};

use crate::observe;
use crate::source::Reader;

/// Looks at a host. What could not be read is a [`Gap`](darkport_model::Gap) in what it gives, not an error.
///
/// ```no_run
/// use std::time::Duration;
///
/// let seen = darkport::Observer::new()
///     .window(Duration::from_secs(1))
///     .claims_file("nova-list.txt")
///     .asked_host("virt1012")
///     .on_progress(|step| eprintln!("{step} …"))
///     .observe()?;
/// # Ok::<(), darkport::ObserveError>(())
/// ```
#[must_use = "an observer looks only when `observe` is called"]
pub struct Observer {
    pub(crate) plan: Plan,
    progress: Box<dyn FnMut(&str) + Send>,
}

/// What the reading thread needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) readers: Vec<Reader>,
    pub(crate) namespace: Namespace,
    pub(crate) window: Duration,
    pub(crate) deadline: Duration,
    pub(crate) root: Option<PathBuf>,
    pub(crate) proc: Option<PathBuf>,
    pub(crate) sys: Option<PathBuf>,
    pub(crate) claims: Vec<Claims>,
    pub(crate) asked_host: Option<String>,
    pub(crate) allowed: Option<AllowChanges>,
    /// Where the reading thread puts the frames of the probes, if they are wanted.
    pub(crate) capture: Option<Arc<Mutex<Capture>>>,
}

/// What the control plane says, and where that stands.
#[derive(Clone)]
pub(crate) enum Claims {
    File(PathBuf),
    Text { name: String, bytes: Vec<u8> },
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text { name, bytes } => write!(f, "Text({name:?}, {} bytes)", bytes.len()),
        }
    }
}

/// An observation that could not begin. Everything that fails later is a gap in the observation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// The network namespace to look into could not be entered.
    #[error("failed to enter the network namespace {namespace}")]
    Namespace {
        /// Which one: a path or a process number.
        namespace: String,
        /// Why.
        source: BridgeError,
    },
    /// The thread that reads could not be started.
    #[error("failed to start the reading thread")]
    Thread(#[source] std::io::Error),
}

impl Default for Observer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

impl Observer {
    /// Looks at everything in the caller's own network namespace, twice, 2 s apart, for 30 s at most. Meanwhile it asks instances and gateway
    /// by ARP, which changes nothing; [`readers`](Self::readers) without [`Reader::Probes`] sends nothing.
    pub fn new() -> Self {
        let plan = Plan {
            readers: Reader::ALL.to_vec(),
            namespace: Namespace::Current,
            window: Duration::from_secs(2),
            deadline: Duration::from_secs(30),
            root: None,
            proc: None,
            sys: None,
            claims: Vec::new(),
            asked_host: None,
            allowed: None,
            capture: None,
        };
        Self { plan, progress: Box::new(|_| ()) }
    }

    /// Reads these parts only; each of the others becomes a gap.
    pub fn readers(mut self, readers: &[Reader]) -> Self {
        self.plan.readers = readers.to_vec();
        self
    }

    /// Looks into this network namespace. Needs `CAP_SYS_ADMIN` for any but the current one.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.plan.namespace = namespace;
        self
    }

    /// The time between the two looks at counters. Zero takes one look only, so that no rate can be told.
    pub fn window(mut self, window: Duration) -> Self {
        self.plan.window = window;
        self
    }

    /// The longest that observing may take. A reading that has not returned by then (a `/proc` file of a stuck process, say) is left
    /// behind on its thread, and what it would have told is a gap.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.plan.deadline = deadline;
        self
    }

    /// Where `/etc`, `/run` and `/var` of the host are found, for instance below a container's mount of it.
    pub fn root(mut self, root: impl Into<PathBuf>) -> Self {
        self.plan.root = Some(root.into());
        self
    }

    /// Where the host's `/proc` is.
    pub fn proc(mut self, proc: impl Into<PathBuf>) -> Self {
        self.plan.proc = Some(proc.into());
        self
    }

    /// Where the host's `/sys` is.
    pub fn sys(mut self, sys: impl Into<PathBuf>) -> Self {
        self.plan.sys = Some(sys.into());
        self
    }

    /// A file with what the control plane says: the table of `nova list` or of `openstack server list`, as text, JSON or CSV. May be
    /// given several times.
    pub fn claims_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.plan.claims.push(Claims::File(path.into()));
        self
    }

    /// The same from memory; `name` stands for the file's name in messages.
    pub fn claims(mut self, name: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        self.plan.claims.push(Claims::Text { name: name.into(), bytes: bytes.into() });
        self
    }

    /// The host that those lists were asked for (`nova list --host H`), which the lists themselves do not say.
    pub fn asked_host(mut self, host: impl Into<String>) -> Self {
        self.plan.asked_host = Some(host.into());
        self
    }

    /// Allows what changes the host while it looks, and nothing afterwards: the kernel is asked to report each frame that it drops.
    pub fn allow_changes(mut self, allowed: AllowChanges) -> Self {
        self.plan.allowed = Some(allowed);
        self
    }

    /// Keeps the frames of the probes, for [`frames`](Self::frames).
    pub fn keep_frames(mut self) -> Self {
        self.plan.capture = Some(Arc::default());
        self
    }

    /// Takes the frames of the probes, once [`observe`](Self::observe) has returned: none without [`keep_frames`](Self::keep_frames), and none where
    /// nothing was sent.
    pub fn frames(&self) -> Capture {
        let taken = self.plan.capture.as_ref().map(|kept| std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner)));
        taken.unwrap_or_default()
    }

    /// Called on the caller's thread as each step begins, with what it does in a few words.
    pub fn on_progress(mut self, progress: impl FnMut(&str) + Send + 'static) -> Self {
        self.progress = Box::new(progress);
        self
    }

    /// Looks.
    ///
    /// # Errors
    /// When the namespace cannot be entered or no thread can be had. Nothing else: what cannot be read is a gap.
    pub fn observe(&mut self) -> Result<Observation, ObserveError> {
        observe::run(&self.plan, &mut *self.progress)
    }
}
