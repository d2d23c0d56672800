//! A synthetic instance does what an instance does, and leaves nothing behind, however it ends.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use darkport_model::{IfIndex, Part, TestKind};
use darkport_probe::{AllowChanges, ProbeError, Synthetic};

use crate::common::{batch, bridge, in_new_namespace, run};

const VICTIM: &str = "DARKPORT_TEST_VICTIM";

fn instance() -> Synthetic {
    Synthetic::on("br0", AllowChanges::asked_for()).address([10, 0, 0, 77].into(), 24).gateway([10, 0, 0, 1].into())
}

/// All that a port could change: devices, forwarding entries, VLANs, the bridge's own address. Timers aside.
fn state() -> String {
    let links: Vec<String> = run("ip -d -o link").lines().map(|line| line.split(" tcn_timer").next().unwrap().to_owned()).collect();
    let timers = |word: &&str| !word.contains('.');
    let links: Vec<&str> = links.iter().flat_map(|line| line.split_whitespace()).filter(timers).collect();
    format!("{}\n{}\n{}", links.join(" "), run("bridge fdb show"), run("bridge vlan show"))
}

fn ground() {
    bridge(2);
    batch(Some("guests"), "addr add 10.0.0.1/24 dev eth0");
    // The ports' addresses are their own by chance, all below fe:.
    batch(None, "link set vnet0 address 02:00:00:00:00:10\nlink set vnet1 address 02:00:00:00:00:11");
    // The guests' own first words teach the bridge their addresses: that is no trace of ours, and must be over before anything is compared.
    let until = Instant::now() + Duration::from_secs(20);
    let learned = |port: usize| run("bridge fdb show").contains(&format!("fa:16:3e:00:00:0{port} dev vnet{port} master br0"));
    while !(learned(0) && learned(1)) {
        assert!(Instant::now() < until, "the guests say nothing");
        sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_does_what_an_instance_does_and_is_gone() {
    in_new_namespace("synthetic::it_does_what_an_instance_does_and_is_gone", || {
        ground();
        let before = state();
        let seen = instance().run().unwrap();
        assert_eq!(state(), before);
        let told = |kind| seen.tests.iter().find(|test| test.kind == kind).unwrap();
        for kind in [TestKind::ArpGateway, TestKind::PingGateway, TestKind::FullMtu] {
            assert_eq!((told(kind).tries, told(kind).passed), (5, 5), "{:?}", told(kind));
        }
        // Its frames come in by its own port and go out by the gateway's, and the answers the other way.
        let way = |kind, part| told(kind).way.iter().filter(|one| one.part == part).map(|one| (one.link, one.outgoing)).collect::<Vec<_>>();
        let index = |name: &str| IfIndex(run(&format!("cat /sys/class/net/{name}/ifindex")).trim().parse().unwrap());
        let port = seen.port.unwrap();
        for kind in [TestKind::PingGateway, TestKind::FullMtu] {
            assert_eq!(way(kind, Part::Question), [(port, false), (index("vnet0"), true)], "{kind:?}");
            assert_eq!(way(kind, Part::Answer), [(index("vnet0"), false), (port, true)], "{kind:?}");
        }
        assert!(told(TestKind::Dhcp).failed() && told(TestKind::Dns).tries == 0);
        assert!(told(TestKind::Metadata).failed() && told(TestKind::RouterSolicitation).failed());
        // Somebody has the address: it is not used.
        let taken = instance().address([10, 0, 0, 1].into(), 24).run().unwrap();
        assert!(taken.address.is_none() && taken.tests[2].tries == 0 && taken.tests[2].detail.contains("is taken"), "{taken:?}");
        run("ip link set br0 type bridge stp_state 1");
        assert!(matches!(instance().run(), Err(ProbeError::SpanningTree(_))));
    });
}

#[test]
fn killed_at_any_moment_it_leaves_nothing() {
    in_new_namespace("synthetic::killed_at_any_moment_it_leaves_nothing", || {
        ground();
        let before = state();
        let began = Instant::now();
        let mut met = 0;
        for round in 0..50 {
            let mut victims: Vec<_> = (0..4)
                .map(|_| {
                    let mut victim = Command::new(std::env::current_exe().unwrap());
                    victim.args(["synthetic::victim", "--exact"]).env(VICTIM, "1").stdout(Stdio::null()).stderr(Stdio::null());
                    victim.spawn().unwrap()
                })
                .collect();
            for victim in &mut victims {
                sleep(Duration::from_micros(RandomState::new().build_hasher().finish() % 40_000));
                victim.kill().unwrap();
            }
            met += run("ip -o link").matches("dkp").count();
            for victim in &mut victims {
                assert_eq!(victim.wait().unwrap().code(), None, "round {round}: it ended before it was killed");
            }
            let until = Instant::now() + Duration::from_secs(5);
            while state() != before {
                assert!(Instant::now() < until, "round {round}:\n{before}\n--- became ---\n{}", state());
                sleep(Duration::from_millis(10));
            }
        }
        assert!(met > 0, "none was killed while it had a port");
        println!("200 kills in {:?}, {met} ports met", began.elapsed());
    });
}

/// What `killed_at_any_moment_it_leaves_nothing` kills; alone it does nothing.
#[test]
fn victim() {
    if std::env::var(VICTIM).is_ok() {
        loop {
            let _ = instance().run();
        }
    }
}
