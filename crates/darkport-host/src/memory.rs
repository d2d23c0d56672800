//! Memory, pressure and page merging: `/proc/meminfo`, `/proc/pressure/*`, `/sys/kernel/mm/ksm`.

use std::collections::BTreeMap;

use darkport_model::{Gap, GapReason, Host, Ksm, Pressure, Sampled, Source};

use crate::look::{Absence, FILE_MAX, Look, Malformed};

/// `MemTotal` and `MemAvailable` in KiB (linux, `fs/proc/meminfo.c`; the latter since 3.14).
pub(crate) fn parse_meminfo(text: &str) -> (Option<u64>, Option<u64>) {
    let field = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.split_whitespace().next()?.parse().ok()
    };
    (field("MemTotal"), field("MemAvailable"))
}

/// `some avg10=0.00 avg60=…`, and `full …` but for `cpu` before 5.13 (linux, `kernel/sched/psi.c`, `psi_show`).
pub(crate) fn parse_pressure(text: &str) -> Result<Pressure, Malformed> {
    let average = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let average = line.split_whitespace().find_map(|field| field.strip_prefix("avg10="))?.parse::<f64>().ok()?;
        average.is_finite().then_some(average)
    };
    let mut pressure = Pressure::default();
    pressure.some_avg10 = average("some ").ok_or(Malformed { line: 1, expected: "some avg10=PERCENT" })?;
    pressure.full_avg10 = average("full ").unwrap_or(0.0);
    Ok(pressure)
}

pub(crate) fn read(look: &mut Look<'_>, host: &mut Host) {
    let path = look.proc("meminfo");
    if let Some(text) = look.text(Source::Pressure, &path, FILE_MAX, Absence::Gap) {
        (host.memory_total_kib, host.memory_available_kib) = parse_meminfo(&text);
        if host.memory_available_kib.is_none() {
            let what = format!("MemAvailable in {}", path.display());
            look.gap(Gap::new(Source::Pressure, what, GapReason::Absent, "this kernel does not tell (before linux 3.14)"));
        }
    }
    host.pressure = pressure(look);
    host.ksm = ksm(look);
}

pub(crate) fn read_again(look: &mut Look<'_>, ksm: &mut Ksm) {
    ksm.full_scans.last = ksm_number(look, "full_scans");
}

fn pressure(look: &mut Look<'_>) -> BTreeMap<String, Pressure> {
    let directory = look.proc("pressure");
    if !directory.exists() {
        let why = "this kernel has no pressure stall information (before linux 4.20, or built without it)";
        look.gap(Gap::new(Source::Pressure, directory.display().to_string(), GapReason::Absent, why));
        return BTreeMap::new();
    }
    ["memory", "io", "cpu"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), look.parsed(Source::Pressure, &directory.join(name), Absence::Gap, parse_pressure)?)))
        .collect()
}

/// None where the kernel was built without it.
fn ksm(look: &mut Look<'_>) -> Option<Ksm> {
    let mut ksm = Ksm::default();
    ksm.run = ksm_number(look, "run")?.try_into().ok()?;
    ksm.pages_shared = ksm_number(look, "pages_shared")?;
    ksm.pages_sharing = ksm_number(look, "pages_sharing")?;
    ksm.full_scans = Sampled::once(ksm_number(look, "full_scans")?);
    Some(ksm)
}

fn ksm_number(look: &mut Look<'_>, file: &str) -> Option<u64> {
    let path = look.sys("kernel/mm/ksm").join(file);
    look.parsed(Source::Pressure, &path, Absence::Fact, |text| text.trim().parse().map_err(|_| Malformed { line: 1, expected: "a number" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_by_name() {
        assert_eq!(parse_meminfo("MemTotal:       65961 kB\nMemFree: 1 kB\nMemAvailable:    4711 kB\n"), (Some(65961), Some(4711)));
        assert_eq!(parse_meminfo("MemTotalX: 3 kB\n"), (None, None));
    }

    #[test]
    fn pressure_of_cpu_may_have_no_full_line() {
        let pressure = parse_pressure("some avg10=12.50 avg60=0.39 avg300=0.61 total=8521238\n").unwrap();
        assert_eq!((pressure.some_avg10, pressure.full_avg10), (12.5, 0.0));
        let pressure = parse_pressure("some avg10=1.00 avg60=0 avg300=0 total=1\nfull avg10=0.75 avg60=0 avg300=0 total=1\n").unwrap();
        assert!((pressure.full_avg10 - 0.75).abs() < 1e-9);
        assert!(parse_pressure("some avg10=NaN\n").is_err());
    }
}
