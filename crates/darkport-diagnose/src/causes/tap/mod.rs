//! What goes wrong at the tap of one instance.

pub(super) mod admin_down;
pub(super) mod missing;
pub(super) mod no_reader;
pub(super) mod not_in_bridge;
pub(in crate::causes) mod queue_stalled;
pub(super) mod wrong_bridge;

use darkport_model::{Fix, Manager};

use crate::check::{quoted, step};
use crate::scene::Scene;
use crate::subject::Subject;

/// How an instance is started anew, by whoever runs it.
fn restart(scene: &Scene<'_>, subject: &Subject<'_>) -> Fix {
    let name = &subject.name;
    let loss = format!("starts {name} anew; what ran inside it is lost as by a power cut");
    let manager = subject.instance.and_then(|instance| instance.manager);
    match (manager, subject.instance.and_then(|instance| instance.vmid)) {
        (Some(Manager::Libvirt), _) => {
            let domain = quoted(name);
            Fix::steps(vec![step(scene, format!("virsh destroy --domain={domain}; virsh start --domain={domain}"), loss, None)])
        }
        (Some(Manager::Proxmox), Some(id)) => Fix::steps(vec![step(scene, format!("qm stop {id}; qm start {id}"), loss, None)]),
        _ => Fix::advice(format!("start {name} anew with what started it")),
    }
}
