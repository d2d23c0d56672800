//! The side that runs inside the VM, or in namespaces of the machine: builds the data centre, breaks it, runs darkport.

mod applets;
mod boot;
mod guest;
mod host;
mod identity;
mod machine;
mod net;
mod ns;
mod patch;
mod play;
mod world;

pub(crate) use applets::applet;
pub(crate) use boot::{QEMU_VARIABLE, ground, host_ground, vm_init};
