//! The reader on this machine's own kernel.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test starts what is observed, and fails where it cannot"
)]

use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use darkport_host::HostReader;
use darkport_model::{GapReason, Link, Observation, ProcessRole, Source};

/// This machine's links as far as the reader needs them.
fn links() -> Vec<Link> {
    let value = |name: &str, file: &str| std::fs::read_to_string(Path::new("/sys/class/net").join(name).join(file)).unwrap();
    std::fs::read_dir("/sys/class/net")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| Path::new("/sys/class/net").join(name).join("ifindex").exists())
        .map(|name| {
            let mut link = Link::new(value(&name, "ifindex").trim().parse().unwrap(), &name);
            link.mac = value(&name, "address").trim().parse().ok();
            link
        })
        .collect()
}

/// A shell under another name, which waits until its input ends: it cannot outlive the test.
fn waiting_as(directory: &Path, name: &str, arguments: &[&str]) -> Child {
    let program = directory.join(name);
    // A link, since what is still open for writing in a process that another test forks cannot be run (execve(2), ETXTBSY).
    std::os::unix::fs::symlink("/bin/sh", &program).unwrap();
    Command::new(program).args(arguments).stdin(Stdio::piped()).spawn().unwrap()
}

#[test]
fn this_machine_is_read_twice() {
    let mut seen = Observation::default();
    seen.links = links();
    let mut reader = HostReader::new();
    let begun = Instant::now();
    reader.observe(&mut seen);
    let first = begun.elapsed();
    std::thread::sleep(Duration::from_millis(20));
    let begun = Instant::now();
    reader.observe_again(&mut seen);
    println!("first look {first:?}, second look {:?}, {} processes that matter", begun.elapsed(), seen.host.processes.len());

    let host = &seen.host;
    assert_eq!(host.name, std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap().trim());
    assert!(host.kernel_build.contains(&host.kernel), "{} / {}", host.kernel_build, host.kernel);
    assert_eq!(host.softnet.len(), host.cpus.unwrap() as usize);
    assert!(host.softnet.iter().all(|cpu| cpu.processed.rise(|n| *n).is_some()));
    assert!(host.boot_time.unwrap().0 > 1_400_000_000_000);
    assert!(host.memory_total_kib.unwrap() > 1000);
    assert!(host.snmp.first.contains_key("Ip.InDiscards") && host.snmp.last.as_ref().unwrap().contains_key("Ip.InDiscards"));
    assert!(host.sysctls.contains_key("net/ipv4/ip_forward") && host.sysctls.contains_key("net/ipv4/conf/all/rp_filter"));
    let arp = host.arp_table.as_ref().expect("every kernel tells of its neighbour table");
    assert!(arp.gc_thresh3 > 0 && arp.entries.last.is_some());
    for name in seen.links.iter().map(|link| &link.name) {
        assert!(host.ethtool.contains_key(name), "{name}");
    }
    for gap in &seen.gaps {
        assert!(gap.reason != GapReason::Malformed, "this kernel's files are of their form: {gap}");
    }
}

#[test]
fn services_are_found_by_name_and_by_script() {
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("nova-compute");
    std::fs::File::create(&script).unwrap().write_all(b"read line\n").unwrap();
    let mut dnsmasq = waiting_as(directory.path(), "dnsmasq", &["-c", "read line", "--bridge=br1102"]);
    let mut nova = waiting_as(directory.path(), "python3.9", &[script.to_str().unwrap(), "--config-file=x"]);
    // Until both have become what they run.
    std::thread::sleep(Duration::from_millis(200));

    let mut seen = Observation::default();
    let mut reader = HostReader::new();
    reader.observe(&mut seen);
    drop(nova.stdin.take());
    nova.wait().unwrap();
    reader.observe_again(&mut seen);
    drop(dnsmasq.stdin.take());
    dnsmasq.wait().unwrap();

    let process = |pid: u32| seen.host.processes.iter().find(|process| process.pid == pid).expect("it was running");
    let found = process(dnsmasq.id());
    assert_eq!((found.role, found.comm.as_str()), (ProcessRole::Dnsmasq, "dnsmasq"));
    assert_eq!(found.command[1..], ["-c", "read line", "--bridge=br1102"]);
    assert!(matches!(&found.threads[..], [thread] if thread.tid == dnsmasq.id() && thread.state.last.is_some()), "{found:?}");
    let found = process(nova.id());
    assert_eq!((found.role, found.comm.as_str()), (ProcessRole::Nova, "python3.9"));
    assert_eq!(found.threads[0].state.last, None, "it had ended by the second look");
}

/// A thread in another namespace reads that one's tables and settings, and does not take sysfs's `eth0` for its own.
#[test]
fn a_thread_reads_its_own_namespace() {
    let own_mac = "02:00:00:00:00:01".parse().unwrap();
    let seen = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).ok()?;
        let mut seen = Observation::default();
        let mut link = Link::new(2, "eth0");
        link.mac = Some(own_mac);
        seen.links = vec![link];
        HostReader::new().observe(&mut seen);
        Some(seen)
    })
    .join()
    .unwrap();
    let Some(seen) = seen else {
        println!("NOT RUN: a_thread_reads_its_own_namespace: making a network namespace needs root");
        return;
    };
    assert_eq!(seen.host.snmp.first.get("Ip.InReceives"), Some(&0), "nothing was ever received there");
    assert!(seen.host.arp_table.as_ref().unwrap().gc_thresh3 > 0, "netlink tells where /proc does not");
    assert_eq!(seen.host.ethtool["eth0"].driver, None);
    assert!(seen.gaps_in(Source::Ethtool).any(|gap| gap.what == "/sys/class/net/eth0"), "{:#?}", seen.gaps);
}

/// Of two processes that a thread sees, one is in the thread's namespace and one is not.
#[test]
fn a_process_of_another_namespace_is_told_from_one_of_the_own() {
    let directory = tempfile::tempdir().unwrap();
    let mut outside = waiting_as(directory.path(), "qemu-outside", &["-c", "read line"]);
    let program = directory.path().to_owned();
    let seen = std::thread::spawn(move || {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).ok()?;
        let mut inside = waiting_as(&program, "qemu-inside", &["-c", "read line"]);
        // Until both have become what they run.
        std::thread::sleep(Duration::from_millis(200));
        let mut seen = Observation::default();
        HostReader::new().observe(&mut seen);
        drop(inside.stdin.take());
        inside.wait().unwrap();
        Some((seen, inside.id()))
    })
    .join()
    .unwrap();
    let mut from_outside = Observation::default();
    HostReader::new().observe(&mut from_outside);
    drop(outside.stdin.take());
    outside.wait().unwrap();

    let elsewhere = |seen: &Observation, pid: u32| seen.host.processes.iter().find(|process| process.pid == pid).unwrap().elsewhere;
    assert!(!elsewhere(&from_outside, outside.id()), "the main thread's namespace is that of its children");
    let Some((seen, inside)) = seen else {
        println!("NOT RUN: a_process_of_another_namespace_is_told_from_one_of_the_own: making a network namespace needs root");
        return;
    };
    assert!(!elsewhere(&seen, inside), "a child of the thread is where the thread is");
    assert!(elsewhere(&seen, outside.id()));
}
