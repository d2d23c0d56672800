//! What the reader makes of an old and a new kernel's files.
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test makes the files that are observed, and fails where it cannot")]

mod tree;

use darkport_model::{GapReason, IfIndex, Link, LinkKind, Observation, ProcessRole, Source, Timestamp};
use tree::Tree;

const OLD: &str = include_str!("fixtures/linux-3.13.txt");
const NEW: &str = include_str!("fixtures/linux-6.1.txt");

/// eth1, eth1.1102 in br1102, and an instance's tap.
fn links() -> Vec<Link> {
    let link = |index: u32, name: &str, kind: LinkKind, lower: Option<u32>| {
        let mut link = Link::new(index, name);
        link.kind = kind;
        link.lower = lower.map(IfIndex);
        link
    };
    let mut eth1 = link(3, "eth1", LinkKind::Physical, None);
    eth1.mac = Some("40:a8:f0:38:35:88".parse().unwrap());
    let bridge = LinkKind::bridge();
    vec![
        eth1,
        link(4, "eth1.1102", LinkKind::Vlan { vid: 1102.try_into().unwrap(), protocol: "802.1Q".into() }, Some(3)),
        link(5, "br1102", bridge, None),
        link(6, "vnet0", LinkKind::Tun { tap: true, persist: false, multi_queue: false, queues: None }, None),
    ]
}

fn observe(tree: &Tree) -> Observation {
    let mut seen = Observation::default();
    seen.links = links();
    tree.reader().observe(&mut seen);
    seen
}

fn gaps(seen: &Observation) -> Vec<(Source, GapReason)> {
    seen.gaps.iter().map(|gap| (gap.source, gap.reason)).collect()
}

#[test]
fn an_old_kernel_is_read_in_full() {
    let seen = observe(&Tree::unpack(OLD));
    let host = &seen.host;
    assert_eq!((host.name.as_str(), host.kernel.as_str(), host.cpus), ("virt1012", "3.13.0-45-generic", Some(2)));
    assert!(host.kernel_build.contains("#74-Ubuntu"), "{}", host.kernel_build);
    assert_eq!(host.boot_time, Some(Timestamp(1_424_150_100_000)));
    assert_eq!((host.memory_total_kib, host.memory_available_kib), (Some(198_046_720), None));

    let conntrack = host.conntrack.as_ref().unwrap();
    assert_eq!((conntrack.count.first, conntrack.max, conntrack.buckets), (65_536, 65_536, Some(16_384)));
    let stats = conntrack.stats.as_ref().unwrap().first;
    assert_eq!((stats.drop, stats.early_drop, stats.insert_failed, stats.invalid), (26, 11, 10, 5));

    let arp = host.arp_table.as_ref().unwrap();
    assert_eq!((arp.entries.first, arp.gc_thresh1, arp.gc_thresh2, arp.gc_thresh3), (1023, 128, 512, 1024));
    let stats = arp.stats.as_ref().unwrap().first;
    assert_eq!((stats.table_fulls, stats.allocs, stats.res_failed, stats.unresolved_discards), (None, 1281, 7, Some(12)));

    let softnet: Vec<_> = host.softnet.iter().map(|cpu| (cpu.processed.first, cpu.dropped.first, cpu.time_squeeze.first)).collect();
    assert_eq!(softnet, [(123_456, 7, 9), (10, 0, 1)]);
    assert_eq!(host.snmp.first.get("Ip.InDiscards"), Some(&5));
    assert_eq!(host.snmp.first.get("TcpExt.IPReversePathFilter"), Some(&17));
    assert_eq!(host.bonds["bond0"].active_slave.as_deref(), Some("eth1"));
    assert_eq!((host.bonds["bond0"].slaves[0].link_failures, host.bonds["bond0"].slaves[0].mii_up), (2, true));
    assert_eq!(host.ksm.as_ref().map(|ksm| (ksm.run, ksm.pages_sharing, ksm.full_scans.first)), Some((1, 900_000, 17)));

    let eth1 = &host.ethtool["eth1"];
    assert_eq!((eth1.driver.as_deref(), eth1.speed_mbit, eth1.duplex.as_deref()), (Some("bnx2x"), Some(10_000), Some("full")));
    assert!(!host.ethtool.contains_key("vnet0"));
}

#[test]
fn settings_are_those_of_uplinks_and_bridges_only() {
    let seen = observe(&Tree::unpack(OLD));
    let host = &seen.host;
    assert_eq!(host.sysctl("net/ipv4/ip_forward"), Some(1));
    assert_eq!(host.sysctl("net/ipv4/conf/eth1.1102/rp_filter"), Some(2));
    assert_eq!(host.sysctl("net/ipv6/conf/br1102/disable_ipv6"), Some(0));
    assert_eq!(host.sysctl("net/bridge/bridge-nf-call-iptables"), Some(1));
    assert_eq!(host.sysctl("net/ipv4/conf/vnet0/rp_filter"), None);
}

