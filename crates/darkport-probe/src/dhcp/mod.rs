//! DHCP as an instance: who offers what, and where each offer was seen.

mod ask;
mod book;
mod drive;
mod findings;
mod machine;
mod offer;
mod plan;
mod report;
mod run;
#[cfg(test)]
mod tests;

pub use ask::DhcpAsk;
pub use machine::{DhcpCounts, DhcpMachine};
pub use plan::{DhcpPlan, DhcpSettings, TakeLease};
pub use report::{DhcpFinding, DhcpReport, DhcpStats};
pub use run::Dhcp;
