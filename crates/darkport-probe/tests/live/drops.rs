//! The kernel's own word on why a frame was dropped. Watching takes real root, so that the ground is a network namespace only.

use std::io::{self, Write as _};
use std::time::Duration;

use darkport_model::Observation;
use darkport_probe::{AllowChanges, Drops, Filter, PacketSocket, SocketOptions};
use nix::sched::{CloneFlags, unshare};

use crate::common::run;
use crate::socket::{A, arp, send, wire};

const FRAMES: usize = 50;

fn skipped(name: &str, why: &dyn std::fmt::Display) {
    // Written past the test harness, which would swallow it.
    let _ = writeln!(io::stderr(), "SKIPPED {name}: {why}");
}

#[test]
fn the_kernel_tells_why_it_dropped() {
    let mut drops = match Drops::start(AllowChanges::asked_for()) {
        Ok(drops) => drops,
        Err(error) => {
            let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
            return skipped("the_kernel_tells_why_it_dropped", &format!("{error}: {source}"));
        }
    };
    // A thread's namespace ends with the thread.
    let ground = std::thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let (near, _) = wire();
        let chain = r#"{ type filter hook ingress device "wb" priority 0; policy drop; }"#;
        run_one("nft", &["add table netdev x"]);
        run_one("nft", &[&format!("add chain netdev x y {chain}")]);
        let sender = PacketSocket::open(SocketOptions::new(near), &Filter::Everything).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        drops.probing_begins();
        for _ in 0..FRAMES {
            send(&sender, &[arp(true, A, None)]);
        }
        std::thread::sleep(Duration::from_millis(50));
        io::Result::Ok(drops)
    });
    let drops = ground.join().unwrap().unwrap();
    let mut seen = Observation::default();
    drops.finish(&mut seen);
    let told = seen.probes.drops.iter().find(|drop| drop.protocol == 0x0806 && drop.frames as usize >= FRAMES).unwrap();
    assert!(told.before < 10 && told.over_ms >= 50 && told.before_ms >= 300 && told.stands_out(), "{told:?}");
    if !told.function.is_empty() {
        // The caller of the rules, or, as Linux 6.18 does, the function that goes through them.
        assert!(["nf_hook_slow", "nft_do_chain"].contains(&told.function.as_str()), "{told:?}");
    }
    assert!(["NETFILTER_DROP", ""].contains(&told.reason.as_str()), "{told:?}");
}

/// A command whose arguments have spaces in them.
fn run_one(program: &str, arguments: &[&str]) {
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn nothing_of_the_watch_stays() {
    let mounts = || run("cat /proc/self/mounts");
    let before = mounts();
    match Drops::start(AllowChanges::asked_for()) {
        Ok(drops) => {
            assert_eq!(mounts(), before, "the tracing file system is mounted nowhere");
            drop(drops);
            assert_eq!(mounts(), before);
        }
        Err(error) => skipped("nothing_of_the_watch_stays", &error),
    }
}
