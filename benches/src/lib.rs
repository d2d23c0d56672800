//! What the figures in `RESULTS.md` are measured with: medians, and the bare loop that receives and discards a netlink dump.
#![allow(clippy::disallowed_methods, reason = "measuring reads the clock")]

mod bare;

pub use bare::BareSocket;

use std::io;
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

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

/// The CPU time that this process and its finished children have used, in the kernel too.
///
/// # Errors
/// When the kernel does not tell.
pub fn cpu_time() -> io::Result<Duration> {
    let mut used = Duration::ZERO;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        for time in [usage.user_time(), usage.system_time()] {
            used += Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or_default());
        }
    }
    Ok(used)
}
