//! What ought to be here: instances, what the control plane says of them, and what the configuration wants.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::ids::{MacAddr, Vid};

/// Everything known about what ought to be on this host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Inventory {
    /// Instances that this host knows: from libvirt's files and from running processes.
    pub instances: Vec<Instance>,
    /// What the control plane says, a row for each of its instances.
    pub claims: Vec<Claim>,
    /// What the host's own configuration wants.
    pub intents: Vec<Intent>,
    /// Bridges that the configuration gives no uplink on purpose: `bridge_ports none` (bridge-utils-interfaces(5)).
    pub isolated: Vec<Fact<String>>,
}

/// A value and where it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Fact<T> {
    /// The value.
    pub value: T,
    /// The kind of source.
    pub source: FactSource,
    /// The place in it: `/run/libvirt/qemu/i-1.xml`, `/proc/812/cmdline`, `list.txt:7`.
    pub place: String,
}

impl<T> Fact<T> {
    /// A value with its source.
    pub fn new(value: T, source: FactSource, place: impl Into<String>) -> Self {
        Self { value, source, place: place.into() }
    }
}

/// Kinds of source, the most trusted first: what runs beats what is written, what is written here beats what is said elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FactSource {
    /// The process that holds the tap open (`/proc/PID/fdinfo`, `iff:`).
    TunOwner,
    /// A qemu process's command line.
    QemuProcess,
    /// libvirt's XML of the running domain.
    LiveXml,
    /// libvirt's XML of the domain as defined.
    PersistentXml,
    /// The control plane's list.
    ControlPlane,
    /// A configuration file of this host.
    Configuration,
}

/// What starts and stops an instance, and so what a command on it is given to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Manager {
    /// libvirt (`virsh`), by itself or for nova.
    Libvirt,
    /// Proxmox VE (`qm`).
    Proxmox,
    /// Another one.
    Other,
}

/// An instance that this host knows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Instance {
    /// libvirt's name for it: `instance-0000002a`.
    pub name: String,
    /// Its UUID, in lower case with dashes.
    pub uuid: Option<String>,
    /// The name that its owner gave it, where metadata tells.
    pub display_name: Option<String>,
    /// Whether it runs here, and who says so.
    pub running: Option<Fact<bool>>,
    /// Whether it runs but is paused (libvirt's `<domstatus state='paused'>`), and who says so.
    pub paused: Option<Fact<bool>>,
    /// The process that runs it.
    pub pid: Option<u32>,
    /// Who starts and stops it, where anybody does: a qemu that was run by hand has none.
    pub manager: Option<Manager>,
    /// Proxmox VE's number for it: the `101` of `qm start 101`.
    pub vmid: Option<u32>,
    /// Its network interfaces.
    pub nics: Vec<Nic>,
}

impl Instance {
    /// An instance known by its name only.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Whether it runs here, as far as anybody says.
    pub fn is_running(&self) -> Option<bool> {
        self.running.as_ref().map(|fact| fact.value)
    }
}

/// A network interface of an instance. Of each fact the most trusted source's word is kept ([`FactSource`] in its order).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Nic {
    /// The guest's address on it.
    pub mac: Option<Fact<MacAddr>>,
    /// The tap (or veth, macvtap) on this host.
    pub tap: Option<Fact<String>>,
    /// The bridge that the tap ought to be a port of.
    pub bridge: Option<Fact<String>>,
    /// The VLAN that it ought to be in.
    pub vid: Option<Fact<Vid>>,
    /// Its MTU, where configured.
    pub mtu: Option<Fact<u32>>,
    /// IP addresses that it ought to have.
    pub addresses: Vec<Fact<IpAddr>>,
    /// The server that gives it its address, as its network filter has it (`DHCPSERVER`, which nova sets): with nova-network the gateway
    /// (nova, `nova/virt/libvirt/vif.py`).
    pub gateways: Vec<Fact<IpAddr>>,
    /// Whether libvirt was told to keep its link down (`<link state='down'/>`).
    pub link_down: Option<Fact<bool>>,
    /// The network filter on it.
    pub filter: Option<Fact<String>>,
}

/// One row of what the control plane says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Claim {
    /// UUID, in lower case.
    pub uuid: Option<String>,
    /// The name that its owner gave it.
    pub name: Option<String>,
    /// libvirt's name (`OS-EXT-SRV-ATTR:instance_name`).
    pub instance_name: Option<String>,
    /// Where nova runs it (`OS-EXT-SRV-ATTR:host`).
    pub host: Option<String>,
    /// `OS-EXT-SRV-ATTR:hypervisor_hostname`; a migration by hand leaves it behind. `openstack server list --long` shows this one as "Host".
    pub hypervisor_hostname: Option<String>,
    /// The host that the list was asked for (`nova list --host H`), where the caller says so.
    pub asked_host: Option<String>,
    /// `ACTIVE`, `SHUTOFF`, `ERROR`, …, in capitals.
    pub status: Option<String>,
    /// `Running`, `Shutdown`, …
    pub power_state: Option<String>,
    /// What nova is doing to it.
    pub task_state: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// File and line.
    pub place: String,
}

/// What the host's configuration wants: this device as a port of that bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[non_exhaustive]
pub struct Intent {
    /// The bridge.
    pub bridge: String,
    /// The device that ought to be its uplink.
    pub uplink: String,
    /// The VLAN id that the configuration gives to the uplink, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vid: Option<Vid>,
    /// The device below the uplink, where the configuration names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// File and line: `/etc/nova/nova.conf:12`.
    pub place: String,
}

impl Intent {
    /// `uplink` ought to be a port of `bridge`, says `place`.
    pub fn new(bridge: impl Into<String>, uplink: impl Into<String>, place: impl Into<String>) -> Self {
        Self { bridge: bridge.into(), uplink: uplink.into(), vid: None, parent: None, place: place.into() }
    }
}
