//! `/proc/net/softnet_stat`: a line for each online processor.

use darkport_model::{Sampled, SoftnetCpu, Source};

use crate::look::{Absence, Look, Malformed};

/// The first three columns, which every kernel has: packets taken, dropped, time squeezes. Linux 3.2 writes 10 columns, 3.13 11,
/// 5.10 13, 6.x 15 (`net/core/net-procfs.c`, `softnet_seq_show`; before 3.10 in `net/core/dev.c`).
pub(crate) fn parse_softnet(text: &str) -> Result<Vec<[u64; 3]>, Malformed> {
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            let mut numbers = line.split_whitespace().map(|number| u64::from_str_radix(number, 16).ok());
            let mut next = || numbers.next().flatten().ok_or(Malformed::at(index, "at least three hexadecimal numbers"));
            Ok([next()?, next()?, next()?])
        })
        .collect()
}

pub(crate) fn read(look: &mut Look<'_>) -> Vec<SoftnetCpu> {
    lines(look)
        .into_iter()
        .map(|[processed, dropped, time_squeeze]| {
            let mut cpu = SoftnetCpu::default();
            cpu.processed = Sampled::once(processed);
            cpu.dropped = Sampled::once(dropped);
            cpu.time_squeeze = Sampled::once(time_squeeze);
            cpu
        })
        .collect()
}

pub(crate) fn read_again(look: &mut Look<'_>, cpus: &mut [SoftnetCpu]) {
    let again = lines(look);
    // Lines are for online processors only: when one came or went, they cannot be told apart on older kernels.
    if again.len() != cpus.len() {
        return;
    }
    for (cpu, [processed, dropped, time_squeeze]) in cpus.iter_mut().zip(again) {
        cpu.processed.last = Some(processed);
        cpu.dropped.last = Some(dropped);
        cpu.time_squeeze.last = Some(time_squeeze);
    }
}

fn lines(look: &mut Look<'_>) -> Vec<[u64; 3]> {
    let path = look.net("softnet_stat");
    look.parsed(Source::Softnet, &path, Absence::Gap, parse_softnet).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_columns_count_on_every_kernel() {
        let old = "0001e240 00000007 00000009 00000000 00000000 00000000 00000000 00000000 00000000 00000000\n";
        let new = "0001e240 00000007 00000009 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000003 \
                   00000000 00000000\n";
        for text in [old, new] {
            assert_eq!(parse_softnet(text), Ok(vec![[123_456, 7, 9]]));
        }
        assert_eq!(parse_softnet("1 2 3\n1 2\n").unwrap_err().line, 2);
    }
}
