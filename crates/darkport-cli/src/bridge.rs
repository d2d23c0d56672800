//! `darkport-bridge`: the inspection alone.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;

use clap::Parser as _;
use darkport::Reader;
use darkport::model::{
    Carrier, Counters, ExitCode, Fdb, FdbSource, GapReason, IfIndex, Link, LinkKind, Observation, StpState, bounded, printable,
};

use crate::args::DarkportBridge;
use crate::{app, json, output};

/// What the binary `darkport-bridge` does: its arguments come from the command line, its answer goes to standard output.
pub fn darkport_bridge() -> std::process::ExitCode {
    let code = match DarkportBridge::try_parse() {
        Err(error) => app::usage(&error),
        Ok(args) => app::finish("darkport-bridge", run(&args)),
    };
    code.into()
}

fn run(args: &DarkportBridge) -> io::Result<ExitCode> {
    // The host's name belongs to every answer; it comes with the rest of the host, which takes a few milliseconds more.
    let mut observer = app::observer(&args.look).readers(&[Reader::Bridge, Reader::Host]);
    let seen = match observer.observe() {
        Ok(seen) => seen,
        Err(error) => return Ok(app::cannot_look("darkport-bridge", &error)),
    };
    output::print(&if args.json { json::line(&seen)? } else { text(&seen) })?;
    let missing = seen.gaps.iter().any(|gap| gap.reason != GapReason::NotAsked && is_ours(gap.source));
    Ok(if missing { ExitCode::Unknown } else { ExitCode::Ok })
}

/// Whether a gap there leaves the bridges half seen.
fn is_ours(source: darkport::model::Source) -> bool {
    use darkport::model::Source::{BridgeVlans, Fdb, Links};
    matches!(source, Links | Fdb | BridgeVlans)
}

/// The observation as tables, one for each bridge.
pub(crate) fn text(seen: &Observation) -> String {
    let bridges: Vec<&Link> = seen.links.iter().filter(|link| matches!(link.kind, LinkKind::Bridge { .. })).collect();
    let window = seen.window_ms.map_or("one look only: no rates".into(), |ms| format!("observed for {:.1} s", ms as f64 / 1000.0));
    let mut text = format!(
        "{}  {}, {}  {}  {window}\n",
        name(&seen.host.name),
        number(bridges.len(), "bridge"),
        number(seen.links.len(), "interface"),
        seen.taken_at
    );
    for bridge in bridges {
        one_bridge(&mut text, seen, bridge);
    }
    let mut others: Vec<&Link> = seen
        .links
        .iter()
        .filter(|link| link.master.is_none() && !matches!(link.kind, LinkKind::Bridge { .. } | LinkKind::Loopback))
        .collect();
    if !others.is_empty() {
        others.sort_by_key(|link| link.index);
        text.push_str("\nports of no bridge\n");
        heading(&mut text);
        for link in others {
            port(&mut text, seen, link, None, &HashMap::new());
        }
    }
    for gap in seen.gaps.iter().filter(|gap| gap.reason != GapReason::NotAsked) {
        let _ = writeln!(text, "not read: {}", bounded(&printable(&bounded(&gap.to_string(), 300)), 300));
    }
    text
}

fn number(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

fn one_bridge(text: &mut String, seen: &Observation, bridge: &Link) {
    let LinkKind::Bridge { stp, vlan_filtering, .. } = &bridge.kind else { return };
    let fdb = seen.fdbs.iter().find(|fdb| fdb.bridge == bridge.index);
    let entries = fdb.map_or("fdb not read".into(), |fdb| format!("fdb {} (by {})", fdb.entries.len(), by(fdb.source)));
    let on = |yes: &bool| if *yes { "on" } else { "off" };
    let _ = writeln!(
        text,
        "\n{}  {}  mtu {}  {}  stp {}  vlan filtering {}  {entries}",
        name(&bridge.name),
        if bridge.admin_up { "up" } else { "DOWN" },
        bridge.mtu,
        bridge.mac.map_or("no address".into(), |mac| mac.to_string()),
        on(stp),
        on(vlan_filtering)
    );
    let mut ports = seen.ports_of(bridge.index).peekable();
    if ports.peek().is_none() {
        text.push_str("  no ports\n");
        return;
    }
    heading(text);
    let counts = fdb.map(count).unwrap_or_default();
    for link in ports {
        port(text, seen, link, fdb, &counts);
    }
}

fn by(source: FdbSource) -> &'static str {
    match source {
        FdbSource::Netlink => "netlink",
        FdbSource::Brforward => "brforward",
        FdbSource::BrforwardThenNetlink => "brforward, static ones by netlink",
        _ => "another source",
    }
}

fn count(fdb: &Fdb) -> HashMap<IfIndex, usize> {
    fdb.entries.iter().fold(HashMap::new(), |mut counts, entry| {
        *counts.entry(entry.port).or_default() += 1;
        counts
    })
}

fn heading(text: &mut String) {
    let _ = writeln!(
        text,
        "  {:16} {:11} {:5} {:>5} {:>5} {:>8} {:>8} {:>7} {:>7}  VLANS",
        "PORT", "STATE", "LINK", "MTU", "FDB", "RX/s", "TX/s", "DROP/s", "ERR/s"
    );
}

