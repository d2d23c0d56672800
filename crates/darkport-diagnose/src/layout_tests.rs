//! Hosts of other shapes than the incident's: what must stay silent there, and what must be found.

use darkport_model::{Carrier, Effect, Fact, FactSource, IfIndex, InstanceState, Intent, LinkKind, Status, StpState, Vid};

use crate::testing::{Seen, count, diagnosed, healthy, nova_network, only, vlan_on, with_address};

/// Proxmox with the firewall on: tap → fwbr101i0 → fwln101i0 ═ fwpr101p0 → vmbr0 → eth0, for two machines.
fn proxmox() -> Seen {
    let mut seen = nova_network(2);
    seen.inventory.intents.clear();
    seen.rename("br1102", "vmbr0");
    seen.links.retain(|link| !link.name.starts_with("eth1"));
    seen.add_uplink("vmbr0", "eth0");
    seen.inventory.intents.push(Intent::new("vmbr0", "eth0", "/etc/network/interfaces:5"));
    for (at, tap) in ["vnet0", "vnet1"].into_iter().enumerate() {
        let firewall = format!("fwbr10{at}i0");
        seen.add_bridge(&firewall);
        seen.join(tap, &firewall);
        let (near, far) = (format!("fwln10{at}i0"), format!("fwpr10{at}p0"));
        let near_index = seen.add(&near, LinkKind::Veth).index;
        let far_link = seen.add(&far, LinkKind::Veth);
        far_link.lower = Some(near_index);
        let far_index = far_link.index;
        seen.link_mut(&near).lower = Some(far_index);
        seen.join(&near, &firewall);
        seen.join(&far, "vmbr0");
    }
    seen
}

#[test]
fn a_firewall_bridge_in_order_is_healthy() {
    healthy(&diagnosed(proxmox(), |_| {}));
}

#[test]
fn every_break_in_a_veth_between_bridges_darkens_its_own_instance() {
    type Break = (&'static str, fn(&mut Seen), &'static str);
    let breaks: [Break; 6] = [
        ("far end out of its bridge", |seen| seen.link_mut("fwpr101p0").master = None, "uplink-not-in-bridge"),
        ("near end out of its bridge", |seen| seen.link_mut("fwln101i0").master = None, "uplink-not-in-bridge"),
        ("far end down", |seen| seen.link_mut("fwpr101p0").admin_up = false, "uplink-admin-down"),
        ("near end down", |seen| seen.link_mut("fwln101i0").admin_up = false, "uplink-admin-down"),
        ("far end shut", |seen| seen.port_mut("fwpr101p0").state = StpState::Blocking, "stp-port-blocked"),
        ("firewall bridge down", |seen| seen.link_mut("fwbr101i0").admin_up = false, "bridge-admin-down"),
    ];
    for (what, fault, code) in breaks {
        let diagnosis = diagnosed(proxmox(), fault);
        let causes: Vec<_> = diagnosis.causes.iter().map(|cause| (cause.code.as_str(), cause.explains.clone())).collect();
        assert_eq!(causes, [(code, vec!["instance-00000002".to_owned()])], "{what}");
        let states: Vec<_> = diagnosis.instances.iter().map(|instance| instance.state).collect();
        assert_eq!(states, [InstanceState::Fine, InstanceState::Dark], "{what}");
    }
}

#[test]
fn the_common_bridges_uplink_darkens_what_is_behind_firewall_bridges_too() {
    let diagnosis = diagnosed(proxmox(), |seen| seen.link_mut("eth0").master = None);
    assert_eq!(only(&diagnosis, "uplink-not-in-bridge").explains.len(), 2);
}

#[test]
fn a_narrow_veth_between_bridges_is_found() {
    assert_eq!(only(&diagnosed(proxmox(), |seen| seen.link_mut("fwln101i0").mtu = 1400), "mtu-mismatch").at, "fwln101i0");
}

#[test]
fn taps_on_another_kind_of_switch_are_not_pulled_out_of_it() {
    healthy(&diagnosed(nova_network(2), |seen| {
        let switch = seen.add("ovs-system", LinkKind::Other { name: "openvswitch".into() }).index;
        seen.links.retain(|link| link.name != "br1102" && !link.name.starts_with("eth1"));
        seen.inventory.intents.clear();
        for tap in ["vnet0", "vnet1"] {
            seen.link_mut(tap).master = Some(switch);
        }
    }));
}

