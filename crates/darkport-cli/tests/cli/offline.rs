//! The binary on saved observations, good and bad: no test here needs rights or looks at this machine.

use std::process::Stdio;

use crate::run::{command, darkport, darkport_with_input};
use darkport::model::{ExitCode, LinkKind, Observation};

const RECORDED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/recorded/uplink-not-in-bridge.json");

fn recorded() -> Observation {
    Observation::from_json(&std::fs::read_to_string(RECORDED).unwrap()).unwrap()
}

#[test]
fn a_saved_observation_diagnoses_to_its_cause() {
    let run = darkport(&["--from", RECORDED]);
    assert_eq!(run.code, Some(2), "{}{}", run.out, run.err);
    assert!(run.out.starts_with("CRITICAL  virt1012  6 of 6 instances DARK"), "{}", run.out);
    assert!(run.out.contains("uplink-not-in-bridge  proven  at eth1"), "{}", run.out);
    assert!(run.out.contains("on virt1012:  ip link set "), "{}", run.out);
    assert!(run.out.lines().count() <= 24);
    assert!(!run.out.contains('\u{1b}'), "no colour without a terminal");
    assert_eq!(run.err, "");
}

#[test]
fn json_is_the_diagnosis_of_the_library() {
    let run = darkport_with_input(&["--json", "--from", "-"], &std::fs::read(RECORDED).unwrap());
    assert_eq!(run.code, Some(2), "{}", run.err);
    assert_eq!(run.out.lines().count(), 1);
    let told: darkport::model::Diagnosis = serde_json::from_str(&run.out).unwrap();
    assert_eq!(told, darkport::diagnose(&recorded()));
    let value: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!((&value["schema"], &value["status"], &value["instances"][0]["state"]), (&1.into(), &"fault".into(), &"dark".into()));
}

#[test]
fn everything_is_shown_on_demand() {
    let (short, long) = (darkport(&["--from", RECORDED]), darkport(&["-v", "--from", RECORDED]));
    assert_eq!(short.code, long.code);
    assert!(long.out.lines().count() > short.out.lines().count());
    for name in ["instance-00000001", "instance-00000004"] {
        assert!(long.out.contains(name), "{}", long.out);
    }
}

#[test]
fn files_that_cannot_be_used_are_told_with_place_and_next_step() {
    let newer = r#"{"schema":99}"#;
    let broken = "{\n\"schema\":1,\n\"links\":[{]}";
    for (input, words) in [
        (newer.as_bytes(), "schema 99"),
        (broken.as_bytes(), "line 3"),
        (b"{}", "no \"schema\""),
        (b"", "line 1"),
        (b"\xff\xfe{", "UTF-8"),
        (b"[1,2]\x1b[31m", "line 1"),
    ] {
        let run = darkport_with_input(&["--from", "-"], input);
        assert_eq!((run.code, run.out.as_str()), (Some(3), ""), "{}", run.err);
        assert!(run.err.contains("standard input") && run.err.contains(words) && run.err.contains("Next: "), "{words}: {}", run.err);
        assert!(!run.err.contains('\u{1b}'));
    }
    let run = darkport(&["--from", "/nonexistent/seen.json"]);
    assert_eq!(run.code, Some(3));
    assert!(run.err.contains("/nonexistent/seen.json: No such file"), "{}", run.err);
}

#[test]
fn a_pipe_at_a_path_is_refused_and_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for path in [fifo.as_path(), folder.path(), std::path::Path::new("/dev/zero")] {
        let run = darkport(&["--from", path.to_str().unwrap()]);
        assert_eq!((run.code, run.out.as_str()), (Some(3), ""), "{}", run.err);
        assert!(run.err.contains(path.to_str().unwrap()) && run.err.contains("use --from - and pipe it in"), "{}", run.err);
    }
}

