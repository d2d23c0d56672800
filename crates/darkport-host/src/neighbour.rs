//! The IPv4 neighbour table: `/proc/net/stat/arp_cache` and `gc_thresh*`.
//!
//! Only the first network namespace has these files, though the table is one for all. Elsewhere `RTM_GETNEIGHTBL` tells the same, but for
//! `unresolved_discards` (linux, `net/core/neighbour.c`, `neightbl_fill_info`).

use std::io;

use darkport_model::{NeighbourTable, NeighbourTableStats, Sampled, Source};

use crate::columns::parse_columns;
use crate::look::{Absence, FILE_MAX, Look, Malformed, from_io};
use crate::netlink::{DUMP, attributes, number, request, string};

const RTM_GETNEIGHTBL: u16 = 66;
const AF_INET: u8 = 2;

/// How full the table is, and what went wrong in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State {
    entries: u64,
    stats: Option<NeighbourTableStats>,
}

/// The columns by name; `table_fulls` is there since linux 4.3.
pub(crate) fn parse_arp_cache(text: &str) -> Result<State, Malformed> {
    let table = parse_columns(text)?;
    let missing = Malformed { line: 1, expected: "entries, allocs and res_failed" };
    let mut stats = NeighbourTableStats::default();
    stats.table_fulls = table.sum("table_fulls");
    stats.allocs = table.sum("allocs").ok_or_else(|| missing.clone())?;
    stats.res_failed = table.sum("res_failed").ok_or_else(|| missing.clone())?;
    stats.unresolved_discards = table.sum("unresolved_discards");
    Ok(State { entries: table.first("entries").ok_or(missing)?, stats: Some(stats) })
}

/// An answer to `RTM_GETNEIGHTBL`: thresholds and state, none when it is about one interface or another table.
pub(crate) fn parse_neightbl(message: &[u8]) -> Option<([u64; 3], State)> {
    let (mut name, mut thresholds, mut entries, mut stats) = (String::new(), [0u64; 3], None, None);
    for (kind, payload) in attributes(message.get(4..)?) {
        match kind {
            1 => name = string(payload),
            2..=4 => {
                let slot = thresholds.get_mut(usize::from(kind) - 2)?;
                *slot = number(payload)?.into();
            }
            // struct ndt_config: the entries follow two numbers of 16 bits.
            5 => entries = number(payload.get(4..)?),
            // struct ndt_stats: numbers of 64 bits. Kernels before 4.3 lack the last, and with it the one that tells fulls.
            7 => {
                let word = |index: usize| Some(u64::from_ne_bytes(*payload.get(index * 8..)?.first_chunk()?));
                let mut told = NeighbourTableStats::default();
                told.allocs = word(0)?;
                told.res_failed = word(3)?;
                told.table_fulls = word(10);
                stats = Some(told);
            }
            _ => {}
        }
    }
    (name == "arp_cache").then_some((thresholds, State { entries: u64::from(entries?), stats }))
}

pub(crate) fn read(look: &mut Look<'_>) -> Option<NeighbourTable> {
    let (thresholds, state) = match (thresholds(look), state(look)) {
        (Some(thresholds), Some(state)) => (thresholds, state),
        _ => ask(look)?,
    };
    Some(table(thresholds, state))
}

pub(crate) fn read_again(look: &mut Look<'_>, table: &mut NeighbourTable) {
    let again = state(look).or_else(|| ask(look).map(|(_, state)| state));
    table.entries.last = again.map(|state| state.entries);
    if let Some(sampled) = &mut table.stats {
        sampled.last = again.and_then(|state| state.stats);
    }
}

fn table([gc_thresh1, gc_thresh2, gc_thresh3]: [u64; 3], state: State) -> NeighbourTable {
    let mut table = NeighbourTable::default();
    table.entries = Sampled::once(state.entries);
    (table.gc_thresh1, table.gc_thresh2, table.gc_thresh3) = (gc_thresh1, gc_thresh2, gc_thresh3);
    table.stats = state.stats.map(Sampled::once);
    table
}

