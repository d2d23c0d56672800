//! What goes wrong in the host as a whole.

pub(super) mod conntrack_full;
pub(super) mod neighbour_overflow;
pub(super) mod softnet_overflow;