fn port(text: &mut String, seen: &Observation, link: &Link, fdb: Option<&Fdb>, counts: &HashMap<IfIndex, usize>) {
    let state = link.port.as_ref().map_or("-", |port| match port.state {
        StpState::Disabled => "disabled",
        StpState::Listening => "listening",
        StpState::Learning => "learning",
        StpState::Forwarding => "forwarding",
        StpState::Blocking => "BLOCKING",
        _ => "other",
    });
    let up = match (link.admin_up, link.carrier) {
        (false, _) => "DOWN",
        (true, Carrier::Down) => "NO-CA",
        _ => "up",
    };
    let entries = fdb.map_or("-".into(), |_| counts.get(&link.index).copied().unwrap_or(0).to_string());
    let rate = |read: fn(&Counters) -> u64| {
        let seconds = seen.window_ms.filter(|ms| *ms > 0).map(|ms| ms as f64 / 1000.0);
        let rate = link.counters.rise(read).zip(seconds).map(|(rise, seconds)| rise as f64 / seconds);
        rate.map_or("-".into(), |rate| format!("{rate:.0}"))
    };
    let _ = writeln!(
        text,
        "  {:16} {state:11} {up:5} {:>5} {entries:>5} {:>8} {:>8} {:>7} {:>7}  {}",
        name(&link.name),
        link.mtu,
        rate(|counters| counters.rx_packets),
        rate(|counters| counters.tx_packets),
        rate(|counters| counters.rx_dropped.saturating_add(counters.tx_dropped)),
        rate(|counters| counters.rx_errors.saturating_add(counters.tx_errors)),
        vlans(seen, link)
    );
    text.truncate(text.trim_end().len());
    text.push('\n');
}

/// VLAN ids of a VLAN device and of a port with a VLAN table: `1102`, `1-4 10u 1102u*` (`u` leaves untagged, `*` is the PVID).
fn vlans(seen: &Observation, link: &Link) -> String {
    let own = match &link.kind {
        LinkKind::Vlan { vid, protocol } => format!("{vid} ({})", name(protocol)),
        _ => String::new(),
    };
    let table = seen.port_vlans.iter().filter(|vlan| vlan.port == link.index).take(8).map(|vlan| {
        let range = if vlan.first == vlan.last { vlan.first.to_string() } else { format!("{}-{}", vlan.first, vlan.last) };
        format!("{range}{}{}", if vlan.untagged { "u" } else { "" }, if vlan.pvid { "*" } else { "" })
    });
    std::iter::once(own).filter(|own| !own.is_empty()).chain(table).collect::<Vec<_>>().join(" ")
}

fn name(text: &str) -> String {
    if text.is_empty() { "-".into() } else { bounded(&printable(&bounded(text, 32)), 32) }
}

#[cfg(test)]
mod tests {
    use darkport::model::{FdbEntry, FdbKind, Gap, MacAddr, Port, PortVlan, Source, Timestamp, Vid};

    use super::*;

    fn port_of(bridge: u32, index: u32, name: &str) -> Link {
        let mut link = Link::new(index, name);
        link.mtu = 1500;
        link.admin_up = true;
        link.carrier = Carrier::Up;
        link.master = Some(IfIndex(bridge));
        link.port = Some(Port::forwarding());
        let mut last = Counters::default();
        (last.rx_packets, last.tx_packets, last.tx_dropped) = (4000, 20, 2);
        link.counters.last = Some(last);
        link
    }

    #[test]
    fn a_bridge_is_a_table() {
        let vid = Vid::try_from(1102).unwrap();
        let mut seen = Observation::default();
        seen.host.name = "virt1012\u{1b}[31m".into();
        seen.taken_at = Timestamp(1_424_755_862_000);
        seen.window_ms = Some(2000);
        let mut bridge = Link::new(7, "br1102");
        bridge.kind = LinkKind::bridge();
        if let LinkKind::Bridge { vlan_filtering, .. } = &mut bridge.kind {
            *vlan_filtering = true;
        }
        bridge.mtu = 1500;
        bridge.mac = Some(MacAddr([0x40, 0xa8, 0xf0, 0, 0, 1]));
        let mut uplink = port_of(7, 3, "eth1.1102");
        uplink.kind = LinkKind::Vlan { vid, protocol: "802.1Q".into() };
        let mut blocked = port_of(7, 9, &"vnet\u{202e}".repeat(100));
        blocked.admin_up = false;
        blocked.port.as_mut().unwrap().state = StpState::Blocking;
        blocked.counters.last = None;
        let mut lone = Link::new(2, "eth1");
        lone.admin_up = true;
        let mut empty = bridge.clone();
        (empty.index, empty.name) = (IfIndex(11), "br1103".into());
        seen.links = vec![bridge, uplink, blocked, lone, empty];
        seen.port_vlans = vec![PortVlan::new(IfIndex(3), vid, true, true)];
        let mut fdb = Fdb::default();
        (fdb.bridge, fdb.source) = (IfIndex(7), FdbSource::Brforward);
        fdb.entries = (0..3).map(|n| FdbEntry::new(MacAddr([2, 0, 0, 0, 0, n]), IfIndex(3), FdbKind::Learned)).collect();
        seen.fdbs = vec![fdb];
        seen.gaps = vec![Gap::new(Source::Qdiscs, "qdisc dump", GapReason::Torn, "interrupted 8 times")];
        insta::assert_snapshot!("bridge-table", text(&seen));
        seen.links.truncate(1);
        assert!(text(&seen).contains("  1 bridge, 1 interface  "), "{}", text(&seen));
    }
}
