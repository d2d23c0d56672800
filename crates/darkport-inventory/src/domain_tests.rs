//! XML after libvirt's own (`docs/formatdomain.rst`, `tests/qemustatusxml2xmldata`, `tests/qemuxmlconfdata`) and nova's
//! (`nova/virt/libvirt/config.py`), with invented instances.

use proptest::prelude::*;

use super::*;

const LIVE: &str = r#"<!--
WARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE
OVERWRITTEN AND LOST.
-->
<domstatus state='running' reason='booted' pid='7352'>
  <monitor path='/var/lib/libvirt/qemu/instance-0000002a.monitor' json='1' type='unix'/>
  <vcpus><vcpu id='0' pid='7360'/></vcpus>
  <devices><device alias='net0'/></devices>
  <domain type='kvm' id='12'>
    <name>instance-0000002a</name>
    <uuid>6A9F0C1E-0D6B-4A4E-9A27-2F7F4A1C0001</uuid>
    <metadata>
      <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.1">
        <nova:package version="2014.2"/>
        <nova:name>tools-web</nova:name>
        <nova:flavor name="m1.small"/>
      </nova:instance>
    </metadata>
    <devices>
      <disk type='file' device='disk'><target dev='vda' bus='virtio'/></disk>
      <interface type='bridge'>
        <mac address='fa:16:3e:71:ec:6d'/>
        <source bridge='br1102'/>
        <target dev='vnet0'/>
        <model type='virtio'/>
        <mtu size='1450'/>
        <link state='down'/>
        <filterref filter='nova-instance-instance-0000002a-fa163e71ec6d'>
          <parameter name='DHCPSERVER' value='10.68.16.1'/>
          <parameter name='IP' value='10.68.16.4'/>
          <parameter name='IP' value='10.68.16.4'/>
          <parameter name='PROJNET' value='10.68.16.0'/>
        </filterref>
      </interface>
      <interface type='network'>
        <mac address='52:54:00:00:00:01'/>
        <source network='lab'/>
        <actual type='bridge'>
          <source bridge='virbr7'/>
          <vlan><tag id='42'/></vlan>
        </actual>
        <target dev='vnet1'/>
      </interface>
      <interface type='direct'>
        <mac address='52:54:00:00:00:02'/>
        <source dev='eth2' mode='bridge'/>
        <target dev='macvtap0'/>
        <vlan trunk='yes'><tag id='1'/><tag id='2'/></vlan>
      </interface>
      <interface type='hostdev'><mac address='52:54:00:00:00:03'/></interface>
      <interface type='user'/>
    </devices>
  </domain>
</domstatus>
"#;

fn told(bytes: &[u8]) -> String {
    parse_domain_xml("i-1.xml", bytes).unwrap_err().to_string()
}

