//! `darkport-sweep` on a bridge with guests, in namespaces made for it.

use std::process::{Command, Stdio};

use crate::run::Run;

/// A bridge `br1102` with two guests at .4 and .5, and libvirt's word for three: the third is silent.
const GROUND: &str = r#"
mount -t sysfs none /sys; mount -t tmpfs none /run
ip netns add guests
ip link add br1102 type bridge
for n in 0 1; do
    ip link add vnet$n type veth peer name eth$n address fa:16:3e:00:00:0$n netns guests
    ip link set vnet$n master br1102 up
    ip -n guests link set eth$n up
done
ip link set br1102 up
ip netns exec guests sysctl -qw net.ipv4.conf.all.arp_ignore=1
ip -n guests address add 10.68.16.4/32 dev eth0
ip -n guests address add 10.68.16.5/32 dev eth1
mkdir -p /run/libvirt/qemu
for n in 0 1 2; do
    echo "<domstatus state='running' pid='1'><domain type='kvm'><name>instance-0000000$n</name><devices><interface type='bridge'>
    <mac address='fa:16:3e:00:00:0$n'/><source bridge='br1102'/><target dev='vnet$n'/>
    <filterref filter='nova'><parameter name='IP' value='10.68.16.$((n + 4))'/></filterref>
    </interface></devices></domain></domstatus>" > /run/libvirt/qemu/instance-0000000$n.xml
done
while [ "$(ip -o link | grep -c 'state UP')$(ip -n guests -o link | grep -c 'state UP')" != 32 ]; do sleep 0.05; done
"#;

/// Runs a script on that ground, in which `$sweep` is the program; none where no namespace can be had, which is said.
fn on_ground(script: &str) -> Option<Run> {
    let unshare = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["-Urnm", "sh", "-euc", script])
            .env("sweep", env!("CARGO_BIN_EXE_darkport-sweep"))
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        command.output()
    };
    if !unshare("ip link add type bridge").is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: this kernel or container forbids user namespaces (or has no iproute2)");
        return None;
    }
    Some(unshare(&format!("{GROUND}\n{script}")).unwrap().into())
}

#[test]
fn this_hosts_instances_are_asked_for_by_themselves() {
    let Some(run) = on_ground("exec $sweep") else { return };
    assert_eq!(run.code, Some(2), "{}{}", run.out, run.err);
    assert!(run.out.starts_with("CRITICAL  2 of 3 answer, 1 silent\n"), "{}", run.out);
    let line = |address: &str| {
        run.out.lines().find(|line| line.contains(address)).unwrap().split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(line("10.68.16.5")[1..4], ["up", "fa:16:3e:00:00:01", "vnet1"]);
    assert_eq!(line("10.68.16.5")[5], "instance-00000001");
    assert_eq!(line("10.68.16.6")[1], "SILENT");
    assert!(run.err.is_empty(), "{}", run.err);
}

#[test]
fn a_host_without_instances_is_no_fault_and_one_with_unknown_ones_is_no_answer() {
    let Some(run) = on_ground("rm /run/libvirt/qemu/*; exec $sweep") else { return };
    assert_eq!((run.code, &*run.out), (Some(0), "OK  no instance runs here\n"), "{}", run.err);
    let Some(run) = on_ground("sed -i /parameter/d /run/libvirt/qemu/*; exec $sweep") else { return };
    assert_eq!(run.code, Some(3), "{}{}", run.out, run.err);
    assert!(run.out.contains("not told: addresses: of 3 interfaces"), "{}", run.out);
}

#[test]
fn a_prefix_is_a_table_and_silence_in_it_is_no_fault() {
    let Some(run) = on_ground("exec $sweep -i br1102 10.68.16.0/24") else { return };
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.starts_with("OK  2 of 254 answer, 252 silent\n"), "{}", run.out);
    assert!(run.out.contains("and 252 addresses that nobody is expected to have"), "{}", run.out);
}

