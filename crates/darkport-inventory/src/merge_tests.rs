use proptest::prelude::*;

use darkport_model::Manager;

use super::*;
use crate::{parse_domain_xml, parse_qemu_command, taps};

const UUID: &str = "6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001";

fn domain(macs: &[&str], live: bool, bridge: &str) -> Instance {
    let nic = |mac: &&str| format!("<interface type='bridge'><mac address='{mac}'/><source bridge='{bridge}'/></interface>");
    let nics = macs.iter().map(nic).collect::<Vec<_>>().concat();
    let domain = format!("<domain><name>i-1</name><uuid>{UUID}</uuid><devices>{nics}</devices></domain>");
    let xml = if live { format!("<domstatus state='running' pid='812'>{domain}</domstatus>") } else { domain };
    parse_domain_xml(if live { "live.xml" } else { "defined.xml" }, xml.as_bytes()).unwrap().instance
}

fn process(name: &str, uuid: &str, macs: &[&str]) -> Instance {
    let mut command = vec!["qemu".to_owned(), "-name".to_owned(), name.to_owned(), "-uuid".to_owned(), uuid.to_owned()];
    for (at, mac) in macs.iter().enumerate() {
        command.extend([
            "-netdev".to_owned(),
            format!("tap,id=n{at},ifname=vnet{at}"),
            "-device".to_owned(),
            format!("x,netdev=n{at},mac={mac}"),
        ]);
    }
    taps::instance(812, parse_qemu_command(&command), &[], &[], "/proc/812")
}

#[test]
fn three_sources_make_one_instance() {
    let merged = merge(vec![
        domain(&["fa:16:3e:00:00:01"], false, "br-old"),
        domain(&["fa:16:3e:00:00:01"], true, "br1102"),
        process("i-1", UUID, &["fa:16:3e:00:00:01"]),
    ]);
    let [instance] = merged.as_slice() else { panic!("{merged:#?}") };
    assert_eq!(instance.running, Some(Fact::new(true, FactSource::QemuProcess, "/proc/812/cmdline")));
    assert_eq!(instance.pid, Some(812));
    assert_eq!((instance.manager, instance.vmid), (Some(Manager::Libvirt), None));
    assert_eq!(merge(vec![process("i-1", UUID, &[])])[0].manager, None, "a process alone may have been run by hand");
    let [nic] = instance.nics.as_slice() else { panic!("{instance:#?}") };
    assert_eq!(nic.bridge, Some(Fact::new("br1102".to_owned(), FactSource::LiveXml, "live.xml")));
    assert_eq!(nic.tap, Some(Fact::new("vnet0".to_owned(), FactSource::QemuProcess, "/proc/812/cmdline")));
}

#[test]
fn the_live_xml_says_which_interfaces_there_are() {
    let live = domain(&["fa:16:3e:00:00:01", "fa:16:3e:00:00:02"], true, "br0");
    let pending = domain(&["fa:16:3e:00:00:01", "fa:16:3e:00:00:09"], false, "br0");
    let unplugged = process("i-1", UUID, &["fa:16:3e:00:00:01", "fa:16:3e:00:00:07"]);
    let macs =
        |instance: &Instance| instance.nics.iter().filter_map(|nic| value(nic.mac.as_ref())).map(|mac| mac.to_string()).collect::<Vec<_>>();
    let merged = merge(vec![pending.clone(), unplugged.clone(), live]);
    assert_eq!(macs(&merged[0]), ["fa:16:3e:00:00:01", "fa:16:3e:00:00:02"]);
    let without = merge(vec![pending, unplugged]);
    assert_eq!(macs(&without[0]), ["fa:16:3e:00:00:01", "fa:16:3e:00:00:07", "fa:16:3e:00:00:09"]);
}

