//! What goes wrong at a bridge.

pub(super) mod admin_down;
pub(super) mod fdb_wrong_port;
pub(super) mod mac_changed;
pub(super) mod missing;
