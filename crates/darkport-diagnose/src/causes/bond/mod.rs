//! What goes wrong at a bond.

pub(super) mod no_active_slave;