fn state(look: &mut Look<'_>) -> Option<State> {
    let path = look.net("stat/arp_cache");
    look.parsed(Source::Neighbours, &path, Absence::Fact, parse_arp_cache)
}

fn thresholds(look: &mut Look<'_>) -> Option<[u64; 3]> {
    let mut threshold = |n: u8| {
        let path = look.proc(format!("sys/net/ipv4/neigh/default/gc_thresh{n}"));
        look.text(Source::Neighbours, &path, FILE_MAX, Absence::Fact)?.trim().parse().ok()
    };
    Some([threshold(1)?, threshold(2)?, threshold(3)?])
}

/// Asks the kernel itself.
fn ask(look: &mut Look<'_>) -> Option<([u64; 3], State)> {
    let mut answer = None;
    let asked = if look.roots.are_live() {
        request(netlink_sys::protocols::NETLINK_ROUTE, RTM_GETNEIGHTBL, DUMP, &[AF_INET, 0, 0, 0], |message| {
            answer = parse_neightbl(message);
            answer.is_none()
        })
    } else {
        Err(io::ErrorKind::NotFound.into())
    };
    if answer.is_none() {
        let error = asked.err().unwrap_or_else(|| io::ErrorKind::NotFound.into());
        let mut gap = from_io(Source::Neighbours, &look.net("stat/arp_cache"), &error);
        gap.what = format!("the neighbour table's size and limits ({})", gap.what);
        look.gap(gap);
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute;
    use proptest::prelude::*;

    #[test]
    fn the_old_header_has_no_table_fulls() {
        // linux v3.2, net/core/neighbour.c
        let old = "entries  allocs destroys hash_grows  lookups hits  res_failed  rcv_probes_mcast rcv_probes_ucast  periodic_gc_runs \
                   forced_gc_runs unresolved_discards\n\
                   00000400  00000001 00000002 00000003  00000004 00000005  00000006  00000007 00000008  00000009 0000000a 0000000b\n\
                   00000400  00000001 00000000 00000000  00000000 00000000  00000000  00000000 00000000  00000000 00000000 00000001\n";
        let state = parse_arp_cache(old).unwrap();
        let told = state.stats.unwrap();
        assert_eq!((state.entries, told.allocs, told.res_failed, told.unresolved_discards), (1024, 2, 6, Some(12)));
        assert_eq!(told.table_fulls, None);
        let new = old
            .replace("unresolved_discards\n", "unresolved_discards table_fulls\n")
            .replace("b\n", "b 00000004\n")
            .replace("00000001\n", "00000001 00000001\n");
        assert_eq!(parse_arp_cache(&new).unwrap().stats.unwrap().table_fulls, Some(5));
    }

    #[test]
    fn the_kernel_answers_with_the_table_s_name() {
        let words = |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<_>>();
        let message = |name: &[u8]| {
            let config = [&[4, 0, 0, 1][..], &9u32.to_ne_bytes(), &[0; 24]].concat();
            let mut bytes = vec![AF_INET, 0, 0, 0];
            for (kind, payload) in [(1, name.to_vec()), (5, config), (7, words(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]))] {
                bytes.extend(attribute(kind, &payload));
            }
            for (kind, threshold) in [(2, 128u32), (3, 512), (4, 1024)] {
                bytes.extend(attribute(kind, &threshold.to_ne_bytes()));
            }
            bytes
        };
        let (thresholds, state) = parse_neightbl(&message(b"arp_cache\0")).unwrap();
        let told = state.stats.unwrap();
        assert_eq!((thresholds, state.entries, told.allocs, told.res_failed, told.table_fulls), ([128, 512, 1024], 9, 1, 4, Some(11)));
        assert!(parse_neightbl(&message(b"ndisc_cache\0")).is_none());
    }

    #[test]
    fn this_kernel_answers() {
        let roots = crate::look::Roots { proc: "/proc".into(), sys: "/sys".into() };
        let (thresholds, _) = ask(&mut Look::new(&roots)).expect("RTM_GETNEIGHTBL needs no rights");
        assert!(thresholds[2] > 0, "{thresholds:?}");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_neightbl(&bytes);
        }
    }
}
