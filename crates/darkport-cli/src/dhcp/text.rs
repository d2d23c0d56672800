//! An answer as a table.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use darkport::model::{Crossing, DhcpOffer, DhcpOption, IfIndex, MacAddr, Part, bounded, printable};
use darkport::probe::{DhcpFinding, DhcpReport};

use super::Answer;
use super::verdict::{Verdict, Weight, weight};

/// Offers that are shown; of a forger's dozens that is enough.
const OFFERS: usize = 12;
/// Devices of one way that are shown.
const HOPS: usize = 8;

/// Each offer with its way, the findings, and what could not be told.
pub(super) fn table(answer: &Answer, verdict: &Verdict, verbose: bool) -> String {
    let report = &answer.report;
    let mut text = format!("{}  {}\n", verdict.code.name(), verdict.line);
    let probe = &report.probe;
    let who = answer.instance.as_ref().map_or_else(String::new, |name| format!(" ({})", shown(name, 40)));
    let vid = probe.vid.map_or_else(String::new, |vid| format!(" VLAN {vid}"));
    let _ = writeln!(
        text,
        "\n{}{vid}  as {}{who}  {} DISCOVERs sent in {:.1} s",
        shown(&report.device, 32),
        probe.mac,
        probe.sent,
        report.stats.took_us as f64 / 1e6
    );
    let asked: Vec<&Crossing> = probe.way.iter().filter(|crossing| crossing.part == Part::Question).collect();
    if !asked.is_empty() {
        let _ = writeln!(text, "  seen going out: {}", hops(report, &asked));
    }
    if !probe.offers.is_empty() {
        let _ =
            writeln!(text, "  {:15} {:18} {:17} {:15} {:>9} {:>8}  CHECKSUM", "SERVER", "OFFERS", "FRAME FROM", "PORT", "LEASE s", "MS");
    }
    for one in probe.offers.iter().take(OFFERS) {
        offer(&mut text, report, one, verbose);
    }
    if let Some(more) = probe.offers.len().checked_sub(OFFERS).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more offers (--json tells them)");
    }
    for server in &probe.alive {
        let _ = writeln!(text, "  {server} answers a DHCPINFORM: it lives");
    }
    if let Some(lease) = probe.lease {
        let end = match (lease.granted, lease.released) {
            (Some(true), true) => "leased, and released",
            (Some(false), _) => "refused",
            (_, true) => "not confirmed, and released all the same",
            _ => "not confirmed",
        };
        let _ = writeln!(text, "  {}: {end}", lease.address);
    }
    for found in &report.findings {
        let word = if weight(found) == Weight::Note { "NOTE" } else { "FOUND" };
        let _ = writeln!(text, "{word:5}  {}", shown(&sentence(report, found), 300));
    }
    for gap in &report.gaps {
        let _ = writeln!(text, "not told: {}", shown(&gap.to_string(), 300));
    }
    text
}

fn offer(text: &mut String, report: &DhcpReport, offer: &DhcpOffer, verbose: bool) {
    let prefix = offer.prefix.map_or_else(String::new, |prefix| format!("/{prefix}"));
    let _ = writeln!(
        text,
        "  {:15} {:18} {:17} {:15} {:>9} {:>8}  {}",
        offer.server.to_string(),
        format!("{}{prefix}", offer.address),
        offer.frame_from.to_string(),
        offer.came_in_by.map_or_else(|| "-".into(), |link| name(report, link)),
        offer.lease_s.map_or_else(|| "-".into(), |lease| lease.to_string()),
        offer.after_us.map_or_else(|| "-".into(), |after| format!("{:.1}", after as f64 / 1e3)),
        match (offer.checksum_ok, offer.checksum_unfinished) {
            (_, true) => "unfinished",
            (Some(true), _) => "right",
            (Some(false), _) => "WRONG",
            (None, _) => "none",
        },
    );
    let mut more = Vec::new();
    if let Some(relay) = offer.relay {
        more.push(format!("by relay {relay}"));
    }
    for (what, addresses) in [("router", &offer.routers), ("name server", &offer.name_servers)] {
        if !addresses.is_empty() {
            more.push(format!("{what} {}", all(addresses)));
        }
    }
    let came_in: Vec<&Crossing> = offer.way.iter().filter(|crossing| !crossing.outgoing).collect();
    if !came_in.is_empty() {
        more.push(format!("came in by {}", hops(report, &came_in)));
    }
    if !more.is_empty() {
        let _ = writeln!(text, "      {}", more.join(", "));
    }
    if verbose {
        for DhcpOption { code, hex, .. } in &offer.options {
            let _ = writeln!(text, "      option {code:3}  {}", shown(hex, 120));
        }
    }
}

