//! The connection tracking table: `/proc/sys/net/netfilter/nf_conntrack_*`, `/proc/net/stat/nf_conntrack`.
//!
//! A kernel in which it is not loaded has no `nf_conntrack_count`: a fact, not a gap.

use darkport_model::{Conntrack, ConntrackStats, Gap, GapReason, Sampled, Source};

use crate::columns::parse_columns;
use crate::look::{Absence, FILE_MAX, Look, Malformed};

/// Sums the columns that tell of trouble.
pub(crate) fn parse_stats(text: &str) -> Result<ConntrackStats, Malformed> {
    let table = parse_columns(text)?;
    let sum = |name| table.sum(name).ok_or(Malformed { line: 1, expected: "drop, early_drop, insert_failed and invalid" });
    let mut stats = ConntrackStats::default();
    stats.drop = sum("drop")?;
    stats.early_drop = sum("early_drop")?;
    stats.insert_failed = sum("insert_failed")?;
    stats.invalid = sum("invalid")?;
    Ok(stats)
}

pub(crate) fn read(look: &mut Look<'_>) -> Option<Conntrack> {
    let count = number(look, "net/netfilter/nf_conntrack_count")?;
    // Namespaces without privileges have the count but not the maximum; a table without a known size would look full.
    let max = number(look, "net/netfilter/nf_conntrack_max").or_else(|| number(look, "net/nf_conntrack_max"));
    let Some(max) = max else {
        look.gap(Gap::new(
            Source::Conntrack,
            look.proc("sys/net/netfilter/nf_conntrack_max").display().to_string(),
            GapReason::Absent,
            "this network namespace does not show how large its connection tracking table may grow",
        ));
        return None;
    };
    let mut table = Conntrack::default();
    table.count = Sampled::once(count);
    table.max = max;
    table.buckets = number(look, "net/netfilter/nf_conntrack_buckets");
    table.stats = stats(look).map(Sampled::once);
    Some(table)
}

pub(crate) fn read_again(look: &mut Look<'_>, table: &mut Conntrack) {
    table.count.last = number(look, "net/netfilter/nf_conntrack_count");
    if let Some(sampled) = &mut table.stats {
        sampled.last = stats(look);
    }
}

fn number(look: &mut Look<'_>, name: &str) -> Option<u64> {
    let path = look.proc("sys").join(name);
    let text = look.text(Source::Conntrack, &path, FILE_MAX, Absence::Fact)?;
    let number = text.trim().parse().ok();
    if number.is_none() {
        look.malformed(Source::Conntrack, &path, &Malformed { line: 1, expected: "a number" });
    }
    number
}

fn stats(look: &mut Look<'_>) -> Option<ConntrackStats> {
    // Kernels can be built without this file (CONFIG_NF_CONNTRACK_PROCFS=n): the counters are missed then, so that is a gap.
    let path = look.net("stat/nf_conntrack");
    look.parsed(Source::Conntrack, &path, Absence::Gap, parse_stats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_headers_are_read_alike() {
        // linux v3.2, net/netfilter/nf_conntrack_standalone.c
        let old = "entries  searched found new invalid ignore delete delete_list insert insert_failed drop early_drop icmp_error  \
                   expect_new expect_create expect_delete\n\
                   00010000  00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008 00000009 0000000a 0000000b \
                   0000000c  00000000 00000000 00000000 \n";
        // linux v6.1, the same file
        let new = "entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error  \
                   expect_new expect_create expect_delete search_restart\n\
                   00010000  00000001 00000002 00000003 00000004 00000005 00000006 00000007 00000008 00000009 0000000a 0000000b \
                   0000000c  00000000 00000000 00000000 00000000\n";
        for text in [old, new] {
            let stats = parse_stats(text).unwrap();
            assert_eq!((stats.invalid, stats.insert_failed, stats.drop, stats.early_drop), (4, 9, 10, 11));
        }
        assert!(parse_stats("entries\n1\n").is_err());
    }
}