#[test]
fn nothing_seen_is_never_healthy() {
    let run = darkport_with_input(&["--from", "-"], br#"{"schema":1}"#);
    assert_eq!(run.code, Some(3), "{}", run.out);
    assert!(run.out.starts_with("UNKNOWN"), "{}", run.out);
    assert!(!run.out.to_lowercase().contains("healthy"), "{}", run.out);
}

#[test]
fn a_list_that_was_not_used_is_told_on_the_screen_and_in_json() {
    let mut seen = Observation::default();
    seen.links.push(darkport::model::Link::new(2, "eth0"));
    let from = |seen: &Observation, args: &[&str]| darkport_with_input(&[args, &["--from", "-"]].concat(), seen.to_json().as_bytes());
    assert_eq!(from(&seen, &[]).code, Some(0), "{}", from(&seen, &[]).out);
    let reason = darkport::model::GapReason::Absent;
    seen.gaps.push(darkport::model::Gap::new(darkport::model::Source::Claims, "list.txt", reason, "No such file"));
    let run = from(&seen, &[]);
    assert_eq!(run.code, Some(3));
    assert!(
        run.out.starts_with("UNKNOWN  ") && run.out.contains("\nUNKNOWN   the list list.txt could not be used: No such file\n"),
        "{}",
        run.out
    );
    assert!(!run.out.contains("HEALTHY"), "{}", run.out);
    let told: darkport::model::Diagnosis = serde_json::from_str(&from(&seen, &["--json"]).out).unwrap();
    assert_eq!(told.status, darkport::model::Status::Undetermined);
}

#[test]
fn hostile_names_do_not_reach_the_terminal() {
    let evil = format!("\u{1b}]0;pwned\u{7}\u{9b}2J\u{202e}{}", "x".repeat(10_000));
    let mut seen = recorded();
    seen.host.name.clone_from(&evil);
    for link in seen.links.iter_mut().filter(|link| link.kind == LinkKind::Veth) {
        link.name = format!("{}{evil}", link.index);
    }
    for instance in &mut seen.inventory.instances {
        instance.name = format!("{evil}{}", instance.name);
        instance.nics.iter_mut().flat_map(|nic| &mut nic.tap).for_each(|tap| tap.value.clone_from(&evil));
    }
    let input = seen.to_json();
    for args in [&["--from", "-"] as &[&str], &["-v", "--from", "-"], &["--json", "--from", "-"]] {
        let run = darkport_with_input(args, input.as_bytes());
        let raw: String =
            run.out.chars().filter(|character| *character != '\n' && (character.is_control() || *character == '\u{202e}')).collect();
        assert_eq!(raw, "", "{args:?}");
        assert!(run.out.contains("pwned"), "it is shown, escaped: {}", run.out);
    }
}

#[test]
fn wrong_calls_are_unknown_and_help_is_not() {
    for args in [&["--nonsense"] as &[&str], &["--window", "-1"], &["--from", "a", "--save", "b"], &["--asked-host", "h"], &["--save", "-"]]
    {
        let run = darkport(args);
        assert_eq!(run.code, Some(i32::from(ExitCode::Unknown.code())), "{args:?}");
        assert!(run.err.contains("Usage") || run.err.contains("--help"), "{}", run.err);
    }
    assert!(darkport(&["demo", "--save", "-"]).err.contains("name a file"));
    let both = darkport(&["--from", RECORDED, "--instances", "list.txt"]);
    assert_eq!((both.code, both.out.as_str()), (Some(3), ""));
    assert!(both.err.contains("darkport --instances LIST --save FILE"), "{}", both.err);
    let help = darkport(&["--help"]);
    assert_eq!((help.code, help.err.as_str()), (Some(0), ""));
    for word in ["--instances", "--netns", "--save", "explain", "demo", "2  CRITICAL"] {
        assert!(help.out.contains(word), "{word}");
    }
    assert_eq!(darkport(&["--version"]).out, format!("darkport {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_cause_can_be_explained() {
    let list = darkport(&["explain"]);
    assert_eq!(list.code, Some(0));
    let mut told = 0;
    for explanation in darkport::catalogue() {
        assert!(list.out.contains(explanation.code), "{}", explanation.code);
        let run = darkport(&["explain", explanation.code]);
        assert_eq!(run.code, Some(0));
        assert!(run.out.starts_with(explanation.code) && run.out.contains("FIX"), "{}", run.out);
        told += 1;
    }
    assert!(told > 0, "the catalogue is not empty");
    let run = darkport(&["explain", "tap-admin-down", "nonsense", "uplink-not-in-bridge"]);
    assert_eq!(run.code, Some(3));
    assert!(run.out.starts_with("tap-admin-down") && run.out.contains("\n\nuplink-not-in-bridge  ("), "{}", run.out);
    assert!(run.err.contains("nonsense"), "{}", run.err);
    let run = darkport(&["explain", "uplink-nonsense\u{1b}"]);
    assert_eq!(run.code, Some(3));
    assert!(run.err.contains("uplink-not-in-bridge") && !run.err.contains('\u{1b}'), "{}", run.err);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let mut child = command("darkport").args(["-v", "--from", RECORDED]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn colours_follow_the_environment() {
    let run = |name: &str| command("darkport").args(["--from", RECORDED]).env(name, "1").output().unwrap().stdout;
    assert!(run("CLICOLOR_FORCE").contains(&0x1b), "asked for by force");
    assert!(!run("NO_COLOR").contains(&0x1b));
}

#[test]
fn a_plain_locale_gets_ascii() {
    let output = command("darkport").args(["--from", RECORDED]).env("LC_ALL", "C").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.is_ascii(), "{text}");
    assert!(text.contains("-X "), "the broken hop is marked: {text}");
}
