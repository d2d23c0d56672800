//! `bond-no-active-slave`: no member of the bond carries traffic.

use darkport_model::{Carrier, Effect, Finding, Fix, HopKind, Link, LinkKind, Source};

use crate::check::{Definition, Explanation, Outcome, quoted, step};
use crate::scene::{Scene, Segment};
use crate::uplink::{Obstacle, listed, works};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "bond-no-active-slave",
        hop: HopKind::Bond,
        what: "The bond below the bridge's uplink has no member that works: each lost its link, was set down, or was taken out.",
        proof: "No member is up with carrier and held up by the bond's link monitor.",
        fix: "bring a member back: cable, switch port, ip link set MEMBER up",
        reboot_helps: None,
        reboot: "it helps where members were set down or taken out, not where cables or the switch are dead",
        reference: "linux, drivers/net/bonding/bond_main.c (bond_select_active_slave)",
    },
    needs: &[Source::Links],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut working = Vec::new();
    for segment in &scene.segments {
        for chain in segment.ways() {
            let Some(bond) = chain.bond() else { continue };
            if let Some(slave) = chain.slaves.iter().find(|slave| works(slave)) {
                working.push(format!("{} of {} works", slave.name, bond.name));
            }
            for obstacle in chain.obstacles.iter().filter(|_| segment.is_cut()) {
                if let Obstacle::NoMember(bond) = obstacle {
                    findings.push(finding(scene, segment, bond, &chain.slaves));
                }
            }
        }
    }
    if findings.is_empty() && working.is_empty() {
        return Outcome::NotApplicable;
    }
    Outcome::found_or(findings, || listed(&working))
}

fn finding(scene: &Scene<'_>, segment: &Segment<'_>, bond: &Link, slaves: &[&Link]) -> Finding {
    let name = &bond.name;
    let mut finding = Finding::new(
        CAUSE.explanation.code,
        HopKind::Bond,
        name,
        segment.certainty(),
        segment.effect(),
        if slaves.is_empty() {
            format!("the bond {name} has no member")
        } else {
            format!("none of the {} members of the bond {name} works", slaves.len())
        },
    )
    .affecting(scene.names_on(segment));
    let mut steps = Vec::new();
    for slave in slaves {
        let what = if !slave.admin_up {
            steps.push(step(
                scene,
                format!("ip link set {} up", quoted(&slave.name)),
                format!("sets {} up", slave.name),
                Some(format!("ip link set {} down", quoted(&slave.name))),
            ));
            "is administratively down"
        } else if slave.carrier == Carrier::Down {
            "is up and has no carrier"
        } else {
            "has carrier, but the bond's link monitor holds it down"
        };
        finding = finding.seen(format!("{} {what}", slave.name), "netlink link dump");
    }
    if let LinkKind::Bond { mode, active_slave: None, .. } = &bond.kind {
        finding = finding.seen(format!("{name} (mode {mode}) has no active member"), "netlink link dump");
    }
    let words = "check cables, transceivers and switch ports of the bond's members";
    finding.fixed_by(if steps.is_empty() { Fix::advice(words) } else { Fix::steps(steps) })
}

#[cfg(test)]
mod tests {
    use crate::testing::{bonded, diagnosed, healthy, only};
    use darkport_model::{Carrier, HopKind};

    #[test]
    fn a_bond_with_one_working_member_is_healthy() {
        healthy(&diagnosed(bonded(3), |seen| seen.link_mut("eth2").carrier = Carrier::Down));
    }

    #[test]
    fn a_bond_without_any_is_the_cause_and_not_its_members() {
        let diagnosis = diagnosed(bonded(3), |seen| {
            for name in ["eth1", "eth2", "bond0", "bond0.1102"] {
                seen.link_mut(name).carrier = Carrier::Down;
            }
        });
        let cause = only(&diagnosis, "bond-no-active-slave");
        assert_eq!((cause.hop, cause.explains.len()), (HopKind::Bond, 3));
    }
}