#[test]
fn a_nat_bridge_is_not_given_the_hosts_own_vlan() {
    healthy(&diagnosed(nova_network(2), |seen| {
        seen.inventory.intents.clear();
        seen.links.retain(|link| !link.name.starts_with("eth1"));
        seen.rename("br1102", "virbr2");
        with_address(seen, "virbr2", "192.168.100.1/24");
        let nic = seen.add("eth0", LinkKind::Physical).index;
        let own = seen.add("eth0.2", LinkKind::Vlan { vid: Vid::try_from(2).unwrap(), protocol: "802.1Q".into() });
        own.lower = Some(nic);
        with_address(seen, "eth0.2", "10.0.0.2/24");
    }));
}

#[test]
fn an_internal_bridge_is_not_given_an_idle_nic() {
    let internal = |seen: &mut Seen| {
        seen.inventory.intents.clear();
        seen.links.retain(|link| !link.name.starts_with("eth1"));
        seen.rename("br1102", "brint");
        let port = seen.add("veth77", LinkKind::Veth);
        port.lower_elsewhere = true;
        seen.join("veth77", "brint");
        seen.add("eth0", LinkKind::Physical);
    };
    let diagnosis = diagnosed(nova_network(2), internal);
    healthy(&diagnosis);
    assert!(diagnosis.assumptions.iter().any(|text| text.contains("no way out of this host")), "{:?}", diagnosis.assumptions);
    healthy(&diagnosed(nova_network(2), |seen| {
        internal(seen);
        with_address(seen, "eth0", "2001:db8::2/64");
    }));
}

#[test]
fn what_the_configuration_isolates_may_be_isolated() {
    healthy(&diagnosed(nova_network(2), |seen| {
        seen.inventory.intents.clear();
        seen.link_mut("eth1.1102").master = None;
        seen.inventory.isolated.push(Fact::new("br1102".into(), FactSource::Configuration, "/etc/network/interfaces:9"));
    }));
}

#[test]
fn the_hosts_own_default_route_says_that_a_bridge_leads_out() {
    let bridged = |seen: &mut Seen| {
        seen.inventory.intents.clear();
        seen.links.retain(|link| link.name != "eth1.1102");
        seen.rename("br1102", "br0");
        with_address(seen, "br0", "10.0.0.5/24");
        let bridge = seen.link_mut("br0").index;
        let mut route = darkport_model::Route::new("0.0.0.0/0".parse().unwrap(), darkport_model::RouteKind::Unicast);
        (route.link, route.gateway) = (Some(bridge), "10.0.0.1".parse().ok());
        seen.routes.push(route);
        seen.join("eth1", "br0");
    };
    healthy(&diagnosed(nova_network(2), bridged));
    let diagnosis = diagnosed(nova_network(2), |seen| {
        bridged(seen);
        seen.link_mut("eth1").master = None;
    });
    assert_eq!(only(&diagnosis, "uplink-not-in-bridge").effect, Effect::Dark);
}

#[test]
fn a_host_that_routes_for_its_instances_still_answers_without_a_wire() {
    let diagnosis = diagnosed(nova_network(2), |seen| {
        with_address(seen, "br1102", "10.68.16.1/21");
        seen.link_mut("eth1").carrier = Carrier::Down;
    });
    assert_eq!(only(&diagnosis, "uplink-no-carrier").effect, Effect::Degraded);
}

#[test]
fn of_two_configured_uplinks_one_is_enough() {
    let two = |seen: &mut Seen| {
        seen.add_uplink("br1102", "eth2");
        seen.inventory.intents.push(Intent::new("br1102", "eth2", "/etc/network/interfaces:4"));
    };
    for name in ["eth1.1102", "eth2"] {
        healthy(&diagnosed(nova_network(2), |seen| {
            two(seen);
            seen.link_mut(name).carrier = Carrier::Down;
        }));
        healthy(&diagnosed(nova_network(2), |seen| {
            two(seen);
            seen.port_mut(name).state = StpState::Blocking;
        }));
    }
}

