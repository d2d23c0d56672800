//! Why did the instances on this hypervisor lose the network, and what is the least that brings them back?
//!
//! One way for the data: an [`Observer`] reads a host and judges nothing, the [`Observation`](model::Observation) that it gives is a
//! plain value that can be saved and carried away, and [`diagnose`] turns it into a [`Diagnosis`](model::Diagnosis) without any I/O.
//!
//! ```no_run
//! let seen = darkport::Observer::new().observe()?;
//! let diagnosis = darkport::diagnose(&seen);
//! println!("{}", diagnosis.headline);
//! # Ok::<(), darkport::ObserveError>(())
//! ```
//!
//! Without the `observe` feature (on by default) the crate only judges observations that were made elsewhere, and builds anywhere:
//!
//! ```
//! use darkport::model::Observation;
//!
//! let seen = Observation::from_json(r#"{"schema":1,"links":[]}"#)?;
//! let diagnosis = darkport::diagnose(&seen);
//! # Ok::<(), darkport::model::LoadError>(())
//! ```

#[cfg(feature = "observe")]
mod observe;
#[cfg(feature = "observe")]
mod observer;
#[cfg(feature = "observe")]
mod source;

#[cfg(feature = "observe")]
pub use darkport_bridge::{BridgeError, Namespace, in_namespace};
pub use darkport_diagnose::{Explanation, catalogue, diagnose, explain};
pub use darkport_model as model;
#[cfg(feature = "observe")]
pub use darkport_probe as probe;
#[cfg(feature = "observe")]
pub use observer::{ObserveError, Observer};
#[cfg(feature = "observe")]
pub use source::Reader;
