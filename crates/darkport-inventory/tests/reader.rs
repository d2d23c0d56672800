//! The reader over directories made for the purpose.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests make files, and fail where they can't")]

use std::fs;
use std::path::Path;

use darkport_inventory::InventoryReader;
use darkport_model::{FactSource, Gap, GapReason, Instance, Intent, Link, Manager, Observation, Process, ProcessRole, Source};
use tempfile::TempDir;

const MAC: &str = "fa:16:3e:71:ec:6d";

fn write(root: &Path, path: &str, text: impl AsRef<[u8]>) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn domain(name: &str, source: &str) -> String {
    format!(
        "<domain><name>{name}</name><devices><interface type='network'><mac address='{MAC}'/><source {source}/></interface></devices></domain>"
    )
}

fn live(name: &str, pid: u32) -> String {
    format!(
        "<domstatus state='running' pid='{pid}'>{}</domstatus>",
        domain(name, "network='lab'").replace("</interface>", "<target dev='vnet4'/></interface>")
    )
}

fn qemu(pid: u32, command: &[&str]) -> Process {
    let mut process = Process::default();
    process.pid = pid;
    process.role = ProcessRole::Qemu;
    process.command = command.iter().map(ToString::to_string).collect();
    process
}

fn observe(root: &Path, mut seen: Observation) -> Observation {
    InventoryReader::new().root(root).proc(root.join("proc")).observe(&mut seen);
    seen
}

fn instance<'a>(seen: &'a Observation, name: &str) -> &'a Instance {
    seen.inventory.instances.iter().find(|instance| instance.name == name).unwrap()
}

#[test]
fn a_host_without_libvirt_and_qemu_has_nothing_and_lacks_nothing() {
    let root = TempDir::new().unwrap();
    let seen = observe(root.path(), Observation::default());
    assert_eq!(seen, Observation::default());
}

#[test]
fn libvirts_files_the_process_and_its_tap_make_one_instance() {
    let root = TempDir::new().unwrap();
    let at = root.path();
    write(at, "run/libvirt/qemu/i-1.xml", live("i-1", 812));
    write(at, "run/libvirt/qemu/i-1.pid", "812");
    write(at, "etc/libvirt/qemu/i-1.xml", domain("i-1", "network='lab'"));
    write(at, "etc/libvirt/qemu/i-2.xml", domain("i-2", "network='lab'"));
    write(at, "etc/libvirt/qemu/networks/lab.xml", "<network><name>lab</name><bridge name='virbr7'/></network>");
    write(at, "proc/812/fdinfo/34", "pos:\t0\nflags:\t0104002\nmnt_id:\t24\niff:\tvnet5\n");
    let mut seen = Observation::default();
    let device = format!("virtio-net-pci,netdev=hostnet0,mac={MAC}");
    seen.host
        .processes
        .push(qemu(812, &["qemu-system-x86_64", "-name", "guest=i-1", "-netdev", "tap,fd=34,id=hostnet0", "-device", &device]));
    let seen = observe(at, seen);
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.inventory.instances.len(), 2);

    let first = instance(&seen, "i-1");
    assert_eq!((first.pid, first.is_running()), (Some(812), Some(true)));
    let [nic] = first.nics.as_slice() else { panic!("{first:#?}") };
    let (tap, bridge) = (nic.tap.as_ref().unwrap(), nic.bridge.as_ref().unwrap());
    assert_eq!((tap.value.as_str(), tap.source), ("vnet5", FactSource::TunOwner), "what the process holds beats what the file says");
    assert!(tap.place.ends_with("proc/812/fdinfo/34"), "{}", tap.place);
    assert_eq!((bridge.value.as_str(), bridge.source), ("virbr7", FactSource::LiveXml));

    let second = instance(&seen, "i-2");
    assert_eq!(second.is_running(), Some(false), "defined, and no live XML in a directory that could be read");
    assert!(second.running.as_ref().unwrap().place.ends_with("run/libvirt/qemu"));
}

#[test]
fn an_instance_that_is_stopped_within_the_window_runs_no_more() {
    let root = TempDir::new().unwrap();
    let at = root.path();
    for (name, pid) in [("stays", 811), ("file-goes", 812), ("process-goes", 813), ("was-gone", 814)] {
        write(at, &format!("run/libvirt/qemu/{name}.xml"), live(name, pid));
        if name != "was-gone" {
            write(at, &format!("proc/{pid}/comm"), "qemu");
        }
    }
    let mut seen = Observation::default();
    seen.host.processes = vec![qemu(811, &["qemu"]), qemu(812, &["qemu"]), qemu(813, &["qemu"])];
    let mut seen = observe(at, seen);
    fs::remove_file(at.join("run/libvirt/qemu/file-goes.xml")).unwrap();
    fs::remove_dir_all(at.join("proc/813")).unwrap();
    InventoryReader::new().root(at).proc(at.join("proc")).observe_again(&mut seen);
    let runs = |name| instance(&seen, name).is_running();
    assert_eq!((runs("stays"), runs("file-goes"), runs("process-goes")), (Some(true), Some(false), Some(false)));
    assert_eq!(runs("was-gone"), Some(true), "its process was gone before: that is a fault to find, not a change");
}

