//! What goes wrong inside an instance.

pub(super) mod silent;
