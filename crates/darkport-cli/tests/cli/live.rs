//! The binaries on the kernel that runs the test: they only look.

use std::os::unix::process::CommandExt as _;

use crate::run::{Run, command, darkport, darkport_with_input};
use darkport::model::{Diagnosis, Observation};

const LIST: &str = "\
+--------------------------------------+------+--------+------------+-------------+-------------------+
| ID                                   | Name | Status | Task State | Power State | Networks          |
+--------------------------------------+------+--------+------------+-------------+-------------------+
| 6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001 | web  | ACTIVE | -          | Running     | public=10.68.16.4 |
+--------------------------------------+------+--------+------------+-------------+-------------------+
";

#[test]
fn this_host_is_looked_at_twice_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("seen.json");
    let run = darkport(&["--json", "--window", "0.3", "--save", path.to_str().unwrap()]);
    let told: Diagnosis = serde_json::from_str(&run.out).unwrap();
    assert_eq!(run.code, Some(i32::from(darkport::model::ExitCode::of(&told).code())));
    let seen = Observation::from_json(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert!(seen.links.iter().any(|link| link.name == "lo"));
    assert!(seen.window_ms.unwrap() >= 300, "{:?}", seen.window_ms);
    assert!(seen.taken_at.0 > 1_700_000_000_000);
    assert_eq!(seen.darkport, env!("CARGO_PKG_VERSION"));
    // What was saved diagnoses to the same answer.
    let again = darkport(&["--json", "--from", path.to_str().unwrap()]);
    assert_eq!(again.out, run.out);
}

#[test]
fn the_window_is_inside_the_run_and_little_else() {
    let begun = std::time::Instant::now();
    darkport(&["--json", "--window", "1"]);
    let took = begun.elapsed().as_secs_f64();
    assert!((1.0..2.0).contains(&took), "under 1 s beyond the window, not {took}");
}

#[test]
fn an_observation_that_cannot_be_kept_is_said() {
    let run = darkport(&["--window", "0", "--save", "/nonexistent/seen.json"]);
    assert_eq!(run.code, Some(3));
    assert!(run.err.contains("/nonexistent/seen.json") && run.err.contains("Next: "), "{}", run.err);
    assert!(!run.out.is_empty(), "the answer is told all the same");
}

#[test]
fn a_namespace_that_is_not_there_is_an_error() {
    let run = darkport(&["--netns", "/nonexistent/netns"]);
    assert_eq!((run.code, run.out.as_str()), (Some(3), ""));
    assert!(run.err.contains("/nonexistent/netns: No such file") && run.err.contains("Next: check"), "{}", run.err);
    assert_eq!(run.err.matches("/nonexistent/netns").count(), 1, "{}", run.err);
    let run = darkport(&["--netns", "/dev/null"]);
    assert_eq!((run.code, run.out.as_str()), (Some(3), ""));
    assert!(run.err.contains("/dev/null is no network namespace\n") || run.err.contains("as root"), "{}", run.err);
}

#[test]
fn what_nova_says_comes_from_a_file_or_a_pipe() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("list.txt");
    std::fs::write(&list, LIST).unwrap();
    let kept = folder.path().join("seen.json");
    let save = ["--window", "0", "--save", kept.to_str().unwrap(), "--asked-host", "virt1012", "--instances"];
    for (source, input) in [(list.to_str().unwrap(), ""), ("-", LIST)] {
        darkport_with_input(&[&save[..], &[source]].concat(), input.as_bytes());
        let seen = Observation::from_json(&std::fs::read_to_string(&kept).unwrap()).unwrap();
        let claim = &seen.inventory.claims[0];
        assert_eq!((claim.name.as_deref(), claim.asked_host.as_deref()), (Some("web"), Some("virt1012")));
        let from = if source == "-" { "standard input" } else { "list.txt" };
        assert!(claim.place.contains(from), "{}", claim.place);
    }
    let bad = darkport_with_input(&["-v", "--window", "0", "--instances", "-"], b"[{\"ID\": ");
    assert!(bad.out.contains("standard input"), "a list that cannot be read is told: {}", bad.out);
}

#[test]
fn a_list_that_cannot_be_used_is_a_failure_and_the_answer_comes_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("none\u{1b}.txt");
    let code = |run: &Run| {
        let told: Diagnosis = serde_json::from_str(&run.out).unwrap();
        (run.code.unwrap(), i32::from(darkport::model::ExitCode::of(&told).code()))
    };
    for path in [absent.as_path(), folder.path()] {
        let run = darkport(&["--json", "--window", "0", "--instances", path.to_str().unwrap()]);
        let (code, of_diagnosis) = code(&run);
        assert_eq!(code, if of_diagnosis == 2 { 2 } else { 3 });
        let shown = path.to_str().unwrap().replace('\u{1b}', "\\u{1b}");
        assert!(run.err.contains(&shown) && run.err.contains("Next: ") && !run.err.contains('\u{1b}'), "{}", run.err);
    }
    let input = std::fs::File::open(folder.path()).unwrap();
    let run: Run = command("darkport").args(["--json", "--window", "0", "--instances", "-"]).stdin(input).output().unwrap().into();
    assert_eq!(code(&run).0, if code(&run).1 == 2 { 2 } else { 3 });
    assert!(run.err.contains("standard input") && run.err.contains("Next: "), "{}", run.err);
    let run = darkport_with_input(&["--json", "--window", "0", "--instances", "-"], b"[{\"ID\": ");
    let (code, of_diagnosis) = code(&run);
    assert_eq!((code, run.err.as_str()), (if of_diagnosis == 0 { 3 } else { of_diagnosis }, ""));
}

#[test]
fn bridges_are_shown_as_text_and_as_an_observation() {
    let run: Run = command("darkport-bridge").args(["--json", "--window", "0.2"]).output().unwrap().into();
    let seen = Observation::from_json(&run.out).unwrap();
    assert!(seen.links.iter().any(|link| link.name == "lo"));
    let run: Run = command("darkport-bridge").args(["--window", "0"]).output().unwrap().into();
    assert!(run.out.contains("bridge") && run.out.contains("one look only"), "{}", run.out);
    let run: Run = command("darkport-bridge").arg("--nonsense").output().unwrap().into();
    assert_eq!(run.code, Some(3));
}

#[test]
fn another_user_gets_an_answer_that_does_not_claim_too_much() {
    let mut probe = command("darkport");
    probe.args(["--window", "0", "--json"]);
    if nix::unistd::geteuid().is_root() {
        probe.uid(65534).gid(65534);
        let readable = std::process::Command::new(env!("CARGO_BIN_EXE_darkport")).arg("--version").uid(65534).gid(65534).output();
        if let Err(error) = readable {
            println!(
                "NOT RUN: another user may not run the binary where it was built ({error}): run the tests as an ordinary user for this one"
            );
            return;
        }
    }
    let output = probe.output().unwrap();
    let told: Diagnosis = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(i32::from(darkport::model::ExitCode::of(&told).code())));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