#[test]
fn where_a_mac_is_missing_the_order_tells() {
    let xml = b"<domain><name>i-1</name><devices><interface type='bridge'><source bridge='br7'/></interface></devices></domain>";
    let by_hand = parse_domain_xml("i-1.xml", xml).unwrap().instance;
    let merged = merge(vec![by_hand, process("i-1", UUID, &["fa:16:3e:00:00:01"])]);
    assert_eq!(merged.len(), 1);
    assert_eq!(merged[0].nics.len(), 1);
    assert_eq!(merged[0].nics[0].bridge.as_ref().map(|fact| fact.value.as_str()), Some("br7"));
}

#[test]
fn where_a_mac_is_missing_the_tap_tells_first() {
    let xml = "<domstatus state='running'><domain><name>i-1</name><devices>\
        <interface type='bridge'><mac address='fa:16:3e:00:00:01'/><target dev='vnet1'/></interface>\
        <interface type='bridge'><mac address='fa:16:3e:00:00:02'/><target dev='vnet2'/></interface></devices></domain></domstatus>";
    let live = parse_domain_xml("i-1.xml", xml.as_bytes()).unwrap().instance;
    let held =
        taps::instance(7, parse_qemu_command(&["qemu", "-name", "i-1"]), &[(5, "vnet2".into()), (6, "vnet1".into())], &[], "/proc/7");
    let merged = merge(vec![live, held]);
    let taps: Vec<_> =
        merged[0].nics.iter().filter_map(|nic| nic.tap.as_ref()).map(|tap| (tap.value.as_str(), tap.place.as_str())).collect();
    assert_eq!(taps, [("vnet1", "/proc/7/fdinfo/6"), ("vnet2", "/proc/7/fdinfo/5")]);
}

#[test]
fn one_name_with_two_uuids_is_two_instances() {
    let merged = merge(vec![domain(&[], false, "br0"), process("i-1", "6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002", &[])]);
    assert_eq!(merged.len(), 2);
}

/// Parts as sources give them: each source knows an instance once.
fn parts() -> impl Strategy<Value = Vec<Instance>> {
    let macs = proptest::sample::subsequence(vec!["fa:16:3e:00:00:01", "fa:16:3e:00:00:02", "fa:16:3e:00:00:03"], 0..=3);
    proptest::collection::vec((0u8..4, 0u8..3, macs), 0..9).prop_map(|drawn| {
        let mut seen = std::collections::HashSet::new();
        let fresh = drawn.into_iter().filter(|(number, source, _)| seen.insert((*number, *source)));
        let part = |(number, source, macs): (u8, u8, Vec<&str>)| {
            let (name, uuid) = (format!("i-{number}"), format!("6a9f0c1e-0d6b-4a4e-9a27-00000000000{number}"));
            let mut part = match source {
                0 => domain(&macs, true, "br0"),
                1 => domain(&macs, false, "br1"),
                _ => process(&name, &uuid, &macs),
            };
            part.name = name;
            part.uuid = Some(uuid);
            part
        };
        fresh.map(part).collect()
    })
}

proptest! {
    #[test]
    fn the_order_of_sources_makes_no_difference((one, other) in parts().prop_flat_map(|parts| (Just(parts.clone()), Just(parts).prop_shuffle()))) {
        prop_assert_eq!(merge(one), merge(other));
    }

    #[test]
    fn merging_again_changes_nothing(parts in parts()) {
        let once = merge(parts);
        prop_assert_eq!(merge(once.clone()), once);
    }

    #[test]
    fn every_instance_stays_and_the_most_trusted_word_wins(parts in parts()) {
        let merged = merge(parts.clone());
        let names: std::collections::BTreeSet<_> = parts.iter().map(|part| part.name.clone()).collect();
        prop_assert_eq!(merged.iter().map(|instance| instance.name.clone()).collect::<std::collections::BTreeSet<_>>(), names);
        for instance in &merged {
            let best = parts.iter().filter(|part| part.name == instance.name).filter_map(|part| part.running.as_ref()).map(|fact| fact.source).min();
            prop_assert_eq!(instance.running.as_ref().map(|fact| fact.source), best);
        }
    }
}
