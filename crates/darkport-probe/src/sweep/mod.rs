//! The sweep: who answers for which address.

mod findings;
mod lanes;
mod machine;
mod plan;
mod report;
mod run;
mod timing;

pub use machine::{Ask, Counts, Holder, Machine, Next, Outcome, State};
pub use plan::{Plan, Settings, Target, hosts};
pub use report::{HolderSeen, HostState, SweepFinding, SweepReport, SweepStats, SweptHost};
pub use run::{Sweep, SweepProgress};
