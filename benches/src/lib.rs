//! What the figures in `RESULTS.md` are measured with: medians, and the bare loop that receives and discards a netlink dump.
#![allow(clippy::disallowed_methods, reason = "measuring reads the clock")]

mod bare;

pub use bare::BareSocket;

use std::time::{Duration, Instant};

/// How long `work` takes.
pub fn time<T>(work: impl FnOnce() -> T) -> Duration {
    let begun = Instant::now();
    std::hint::black_box(work());
    begun.elapsed()
}

/// The middle of the measured times; zero for none.
pub fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}
