//! What goes wrong at a port of a bridge, a tap or an uplink alike.

pub(super) mod bridge_loop;
pub(super) mod ebtables_drop;
mod filtered;
pub(super) mod learning_or_flood_off;
pub(super) mod spoof_filter_mismatch;
pub(super) mod stp_blocked;
pub(super) mod vlan_filter_missing;
