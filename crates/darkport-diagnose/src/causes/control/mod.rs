//! Where the control plane and the host disagree.

pub(super) mod inventory_disagrees;
