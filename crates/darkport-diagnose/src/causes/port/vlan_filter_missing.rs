//! `bridge-vlan-filter-missing`: a VLAN-aware bridge has no entry for the instances' VLAN on one side.

use darkport_model::{Certainty, Effect, Finding, HopKind, IfIndex, Link, LinkKind, Source, Vid};

use crate::check::{Definition, Explanation, Outcome, command, quoted};
use crate::scene::{Scene, Segment};
use crate::subject::{Attachment, Subject};

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "bridge-vlan-filter-missing",
        hop: HopKind::UplinkPort,
        what: "The bridge filters VLANs, and a port lacks the one that the instances are in: their frames are dropped at that port without a trace. \
               Ports that are made again lose their VLANs.",
        proof: "vlan_filtering is on; the tap has no PVID (or not the wanted one), or no uplink is a member of the tap's VLAN.",
        fix: "bridge vlan add dev PORT vid VID [pvid untagged]",
        reboot_helps: Some(true),
        reboot: "the network configuration would be applied again; adding the VLAN takes a second",
        reference: "linux, net/bridge/br_vlan.c (br_allowed_ingress, br_allowed_egress)",
    },
    needs: &[Source::Links, Source::BridgeVlans, Source::Instances],
    worst: Effect::Dark,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings = Vec::new();
    let mut filtering = 0;
    for segment in scene.segments.iter().filter(|segment| filters(segment.bridge)) {
        filtering += 1;
        // Instances by the VLAN that the uplink lacks.
        let mut lacking: Vec<(Vid, Vec<String>)> = Vec::new();
        for (subject, nic) in scene.members(segment) {
            let Some(tap) = nic.live_tap().filter(|tap| tap.master == Some(segment.bridge.index)) else { continue };
            match vlan_of(scene, tap, nic) {
                Err(missing) => findings.push(at_tap(scene, tap, nic, missing, &subject.name)),
                Ok(vid) => {
                    if segment.uplinks.is_empty() || leaves(scene, segment, vid) || has_another_way(scene, segment, subject, tap, vid) {
                        continue;
                    }
                    match lacking.iter_mut().find(|(lacks, _)| *lacks == vid) {
                        Some((_, names)) => names.push(subject.name.clone()),
                        None => lacking.push((vid, vec![subject.name.clone()])),
                    }
                }
            }
        }
        // A VLAN that an instance of two networks is in as well has its router in that instance.
        lacking.retain(|(vid, names)| {
            scene.members(segment).all(|(subject, nic)| {
                let inside = nic.live_tap().is_some_and(|tap| scene.vlans_of(tap.index).any(|vlan| vlan.holds(*vid)));
                !inside || names.contains(&subject.name)
            })
        });
        for (vid, names) in lacking {
            if let Some(chain) = segment.uplinks.first() {
                findings.push(at_uplink(scene, chain.port, vid, names));
            }
        }
    }
    if findings.is_empty() && filtering == 0 {
        return if scene.segments.is_empty() {
            Outcome::NotApplicable
        } else {
            Outcome::RuledOut("no bridge with instances filters VLANs".to_owned())
        };
    }
    Outcome::found_or(findings, || format!("every instance's VLAN is on its tap and on an uplink of {filtering} filtering bridges"))
}

/// Whether frames of a VLAN can leave the bridge: by an uplink, or to this host where it has an address in that VLAN.
fn leaves(scene: &Scene<'_>, segment: &Segment<'_>, vid: Vid) -> bool {
    let bridge = segment.bridge.index;
    let member = |port: IfIndex| scene.vlans_of(port).any(|vlan| vlan.holds(vid));
    let on_top = |link: &Link| link.lower == Some(bridge) && matches!(link.kind, LinkKind::Vlan { vid: has, .. } if has == vid);
    let routed = !segment.addresses.is_empty() || scene.seen.links.iter().any(on_top);
    segment.uplinks.iter().any(|chain| member(chain.port.index)) || (routed && member(bridge))
}

/// Whether a tap in a VLAN that stays inside has frames that leave all the same: in another of its VLANs, or by another tap of the instance.
fn has_another_way(scene: &Scene<'_>, segment: &Segment<'_>, subject: &Subject<'_>, tap: &Link, vid: Vid) -> bool {
    let by_vlan = scene.vlans_of(tap.index).any(|vlan| vlan.first != vid && leaves(scene, segment, vlan.first))
        || scene.vlans_of(tap.index).any(|vlan| vlan.first != vlan.last);
    let another = |nic: &Attachment<'_>| {
        let other = nic.live_tap().filter(|other| other.index != tap.index);
        other.is_some_and(|other| scene.pvid(other.index).is_none_or(|pvid| leaves(scene, segment, pvid)))
    };
    by_vlan || subject.nics.iter().any(another)
}

fn filters(bridge: &Link) -> bool {
    matches!(bridge.kind, LinkKind::Bridge { vlan_filtering: true, .. })
}

/// The VLAN that a tap's untagged frames belong to; or the one that it ought to have and lacks, where that is known.
fn vlan_of(scene: &Scene<'_>, tap: &Link, nic: &Attachment<'_>) -> Result<Vid, Option<Vid>> {
    let wanted = nic.wanted_vid.map(|fact| fact.value);
    match (scene.pvid(tap.index), wanted) {
        (Some(pvid), Some(wanted)) if pvid != wanted => Err(Some(wanted)),
        (Some(pvid), _) => Ok(pvid),
        // A tap without a PVID may be a trunk on purpose: the guest tags for itself.
        (None, None) => scene.vlans_of(tap.index).map(|vlan| vlan.first).next().ok_or(None),
        (None, wanted) => Err(wanted),
    }
}

