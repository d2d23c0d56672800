//! `darkport-dhcp` on a bridge with a server behind it, in namespaces made for it.

use std::process::{Command, Stdio};

use crate::run::Run;

/// A bridge `br1102` with the network host behind vnet0, and an instance at .50 that its dnsmasq knows, as nova-network's knows its own.
const GROUND: &str = r#"
mount -t sysfs none /sys; mount -t tmpfs none /run
ip netns add far
ip link add br1102 address 02:00:00:00:00:fe type bridge
ip link add vnet0 type veth peer name eth0 address fa:16:3e:00:00:01 netns far
ip link set vnet0 master br1102 up
ip -n far link set eth0 up
ip -n far address add 10.68.16.1/24 dev eth0
ip link set br1102 up
mkdir -p /run/libvirt/qemu
echo "<domstatus state='running' pid='1'><domain type='kvm'><name>instance-00000001</name><devices><interface type='bridge'>
<mac address='fa:16:3e:00:00:50'/><source bridge='br1102'/><target dev='vnet5'/><filterref filter='nova'>
<parameter name='IP' value='10.68.16.50'/><parameter name='DHCPSERVER' value='10.68.16.1'/></filterref>
</interface></devices></domain></domstatus>" > /run/libvirt/qemu/instance-00000001.xml
while [ "$(ip -o link | grep -c 'state UP')$(ip -n far -o link | grep -c 'state UP')" != 21 ]; do sleep 0.05; done
serve() {
    ip netns exec far dnsmasq -C /dev/null -d --pid-file= --port=0 --bind-interfaces --interface=eth0 --dhcp-leasefile=/run/leases \
        --dhcp-range=10.68.16.0,static,1h --dhcp-host=fa:16:3e:00:00:50,10.68.16.50 >/dev/null 2>&1 &
    server=$!
    while ! ip netns exec far grep -q :0043 /proc/net/udp; do sleep 0.05; done
}
stop() { kill $server; }
"#;

/// Runs a script on that ground, in which `$dhcp` is the program; none where that cannot be had, which is said.
fn on_ground(script: &str) -> Option<Run> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        let program = env!("CARGO_BIN_EXE_darkport-dhcp");
        command.args(["-Urnm", "sh", "-euc", script]).env("dhcp", program).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command.output()
    };
    if !unshare("ip link add type bridge; dnsmasq --version").is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: this kernel or container forbids user namespaces (or has no iproute2 or dnsmasq)");
        return None;
    }
    Some(unshare(&format!("{GROUND}\n{script}")).unwrap().into())
}

#[test]
fn an_instance_of_this_host_is_played_and_its_server_expected() {
    let Some(run) = on_ground("serve; code=0; $dhcp br1102 -v || code=$?; stop; exit $code") else { return };
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.starts_with("OK  1 offer, the first after "), "{}", run.out);
    for part in [
        "as fa:16:3e:00:00:50 (instance-00000001)",
        "seen going out: br1102 → vnet0",
        "10.68.16.50/24",
        "came in by vnet0 → br1102",
        "option  54  0a441001",
    ] {
        assert!(run.out.contains(part), "{part}: {}", run.out);
    }
    assert!(run.err.is_empty(), "{}", run.err);
}

#[test]
fn silence_of_the_configured_server_is_critical() {
    let Some(run) = on_ground("exec $dhcp br1102 --nagios -w 1 -c 5") else { return };
    assert_eq!(run.code, Some(2), "{}{}", run.out, run.err);
    let (text, perfdata) = run.out.split_once(" | ").unwrap();
    assert_eq!(text, "DHCP CRITICAL - no offer, 2 findings (10.68.16.1 ought to offer, and is silent)");
    assert!(perfdata.starts_with("first=U;1;5;0 offers=0;;;0 findings=2;;;0 time=10."), "{perfdata}");
}

#[test]
fn a_client_that_nobody_knows_gets_no_answer_and_no_alarm() {
    let Some(run) = on_ground("rm /run/libvirt/qemu/*; serve; code=0; $dhcp br1102 --timeout 9 || code=$?; stop; exit $code") else {
        return;
    };
    assert_eq!(run.code, Some(3), "{}{}", run.out, run.err);
    assert!(run.out.starts_with("UNKNOWN  no offer, but perhaps the server knows its clients one by one"), "{}", run.out);
}

#[test]
fn json_is_a_line_for_each_thing_and_a_lease_is_released() {
    let script = "serve; code=0; $dhcp br1102 --json --mac fa:16:3e:00:00:50 --take-lease --expect 10.68.16.2 || code=$?; cat /run/leases >&2; stop; exit $code";
    let Some(run) = on_ground(script) else { return };
    assert_eq!(run.code, Some(2), "{}{}", run.out, run.err);
    let lines: Vec<serde_json::Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    let [offer] = of("offer")[..] else { panic!("{}", run.out) };
    assert_eq!((&offer["server"], &offer["port"], &offer["device"]), (&"10.68.16.1".into(), &"vnet0".into(), &"br1102".into()));
    let kinds: Vec<&str> = of("finding").iter().map(|found| found["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["silent-server", "unexpected-server", "unfinished-checksum"]);
    assert_eq!(of("dhcp")[0]["lease"]["released"], true, "{}", run.out);
    assert!(run.err.is_empty(), "a lease was left: {}", run.err);
}

#[test]
fn what_cannot_be_asked_says_what_next() {
    let Some(run) = on_ground("exec $dhcp br9") else { return };
    assert_eq!((run.code, &*run.out), (Some(3), ""));
    assert!(run.err.starts_with("darkport-dhcp: there is no interface \"br9\" here\nNext: "), "{}", run.err);
}