#[test]
fn stalled_threads_are_seen_with_what_they_wait_in() {
    let seen = observe(&Tree::unpack(OLD));
    let roles: Vec<_> = seen.host.processes.iter().map(|process| (process.pid, process.role)).collect();
    assert_eq!(
        roles,
        [(45, ProcessRole::Ksmd), (2000, ProcessRole::Qemu), (3000, ProcessRole::Nova), (2100, ProcessRole::Vhost)],
        "the vhost worker of 2000 is its thread, the one without an owner stands alone, bash and the vanished 3200 are nothing"
    );
    let qemu = &seen.host.processes[1];
    assert_eq!(qemu.command[2..4], ["-name", "instance-00000a1b"]);
    let threads: Vec<_> =
        qemu.threads.iter().map(|t| (t.tid, t.name.as_str(), t.state.first, t.waits_in.as_deref(), t.cpu_ticks.first)).collect();
    assert_eq!(
        threads,
        [
            (2000, "qemu-system-x86", 'S', None, 1500),
            (2003, "qemu-system-x86", 'D', Some("kvm_async_pf_task_wait"), 91_000),
            (2004, "vhost-2000", 'D', None, 777)
        ]
    );
}

#[test]
fn what_the_old_kernel_lacks_is_said_and_nothing_else() {
    let seen = observe(&Tree::unpack(OLD));
    let mut expected = vec![
        (Source::Pressure, GapReason::Absent),  // MemAvailable
        (Source::Pressure, GapReason::Absent),  // /proc/pressure
        (Source::Sysctls, GapReason::Absent),   // conf/all and conf/default, which this fixture leaves out
        (Source::Ethtool, GapReason::Absent),   // br1102 has no sysfs here
        (Source::Ethtool, GapReason::NotAsked), // features
    ];
    let mut found = gaps(&seen);
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "{:#?}", seen.gaps);
}

#[test]
fn a_new_kernel_s_absences_are_facts() {
    let seen = observe(&Tree::unpack(NEW));
    let host = &seen.host;
    assert_eq!((&host.conntrack, &host.ksm, host.cpus), (&None, &None, Some(3)));
    assert_eq!(host.sysctl("net/bridge/bridge-nf-call-iptables"), None);
    for source in [Source::Conntrack, Source::Pressure, Source::Processes, Source::Bonding, Source::Snmp, Source::Softnet, Source::Host] {
        assert_eq!(seen.gaps_in(source).count(), 0, "{source:?}: {:#?}", seen.gaps);
    }
    assert_eq!(host.snmp.first.get("Ip.Forwarding"), Some(&2), "the thread's own tables, not the main thread's");
    assert_eq!(host.arp_table.as_ref().unwrap().stats.as_ref().unwrap().first.table_fulls, Some(3));
    assert_eq!(host.softnet.len(), 3);
    assert_eq!(host.memory_available_kib, Some(32_000_000));
    assert!((host.pressure["memory"].full_avg10 - 0.25).abs() < 1e-9);
    let bond = &host.bonds["bond0"];
    assert_eq!((bond.aggregator, bond.slaves[0].aggregator), (Some(1), Some(1)));
    assert_eq!(bond.partner_mac.map(|mac| mac.to_string()).as_deref(), Some("00:00:00:00:00:00"));
    let qemu = host.processes.iter().find(|process| process.role == ProcessRole::Qemu).unwrap();
    assert_eq!(qemu.threads.iter().map(|thread| thread.name.as_str()).collect::<Vec<_>>(), ["qemu-system-x86", "CPU 0/KVM", "vhost-2000"]);
}

#[test]
fn the_second_look_fills_what_is_still_there() {
    let tree = Tree::unpack(OLD);
    let mut seen = Observation::default();
    seen.links = links();
    let mut reader = tree.reader();
    reader.observe(&mut seen);
    let before = seen.gaps.clone();

    tree.write("proc/self/net/softnet_stat", "0001e241 00000008 00000009\n0000000a 00000000 00000001\n");
    tree.write("proc/self/net/snmp", "Ip: InDiscards\nIp: 9\n");
    tree.write("proc/sys/net/netfilter/nf_conntrack_count", "65000\n");
    tree.write("sys/kernel/mm/ksm/full_scans", "18\n");
    tree.write("proc/2000/task/2000/stat", "2000 (qemu-system-x86) D 1 1 1 0 -1 0 9 0 0 0 1200 301 0 0 20 0 3 0 5000 0 0\n");
    tree.write("proc/2000/task/2000/wchan", "rtnl_lock");
    // The number of this thread has a new owner, which started later.
    tree.write("proc/2004/task/2004/stat", "2004 (bash) R 2 0 0 0 -1 0 0 0 0 0 0 1 0 0 20 0 1 0 9999 0 0\n");
    tree.remove("proc/3000");
    reader.observe_again(&mut seen);

    let host = &seen.host;
    assert_eq!((host.softnet[0].dropped.rise(|n| *n), host.softnet[1].dropped.rise(|n| *n)), (Some(1), Some(0)));
    assert_eq!(host.snmp.rise(|counters| counters["Ip.InDiscards"]), Some(4));
    assert_eq!(host.conntrack.as_ref().unwrap().count.last, Some(65_000));
    assert_eq!(host.conntrack.as_ref().unwrap().stats.as_ref().unwrap().rise(|stats| stats.drop), Some(0));
    assert_eq!(host.arp_table.as_ref().unwrap().entries.last, Some(1023));
    assert_eq!(host.ksm.as_ref().unwrap().full_scans.rise(|n| *n), Some(1));
    let threads = &host.processes[1].threads;
    assert_eq!((threads[0].state.last, threads[0].cpu_ticks.rise(|n| *n)), (Some('D'), Some(1)));
    assert_eq!(threads[0].waits_in.as_deref(), Some("rtnl_lock"));
    assert_eq!((threads[2].state.last, threads[2].cpu_ticks.last), (None, None));
    assert_eq!(host.processes[2].threads[0].state.last, None);
    assert_eq!(seen.gaps, before, "what ended between the looks is no gap");
}

