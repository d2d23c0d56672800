//! The command line of `darkport-dhcp`.

use std::net::Ipv4Addr;
use std::time::Duration;

use clap::{Args, Parser};
use darkport::Namespace;
use darkport::model::{IpPrefix, MacAddr, Vid};

use crate::args::{namespace, seconds};

const AFTER: &str = "\
Examples:
  darkport-dhcp br1102                              who offers, where each offer came in
  darkport-dhcp br1102 --mac fa:16:3e:11:22:33      what this instance is offered
  darkport-dhcp eth1 --vlan 1102 --expect 10.68.16.1 --nagios -w 1 -c 5

Exit codes, as for a Nagios plugin:
  0  OK        an offer, by whom it ought to be
  1  WARNING   several servers, a wrong checksum, a broken or made-up offer; the first offer took longer than -w
  2  CRITICAL  silence, a silent or an unexpected server, an address of another network, a refusal; longer than -c
  3  UNKNOWN   no answer: not all could be asked or heard, nobody offers to a client that no server may know, or a wrong call

A server on this host does not hear what the host itself sends: ask from an instance's place then.";

/// Asks for an address by DHCP as an instance does, and tells every server that offers one.
///
/// It sends up to six DISCOVERs to everybody and takes no lease unless told to. Needs root (`CAP_NET_RAW`).
#[derive(Debug, Parser)]
#[command(name = "darkport-dhcp", version, after_help = AFTER)]
pub(crate) struct DarkportDhcp {
    /// The interface to ask on: a bridge, a VLAN device, a NIC.
    #[arg(value_name = "DEVICE")]
    pub(super) device: String,

    /// Ask in this VLAN: the questions carry its tag.
    #[arg(long, value_name = "VID")]
    pub(super) vlan: Option<Vid>,

    /// Ask as the client with this hardware address. Switches learn it here. [default: an instance's on DEVICE, in frames from DEVICE's own address; else DEVICE's own]
    #[arg(long, value_name = "MAC")]
    pub(super) mac: Option<MacAddr>,

    /// Send this client identifier: text, or bytes as 01:fa:16:3e:11:22:33.
    #[arg(long, value_name = "ID", value_parser = client_id)]
    pub(super) client_id: Option<ClientId>,

    /// This server ought to offer, others ought not. [default: whom libvirt's filters of the instances on DEVICE name, `DHCPSERVER`]
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    pub(super) expect: Vec<Ipv4Addr>,

    /// Offers ought to be of this network, such as 10.68.16.0/21.
    #[arg(long, value_name = "PREFIX")]
    pub(super) network: Option<IpPrefix>,

    /// Take the first offer and release it at once. With an instance's own MAC that ends its lease.
    #[arg(long)]
    pub(super) take_lease: bool,

    /// Ask for this address as an instance that remembers it; a server that knows better refuses.
    #[arg(long, value_name = "ADDRESS", requires = "take_lease")]
    pub(super) remembered: Option<Ipv4Addr>,

    /// Seconds to wait for the servers; below 8 silence cannot be told from loss.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(super) timeout: Duration,

    /// Look and ask in this network namespace: a file such as /run/netns/NAME, or the number of a process in it.
    #[arg(long, value_name = "PATH|PID", value_parser = namespace)]
    pub(super) netns: Option<Namespace>,

    /// WARNING when the first offer takes longer.
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(super) warning: Option<Duration>,

    /// CRITICAL when the first offer takes longer.
    #[arg(long, short, value_name = "SECONDS", value_parser = seconds)]
    pub(super) critical: Option<Duration>,

    #[command(flatten)]
    pub(super) output: Output,
}

/// How to tell it.
#[derive(Debug, Args)]
pub(crate) struct Output {
    /// Print one line for Nagios, with perfdata.
    #[arg(long, conflicts_with = "json")]
    pub(super) nagios: bool,

    /// Print JSON: one line for each offer, each finding, each gap, and one for the whole.
    #[arg(long)]
    pub(super) json: bool,

    /// Show all options of each offer.
    #[arg(long, short)]
    pub(super) verbose: bool,
}

/// Option 61 (RFC 2132, 9.14).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientId(pub(super) Vec<u8>);

/// Bytes where it reads like bytes; else text, which type 0 says (RFC 2132, 9.14).
fn client_id(text: &str) -> Result<ClientId, String> {
    let bytes: Option<Vec<u8>> = text.split(':').map(|byte| (byte.len() == 2).then(|| u8::from_str_radix(byte, 16).ok())?).collect();
    let id = match bytes.filter(|bytes| bytes.len() >= 2) {
        Some(bytes) => bytes,
        None => std::iter::once(0).chain(text.bytes()).collect(),
    };
    if (2..=255).contains(&id.len()) { Ok(ClientId(id)) } else { Err("expected 1 to 254 characters, or 2 to 255 bytes".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_holds_together() {
        DarkportDhcp::command().debug_assert();
        let parse = |args: &[&str]| DarkportDhcp::try_parse_from(["darkport-dhcp"].iter().chain(args));
        assert_eq!(parse(&["br0", "--expect", "10.0.0.1,10.0.0.2"]).unwrap().expect.len(), 2);
        for bad in [
            &[][..],
            &["br0", "--vlan", "4095"],
            &["br0", "--remembered", "10.0.0.1"],
            &["br0", "--json", "--nagios"],
            &["br0", "--client-id", ""],
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(client_id("01:fa:16:3e:00:00:01").unwrap().0, [1, 0xfa, 0x16, 0x3e, 0, 0, 1]);
        assert_eq!(client_id("web").unwrap().0, *b"\0web");
    }
}
