//! Processes that matter to an instance's network, and what their threads do.

use serde::{Deserialize, Serialize};

use crate::sample::Sampled;

/// A process.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Process {
    /// Its number, in the namespace that was read.
    pub pid: u32,
    /// Its name (`/proc/PID/comm`).
    pub comm: String,
    /// What it is to us.
    pub role: ProcessRole,
    /// Its network namespace is another one than the observed, as `/proc/PID/ns/net` tells (namespaces(7)); false where it does not.
    pub elsewhere: bool,
    /// Its command line, each argument cut to 4,096 characters and the whole to 256 arguments.
    pub command: Vec<String>,
    /// Its threads; the vhost workers that serve it (`vhost-PID`) are among them.
    pub threads: Vec<Thread>,
}

/// What a process is to an instance's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ProcessRole {
    /// Runs an instance.
    Qemu,
    /// Serves DHCP and DNS.
    Dnsmasq,
    /// libvirt's daemons.
    Libvirt,
    /// A nova service.
    Nova,
    /// A neutron agent.
    Neutron,
    /// A vhost worker of the kernel.
    Vhost,
    /// The kernel's page merging thread.
    Ksmd,
    /// Another one of interest.
    #[default]
    Other,
}

/// A thread.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Thread {
    /// Its number.
    pub tid: u32,
    /// Its name: `CPU 0/KVM`, `vhost-1234`, …
    pub name: String,
    /// Its state letter at each look: `R` runs, `S` sleeps, `D` waits without being interruptible, `T` stopped (proc(5)).
    pub state: Sampled<char>,
    /// The kernel function it waits in (`/proc/PID/wchan`), where the kernel tells.
    pub waits_in: Option<String>,
    /// Processor time used so far, in clock ticks (1/100 s).
    pub cpu_ticks: Sampled<u64>,
}
