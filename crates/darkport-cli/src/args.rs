//! The command lines.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use darkport::Namespace;

const EXIT_CODES: &str = "\
Exit codes, as for a Nagios plugin:
  0  OK        healthy, and everything that the answer needs could be read
  1  WARNING   something is wrong, no instance is dark
  2  CRITICAL  at least one instance is dark
  3  UNKNOWN   no answer, or darkport was called wrongly or could not do what it was asked";

/// Tells why the instances on this hypervisor lost the network, and the least that brings them back.
///
/// Without arguments it looks at this host, changes nothing, and answers after the sampling window. Run it as root: what it cannot
/// read it says, and what that leaves open.
#[derive(Debug, Parser)]
#[command(name = "darkport", version, after_help = EXIT_CODES, args_conflicts_with_subcommands = true)]
pub(crate) struct Darkport {
    #[command(flatten)]
    pub(crate) diagnose: Diagnose,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub(crate) struct Diagnose {
    #[command(flatten)]
    pub(crate) look: Look,

    /// What nova says runs here: output of `nova list --all-tenants --host H`, `openstack server list --long` (table, json, csv) or
    /// `openstack server show`; `-` reads standard input. May be given several times. A list that cannot be read makes the exit code 3
    /// unless it is 2, one that is not understood in full makes it 3 instead of 0: nothing is OK then.
    #[arg(long, value_name = "FILE")]
    pub(crate) instances: Vec<PathBuf>,

    /// The host that the lists of --instances were asked for (the H of `--host H`).
    #[arg(long, value_name = "HOST", requires = "instances")]
    pub(crate) asked_host: Option<String>,

    /// Diagnose an observation that --save wrote, here or elsewhere, instead of this host; `-` reads standard input,
    /// and is the way for a pipe.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["save", "netns", "window", "deadline"])]
    pub(crate) from: Option<PathBuf>,

    /// Keep what was seen in FILE (mode 0600), to diagnose it later or elsewhere. Do this before a reboot: it destroys the evidence. A
    /// FILE that is there is replaced; a pipe or a device is written into.
    #[arg(long, value_name = "FILE", value_parser = to_save())]
    pub(crate) save: Option<PathBuf>,

    /// Send nothing. Otherwise instances and gateway are asked for by ARP from the bridges they are on, which changes nothing anywhere.
    #[arg(long, conflicts_with = "from")]
    pub(crate) no_probes: bool,

    /// Look deeper, by what changes this host for as long as darkport runs: the kernel reports each frame that it drops, and why; and on each bridge
    /// an instance is played for some seconds that asks for what instances need.
    #[arg(long, requires = "allow_changes", conflicts_with_all = ["from", "no_probes"])]
    pub(crate) deep: bool,

    /// Allow those changes.
    #[arg(long, requires = "deep")]
    pub(crate) allow_changes: bool,

    /// Keep what was sent and answered in FILE (pcapng, mode 0600), for Wireshark: each frame at each device that it crossed, with a comment
    /// that says which. A FILE that is there is replaced.
    #[arg(long, value_name = "FILE", value_parser = to_save(), conflicts_with_all = ["from", "no_probes"])]
    pub(crate) pcap: Option<PathBuf>,

    /// Print the diagnosis as JSON, on one line.
    #[arg(long)]
    pub(crate) json: bool,

    /// Show everything: all evidence, what was ruled out and why, what stayed open, what could not be read, every path.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Where and how long to look.
#[derive(Debug, Args)]
pub(crate) struct Look {
    /// Look into this network namespace: a file such as /run/netns/NAME, or the number of a process in it.
    #[arg(long, value_name = "PATH|PID", value_parser = namespace)]
    pub(crate) netns: Option<Namespace>,

    /// Seconds between the two looks at the counters; 0 looks once, and then no rate can be told. [default: 2]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) window: Option<Duration>,

    /// Seconds after which to go on with what could be read until then. [default: 30]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) deadline: Option<Duration>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Tell what causes mean, what proves them and what mends them; without CODE, list all.
    Explain {
        /// A cause's code, such as uplink-not-in-bridge.
        #[arg(value_name = "CODE")]
        codes: Vec<String>,
    },
    /// Build a small hypervisor in namespaces of its own, break it, diagnose it, mend it. Needs no root, leaves nothing behind.
    Demo(Demo),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Demo {
    /// What to break: a cause's code, `random`, or `none`; `list` prints the codes that can be broken on this kernel.
    #[arg(long = "break", value_name = "CAUSE", default_value = "random")]
    pub(crate) cause: String,

    /// Build nothing: diagnose the recorded observation that is shown where the kernel forbids namespaces.
    #[arg(long, conflicts_with_all = ["cause", "save"])]
    pub(crate) replay: bool,

    /// Keep the observation of the broken host in FILE.
    #[arg(long, value_name = "FILE", value_parser = to_save())]
    pub(crate) save: Option<PathBuf>,

    /// Show everything in the reports.
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// Shows this host's bridges: ports, VLANs, states, forwarding entries, and what the counters do during the window.
///
/// It judges nothing: `darkport` does.
#[derive(Debug, Parser)]
#[command(
    name = "darkport-bridge",
    version,
    after_help = "Exit codes: 0 everything was read, 3 UNKNOWN something could not be read (it says what) or the call was wrong."
)]
pub(crate) struct DarkportBridge {
    #[command(flatten)]
    pub(crate) look: Look,

    /// Print the observation as JSON, on one line; `darkport --from -` reads it.
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn namespace(text: &str) -> Result<Namespace, String> {
    if text.is_empty() {
        return Err("expected a path or a process number".into());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().map(Namespace::Pid).map_err(|_| "no process has such a number".into());
    }
    Ok(Namespace::Path(text.into()))
}

/// Standard output is taken by the answer.
fn to_save() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| {
        if path.as_os_str() == "-" { Err("standard output carries the answer: name a file, such as seen.json") } else { Ok(path) }
    })
}

pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "expected seconds from 0 to 3600, such as 2 or 0.5".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_lines_hold_together() {
        Darkport::command().debug_assert();
        DarkportBridge::command().debug_assert();
    }

    #[test]
    fn a_namespace_is_a_number_or_a_path() {
        assert!(matches!(namespace("812"), Ok(Namespace::Pid(812))));
        assert!(matches!(namespace("/run/netns/a"), Ok(Namespace::Path(_))));
        assert!(namespace("99999999999").is_err());
        assert!(namespace("").is_err());
    }

    #[test]
    fn a_window_is_a_finite_number_of_seconds() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["-1", "NaN", "inf", "1e9", "2s", ""] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
