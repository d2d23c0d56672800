//! The demo, live where the kernel lets it, and what it leaves behind: nothing.

use std::process::{Command, Stdio};

use crate::run::{Run, command, darkport};
use darkport::model::Observation;

/// Whether this kernel lets this user build the demo; where not, the tests say so and check the replay instead.
fn lives() -> bool {
    let lives = Command::new("unshare").args(["-Urnm", "ip", "link", "add", "type", "bridge"]).stderr(Stdio::null()).status();
    let lives = lives.is_ok_and(|status| status.success());
    if !lives {
        println!("NOT LIVE: this kernel or container forbids user namespaces (or has no iproute2): the demo is checked by its replay only");
    }
    lives
}

#[test]
fn what_is_broken_is_named_and_mended() {
    if !lives() {
        return replayed();
    }
    let list = darkport(&["demo", "--break", "list"]).out;
    let causes: Vec<&str> = list.lines().collect();
    assert!(causes.len() >= 8, "{list}");
    // A few at a time: each stands on ground of its own, but they share the processors.
    for few in causes.chunks(3) {
        let running: Vec<_> = few
            .iter()
            .map(|cause| {
                (cause, command("darkport").args(["demo", "--break", cause]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
            })
            .collect();
        for (cause, child) in running {
            let run = Run::from(child.wait_with_output().unwrap());
            assert_eq!(run.code, Some(0), "{cause}:\n{}{}", run.out, run.err);
            for words in [&format!("verdict    right: {cause}"), "4 of 4 instances reach the gateway", "says: OK"] {
                assert!(run.out.contains(words), "{words}:\n{}", run.out);
            }
        }
    }
}

#[test]
fn a_whole_host_is_healthy() {
    if !lives() {
        return replayed();
    }
    let run = darkport(&["demo", "--break", "none"]);
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.contains("\nHEALTHY "), "{}", run.out);
}

#[test]
fn nothing_stays_behind_even_when_it_is_killed() {
    let read = |program: &str, args: &[&str]| String::from_utf8(Command::new(program).args(args).output().unwrap().stdout).unwrap();
    let state = || {
        (
            read("ip", &["-o", "-br", "link"]),
            std::fs::read_to_string("/proc/self/mounts").unwrap(),
            std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        )
    };
    let before = state();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seen.json");
    let run = darkport(&["demo", "--break", "uplink-admin-down", "--save", path.to_str().unwrap()]);
    assert_eq!(state(), before, "{}", run.out);
    if lives() {
        let seen = Observation::from_json(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(seen.host.name, "virt1012");
        assert_eq!(seen.inventory.instances.len(), 4);
    }
    let mut child = command("darkport").args(["demo", "--break", "none"]).stdout(Stdio::null()).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(500));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(state(), before);
}

#[test]
fn where_nothing_can_be_built_a_recording_is_replayed_and_said_to_be_one() {
    replayed();
}

fn replayed() {
    let run = darkport(&["demo", "--replay"]);
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.starts_with("NOT LIVE: ") && run.out.contains("replay") && run.out.contains("uplink-not-in-bridge"), "{}", run.out);
}

#[test]
fn without_iproute2_it_says_so_and_replays() {
    let run: Run = command("darkport").args(["demo"]).env("PATH", "/nonexistent").output().unwrap().into();
    assert_eq!(run.code, Some(0), "{}{}", run.out, run.err);
    assert!(run.out.starts_with("NOT LIVE: "), "{}", run.out);
}

#[test]
fn what_cannot_be_broken_is_an_error_that_helps() {
    let run = darkport(&["demo", "--break", "everything"]);
    assert_eq!(run.code, Some(3));
    assert!(run.err.contains("--break list"), "{}", run.err);
    assert!(darkport(&["demo", "--break", "list"]).out.contains("tap-admin-down"));
}
