//! The sweep: who answers for which address.

mod findings;
mod hearing;
mod lanes;
mod machine;
mod plan;
mod report;
mod run;
mod state;
mod timing;

pub use machine::Machine;
pub use plan::{Plan, Settings, Target, hosts};
pub use report::{HolderSeen, HostState, SweepFinding, SweepReport, SweepStats, SweptHost};
pub use run::{Sweep, SweepProgress};
pub use state::{Ask, Counts, Holder, Next, Outcome, State};
