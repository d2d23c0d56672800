//! `darkport --deep --allow-changes` in namespaces made for it: an instance is played, and nothing of it stays.

use std::process::{Command, Stdio};

use crate::run::Run;

/// A bridge `br1102` with the network host behind eth1, whose dnsmasq serves strangers too, and an instance behind vnet5.
const GROUND: &str = r#"
mount -t sysfs none /sys; mount -t tmpfs none /run
ip netns add far; ip netns add guest
ip link add br1102 address 02:00:00:00:00:fe type bridge
ip link add eth1 type veth peer name eth0 address fa:16:3e:00:00:01 netns far
ip link add vnet5 type veth peer name eth0 address fa:16:3e:00:00:50 netns guest
for port in eth1 vnet5; do ip link set $port master br1102 up; done
ip -n far link set eth0 up
ip -n far address add 10.68.16.1/24 dev eth0
ip -n guest link set eth0 up
ip -n guest address add 10.68.16.50/24 dev eth0
ip link set br1102 up
mkdir -p /run/libvirt/qemu
echo "<domstatus state='running' pid='1'><domain type='kvm'><name>instance-00000001</name><devices><interface type='bridge'>
<mac address='fa:16:3e:00:00:50'/><source bridge='br1102'/><target dev='vnet5'/><filterref filter='nova'>
<parameter name='IP' value='10.68.16.50'/><parameter name='DHCPSERVER' value='10.68.16.1'/></filterref>
</interface></devices></domain></domstatus>" > /run/libvirt/qemu/instance-00000001.xml
for up in "ip -o link show br1102" "ip -n far -o link" "ip -n guest -o link"; do while ! $up | grep -q 'state UP'; do sleep 0.05; done; done
ip netns exec far dnsmasq -C /dev/null -d --pid-file= --no-resolv --no-hosts --bind-interfaces --interface=eth0 --dhcp-leasefile=/run/leases \
    --dhcp-range=10.68.16.100,10.68.16.110,255.255.255.0,1h >/dev/null 2>&1 &
server=$!
trap 'kill $server' EXIT
while ! ip netns exec far grep -q :0043 /proc/net/udp; do sleep 0.05; done
look() { $darkport --deep --allow-changes --window 0.3 "$@"; }
"#;

/// Runs a script on that ground; none where that cannot be had, which is said.
fn on_ground(script: &str) -> Option<Run> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        let program = env!("CARGO_BIN_EXE_darkport");
        command.args(["-Urnm", "sh", "-euc", script]).env("darkport", program).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command.output()
    };
    if !unshare("ip link add type bridge; dnsmasq --version").is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: this kernel or container forbids user namespaces (or has no iproute2 or dnsmasq)");
        return None;
    }
    Some(unshare(&format!("{GROUND}\n{script}")).unwrap().into())
}

#[test]
fn an_instance_is_played_from_address_to_name() {
    let Some(run) = on_ground("code=0; look -v || code=$?; cat /run/leases >&2; exit $code") else { return };
    let text = run.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        "an instance on br1102 as 10.68.16.1",
        "was answered: DHCP, gateway by ARP, gateway by ping, full MTU, DNS; not: metadata, IPv6 router",
        "10.68.16.1 offers 10.68.16.1",
        "full MTU (10.68.16.1): 5 of 5, 1500 bytes",
        "; back: eth1 ",
    ] {
        assert!(text.contains(told), "{told}:\n{}{}", run.out, run.err);
    }
    assert!(!run.err.contains("10.68.16.1"), "it took a lease: {}", run.err);
}

#[test]
fn killed_at_any_moment_it_leaves_nothing() {
    // Ports that were met while it ran show that kills came in time; the guest's first frames are learned before anything is compared.
    let script = r#"
state() { ip -d -o link | grep -o '^[^@:]*: [^:@]*\|link/ether [^ ]*'; bridge fdb show; }
look >/dev/null 2>&1 || :
before=$(state); met=0
for round in 1 2 3; do
    pids=
    for at in 1 2 3 4 5 6 7 8; do $darkport --deep --allow-changes --window 0.3 >/dev/null 2>&1 & pids="$pids $!"; done
    for pid in $pids; do
        sleep 0.$((round * 7 % 10 + 10))
        met=$((met + $(ip -o link | grep -c ' dkp' || :)))
        kill -9 $pid
    done
    wait $pids 2>/dev/null || :
    tries=0
    until [ "$(state)" = "$before" ]; do
        tries=$((tries + 1)); [ $tries -lt 50 ] || { echo "$before"; echo "became"; state; exit 9; }
        sleep 0.1
    done
done
echo "met $met"
"#;
    let Some(run) = on_ground(script) else { return };
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.starts_with("met ") && !run.out.starts_with("met 0"), "none was killed while it had a port: {}", run.out);
}
