//! What goes wrong at the tap of one instance.

pub(super) mod admin_down;
pub(super) mod missing;
pub(super) mod no_reader;
pub(super) mod not_in_bridge;
pub(super) mod queue_stalled;
pub(super) mod wrong_bridge;
