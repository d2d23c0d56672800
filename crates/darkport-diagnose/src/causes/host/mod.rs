//! What goes wrong in the host as a whole.

pub(super) mod conntrack_full;
pub(in crate::causes) mod guests_stalled;
pub(super) mod known_bad_kernel;
pub(super) mod neighbour_overflow;
pub(super) mod softnet_overflow;