#[test]
fn what_runs_in_another_network_namespace_does_not_run_here() {
    let root = TempDir::new().unwrap();
    let at = root.path();
    write(at, "run/libvirt/qemu/here.xml", live("here", 811));
    write(at, "run/libvirt/qemu/there.xml", live("there", 812));
    write(at, "etc/pve/qemu-server/101.conf", "name: pve-there\n");
    write(at, "var/run/qemu-server/101.pid", "813\n");
    let mut seen = Observation::default();
    for (pid, elsewhere) in [(811, false), (812, true), (813, true), (814, true)] {
        let mut process = qemu(pid, &["qemu", "-name", &format!("process-{pid}"), "-netdev", "tap,id=n,ifname=tap0"]);
        process.elsewhere = elsewhere;
        seen.host.processes.push(process);
    }
    let seen = observe(at, seen);
    let names: Vec<&str> = seen.inventory.instances.iter().map(|instance| instance.name.as_str()).collect();
    assert_eq!(names, ["here", "process-811", "pve-there", "there"], "a process from elsewhere is no instance of its own");
    assert_eq!(instance(&seen, "here").is_running(), Some(true));
    for (name, file) in [("there", "run/libvirt/qemu/there.xml"), ("pve-there", "var/run/qemu-server/101.pid")] {
        let running = instance(&seen, name).running.as_ref().unwrap();
        assert!(!running.value && running.place.ends_with(&format!("{file} (in another network namespace)")), "{running:?}");
    }
}

#[test]
fn an_old_system_keeps_it_under_var_run() {
    let root = TempDir::new().unwrap();
    write(root.path(), "var/run/libvirt/qemu/i-1.xml", live("i-1", 7));
    let seen = observe(root.path(), Observation::default());
    assert_eq!(instance(&seen, "i-1").is_running(), Some(true));
}

#[test]
fn where_libvirt_never_ran_a_definition_says_nothing_about_running() {
    let root = TempDir::new().unwrap();
    write(root.path(), "etc/libvirt/qemu/i-1.xml", domain("i-1", "bridge='br0'"));
    let seen = observe(root.path(), Observation::default());
    assert_eq!(instance(&seen, "i-1").is_running(), None);
}

