//! What goes wrong at a NIC, or at any device that frames queue on.

pub(super) mod errors;
pub(super) mod lro_on;
pub(super) mod qdisc_drop;
