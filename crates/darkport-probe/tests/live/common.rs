//! Tests in a network namespace of their own, made without rights where the kernel allows that.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

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

/// Feeds lines to `ip -batch -`, in a namespace where one is named.
pub(crate) fn batch(namespace: Option<&str>, lines: &str) {
    let mut command = Command::new("ip");
    command.args(namespace.iter().flat_map(|name| ["-n", name]));
    let mut child = command.args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success(), "ip -batch");
}

/// A bridge `br0` with as many ports `vnetN`, whose far ends are `ethN` in the namespace `guests`.
pub(crate) fn bridge(ports: usize) {
    run("ip netns add guests");
    run("ip netns exec guests sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.icmp_ratelimit=0");
    let each = |line: &dyn Fn(usize) -> String| (0..ports).map(line).collect::<Vec<_>>().join("\n");
    let host = each(&|n| {
        let pair = format!("link add vnet{n} type veth peer name eth{n} address fa:16:3e:00:00:0{n} netns guests");
        format!("{pair}\nlink set vnet{n} master br0 up")
    });
    batch(None, &format!("link add br0 address 02:00:00:00:00:fe type bridge\n{host}\nlink set br0 up\n"));
    batch(Some("guests"), &each(&|n| format!("link set eth{n} up")));
    // The kernel works off carrier changes when it finds time, and until then lets vanish what is sent.
    for _ in 0..400 {
        let up = |links: String| links.matches("state UP").count();
        if up(run("ip -o link")) == ports + 1 && up(run("ip -n guests -o link")) == ports {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the ports do not come up");
}

/// The number of an interface in a namespace.
pub(crate) fn index(namespace: Option<&str>, name: &str) -> u32 {
    let inside = namespace.map_or_else(String::new, |namespace| format!("-n {namespace} "));
    run(&format!("ip {inside}-o link show {name}")).split(':').next().unwrap().parse().unwrap()
}
