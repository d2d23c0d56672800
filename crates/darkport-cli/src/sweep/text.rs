//! A sweep's answer as a table.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use darkport::model::{bounded, printable};
use darkport::probe::{HolderSeen, HostState, SweepFinding, SweepReport, SweptHost};

use super::Answer;
use super::verdict::{Verdict, gaps};

/// A line for each address that answers or ought to, the findings, what could not be told, and the sum.
pub(super) fn table(answer: &Answer, verdict: &Verdict, verbose: bool) -> String {
    let mut text = format!("{}  {}\n", verdict.code.name(), verdict.line);
    for sweep in &answer.sweeps {
        one(&mut text, sweep, verbose);
    }
    for gap in gaps(answer) {
        let _ = writeln!(text, "not told: {}", shown(&gap.to_string(), 300));
    }
    text
}

fn one(text: &mut String, sweep: &SweepReport, verbose: bool) {
    let vid = sweep.vid.map_or_else(String::new, |vid| format!(" VLAN {vid}"));
    let stats = &sweep.stats;
    let _ = write!(text, "\n{}{vid}  {:.2} s", shown(&sweep.device, 32), stats.took_us as f64 / 1e6);
    let _ = write!(text, "  {} broadcasts, {} unicasts sent", stats.broadcasts, stats.unicasts);
    if let (Some(rtt), Some(loss)) = (stats.rtt_us, stats.loss) {
        let _ = write!(text, "  rtt {:.2} ms  loss {:.1} %", rtt as f64 / 1e3, loss * 100.0);
    }
    let hosts: Vec<&SweptHost> = sweep.hosts.iter().filter(|host| verbose || host.expected || !host.holders.is_empty()).collect();
    let icmp = hosts.iter().any(|host| host.icmp.is_some());
    let _ = write!(text, "\n  {:15} {:9} {:17} {:15} {:>8}", "ADDRESS", "STATE", "MAC", "PORT", "RTT ms");
    let _ = writeln!(text, "{}  NAME", if icmp { "  ICMP ms" } else { "" });
    for host in &hosts {
        let begin = text.len();
        let holder = host.holders.first();
        let _ = write!(
            text,
            "  {:15} {:9} {:17} {:15} {:>8}",
            host.address.to_string(),
            state(host.state),
            holder.map_or_else(|| "-".into(), |holder| holder.mac.to_string()),
            holder.and_then(|holder| holder.port.as_deref()).map_or_else(|| "-".into(), |port| shown(port, 15)),
            millis(host.rtt_us),
        );
        if icmp {
            let told = if host.icmp == Some(HostState::Answered) { millis(host.icmp_rtt_us) } else { host.icmp.map_or("-", state).into() };
            let _ = write!(text, " {told:>8}");
        }
        let _ = write!(text, "  {}", host.name.as_deref().map_or_else(String::new, |name| shown(name, 40)));
        text.truncate(begin + text.get(begin..).unwrap_or_default().trim_end().len());
        text.push('\n');
    }
    let hidden = sweep.hosts.len() - hosts.len();
    if hidden > 0 {
        let _ = writeln!(text, "  and {hidden} addresses that nobody is expected to have and nobody has (-v shows them)");
    }
    sweep.findings.iter().for_each(|found| finding(text, found));
}

fn finding(text: &mut String, found: &SweepFinding) {
    let _ = match found {
        SweepFinding::DuplicateAddress { address, holders } => writeln!(text, "FOUND  {address} is held by {}", all(holders)),
        SweepFinding::OwnAddressTaken { address, holders } => {
            writeln!(text, "FOUND  {address}, this host's own, is held by {} too", all(holders))
        }
        SweepFinding::UnexpectedMac { address, name, expected, holders } => {
            let whose = name.as_deref().map_or_else(String::new, |name| format!(" of {}", shown(name, 40)));
            writeln!(text, "FOUND  {address}{whose} ought to be {expected}, and is held by {}", all(holders))
        }
        SweepFinding::OneForMany { holder, count, first, last } => {
            writeln!(text, "FOUND  {} answers for {count} addresses, {}", who(holder), range(*first, *last))
        }
        other => writeln!(text, "FOUND  {}", shown(&format!("{other:?}"), 200)),
    };
}

fn range(first: Ipv4Addr, last: Ipv4Addr) -> String {
    format!("from {first} to {last}")
}

fn all(holders: &[HolderSeen]) -> String {
    holders.iter().map(who).collect::<Vec<_>>().join(" and ")
}

fn who(holder: &HolderSeen) -> String {
    let via = holder.frame_from.map_or_else(String::new, |from| format!(" by way of {from}"));
    let port = holder.port.as_deref().map_or_else(String::new, |port| format!(" on {}", shown(port, 15)));
    format!("{}{via}{port}", holder.mac)
}

fn state(state: HostState) -> &'static str {
    match state {
        HostState::Answered => "up",
        HostState::Silent => "SILENT",
        HostState::Undecided => "undecided",
        HostState::Own => "own",
        HostState::NotAsked => "not asked",
        _ => "other",
    }
}

fn millis(micros: Option<u64>) -> String {
    micros.map_or_else(|| "-".into(), |micros| format!("{:.2}", micros as f64 / 1e3))
}

fn shown(text: &str, most: usize) -> String {
    bounded(&printable(&bounded(text, most)), most)
}
