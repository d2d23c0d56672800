//! Which instances ought to be on this host, and who says so: libvirt's domain XML, running qemu processes, the control plane's
//! list, and what the host's own configuration wants of its bridges.
//!
//! [`InventoryReader`] does the I/O: it fills [`Observation::inventory`](darkport_model::Observation::inventory) and says what it
//! could not read as gaps. The parsers below it are pure functions of bytes, for files that were carried here from elsewhere. This
//! crate reads and merges and judges nothing: where two sources disagree, both words are kept for darkport-diagnose.
//!
//! Read so far: libvirt with qemu, Proxmox VE, qemu run by hand; nova's and openstack's lists; nova.conf, ifupdown and
//! systemd-networkd. Containers (LXC, Incus) have no reader here yet.
//!
//! ```
//! let list = "\
//! +--------------------------------------+------+--------+------------+-------------+-------------------+
//! | ID                                   | Name | Status | Task State | Power State | Networks          |
//! +--------------------------------------+------+--------+------------+-------------+-------------------+
//! | 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001 | web  | ACTIVE | -          | Running     | public=10.68.16.4 |
//! +--------------------------------------+------+--------+------------+-------------+-------------------+
//! ";
//! let parsed = darkport_inventory::parse_claims("list.txt", list.as_bytes());
//! assert_eq!(parsed.claims[0].status.as_deref(), Some("ACTIVE"));
//! assert!(parsed.errors.is_empty());
//! ```
#![allow(clippy::disallowed_methods, reason = "this crate observes")]

mod bounds;
mod claims;
mod domain;
mod error;
mod files;
mod intents;
mod merge;
mod proxmox;
mod qemu;
mod reader;
mod taps;

pub use claims::{ParsedClaims, merge_claims, parse_claims};
pub use domain::{DomainXml, parse_domain_xml, parse_network_xml};
pub use error::InputError;
pub use intents::{Configuration, VlanDevice, parse_interfaces, parse_networkd, parse_nova_conf};
pub use merge::merge;
pub use proxmox::parse_proxmox_conf;
pub use qemu::{QemuCommand, QemuNic, parse_qemu_command};
pub use reader::InventoryReader;
pub use taps::parse_fdinfo_iff;
