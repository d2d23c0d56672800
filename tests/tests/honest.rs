//! The lab itself: it must find a wrong verdict wrong, and a right one right. Boots VMs.
#![allow(clippy::disallowed_methods, reason = "runs a program and writes files")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

/// A `darkport` that says the same whatever is the matter.
const LIAR: &str = r#"#!/bin/sh
dark=""
for file in /run/libvirt/qemu/*.xml; do
  name=${file##*/}
  dark="$dark${dark:+,}{\"name\":\"${name%.xml}\",\"state\":\"dark\"}"
done
echo "{\"schema\":1,\"status\":\"fault\",\"instances\":[$dark],\"causes\":[{\"code\":\"uplink-not-in-bridge\",\"certainty\":\"proven\",\"hop\":\"uplink-port\"}]}"
exit 2
"#;

const UPLINK: &str = "code = \"uplink-not-in-bridge\"\nstory = \"the uplink is in no bridge\"\ninstances = 2\n\
                      fault = [\"ip -n virt1012 link set eth1.1102 nomaster\"]\n[expect]\nhop = \"port\"\ndark = \"all\"\ncertainty = \"proven\"\n";
const HEALTHY: &str = "code = \"healthy\"\nstory = \"all is well\"\ninstances = 2\n";
const TAP: &str = "code = \"tap-admin-down\"\nstory = \"a tap is down\"\ninstances = 2\n\
                   fault = [\"ip -n virt1012 link set vnet0 down\"]\n[expect]\ndark = [\"instance-00000001\"]\n";
const WRONG_CLAIM: &str = "code = \"uplink-not-in-bridge\"\nstory = \"nothing happens, and the file claims that all go dark\"\ninstances = 2\n\
                           [expect]\ndark = \"all\"\n";

fn directory(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).unwrap();
    for (file, text) in files {
        fs::write(dir.join(file), text).unwrap();
    }
    dir
}

fn lab(arguments: &[&std::ffi::OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lab")).args(arguments).output().unwrap()
}

#[test]
fn right_verdicts_hold_and_wrong_ones_do_not() {
    let dir = directory(
        "liar",
        &[("darkport", LIAR), ("uplink.toml", UPLINK), ("healthy.toml", HEALTHY), ("tap.toml", TAP), ("wrong-claim.toml", WRONG_CLAIM)],
    );
    fs::set_permissions(dir.join("darkport"), fs::Permissions::from_mode(0o755)).unwrap();
    let output = lab(&["run".as_ref(), "--json".as_ref(), "--darkport".as_ref(), dir.join("darkport").as_os_str(), dir.as_os_str()]);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    let line = |name: &str| {
        out.lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .find(|value| value["scenario"] == name)
            .unwrap_or_else(|| panic!("no line for {name} in {out}"))
    };
    let why = |name: &str| line(name)["why"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(line("uplink")["ok"], true, "{:?}", why("uplink"));
    assert_eq!(line("uplink")["truth_dark"].as_array().unwrap().len(), 2);
    assert!(why("healthy").contains(&"false alarm: uplink-not-in-bridge".to_owned()), "{:?}", why("healthy"));
    assert!(why("tap").iter().any(|w| w.starts_with("tap-admin-down is not among the causes")), "{:?}", why("tap"));
    assert_eq!(line("tap")["truth_dark"], serde_json::json!(["instance-00000001"]));
    assert_eq!(why("wrong-claim"), ["the scenario's own dark set is wrong: pings say none, it says 1,2"]);
}

/// Says one thing where it looks, and another from what it saved.
const TURNCOAT: &str = r#"#!/bin/sh
case "$*" in
  *--from*) echo '{"status":"fault","causes":[{"code":"mtu-mismatch","certainty":"likely","hop":"nic"}]}'; exit 2 ;;
  *--save*) echo '{}' > /tmp/observation.json ;;
esac
echo '{"status":"healthy","instances":[],"causes":[]}'
"#;

#[test]
fn an_offline_answer_that_differs_from_the_live_one_is_found() {
    let dir = directory("turncoat", &[("darkport", TURNCOAT), ("healthy.toml", HEALTHY)]);
    fs::set_permissions(dir.join("darkport"), fs::Permissions::from_mode(0o755)).unwrap();
    let output = lab(&["run", "--json", "--offline", "--darkport"]
        .map(std::ffi::OsStr::new)
        .into_iter()
        .chain([dir.join("darkport").as_os_str(), dir.as_os_str()])
        .collect::<Vec<_>>());
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{out}\n{}", String::from_utf8_lossy(&output.stderr));
    let verdict: serde_json::Value = serde_json::from_str(out.lines().next().unwrap()).unwrap();
    assert_eq!(verdict["offline_ok"], false);
    assert_eq!(verdict["why"], serde_json::json!(["offline: fault [mtu-mismatch (likely, nic)], live: healthy []"]));
}

#[test]
fn an_unusable_file_is_named_with_its_line() {
    let dir = directory("unusable", &[("bad.toml", "code = \"healthy\"\nstory = \"x\"\nlayuot = \"bond\"\n")]);
    let output = lab(&["run".as_ref(), "--darkport".as_ref(), "/bin/true".as_ref(), dir.as_os_str()]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("bad.toml:3: unknown field `layuot`, expected one of"), "{said}");
}