fn at_tap(scene: &Scene<'_>, tap: &Link, nic: &Attachment<'_>, missing: Option<Vid>, instance: &str) -> Finding {
    let name = &tap.name;
    let mut siblings = tap
        .master
        .into_iter()
        .flat_map(|bridge| scene.wiring.ports(bridge))
        .filter(|port| port.index != tap.index && port.is_guest_facing());
    let vid = missing.or_else(|| siblings.find_map(|port| scene.pvid(port.index)));
    let has = scene.pvid(tap.index).map_or_else(|| format!("{name} is in no VLAN"), |pvid| format!("the PVID of {name} is {pvid}"));
    let (summary, fix) = match vid {
        Some(vid) => (
            format!("{name}, the tap of {instance}, is not in VLAN {vid} on a bridge that filters VLANs"),
            command(
                scene,
                format!("bridge vlan add dev {} vid {vid} pvid untagged", quoted(name)),
                format!("puts untagged frames of {name} into VLAN {vid}"),
                format!("bridge vlan del dev {} vid {vid}", quoted(name)),
            ),
        ),
        None => (
            format!("{name}, the tap of {instance}, is in no VLAN on a bridge that filters VLANs"),
            darkport_model::Fix::advice(format!(
                "find the instance's VLAN, then: bridge vlan add dev {} vid VID pvid untagged",
                quoted(name)
            )),
        ),
    };
    let mut finding = Finding::new(CAUSE.explanation.code, HopKind::TapPort, name, Certainty::Proven, Effect::Dark, summary)
        .affecting(vec![instance.to_owned()])
        .seen(has, "netlink bridge VLAN dump");
    if let Some(wanted) = nic.wanted_vid {
        finding = finding.seen(format!("it ought to be in VLAN {}", crate::scene::cited(wanted)), "inventory");
    }
    finding.fixed_by(fix)
}

fn at_uplink(scene: &Scene<'_>, port: &Link, vid: Vid, names: Vec<String>) -> Finding {
    let name = &port.name;
    // A VLAN that is on some uplink was left out on this bridge by mistake; one that never leaves may be local on purpose.
    let certainty = if vid.get() == 1 { Certainty::Likely } else { Certainty::Proven };
    let summary = format!("{name}, the uplink, is not in VLAN {vid}, which {} instances use", names.len());
    Finding::new(CAUSE.explanation.code, HopKind::UplinkPort, name, certainty, Effect::Dark, summary)
        .affecting(names)
        .seen(format!("{name} is not a member of VLAN {vid}, and neither is any other way out"), "netlink bridge VLAN dump")
        .fixed_by(command(
            scene,
            format!("bridge vlan add dev {} vid {vid}", quoted(name)),
            format!("lets frames of VLAN {vid} pass {name}, tagged"),
            format!("bridge vlan del dev {} vid {vid}", quoted(name)),
        ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{diagnosed, healthy, only, vlan_aware};
    use darkport_model::HopKind;

    #[test]
    fn an_aware_bridge_in_order_is_healthy() {
        healthy(&diagnosed(vlan_aware(3), |_| {}));
    }

    #[test]
    fn an_uplink_without_the_vlan_darkens_all() {
        let diagnosis = diagnosed(vlan_aware(3), |seen| {
            let uplink = seen.link_mut("eth1").index;
            seen.port_vlans.retain(|vlan| vlan.port != uplink || vlan.first.get() == 1);
        });
        let cause = only(&diagnosis, "bridge-vlan-filter-missing");
        assert_eq!((cause.hop, cause.explains.len()), (HopKind::UplinkPort, 3));
        assert_eq!(cause.fix.steps[0].run, "bridge vlan add dev eth1 vid 1102");
    }

    #[test]
    fn the_bridges_own_membership_is_no_way_out_without_an_address() {
        let own = |seen: &mut crate::testing::Seen| {
            let (bridge, uplink) = (seen.link_mut("vmbr0").index, seen.link_mut("eth1").index);
            seen.port_vlans.retain(|vlan| vlan.port != uplink);
            seen.port_vlans.push(darkport_model::PortVlan::new(bridge, 1102.try_into().unwrap(), false, false));
        };
        only(&diagnosed(vlan_aware(3), own), "bridge-vlan-filter-missing");
        healthy(&diagnosed(vlan_aware(3), |seen| {
            own(seen);
            crate::testing::with_address(seen, "vmbr0", "10.0.0.1/24");
        }));
    }

    #[test]
    fn a_private_vlan_behind_a_guest_that_routes_is_no_fault() {
        healthy(&diagnosed(vlan_aware(3), |seen| {
            let inside: darkport_model::Vid = 99.try_into().unwrap();
            let (guest, router) = (seen.link_mut("vnet0").index, seen.link_mut("vnet1").index);
            seen.port_vlans.retain(|vlan| vlan.port != guest);
            seen.port_vlans.push(darkport_model::PortVlan::new(guest, inside, true, true));
            seen.port_vlans.push(darkport_model::PortVlan::new(router, inside, false, false));
        }));
    }

    #[test]
    fn a_tap_without_any_vlan_takes_its_siblings() {
        let diagnosis = diagnosed(vlan_aware(3), |seen| {
            let tap = seen.link_mut("vnet1").index;
            seen.port_vlans.retain(|vlan| vlan.port != tap);
        });
        let cause = only(&diagnosis, "bridge-vlan-filter-missing");
        assert_eq!((cause.hop, cause.explains.as_slice()), (HopKind::TapPort, &["instance-00000002".to_owned()][..]));
        assert_eq!(cause.fix.steps[0].run, "bridge vlan add dev vnet1 vid 1102 pvid untagged");
    }
}
