//! The command line of `darkport-sweep`.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser};
use darkport::Namespace;
use darkport::model::{IpPrefix, Vid};

use crate::args::{namespace, seconds};

const AFTER: &str = "\
Examples:
  darkport-sweep                                  this host's instances, each on its bridge
  darkport-sweep -i br1102 10.68.16.0/21          whoever is there
  darkport-sweep -i br1102 --nagios -w 5 -c 20    a plugin: alarm when over 5 % (20 %) are silent

Exit codes, as for a Nagios plugin (with -w and -c: as these say):
  0  OK        every expected address answers, once
  1  WARNING   an address is held by two, by the wrong one, or one answers for many; nobody answers in a prefix
  2  CRITICAL  an expected address is silent
  3  UNKNOWN   no answer: not all could be asked, or darkport-sweep was called wrongly";

/// Asks by ARP, and with --icmp by echo too, who answers for which address.
///
/// Without TARGET it asks for the instances of this host, as far as their addresses are known. It sends frames, 50,000 a second at
/// most unless there are very many to ask, and changes nothing: neither an interface nor the kernel's neighbour table. Needs root (`CAP_NET_RAW`).
#[derive(Debug, Parser)]
#[command(name = "darkport-sweep", version, after_help = AFTER)]
pub(crate) struct DarkportSweep {
    /// Addresses and prefixes, such as 10.68.16.0/21. An address named alone is expected to answer, one of a prefix is not.
    #[arg(value_name = "TARGET")]
    pub(super) targets: Vec<IpPrefix>,

    /// A file with more of them, one a line, `-` for standard input; a hardware address behind one says whose it ought to be.
    #[arg(long, short = 'f', value_name = "FILE")]
    pub(super) list: Option<PathBuf>,

    /// The interface to ask on: a bridge, a port, a VLAN device, a NIC. With it and without TARGET: the instances on that bridge.
    #[arg(long, short, value_name = "DEVICE")]
    pub(super) interface: Option<String>,

    /// Ask in this VLAN: the questions carry its tag.
    #[arg(long, value_name = "VID", requires = "interface")]
    pub(super) vlan: Option<Vid>,

    /// Look and ask in this network namespace: a file such as /run/netns/NAME, or the number of a process in it.
    #[arg(long, value_name = "PATH|PID", value_parser = namespace)]
    pub(super) netns: Option<Namespace>,

    /// Ask from this address. [default: the interface's own in the target's network, else 0.0.0.0, as RFC 5227 has it]
    #[arg(long, value_name = "ADDRESS")]
    pub(super) source: Option<Ipv4Addr>,

    /// Send an ICMP echo to everybody who answers.
    #[arg(long)]
    pub(super) icmp: bool,

    /// Ask known hardware addresses directly from the first try: spares the others the broadcasts, but finds no second holder.
    #[arg(long)]
    pub(super) direct: bool,

    /// Frames a second at most; where answers get lost, no more than 50,000. [default: 50000, for a /17 98000, for a /16 and more about 200000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub(super) rate: Option<u32>,

    /// Tries before an address is silent; where answers get lost it takes more, up to 12.
    #[arg(long, value_name = "N", default_value_t = 6, value_parser = clap::value_parser!(u8).range(1..=12))]
    pub(super) tries: u8,

    /// Seconds after which to tell what is known until then.
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(super) deadline: Duration,

    /// WARNING when over this share of the addresses is silent, in percent.
    #[arg(long, short, value_name = "PERCENT", value_parser = percent)]
    pub(super) warning: Option<f64>,

    /// CRITICAL when over this share is silent, in percent.
    #[arg(long, short, value_name = "PERCENT", value_parser = percent)]
    pub(super) critical: Option<f64>,

    #[command(flatten)]
    pub(super) output: Output,
}

/// How to tell it.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Print one line for Nagios, with perfdata.
    #[arg(long, conflicts_with = "json")]
    pub(super) nagios: bool,

    /// Print JSON: one line for each address, each finding, each gap, and one for the whole of each sweep.
    #[arg(long)]
    pub(super) json: bool,

    /// Show silent addresses of a prefix too.
    #[arg(long, short)]
    pub(super) verbose: bool,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok().filter(|percent| (0.0..=100.0).contains(percent));
    number.ok_or_else(|| "expected a share from 0 to 100, such as 5 or 20%".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        DarkportSweep::command().debug_assert();
        assert!(DarkportSweep::try_parse_from(["darkport-sweep"]).unwrap().interface.is_none());
        assert!(DarkportSweep::try_parse_from(["darkport-sweep", "-i", "br0", "10.0.0.0/24", "10.0.0.9"]).is_ok());
        for bad in [&["--vlan", "7"][..], &["-i", "b", "--vlan", "4095"], &["-w", "101"], &["--rate", "0"], &["--tries", "0"], &["x"]] {
            assert!(DarkportSweep::try_parse_from(["darkport-sweep"].iter().chain(bad)).is_err(), "{bad:?}");
        }
    }
}
