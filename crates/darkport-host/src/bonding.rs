//! Bonds: `/proc/net/bonding/*` (linux, `drivers/net/bonding/bond_procfs.c`).

use std::collections::BTreeMap;
use std::io;

use darkport_model::{Bond, BondSlave, Gap, GapReason, Link, LinkKind, Source, bounded};

use crate::interfaces::is_file_name;
use crate::look::{Absence, Look, Malformed, from_io};

/// The most bonds read, and the most members kept of each.
const BONDS_MAX: usize = 256;
const SLAVES_MAX: usize = 1024;

/// A bond, and whether the kernel kept the state of LACP from us: since linux 4.2 it needs `CAP_NET_ADMIN`.
pub(crate) fn parse_bond(text: &str) -> Result<(Bond, bool), Malformed> {
    let mut bond = Bond::default();
    let mut lacp_told = false;
    // The lines of a member's own LACP state are indented and name the same things again.
    let fields = text.lines().map(|line| line.split_once(": ").map_or((line.trim_end(), ""), |(name, value)| (name, value.trim())));
    for (name, value) in fields {
        if name == "Slave Interface" {
            if bond.slaves.len() == SLAVES_MAX {
                break;
            }
            let mut slave = BondSlave::default();
            slave.name = bounded(value, 64);
            bond.slaves.push(slave);
            continue;
        }
        match (name, bond.slaves.last_mut()) {
            ("MII Status", Some(slave)) => slave.mii_up = value == "up",
            ("Link Failure Count", Some(slave)) => slave.link_failures = value.parse().unwrap_or(0),
            ("Aggregator ID", Some(slave)) => slave.aggregator = value.parse().ok(),
            ("Bonding Mode", None) => {
                bond.mode = bounded(value.split_once(" (fail_over_mac").map_or(value, |(mode, _)| mode), 128);
            }
            ("Currently Active Slave", None) => bond.active_slave = (value != "None").then(|| bounded(value, 64)),
            ("MII Status", None) => bond.mii_up = value == "up",
            ("\tAggregator ID", None) => {
                lacp_told = true;
                bond.aggregator = value.parse().ok();
            }
            ("\tPartner Mac Address", None) => bond.partner_mac = value.parse().ok(),
            (line, None) if line.ends_with("has no active aggregator") => lacp_told = true,
            _ => {}
        }
    }
    if bond.mode.is_empty() {
        return Err(Malformed { line: 1, expected: "Bonding Mode" });
    }
    let lacp_hidden = bond.mode.contains("802.3ad") && !lacp_told;
    Ok((bond, lacp_hidden))
}

pub(crate) fn read(look: &mut Look<'_>, links: &[Link]) -> BTreeMap<String, Bond> {
    let directory = look.net("bonding");
    let entries = match std::fs::read_dir(&directory) {
        Ok(entries) => entries,
        // No directory, no bonds; but where there are bonds, it is missing.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !links.iter().any(|link| matches!(link.kind, LinkKind::Bond { .. })) => {
            return BTreeMap::new();
        }
        Err(error) => {
            look.gap(from_io(Source::Bonding, &directory, &error));
            return BTreeMap::new();
        }
    };
    let mut bonds = BTreeMap::new();
    for entry in entries.flatten() {
        let Some(name) = entry.file_name().to_str().filter(|name| is_file_name(name)).map(ToOwned::to_owned) else { continue };
        if bonds.len() == BONDS_MAX {
            let why = format!("more than {BONDS_MAX} bonds");
            look.gap(Gap::new(Source::Bonding, directory.display().to_string(), GapReason::TooLarge, why));
            break;
        }
        let path = directory.join(&name);
        let Some((bond, lacp_hidden)) = look.parsed(Source::Bonding, &path, Absence::Fact, parse_bond) else { continue };
        if lacp_hidden {
            let what = format!("LACP state in {}", path.display());
            look.gap(Gap::new(Source::Bonding, what, GapReason::Permission, "the kernel tells it to CAP_NET_ADMIN only"));
        }
        bonds.insert(name, bond);
    }
    bonds
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_active_backup_bond_names_its_carrier() {
        let text = "Ethernet Channel Bonding Driver: v3.7.1 (April 27, 2011)\n\n\
                    Bonding Mode: fault-tolerance (active-backup) (fail_over_mac active)\n\
                    Primary Slave: None\nCurrently Active Slave: None\nMII Status: down\nMII Polling Interval (ms): 100\n\n\
                    Slave Interface: eth0\nMII Status: going back\nSpeed: Unknown\nLink Failure Count: 3\n\n\
                    Slave Interface: eth1\nMII Status: up\nLink Failure Count: 0\nSlave queue ID: 0\n";
        let (bond, hidden) = parse_bond(text).unwrap();
        assert_eq!((bond.mode.as_str(), bond.active_slave, bond.mii_up, hidden), ("fault-tolerance (active-backup)", None, false, false));
        let slaves: Vec<_> = bond.slaves.iter().map(|slave| (slave.name.as_str(), slave.mii_up, slave.link_failures)).collect();
        assert_eq!(slaves, [("eth0", false, 3), ("eth1", true, 0)]);
    }

    #[test]
    fn an_lacp_bond_tells_aggregators_and_the_partner() {
        let text = "Ethernet Channel Bonding Driver: v6.1.0\n\nBonding Mode: IEEE 802.3ad Dynamic link aggregation\nMII Status: up\n\n\
                    802.3ad info\nLACP rate: slow\nSystem MAC address: 02:00:00:00:00:01\nActive Aggregator Info:\n\tAggregator ID: 2\n\
                    \tNumber of ports: 1\n\tPartner Mac Address: 00:00:00:00:00:00\n\n\
                    Slave Interface: eth0\nMII Status: up\nAggregator ID: 1\ndetails actor lacp pdu:\n    port key: 9\n\n\
                    Slave Interface: eth1\nMII Status: up\nAggregator ID: N/A\n";
        let (bond, hidden) = parse_bond(text).unwrap();
        assert!(!hidden);
        assert_eq!((bond.aggregator, bond.partner_mac.map(|mac| mac.to_string()).as_deref()), (Some(2), Some("00:00:00:00:00:00")));
        assert_eq!(bond.slaves.iter().map(|slave| slave.aggregator).collect::<Vec<_>>(), [Some(1), None]);

        let unprivileged = "Bonding Mode: IEEE 802.3ad Dynamic link aggregation\nMII Status: up\n\n802.3ad info\nLACP rate: slow\n";
        assert!(parse_bond(unprivileged).unwrap().1);
        assert!(!parse_bond(&format!("{unprivileged}bond bond0 has no active aggregator\n")).unwrap().1);
        assert!(parse_bond("nothing").is_err());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "((Slave Interface|MII Status|Bonding Mode|\tAggregator ID)(: )?.{0,8}\n){0,8}") {
            let _ = parse_bond(&text);
        }
    }
}
