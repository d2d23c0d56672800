//! What goes wrong between a bridge and its NIC.

pub(super) mod admin_down;
pub(super) mod device_missing;
pub(super) mod in_wrong_bridge;
pub(super) mod mtu_mismatch;
pub(super) mod no_carrier;
pub(super) mod not_in_bridge;
pub(super) mod vlan_id_mismatch;
