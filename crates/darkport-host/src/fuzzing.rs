//! The parsers by number, for the fuzz target `host_files`. No part of the public API.

use crate::{bonding, columns, conntrack, ethtool, kernel, memory, neighbour, process, rules, snmp, softnet};

/// How many parsers there are.
pub const PARSERS: u8 = 14;

/// Gives `data` to the parser `which`, counted around. What they make of it does not matter here; that they come back does.
pub fn parse(which: u8, data: &[u8]) {
    let text = &*String::from_utf8_lossy(data);
    match which % PARSERS {
        0 => drop(columns::parse_columns(text)),
        1 => drop(conntrack::parse_stats(text)),
        2 => drop(neighbour::parse_arp_cache(text)),
        3 => drop(neighbour::parse_neightbl(data)),
        4 => drop(softnet::parse_softnet(text)),
        5 => drop(snmp::parse_pairs(text)),
        6 => drop(bonding::parse_bond(text)),
        7 => drop(ethtool::parse_features(data)),
        8 => drop(ethtool::parse_listing(text)),
        9 => drop(kernel::parse_stat(text)),
        10 => drop((memory::parse_meminfo(text), memory::parse_pressure(text))),
        11 => drop(process::parse_stat(text)),
        12 => drop((rules::parse_nft(text), rules::parse_ebtables(text))),
        _ => {
            let command = process::parse_cmdline(text);
            let _ = (process::candidate(text), process::role_of_command(&command));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_panic(which: u8, data in prop::collection::vec(any::<u8>(), 0..400)) {
            super::parse(which, &data);
        }
    }
}
