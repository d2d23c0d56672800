//! Tests in a network namespace of their own, made without rights where the kernel allows that.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

const INSIDE: &str = "DARKPORT_TEST_INSIDE";

/// Runs `body` in a new user, network and mount namespace with a `/sys` of its own: the test binary calls itself there, for this
/// one test. `name` is the test's own. Where no namespace can be had, that is said on a line of its own.
pub(crate) fn in_new_namespace(name: &str, body: impl FnOnce()) {
    if std::env::var(INSIDE).is_ok_and(|inside| inside == name) {
        return body();
    }
    if !unshare(name, &["true".as_ref()]).is_ok_and(|output| output.status.success()) {
        // Written past the test harness, which would swallow it.
        let _ = writeln!(io::stderr(), "SKIPPED {name}: no user and network namespace can be made here");
        return;
    }
    let test = std::env::current_exe().unwrap();
    let output = unshare(name, &[test.as_os_str(), name.as_ref(), "--nocapture".as_ref(), "--test-threads=1".as_ref()]).unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains(" 1 passed"), "inside the namespace:\n{out}\n{err}");
}

fn unshare(name: &str, command: &[&OsStr]) -> io::Result<Output> {
    Command::new("unshare")
        .args(["-Urnm", "sh", "-c", "mount -t sysfs none /sys && mount -t tmpfs none /run && exec \"$@\"", "sh"])
        .args(command)
        .env(INSIDE, name)
        .output()
}

/// Runs a command that must succeed; what it printed.
pub(crate) fn run(command: &str) -> String {
    let words: Vec<&str> = command.split_whitespace().collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap_or_else(|error| panic!("{command}: {error}"));
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Several commands, one a line.
pub(crate) fn run_all(commands: &str) {
    commands.lines().map(str::trim).filter(|line| !line.is_empty()).for_each(|line| drop(run(line)));
}

/// What a command prints as JSON: a list.
pub(crate) fn json(command: &str) -> Vec<Value> {
    let text = run(command);
    let list: Value = if text.trim().is_empty() { Value::Array(Vec::new()) } else { serde_json::from_str(&text).unwrap() };
    // iproute2 prints empty objects for what its filters drop.
    list.as_array().unwrap().iter().filter(|one| one.as_object().is_some_and(|one| !one.is_empty())).cloned().collect()
}

/// Feeds lines to `ip -batch -` or `bridge -batch -`.
pub(crate) fn batch(program: &str, lines: &str) {
    let mut child = Command::new(program).args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "{program} -batch");
}

/// Waits until `settled`, ten seconds at most: the kernel works off carrier changes when it finds time.
pub(crate) fn wait_until(what: &str, settled: impl Fn() -> bool) {
    for _ in 0..100 {
        if settled() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{what} did not come about");
}