#[test]
fn a_dummy_port_is_no_way_out() {
    let diagnosis = diagnosed(nova_network(2), |seen| {
        seen.add("dummy0", LinkKind::Other { name: "dummy".into() });
        seen.join("dummy0", "br1102");
        seen.link_mut("eth1.1102").master = None;
    });
    only(&diagnosis, "uplink-not-in-bridge");
}

#[test]
fn the_configuration_may_use_another_of_a_devices_names() {
    healthy(&diagnosed(nova_network(2), |seen| {
        seen.link_mut("eth1.1102").alt_names.push("enp3s0.1102".into());
        seen.inventory.intents[0].uplink = "enp3s0.1102".into();
    }));
}

#[test]
fn an_uplink_that_joined_a_bond_is_not_pulled_out_of_it() {
    healthy(&diagnosed(nova_network(2), |seen| {
        seen.inventory.intents = vec![Intent::new("br1102", "eth1", "/etc/network/interfaces:3")];
        seen.links.retain(|link| link.name != "eth1.1102");
        seen.add("bond0", LinkKind::Bond { mode: "active-backup".into(), active_slave: None, miimon_ms: 100 });
        seen.join("bond0", "br1102");
        let bond: IfIndex = seen.link_mut("bond0").index;
        seen.link_mut("eth1").master = Some(bond);
    }));
}

#[test]
fn an_instance_of_which_nobody_says_whether_it_runs_leaves_the_answer_open() {
    let hidden = darkport_model::Gap::new(
        darkport_model::Source::Instances,
        "processes",
        darkport_model::GapReason::Permission,
        "processes of other users are hidden",
    );
    let unsaid = |seen: &mut Seen| seen.inventory.instances[1].running = None;
    healthy(&diagnosed(nova_network(2), unsaid));
    let diagnosis = diagnosed(nova_network(2), |seen| {
        unsaid(seen);
        seen.gaps.push(hidden);
    });
    assert_eq!(diagnosis.status, Status::Undetermined);
}

#[test]
fn an_instance_with_one_of_two_interfaces_down_is_degraded() {
    let two = |seen: &mut Seen| {
        let second = seen.inventory.instances[2].nics.remove(0);
        seen.inventory.instances[1].nics.push(second);
        seen.stop("instance-00000003");
    };
    let diagnosis = diagnosed(nova_network(3), |seen| {
        two(seen);
        seen.link_mut("vnet2").admin_up = false;
    });
    assert_eq!(diagnosis.instances[1].state, InstanceState::Degraded);
    let diagnosis = diagnosed(nova_network(3), |seen| {
        two(seen);
        seen.link_mut("vnet2").admin_up = false;
        seen.link_mut("vnet1").carrier = Carrier::Down;
    });
    assert_eq!(diagnosis.instances[1].state, InstanceState::Dark);
    assert_eq!(diagnosis.causes.len(), 2, "both taps are told");
}

#[test]
fn two_segments_broken_differently_are_both_told() {
    let diagnosis = diagnosed(nova_network(2), |seen| {
        seen.add_bridge("br1103");
        vlan_on(seen, "eth1.1103", 1103, "eth1", "br1103");
        seen.join("vnet1", "br1103");
        seen.inventory.instances[1].nics[0].bridge = Some(Fact::new("br1103".into(), FactSource::LiveXml, "i.xml"));
        seen.link_mut("br1102").admin_up = false;
        seen.port_mut("eth1.1103").state = StpState::Blocking;
    });
    let codes: Vec<_> = diagnosis.causes.iter().map(|cause| cause.code.as_str()).collect();
    assert_eq!(codes, ["bridge-admin-down", "stp-port-blocked"]);
}

#[test]
fn a_thousand_veths_are_looked_at_once_each() {
    let mut seen = nova_network(0);
    for at in 0..1000 {
        let name = format!("veth{at}");
        seen.add(&name, LinkKind::Veth).lower_elsewhere = true;
        seen.join(&name, "br1102");
        count(seen.link_mut(&name), |_| {});
    }
    let diagnosis = diagnosed(seen, |_| {});
    healthy(&diagnosis);
    assert_eq!(diagnosis.instances.len(), 1000);
}
