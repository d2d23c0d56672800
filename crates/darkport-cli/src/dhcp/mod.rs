//! `darkport-dhcp`: who offers an address.

mod args;
mod text;
mod verdict;

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use clap::Parser as _;
use darkport::model::{DhcpOffer, ExitCode, MacAddr};
use darkport::probe::{Dhcp, DhcpReport, DhcpSettings, ProbeError, TakeLease};
use darkport::{Observer, Reader};
use serde::Serialize;

use crate::output::{self, Progress};
use crate::{app, json};
use args::DarkportDhcp;

/// What the binary `darkport-dhcp` does: its arguments come from the command line, its answer goes to standard output.
pub fn darkport_dhcp() -> std::process::ExitCode {
    let code = match DarkportDhcp::try_parse() {
        Err(error) => app::usage(&error),
        Ok(args) => app::finish("darkport-dhcp", run(&args)),
    };
    code.into()
}

/// What came of it, and as whom it was asked.
struct Answer {
    report: DhcpReport,
    /// The instance that was played, where one was.
    instance: Option<String>,
    /// Nobody said who ought to answer whom: a server that knows its clients one by one is silent to this one on a healthy host.
    stranger: bool,
}

/// What the inventory tells of an interface: who ought to answer, and a client that is known there.
#[derive(Default)]
struct Configured {
    servers: BTreeSet<Ipv4Addr>,
    /// The instance's name and hardware address, and the interface's own.
    client: Option<(String, MacAddr, MacAddr)>,
}

fn run(args: &DarkportDhcp) -> io::Result<ExitCode> {
    let answer = match ask(args) {
        Ok(answer) => answer,
        Err(error) => return Ok(output::fail("darkport-dhcp", &error, next(&error))),
    };
    let verdict = verdict::judge(&answer, args.warning, args.critical);
    if args.output.json {
        output::print(&lines(&answer.report)?)?;
    } else if args.output.nagios {
        output::print(&verdict::nagios(&answer, &verdict, args.warning, args.critical))?;
    } else {
        output::print(&text::table(&answer, &verdict, args.output.verbose))?;
    }
    Ok(verdict.code)
}

fn ask(args: &DarkportDhcp) -> Result<Answer, ProbeError> {
    let mut settings = DhcpSettings::default();
    settings.deadline = args.timeout;
    settings.collect = settings.collect.min(args.timeout);
    let configured = configured(args);
    let expected = if args.expect.is_empty() { configured.servers } else { args.expect.iter().copied().collect() };
    let mut dhcp = Dhcp::on(&args.device).expect(expected).settings(settings);
    // A lease that is released ends for whoever has it: an instance is played only where none is taken.
    let played = configured.client.filter(|_| args.mac.is_none() && !args.take_lease);
    if let Some((_, client, own)) = &played {
        dhcp = dhcp.mac(*client).frame_from(*own);
    }
    if let Some(mac) = args.mac {
        dhcp = dhcp.mac(mac);
    }
    if let Some(vid) = args.vlan {
        dhcp = dhcp.vlan(vid);
    }
    if let Some(id) = &args.client_id {
        dhcp = dhcp.client_id(id.0.clone());
    }
    if let Some(network) = args.network {
        dhcp = dhcp.network(network);
    }
    if args.take_lease {
        dhcp = dhcp.take_lease(args.remembered.map_or(TakeLease::Offered, TakeLease::Remembered));
    }
    if let Some(namespace) = &args.netns {
        dhcp = dhcp.namespace(namespace.clone());
    }
    let mut progress = Progress::new(true);
    let report = dhcp.on_progress(move |since| progress.step(&format!("listening for offers, {} s", since.as_secs()))).run()?;
    let stranger = args.mac.is_none() && played.is_none() && args.expect.is_empty();
    Ok(Answer { report, instance: played.map(|(name, ..)| name), stranger })
}

/// What libvirt's word for the instances on this interface tells. Nothing where nothing can be read: then nobody is expected.
fn configured(args: &DarkportDhcp) -> Configured {
    let mut observer = Observer::new().readers(&[Reader::Bridge, Reader::Inventory]).window(Duration::ZERO);
    if let Some(namespace) = &args.netns {
        observer = observer.namespace(namespace.clone());
    }
    let mut found = Configured::default();
    let Ok(seen) = observer.observe() else { return found };
    // A tag of our own leads into another network than these instances'.
    let Some(device) = seen.link_named(&args.device).filter(|_| args.vlan.is_none()) else { return found };
    for instance in seen.inventory.instances.iter().filter(|instance| instance.is_running() == Some(true)) {
        for nic in instance.nics.iter().filter(|nic| nic.bridge.as_ref().is_some_and(|bridge| bridge.value == device.name)) {
            let servers =
                nic.gateways.iter().filter_map(|server| if let IpAddr::V4(address) = server.value { Some(address) } else { None });
            found.servers.extend(servers);
            if let (None, Some(client), Some(own)) = (&found.client, &nic.mac, device.mac) {
                found.client = Some((instance.name.clone(), client.value, own));
            }
        }
    }
    found
}

fn next(error: &ProbeError) -> &'static str {
    match error {
        _ if error.needs_privilege() => "Next: run it as root, or with CAP_NET_RAW.",
        ProbeError::NoDevice(_) => "Next: `ip link` lists the interfaces; --netns looks into another namespace.",
        ProbeError::Down(_) | ProbeError::NoCarrier(_) => "Next: `darkport` tells why nobody can be reached over it.",
        _ => "",
    }
}

#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    #[serde(rename = "type")]
    kind: &'static str,
    device: &'a str,
    #[serde(flatten)]
    value: T,
}

#[derive(Serialize)]
struct Offer<'a> {
    /// The port that it came in by, as the model has only its number.
    port: Option<&'a str>,
    #[serde(flatten)]
    offer: &'a DhcpOffer,
}

#[derive(Serialize)]
struct Whole<'a> {
    #[serde(flatten)]
    stats: &'a darkport::probe::DhcpStats,
    sent: u32,
    alive: &'a [Ipv4Addr],
    refused: &'a [Ipv4Addr],
    expected: &'a [Ipv4Addr],
    lease: Option<&'a darkport::model::DhcpLease>,
    way: &'a [darkport::model::Crossing],
    links: &'a [(darkport::model::IfIndex, String)],
}

/// A line for each offer, finding and gap, and one for the whole.
fn lines(report: &DhcpReport) -> Result<String, serde_json::Error> {
    let (mut text, device, probe) = (String::new(), report.device.as_str(), &report.probe);
    for offer in &probe.offers {
        let port = offer.came_in_by.and_then(|link| report.link_name(link));
        text.push_str(&json::line(&Line { kind: "offer", device, value: Offer { port, offer } })?);
    }
    for value in &report.findings {
        text.push_str(&json::line(&Line { kind: "finding", device, value })?);
    }
    for value in &report.gaps {
        text.push_str(&json::line(&Line { kind: "gap", device, value })?);
    }
    let value = Whole {
        stats: &report.stats,
        sent: probe.sent,
        alive: &probe.alive,
        refused: &probe.refused,
        expected: &probe.expected,
        lease: probe.lease.as_ref(),
        way: &probe.way,
        links: &report.links,
    };
    text.push_str(&json::line(&Line { kind: "dhcp", device, value })?);
    Ok(text)
}
