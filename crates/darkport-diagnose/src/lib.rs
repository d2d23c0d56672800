//! From an [`Observation`](darkport_model::Observation) to a [`Diagnosis`](darkport_model::Diagnosis): checks, causes, ranking.
//!
//! Everything here is pure: no file, socket, clock or environment is read, so that a capture diagnoses to the same answer on any
//! machine. `ARCHITECTURE.md` tells how a verdict comes about.
//!
//! ```
//! use darkport_model::{Observation, Status};
//!
//! let nothing_seen = Observation::default();
//! assert_eq!(darkport_diagnose::diagnose(&nothing_seen).status, Status::Undetermined);
//! ```

mod beyond;
mod causes;
mod check;
#[cfg(test)]
mod layout_tests;
mod path;
mod played;
mod ports;
mod rank;
mod reach;
mod scene;
mod subject;
#[cfg(test)]
mod testing;
mod trace;
mod unknown;
mod uplink;
mod verdict;
mod wanted;
mod wiring;
mod words;

pub use check::Explanation;
pub use verdict::diagnose;

/// Every cause that this darkport knows, in the order of the path.
pub fn catalogue() -> impl ExactSizeIterator<Item = &'static Explanation> {
    causes::ALL.iter().map(|cause| &cause.explanation)
}

/// The cause with this code.
pub fn explain(code: &str) -> Option<&'static Explanation> {
    catalogue().find(|cause| cause.code == code)
}
