//! Exit codes: the same for every darkport binary, documented here and nowhere else.

use crate::diagnosis::{Diagnosis, InstanceState, Status};

/// What a darkport binary's exit code says, as for a Nagios plugin.
///
/// | code | name | meaning |
/// |---|---|---|
/// | 0 | OK | healthy: nothing is dark, nothing is wrong, and everything that the answer needs could be read |
/// | 1 | WARNING | something is wrong but no instance is known to be dark: one is degraded, or the control plane is mistaken |
/// | 2 | CRITICAL | at least one instance is dark |
/// | 3 | UNKNOWN | no answer: too little could be read, the evidence points two ways, or the tool was called wrongly |
///
/// These numbers do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Healthy.
    Ok = 0,
    /// Something is wrong, nothing is dark.
    Warning = 1,
    /// At least one instance is dark.
    Critical = 2,
    /// No answer.
    Unknown = 3,
}

impl ExitCode {
    /// The code that a diagnosis ends with.
    pub fn of(diagnosis: &Diagnosis) -> Self {
        let dark = diagnosis.instances.iter().any(|instance| instance.state == InstanceState::Dark);
        match diagnosis.status {
            Status::Fault | Status::Ambiguous if dark => Self::Critical,
            Status::Healthy => Self::Ok,
            Status::Fault => Self::Warning,
            Status::Ambiguous | Status::Undetermined => Self::Unknown,
        }
    }

    /// The number given to the operating system.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The name that Nagios gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code.code())
    }
}