/// The devices in order, each with the tag that the frames had there.
fn hops(report: &DhcpReport, crossings: &[&Crossing]) -> String {
    let hop = |crossing: &&Crossing| {
        let tag = crossing.vid.map_or_else(String::new, |vid| format!(" (tag {vid})"));
        format!("{}{tag}", name(report, crossing.link))
    };
    let mut text = crossings.iter().take(HOPS).map(hop).collect::<Vec<_>>().join(" → ");
    if let Some(more) = crossings.len().checked_sub(HOPS).filter(|more| *more > 0) {
        let _ = write!(text, " and {more} more");
    }
    text
}

/// A finding in words.
pub(super) fn sentence(report: &DhcpReport, found: &DhcpFinding) -> String {
    match found {
        DhcpFinding::Silence => "nobody answers".into(),
        DhcpFinding::SilentServer { server, alive: true } => {
            format!("{server} ought to offer and does not; it lives (it answers a DHCPINFORM), and does not know this client")
        }
        DhcpFinding::SilentServer { server, .. } => format!("{server} ought to offer, and is silent"),
        DhcpFinding::UnexpectedServer { server, frame_from, came_in_by } => {
            let port = came_in_by.map_or_else(String::new, |link| format!(", in by {}", name(report, link)));
            format!("{server} offers, and nobody expects it ({frame_from}{port})")
        }
        DhcpFinding::SeveralServers { servers } => format!("several servers offer: {} (--expect tells which ought to)", all(servers)),
        DhcpFinding::SharedIdentity { server, frames_from } => {
            let from: Vec<_> = frames_from.iter().take(HOPS).map(MacAddr::to_string).collect();
            format!("several say that they are {server}: {}", from.join(" and "))
        }
        DhcpFinding::WrongSubnet { server, address, network } => format!("{server} offers {address}, which is not of {network}"),
        DhcpFinding::BadChecksum { server } => format!("the UDP checksum of {server} is wrong: instances throw its offers away"),
        DhcpFinding::UnfinishedChecksum { server } => {
            format!(
                "{server} is on this machine and leaves the UDP checksum to hardware: an old dhclient throws its offers away, unless a CHECKSUM rule fills it in"
            )
        }
        DhcpFinding::Malformed { server } => format!("the options of {server} are cut short or of impossible length"),
        DhcpFinding::Flood { kept } => format!("somebody makes offers up: {kept} are kept, and more came"),
        DhcpFinding::Refused { server, address } => format!("{server} refuses {address} (DHCPNAK)"),
        DhcpFinding::NoAcknowledgement { server: Some(server), address } => {
            format!("{server} offered {address}, and did not answer the REQUEST for it")
        }
        DhcpFinding::NoAcknowledgement { server: None, address } => format!("nobody answers the REQUEST for {address}"),
        other => format!("{other:?}"),
    }
}

fn all(addresses: &[Ipv4Addr]) -> String {
    let mut text = addresses.iter().take(HOPS).map(Ipv4Addr::to_string).collect::<Vec<_>>().join(", ");
    if let Some(more) = addresses.len().checked_sub(HOPS).filter(|more| *more > 0) {
        let _ = write!(text, " and {more} more");
    }
    text
}

fn name(report: &DhcpReport, link: IfIndex) -> String {
    report.link_name(link).map_or_else(|| format!("#{}", link.0), |name| shown(name, 15))
}

fn shown(text: &str, most: usize) -> String {
    bounded(&printable(&bounded(text, most)), most)
}