#[test]
fn json_is_a_line_for_each_thing() {
    let Some(run) = on_ground("ip -n guests address add 10.68.16.4/32 dev eth1; exec $sweep --json -i br1102 10.68.16.0/29") else {
        return;
    };
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    let lines: Vec<serde_json::Value> = run.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    assert_eq!((of("host").len(), of("sweep").len(), of("gap").len()), (6, 1, 0));
    let [found] = of("finding")[..] else { panic!("{}", run.out) };
    assert_eq!(
        (&found["kind"], &found["address"], &found["device"]),
        (&"duplicate-address".into(), &"10.68.16.4".into(), &"br1102".into())
    );
    let mut ports: Vec<&str> = found["holders"].as_array().unwrap().iter().map(|holder| holder["port"].as_str().unwrap()).collect();
    ports.sort_unstable();
    assert_eq!(ports, ["vnet0", "vnet1"]);
}

#[test]
fn nagios_gets_its_line_and_its_thresholds() {
    let script =
        "for limits in '-w 30 -c 40' '-w 20 -c 33.4' '-w 10 -c 20'; do code=0; $sweep --nagios $limits || code=$?; echo $code; done";
    let Some(run) = on_ground(script) else { return };
    let lines: Vec<&str> = run.out.lines().collect();
    assert_eq!([lines[1], lines[3], lines[5]], ["1", "1", "2"], "{}", run.out);
    let (text, perfdata) = lines[0].split_once(" | ").unwrap();
    assert_eq!(text, "SWEEP WARNING - 2 of 3 answer, 1 silent");
    let words: Vec<&str> = perfdata.split(' ').collect();
    assert_eq!(words[..4], ["silent=33.3%;30;40;0;100", "answered=2;;;0;3", "undecided=0;;;0", "findings=0;;;0"]);
    assert!(words[4].starts_with("rtt=0.0") && words[5].starts_with("time="), "{perfdata}");
}

#[test]
fn a_list_from_standard_input_knows_whose_address_it_is() {
    let script = "printf '10.68.16.4 fa:16:3e:00:00:01\\n10.68.16.5 # fine\\n' | $sweep -i br1102 -f -";
    let Some(run) = on_ground(script) else { return };
    assert_eq!(run.code, Some(1), "{}{}", run.out, run.err);
    assert!(
        run.out.contains("FOUND  10.68.16.4 ought to be fa:16:3e:00:00:01, and is held by fa:16:3e:00:00:00 on vnet0\n"),
        "{}",
        run.out
    );
}

#[test]
fn at_the_deadline_it_tells_what_it_knows() {
    let Some(run) = on_ground("exec $sweep -i br1102 --rate 1000 --deadline 0.3 10.68.16.0/21") else { return };
    assert_eq!(run.code, Some(3), "{}{}", run.out, run.err);
    assert!(run.out.starts_with("UNKNOWN  2 of 2046 answer, 0 silent, 2044 undecided\n"), "{}", run.out);
    assert!(run.out.contains("not told: sweep on br1102: 2044 of 2046 addresses were not asked as often as it takes"), "{}", run.out);
}

#[test]
fn what_is_wrong_with_the_call_is_said() {
    let sweep = |args: &[&str]| -> Run { Command::new(env!("CARGO_BIN_EXE_darkport-sweep")).args(args).output().unwrap().into() };
    for (args, words) in [
        (&["10.0.0.0/24"][..], "on which interface? Name it with -i"),
        (&["-i", "no-such-device", "10.0.0.0/24"], "there is no interface \"no-such-device\" here"),
        (&["-i", "lo", "10.0.0.0/8"], "16777216 addresses are more than the 1048576 that a sweep takes"),
        (&["-i", "lo", "fe80::/64"], "fe80::/64 is not an IPv4 prefix"),
        (&["-i", "lo", "--netns", "/nonexistent", "10.0.0.1"], "failed to open the network namespace /nonexistent"),
        (&["--warning", "lots"], "expected a share from 0 to 100"),
    ] {
        let run = sweep(args);
        assert_eq!(run.code, Some(3), "{args:?}: {}{}", run.out, run.err);
        assert!(run.err.contains(words), "{args:?}: {}", run.err);
    }
    assert_eq!(sweep(&["--help"]).code, Some(0));
}