#[test]
fn a_running_domain() {
    let DomainXml { instance, networks } = parse_domain_xml("live.xml", LIVE.as_bytes()).unwrap();
    assert_eq!((instance.name.as_str(), instance.uuid.as_deref()), ("instance-0000002a", Some("6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001")));
    assert_eq!((instance.display_name.as_deref(), instance.pid), (Some("tools-web"), Some(7352)));
    assert_eq!(instance.running, Some(Fact::new(true, FactSource::LiveXml, "live.xml")));
    assert_eq!(instance.paused.map(|fact| fact.value), Some(false));
    assert_eq!(networks, [None, None, None]);
    let nics: Vec<String> = instance.nics.iter().map(shown).collect();
    insta::assert_snapshot!(nics.join("\n"), @r"
    fa:16:3e:71:ec:6d vnet0 br1102 - 1450 true [10.68.16.4] nova-instance-instance-0000002a-fa163e71ec6d
    52:54:00:00:00:01 vnet1 virbr7 42 - - [] -
    52:54:00:00:00:02 macvtap0 - - - - [] -
    ");
}

fn shown(nic: &Nic) -> String {
    fn text<T: ToString>(fact: Option<&Fact<T>>) -> String {
        fact.map_or("-".to_owned(), |fact| fact.value.to_string())
    }
    let Nic { mac, tap, bridge, vid, mtu, addresses, link_down, filter, .. } = nic;
    let addresses: Vec<String> = addresses.iter().map(|fact| fact.value.to_string()).collect();
    let parts =
        [text(mac.as_ref()), text(tap.as_ref()), text(bridge.as_ref()), text(vid.as_ref()), text(mtu.as_ref()), text(link_down.as_ref())];
    format!("{} [{}] {}", parts.join(" "), addresses.join(" "), text(filter.as_ref()))
}

#[test]
fn a_paused_domain_runs() {
    let state = |state: &str| {
        let xml = format!("<domstatus state='{state}' pid='7'><domain><name>a</name></domain></domstatus>");
        let instance = parse_domain_xml("a", xml.as_bytes()).unwrap().instance;
        (instance.running.unwrap().value, instance.paused.unwrap().value, instance.pid)
    };
    assert_eq!(state("paused"), (true, true, Some(7)));
    assert_eq!(state("blocked"), (true, false, Some(7)));
    assert_eq!(state("shutoff"), (false, false, None));
}

#[test]
fn a_defined_domain_says_nothing_about_running() {
    let xml =
        b"<domain type='kvm'><name>a</name><devices><interface type='network'><source network='default'/></interface></devices></domain>";
    let DomainXml { instance, networks } = parse_domain_xml("a.xml", xml).unwrap();
    assert_eq!((instance.running, instance.nics.len()), (None, 1));
    assert_eq!(networks, [Some("default".to_owned())]);
}

#[test]
fn networks_name_their_bridges() {
    let plain = b"<network><name>default</name><bridge name='virbr0' stp='on' delay='0'/></network>";
    assert_eq!(parse_network_xml("n", plain), Ok(("default".into(), Some("virbr0".into()))));
    let live = b"<networkstatus><class_id bitmap='0-2'/><network><name>macvtap</name><forward mode='bridge'/></network></networkstatus>";
    assert_eq!(parse_network_xml("n", live), Ok(("macvtap".into(), None)));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let cases: [&[u8]; 10] = [
        b"",
        b"not xml",
        b"<domain>\n  <name>a</nam>\n</domain>",
        b"<domain>\n  <name>a</name>\n",
        b"<domain><name>\x07</name></domain>",
        b"<domain>\n<devices/></domain>",
        b"<network><name>default</name></network>",
        b"<domstatus state='running'/>",
        b"<!DOCTYPE x [<!ENTITY a 'aaaa'><!ENTITY b '&a;&a;'>]><domain><name>&b;</name></domain>",
        b"<domain><name>&lol;</name></domain>",
    ];
    let told: Vec<String> = cases.iter().map(|case| told(case)).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    i-1.xml:1: found no element, expected <domain>, <domstatus> or <network>
    i-1.xml:1:1: found unknown token, expected well-formed XML
    i-1.xml:2:10: found </nam>, expected </name>
    i-1.xml:2: found the end of the file, expected the end of what was begun: a closing tag
    i-1.xml:1:15: found a non-XML character '\u{7}', expected well-formed XML
    i-1.xml:1:1: found <domain>, expected <domain> with a <name>
    i-1.xml:1:1: found <network>, expected <domain> or <domstatus>
    i-1.xml:1:1: found <domstatus>, expected <domain> inside <domstatus>
    i-1.xml:1: found a document type (<!DOCTYPE …>), expected XML without one, as libvirt writes it
    i-1.xml:1:15: found unknown entity reference 'lol', expected well-formed XML
    ");
}

#[test]
fn hostile_names_are_cut() {
    let xml = format!(
        "<domain><name>{}</name><devices><interface type='bridge'><target dev='{}'/></interface></devices></domain>",
        "x".repeat(10_000),
        "ü".repeat(10_000)
    );
    let instance = parse_domain_xml("a", xml.as_bytes()).unwrap().instance;
    assert_eq!(instance.name.chars().count(), 4096);
    assert!(instance.nics[0].tap.as_ref().is_some_and(|tap| tap.value.ends_with('…')));
    let broken = parse_domain_xml("a", b"<domain><name>a\xff\xfeb</name></domain>").unwrap().instance;
    assert_eq!(broken.name, "a\u{fffd}\u{fffd}b");
}

#[test]
fn a_tower_of_elements_is_no_stack_overflow() {
    let deep = format!("<domain><name>a</name>{}{}</domain>", "<a>".repeat(200_000), "</a>".repeat(200_000));
    assert!(parse_domain_xml("a", deep.as_bytes()).is_ok());
    let many = format!("<domain><name>a</name>{}</domain>", "<a/>".repeat(1_100_000));
    assert!(parse_domain_xml("a", many.as_bytes()).unwrap_err().too_large);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>, at in 0usize..2200, cut in 0usize..20) {
        let _ = parse_domain_xml("x", &bytes);
        let mut broken = LIVE.as_bytes().to_vec();
        let at = at.min(broken.len());
        broken.splice(at..(at + cut).min(broken.len()), bytes);
        let _ = parse_domain_xml("x", &broken);
        let _ = parse_network_xml("x", &broken);
    }

    #[test]
    fn a_written_domain_is_read(name in "[a-zäöü0-9._-]{1,40}", mac: [u8; 6], vid in 1u16..4095, tap in "[a-z0-9.]{1,15}") {
        let mac = darkport_model::MacAddr(mac);
        let xml = format!("<domain><name>{name}</name><devices><interface type='bridge'><mac address='{mac}'/><target dev='{tap}'/><vlan><tag id='{vid}'/></vlan></interface></devices></domain>");
        let instance = parse_domain_xml("x", xml.as_bytes()).unwrap().instance;
        let nic = &instance.nics[0];
        prop_assert_eq!(instance.name, name);
        prop_assert_eq!(nic.mac.as_ref().map(|fact| fact.value), Some(mac));
        prop_assert_eq!(nic.tap.as_ref().map(|fact| fact.value.clone()), Some(tap));
        prop_assert_eq!(nic.vid.as_ref().map(|fact| fact.value.get()), Some(vid));
    }
}
