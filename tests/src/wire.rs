//! What passes between the harness and the agent: one JSON value in, one JSON object a line out.

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;

/// All that one boot has to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The scenarios, in order.
    pub(crate) scenarios: Vec<Scenario>,
    /// Save darkport's observation and send it back.
    pub(crate) keep_observations: bool,
}

/// A line from the agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// The agent runs.
    Up {
        /// Seconds since the kernel started.
        uptime: f64,
    },
    /// A scenario begins.
    Start {
        /// Its place in the job.
        index: usize,
    },
    /// A scenario ended.
    Done {
        /// Its place in the job.
        index: usize,
        /// What happened.
        run: Box<Run>,
    },
    /// All is done.
    Bye,
    /// The agent itself failed.
    Failed {
        /// Why.
        why: String,
    },
}

/// What happened in one scenario; nothing here judges.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Run {
    /// The lab was not what it ought to be; the rest then means nothing.
    pub(crate) broken: Option<String>,
    /// The names of the instances on the host where darkport ran.
    pub(crate) instances: Vec<String>,
    /// Instances that really got no answer from the gateway after the fault.
    pub(crate) truth_dark: Vec<String>,
    /// Instances that lost some answers, or all full-size ones.
    pub(crate) truth_degraded: Vec<String>,
    /// darkport's exit code.
    pub(crate) exit_code: Option<i32>,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
    /// How long it ran.
    pub(crate) seconds: f64,
    /// How long the whole scenario took.
    pub(crate) total_seconds: f64,
    /// Where the rest of the time went: build, health check, fault and settling, truth.
    pub(crate) phases: Vec<(String, f64)>,
    /// The observation, when it was asked for.
    pub(crate) observation: Option<String>,
}
