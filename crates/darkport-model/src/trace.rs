//! Which devices the frames of a question passed, in words: an observation has the numbers ([`ArpProbe`](crate::ArpProbe)).

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// A question that this host asked, and how far it and its answer got: evidence, and nobody's cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Trace {
    /// The bridge that it was asked on.
    pub bridge: String,
    /// The address asked for.
    pub target: Ipv4Addr,
    /// Whose it is: an instance's name, `the gateway`; empty where it is somebody else's.
    #[serde(default)]
    pub whose: String,
    /// How often it was asked for.
    pub sent: u32,
    /// How many of the questions had an answer.
    pub answered: u32,
    /// The devices that the questions crossed, in order, each with the milliseconds since the first question was sent:
    /// `br1102 0.0, eth1.1102 0.1, eth1 with tag 1102 0.1`. Empty where nothing was followed.
    #[serde(default)]
    pub out: String,
    /// The devices that the answers crossed.
    #[serde(default)]
    pub back: String,
}

impl Trace {
    /// A question for `target` on the bridge of this name, of which nothing is known yet.
    pub fn new(bridge: impl Into<String>, target: Ipv4Addr) -> Self {
        Self { bridge: bridge.into(), target, whose: String::new(), sent: 0, answered: 0, out: String::new(), back: String::new() }
    }
}
