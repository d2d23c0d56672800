//! Protocol counters: `/proc/net/snmp` and `/proc/net/netstat`.

use std::collections::BTreeMap;

use darkport_model::{Sampled, Source, bounded};

use crate::look::{Absence, Look, Malformed};

/// The most counters kept; linux 6.x has about 250.
const COUNTERS_MAX: usize = 4096;

/// Pairs of lines, `Ip: NAME NAME …` above `Ip: NUMBER NUMBER …` (linux, `net/ipv4/proc.c`). What is no counter (`Tcp.MaxConn` is −1)
/// is passed over.
pub(crate) fn parse_pairs(text: &str) -> Result<BTreeMap<String, u64>, Malformed> {
    let mut counters = BTreeMap::new();
    let mut lines = text.lines().enumerate();
    while let Some((index, names)) = lines.next() {
        let names = names.split_once(':').ok_or(Malformed::at(index, "PROTOCOL: NAME …"))?;
        let numbers = lines
            .next()
            .and_then(|(_, line)| line.split_once(':'))
            .filter(|numbers| numbers.0 == names.0)
            .ok_or(Malformed::at(index + 1, "the numbers of the names above"))?;
        for (name, number) in names.1.split_whitespace().zip(numbers.1.split_whitespace()) {
            if let (Ok(number), true) = (number.parse(), counters.len() < COUNTERS_MAX) {
                counters.insert(bounded(&format!("{}.{name}", names.0), 128), number);
            }
        }
    }
    Ok(counters)
}

pub(crate) fn read(look: &mut Look<'_>) -> Sampled<BTreeMap<String, u64>> {
    Sampled::once(counters(look))
}

pub(crate) fn read_again(look: &mut Look<'_>, sampled: &mut Sampled<BTreeMap<String, u64>>) {
    let again = counters(look);
    if !again.is_empty() {
        sampled.last = Some(again);
    }
}

fn counters(look: &mut Look<'_>) -> BTreeMap<String, u64> {
    let mut counters = BTreeMap::new();
    for file in ["snmp", "netstat"] {
        let path = look.net(file);
        counters.extend(look.parsed(Source::Snmp, &path, Absence::Gap, parse_pairs).unwrap_or_default());
    }
    counters
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_numbers_are_paired() {
        let counters = parse_pairs("Ip: Forwarding InDiscards\nIp: 1 7\nTcp: MaxConn CurrEstab\nTcp: -1 3\n").unwrap();
        assert_eq!(
            counters.into_iter().collect::<Vec<_>>(),
            [("Ip.Forwarding".to_owned(), 1), ("Ip.InDiscards".to_owned(), 7), ("Tcp.CurrEstab".to_owned(), 3)]
        );
    }

    #[test]
    fn a_lone_line_says_where() {
        assert_eq!(parse_pairs("Ip: A\nIp: 1\nUdp: B\n").unwrap_err().line, 4);
        assert_eq!(parse_pairs("Ip: A\nUdp: 1\n").unwrap_err().line, 2);
        assert_eq!(parse_pairs("what\n").unwrap_err().line, 1);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "([A-Z]: [a-z0-9 -]{0,12}\n){0,6}.{0,20}") {
            let _ = parse_pairs(&text);
        }
    }
}