#[test]
fn a_broken_file_is_a_gap_and_the_others_go_on() {
    let root = TempDir::new().unwrap();
    let at = root.path();
    write(at, "run/libvirt/qemu/a.xml", live("a", 1));
    write(at, "run/libvirt/qemu/b.xml", "<domstatus state='running'>\n  <domain>\n    <name>b</nam>");
    write(at, "run/libvirt/qemu/big.xml", vec![b' '; (8 << 20) + 1]);
    fs::create_dir(at.join("run/libvirt/qemu/dir.xml")).unwrap();
    write(at, "etc/libvirt/qemu/b.xml", domain("b", "bridge='br0'"));
    write(at, "etc/libvirt/qemu/networks/n.xml", "<net/>");
    let seen = observe(at, Observation::default());
    assert_eq!(instance(&seen, "a").is_running(), Some(true));
    assert_eq!(instance(&seen, "b").is_running(), None, "its live XML is there but cannot be read");
    let gaps: Vec<String> =
        seen.gaps.iter().map(|gap| format!("{:?} {:?} {gap}", gap.source, gap.reason).replace(&format!("{}/", at.display()), "")).collect();
    insta::assert_snapshot!(gaps.join("\n"), @r"
    Instances Malformed etc/libvirt/qemu/networks/n.xml:1:1: found <net>, expected <network> or <networkstatus>
    Instances Malformed run/libvirt/qemu/b.xml:3:12: found </nam>, expected </name>
    Instances TooLarge run/libvirt/qemu/big.xml: larger than 8 MiB: not read
    Instances Malformed run/libvirt/qemu/dir.xml: found something that is no file, expected a file
    ");
}

#[test]
fn hidden_directories_are_gaps() {
    use std::os::unix::fs::PermissionsExt;
    let root = TempDir::new().unwrap();
    let at = root.path();
    write(at, "etc/libvirt/qemu/i-1.xml", domain("i-1", "bridge='br0'"));
    for pid in [7, 8] {
        write(at, &format!("proc/{pid}/fdinfo/3"), "iff:\tvnet0\n");
        fs::set_permissions(at.join(format!("proc/{pid}/fdinfo")), fs::Permissions::from_mode(0o000)).unwrap();
    }
    fs::set_permissions(at.join("etc/libvirt/qemu"), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read_dir(at.join("etc/libvirt/qemu")).is_ok() {
        println!("SKIPPED hidden_directories_are_gaps: root reads everything; run the tests as another user");
        return;
    }
    let mut seen = Observation::default();
    seen.host.processes = vec![qemu(7, &["qemu", "-name", "a"]), qemu(8, &["qemu", "-name", "b"])];
    let seen = observe(at, seen);
    let gaps: Vec<String> =
        seen.gaps.iter().map(|gap| format!("{:?} {:?} {gap}", gap.source, gap.reason).replace(&format!("{}/", at.display()), "")).collect();
    assert_eq!(
        gaps,
        [
            "Instances Permission etc/libvirt/qemu/networks: Permission denied (os error 13)",
            "Instances Permission etc/libvirt/qemu: Permission denied (os error 13)",
            "Instances Permission proc/7/fdinfo and 1 more there: Permission denied (os error 13)",
        ]
    );
    for path in ["etc/libvirt/qemu", "proc/7/fdinfo", "proc/8/fdinfo"] {
        fs::set_permissions(at.join(path), fs::Permissions::from_mode(0o700)).unwrap();
    }
}

#[test]
fn where_processes_are_hidden_instances_may_be() {
    let root = TempDir::new().unwrap();
    let proc = root.path().join("proc").display().to_string();
    let gaps = |what: &str, reason: GapReason| {
        let mut seen = Observation::default();
        seen.gaps.push(Gap::new(Source::Processes, what, reason, "a reason"));
        let seen = observe(root.path(), seen);
        seen.gaps_in(Source::Instances).map(|gap| (gap.what.clone(), gap.reason, gap.why.clone())).collect::<Vec<_>>()
    };
    let hidden = "processes of other users are hidden, so instances may be";
    // The list of processes is not whole with hidepid=2, and names are denied with hidepid=1.
    for what in [proc.clone(), format!("{proc}/812/comm"), format!("{proc}/812/task")] {
        assert_eq!(gaps(&what, GapReason::Permission), [(what.clone(), GapReason::Permission, hidden.to_owned())]);
    }
    let missing = "not all processes could be listed, so instances may be missing";
    assert_eq!(gaps(&proc, GapReason::TooLarge), [(proc.clone(), GapReason::TooLarge, missing.to_owned())]);
    assert_eq!(gaps(&format!("{proc}/812/cmdline"), GapReason::Permission), [], "that one is known");
}

#[test]
fn claims_come_from_files_and_bytes_and_are_joined_by_uuid() {
    let root = TempDir::new().unwrap();
    let at = root.path();
    write(at, "list.json", r#"[{"ID": "6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001", "Name": "web", "Status": "ACTIVE"}]"#);
    let show = r#"{"id": "6A9F0C1E-0D6B-4A4E-9A27-2F7F4A1C0001", "OS-EXT-SRV-ATTR:host": "virt1012"}"#;
    let other = r#"{"id": "6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001", "status": "ERROR"}"#;
    let mut seen = Observation::default();
    InventoryReader::new()
        .root(at)
        .claims_file(at.join("list.json"))
        .claims("<stdin>", show)
        .claims("old.json", other)
        .claims("empty", "")
        .claims_file(at.join("none.json"))
        .asked_host("virt1012")
        .observe(&mut seen);
    let [joined, contradicting] = seen.inventory.claims.as_slice() else { panic!("{:#?}", seen.inventory.claims) };
    assert_eq!(
        (joined.name.as_deref(), joined.host.as_deref(), joined.asked_host.as_deref()),
        (Some("web"), Some("virt1012"), Some("virt1012"))
    );
    assert_eq!(joined.place.replace(&format!("{}/", at.display()), ""), "list.json:1, <stdin>:1");
    assert_eq!((contradicting.status.as_deref(), contradicting.place.as_str()), (Some("ERROR"), "old.json:1"));
    let gaps: Vec<_> = seen.gaps_in(Source::Claims).map(|gap| gap.reason).collect();
    assert_eq!(gaps, [GapReason::Malformed, GapReason::Absent], "a file that was asked for and is not there");
}

#[test]
fn proxmox_and_its_process_make_one_instance() {
    let root = TempDir::new().unwrap();
    let at = root.path();
    let conf = "name: web\nsmbios1: uuid=6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001\nnet0: virtio=BC:24:11:9A:C1:70,bridge=vmbr0,tag=7\n";
    write(at, "etc/pve/qemu-server/101.conf", conf);
    write(at, "etc/pve/qemu-server/102.conf", "name: off\nnet0: virtio=BC:24:11:9A:C1:71,bridge=vmbr0\n");
    write(at, "var/run/qemu-server/101.pid", "812\n");
    let mut seen = Observation::default();
    let mut bridge = Link::new(3, "vmbr0");
    let mut kind = serde_json::json!({"type": "bridge", "stp": false, "vlan_filtering": false, "default_pvid": null, "forward_delay_cs": 0, "ageing_cs": 0});
    for flag in ["mcast_snooping", "mcast_querier", "nf_call_iptables", "nf_call_ip6tables", "nf_call_arptables"] {
        kind[flag] = false.into();
    }
    bridge.kind = serde_json::from_value(kind).unwrap();
    seen.links.push(bridge);
    let smbios = "type=1,uuid=6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001";
    let (netdev, device) = ("type=tap,id=net0,ifname=tap101i0", "virtio-net-pci,mac=BC:24:11:9A:C1:70,netdev=net0");
    seen.host
        .processes
        .push(qemu(812, &["/usr/bin/kvm", "-id", "101", "-name", "web", "-smbios", smbios, "-netdev", netdev, "-device", device]));
    let seen = observe(at, seen);
    assert_eq!(seen.gaps, []);
    assert_eq!(seen.inventory.instances.len(), 2);
    let web = instance(&seen, "web");
    assert_eq!((web.pid, web.is_running(), web.nics.len()), (Some(812), Some(true), 1));
    assert_eq!((web.manager, web.vmid), (Some(Manager::Proxmox), Some(101)));
    assert_eq!(web.nics[0].bridge.as_ref().map(|fact| fact.value.as_str()), Some("vmbr0v7"));
    assert_eq!(instance(&seen, "off").is_running(), Some(false));
}

#[test]
fn what_the_configuration_wants() {
    let root = TempDir::new().unwrap();
    let at = root.path();
    write(at, "etc/nova/nova.conf", "[DEFAULT]\nflat_network_bridge=br1102\nflat_interface=eth1.1102\n");
    write(at, "etc/network/interfaces", "source interfaces.d/*.cfg\nsource /etc/network/more\n");
    write(at, "etc/network/interfaces.d/a.cfg", "iface eth1.1102 inet manual\nsource a.cfg\n");
    write(at, "etc/network/interfaces.d/a.cfg~", "nonsense\n");
    write(
        at,
        "etc/network/more",
        "iface br7 inet manual\n bridge_ports bond0.7\nsource /etc/*/x\niface br1102 inet manual\n bridge_ports none\niface br5 inet manual\n bridge_ports none\n",
    );
    write(at, "usr/lib/systemd/network/10.network", "[Match]\nName=eth8\n[Network]\nBridge=br8\n");
    write(at, "etc/systemd/network/10.network", "[Match]\nName=eth9\n[Network]\nBridge=br9\n");
    write(at, "usr/lib/systemd/network/20.network", "[Match]\nName=eth3\n[Network]\nBridge=br3\n");
    std::os::unix::fs::symlink("/dev/null", at.join("etc/systemd/network/20.network")).unwrap();
    let seen = observe(at, Observation::default());
    let told = |intent: &Intent| {
        let vid = intent.vid.map(|vid| vid.to_string()).unwrap_or_default();
        let place = intent.place.replace(&format!("{}/", at.display()), "");
        format!("{} {} vid={vid} parent={} {place}", intent.bridge, intent.uplink, intent.parent.as_deref().unwrap_or_default())
    };
    let told: Vec<String> = seen.inventory.intents.iter().map(told).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    br1102 eth1.1102 vid=1102 parent=eth1 etc/nova/nova.conf:3
    br7 bond0.7 vid=7 parent=bond0 etc/network/more:2
    br9 eth9 vid= parent= etc/systemd/network/10.network:4
    ");
    let [isolated] = seen.inventory.isolated.as_slice() else { panic!("{:#?}", seen.inventory.isolated) };
    assert_eq!((isolated.value.as_str(), isolated.source), ("br5", FactSource::Configuration), "nova gives br1102 an uplink");
    assert!(isolated.place.ends_with("etc/network/more:7"), "{}", isolated.place);
    let gaps: Vec<&str> = seen.gaps.iter().map(|gap| gap.why.as_str()).collect();
    assert_eq!(gaps, ["a pattern of a kind that is not followed"]);
}