#[test]
fn broken_tables_are_gaps_with_file_and_line() {
    let tree = Tree::unpack(NEW);
    tree.write("proc/thread-self/net/softnet_stat", "00000001 00000002 00000003\nrubbish\n");
    tree.write("proc/thread-self/net/snmp", "Ip: A\n");
    tree.write("proc/pressure/io", "none\n");
    tree.write("proc/thread-self/net/bonding/bond0", "\u{1b}]0;x\u{7}\n");
    let seen = observe(&tree);
    let broken: Vec<_> = seen.gaps.iter().filter(|gap| gap.reason == GapReason::Malformed).collect();
    let sources: Vec<_> = broken.iter().map(|gap| gap.source).collect();
    assert_eq!(sources, [Source::Softnet, Source::Snmp, Source::Pressure, Source::Bonding]);
    assert!(broken[0].what.ends_with("thread-self/net/softnet_stat") && broken[0].why.starts_with("line 2: expected"), "{}", broken[0]);
}

#[test]
fn a_kernel_that_shows_nothing_leaves_gaps_and_no_facts() {
    let tree = Tree::unpack("");
    let seen = observe(&tree);
    for source in [
        Source::Host,
        Source::Sysctls,
        Source::Softnet,
        Source::Snmp,
        Source::Pressure,
        Source::Processes,
        Source::Ethtool,
        Source::Neighbours,
    ] {
        assert!(seen.gaps_in(source).count() > 0, "{source:?}: {:#?}", seen.gaps);
    }
    assert!(seen.host.softnet.is_empty() && seen.host.processes.is_empty() && seen.host.arp_table.is_none());
}

#[test]
fn sysfs_of_another_namespace_is_not_believed() {
    let tree = Tree::unpack(OLD);
    tree.write("sys/class/net/eth1/address", "02:00:00:00:00:99\n");
    let seen = observe(&tree);
    assert_eq!(seen.host.ethtool["eth1"].driver, None);
    assert!(
        seen.gaps_in(Source::Ethtool).any(|gap| gap.what.ends_with("class/net/eth1") && gap.why.contains("namespace")),
        "{:#?}",
        seen.gaps
    );
}

#[test]
fn hidden_processes_are_a_gap() {
    let tree = Tree::unpack(OLD);
    tree.remove("proc/1");
    let seen = observe(&tree);
    assert!(seen.gaps_in(Source::Processes).any(|gap| gap.reason == GapReason::Permission), "{:#?}", seen.gaps);
}

#[test]
fn a_process_is_elsewhere_where_its_namespace_is_another() {
    let tree = Tree::unpack(OLD);
    let elsewhere = |tree: &Tree| {
        let seen = observe(tree);
        let found = seen.host.processes.iter().find(|process| process.pid == 2000).unwrap().elsewhere;
        (found, seen.gaps_in(Source::Processes).count())
    };
    assert_eq!(elsewhere(&tree), (false, 0), "nothing tells, and that is no gap: the process may have ended");
    let link = |path: &str, target: &str| {
        let path = tree.path(path);
        let _ = std::fs::remove_file(&path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    };
    link("proc/2000/ns/net", "net:[4026532201]");
    assert_eq!(elsewhere(&tree), (false, 0), "the own is not known");
    // Before linux 3.17 there is no thread-self.
    link(&format!("proc/self/task/{}/ns/net", nix::unistd::gettid()), "net:[4026531840]");
    assert_eq!(elsewhere(&tree), (true, 0));
    link("proc/thread-self/ns/net", "net:[4026532201]");
    assert!(tree.path("proc/thread-self").exists());
    assert_eq!(elsewhere(&tree), (false, 0));
}
