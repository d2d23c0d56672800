//! Which host this is: name, kernel, boot time, processors.

use darkport_model::{Host, Source, Timestamp, bounded};

use crate::look::{Absence, FILE_MAX, Look};

/// `/proc/stat`: when the host booted, and how many processors are online. It has a line `cpuN` for each that is
/// (linux, `fs/proc/stat.c`).
pub(crate) fn parse_stat(text: &str) -> (Option<Timestamp>, Option<u32>) {
    let mut booted = None;
    let mut cpus = 0u32;
    for line in text.lines() {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        if name == "btime" {
            booted = rest.trim().parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000)).map(Timestamp);
        } else if name.strip_prefix("cpu").is_some_and(|number| number.parse::<u32>().is_ok()) {
            cpus = cpus.saturating_add(1);
        }
    }
    (booted, (cpus > 0).then_some(cpus))
}

pub(crate) fn read(look: &mut Look<'_>, host: &mut Host) {
    host.name = line(look, "sys/kernel/hostname");
    host.kernel = line(look, "sys/kernel/osrelease");
    host.kernel_build = line(look, "version");
    let path = look.proc("stat");
    if let Some(text) = look.text(Source::Host, &path, FILE_MAX, Absence::Gap) {
        (host.boot_time, host.cpus) = parse_stat(&text);
    }
}

fn line(look: &mut Look<'_>, file: &str) -> String {
    let path = look.proc(file);
    let text = look.text(Source::Host, &path, FILE_MAX, Absence::Gap).unwrap_or_default();
    bounded(text.trim_end_matches('\n'), 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn online_processors_are_counted() {
        let text = "cpu  1 2 3\ncpu0 1 2 3\ncpu3 1 2 3\nintr 5 0\nctxt 7\nbtime 1424755800\nprocesses 9\n";
        assert_eq!(parse_stat(text), (Some(Timestamp(1_424_755_800_000)), Some(2)));
        assert_eq!(parse_stat("btime 9223372036854775807\ncpuidle 3\n"), (None, None));
    }
}
