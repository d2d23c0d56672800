//! Several lists that tell of the same instance.

use std::collections::HashMap;

use darkport_model::Claim;

/// Puts the claims about one UUID together, so that a list and a `show` of the same instance make one row. Where they contradict each
/// other nothing is put together: both rows stay, each with its own place.
pub fn merge_claims(claims: Vec<Claim>) -> Vec<Claim> {
    let mut merged: Vec<Claim> = Vec::with_capacity(claims.len());
    let mut by_uuid: HashMap<String, usize> = HashMap::new();
    for claim in claims {
        let known = claim.uuid.as_ref().and_then(|uuid| by_uuid.get(uuid)).and_then(|at| merged.get_mut(*at));
        match known {
            Some(known) if agree(known, &claim) => join(known, claim),
            Some(_) => merged.push(claim),
            None => {
                if let Some(uuid) = &claim.uuid {
                    by_uuid.insert(uuid.clone(), merged.len());
                }
                merged.push(claim);
            }
        }
    }
    merged
}

fn texts(claim: &Claim) -> [&Option<String>; 8] {
    let Claim { name, instance_name, host, hypervisor_hostname, asked_host, status, power_state, task_state, .. } = claim;
    [name, instance_name, host, hypervisor_hostname, asked_host, status, power_state, task_state]
}

fn agree(a: &Claim, b: &Claim) -> bool {
    texts(a).iter().zip(texts(b)).all(|(a, b)| a.is_none() || b.is_none() || *a == b)
}

fn join(known: &mut Claim, other: Claim) {
    known.name = known.name.take().or(other.name);
    known.instance_name = known.instance_name.take().or(other.instance_name);
    known.host = known.host.take().or(other.host);
    known.hypervisor_hostname = known.hypervisor_hostname.take().or(other.hypervisor_hostname);
    known.asked_host = known.asked_host.take().or(other.asked_host);
    known.status = known.status.take().or(other.status);
    known.power_state = known.power_state.take().or(other.power_state);
    known.task_state = known.task_state.take().or(other.task_state);
    super::fields::add_addresses(known, other.addresses);
    if known.place.len() + other.place.len() < crate::bounds::MAX_TEXT {
        known.place = format!("{}, {}", known.place, other.place);
    }
}
