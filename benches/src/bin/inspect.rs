//! Measures the inspection of the network namespace that it is run in; `inspect.sh` makes one and calls it.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that measures: it runs commands and prints a table")]

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::Duration;

use darkport::Observer;
use darkport_benches::{BareSocket, cpu_time, median, time};
use darkport_bridge::Inspector;
use darkport_model::{FdbSource, Observation, Source};

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    match std::env::args().nth(1).as_deref() {
        Some("once") => once(),
        Some("growth") => growth(std::env::args().nth(2).ok_or("growth needs RUNS")?.parse()?),
        Some(runs) => table(runs.parse()?),
        None => Err("usage: inspect-figures RUNS|once|growth RUNS".into()),
    }
}

/// One whole run, two looks and the judgement, and nothing else, for its peak memory.
fn once() -> Outcome<()> {
    std::hint::black_box(whole_run()?);
    let status = std::fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("?");
    println!("{}", peak.trim());
    Ok(())
}

/// Looks twice, judges, and tells what that took beyond the window.
fn whole_run() -> Outcome<Duration> {
    let mut seen = Ok(Observation::default());
    let wall = time(|| {
        seen = Observer::new().window(WINDOW).observe();
        if let Ok(seen) = &seen {
            std::hint::black_box(darkport::diagnose(seen));
        }
    });
    seen?;
    Ok(wall.saturating_sub(WINDOW))
}

const WINDOW: Duration = Duration::from_millis(500);

/// What judging takes, and what a run takes as a whole.
fn judging(seen: &Observation, runs: usize) -> Outcome<()> {
    let mut judged: Vec<Duration> = (0..runs).map(|_| time(|| drop(std::hint::black_box(darkport::diagnose(seen))))).collect();
    let mut whole = (0..runs.min(5)).map(|_| whole_run()).collect::<Outcome<Vec<Duration>>>()?;
    println!("diagnose on that observation: {:.1} ms (limit 20)", median(&mut judged).as_secs_f64() * 1e3);
    println!("a whole darkport run beyond its window: {:.0} ms (limit 1,000)", median(&mut whole).as_secs_f64() * 1e3);
    Ok(())
}

/// One line: what a whole inspection takes here, for comparison with a larger or smaller host.
fn growth(runs: usize) -> Outcome<()> {
    let mut seen = Observation::default();
    let mut times = Vec::new();
    for _ in 0..runs {
        seen = Observation::default();
        let mut opened = Ok(());
        times.push(time(|| opened = Inspector::open().map(|mut inspector| inspector.observe(&mut seen))));
        opened?;
    }
    let links = seen.links.len();
    let entries: usize = seen.fdbs.iter().map(|fdb| fdb.entries.len()).sum();
    let whole = median(&mut times);
    let each = whole.as_secs_f64() * 1e6 / links as f64;
    let ms = whole.as_secs_f64() * 1e3;
    println!(
        "{links} links, {} bridges, {entries} FDB entries, {} gaps: {ms:.1} ms, {each:.1} µs a link",
        seen.fdbs.len(),
        seen.gaps.len()
    );
    Ok(())
}

/// A contestant: its name and what it does once.
struct Contestant<'a> {
    name: &'a str,
    run: Box<dyn FnMut() -> Outcome<()> + 'a>,
    wall: Vec<Duration>,
    cpu: Vec<Duration>,
}

fn contestant<'a>(name: &'a str, run: impl FnMut() -> Outcome<()> + 'a) -> Contestant<'a> {
    Contestant { name, run: Box::new(run), wall: Vec::new(), cpu: Vec::new() }
}

fn bare(dumps: &'static [(u16, u8, u32)]) -> Outcome<impl FnMut() -> Outcome<()>> {
    let mut socket = BareSocket::open()?;
    Ok(move || {
        for (kind, family, length) in dumps {
            socket.dump(*kind, *family, *length)?;
        }
        Ok(())
    })
}

fn ours(sources: &'static [Source], sysfs: &'static str) -> Outcome<impl FnMut() -> Outcome<()>> {
    let mut inspector = Inspector::open()?.with_sources(sources.iter().copied()).with_sysfs(sysfs);
    Ok(move || {
        let mut seen = Observation::default();
        inspector.observe(&mut seen);
        std::hint::black_box(&seen);
        Ok(())
    })
}

/// `RTM_GETLINK`, `RTM_GETADDR`, `RTM_GETNEIGH`, `RTM_GETROUTE`: kind, family, length of the header.
const LINKS: (u16, u8, u32) = (18, 0, 16);
const ADDRESSES: (u16, u8, u32) = (22, 0, 8);
const NEIGHBOURS: (u16, u8, u32) = (30, 0, 12);
const ROUTES: [(u16, u8, u32); 2] = [(26, 2, 12), (26, 10, 12)];
/// `RTM_GETRULE`: ours are read with the routes.
const RULES: [(u16, u8, u32); 2] = [(34, 2, 12), (34, 10, 12)];
const FDB: (u16, u8, u32) = (30, 7, 12);

const COMMANDS: [&[&str]; 6] = [
    &["ip", "-j", "-d", "-s", "link"],
    &["bridge", "-j", "fdb"],
    &["bridge", "-j", "link"],
    &["bridge", "-j", "vlan"],
    &["ip", "-j", "neigh"],
    &["ip", "-j", "route"],
];

const FOUR: [Source; 4] = [Source::Links, Source::Addresses, Source::Neighbours, Source::Routes];

fn commands() -> Outcome<()> {
    for command in COMMANDS {
        let [program, arguments @ ..] = command else { continue };
        let status = Command::new(program).args(arguments).stdout(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("{command:?} failed: {status}").into());
        }
    }
    Ok(())
}

fn table(runs: usize) -> Outcome<()> {
    let mut seen = Observation::default();
    Inspector::open()?.observe(&mut seen);
    let entries: usize = seen.fdbs.iter().map(|fdb| fdb.entries.len()).sum();
    let sources: Vec<FdbSource> = seen.fdbs.iter().map(|fdb| fdb.source).collect();
    println!(
        "{} links, {entries} FDB entries (read by {}), {} neighbours, {} routes, {} qdiscs, {} gaps; {runs} interleaved runs, medians in ms\n",
        seen.links.len(),
        sources.first().map_or("nothing", |source| name_of(*source)),
        seen.neighbours.len(),
        seen.routes.len(),
        seen.qdiscs.len(),
        seen.gaps.len()
    );
    for gap in &seen.gaps {
        println!("gap: {gap}");
    }
    let brforward = seen.links.iter().filter(|link| seen.fdbs.iter().any(|fdb| fdb.bridge == link.index));
    let brforward: Vec<String> = brforward.map(|bridge| format!("/sys/class/net/{}/brforward", bridge.name)).collect();
    let mut field = vec![
        contestant("links: bare loop", bare(&[LINKS])?),
        contestant("links: darkport", ours(&[Source::Links], "/nonexistent")?),
        contestant("addresses: bare loop", bare(&[ADDRESSES])?),
        contestant("addresses: darkport", ours(&[Source::Addresses], "/sys")?),
        contestant("neighbours: bare loop", bare(&[NEIGHBOURS])?),
        contestant("neighbours: darkport", ours(&[Source::Neighbours], "/sys")?),
        contestant("routes and rules: bare loop", bare(&[ROUTES[0], ROUTES[1], RULES[0], RULES[1]])?),
        contestant("routes and rules: darkport", ours(&[Source::Routes], "/sys")?),
        contestant(
            "links, addresses, neighbours, routes: bare loop",
            bare(&[LINKS, ADDRESSES, NEIGHBOURS, ROUTES[0], ROUTES[1], RULES[0], RULES[1]])?,
        ),
        contestant("links, addresses, neighbours, routes: darkport", ours(&FOUR, "/sys")?),
        contestant("FDB: bare netlink dump", bare(&[FDB])?),
        contestant("FDB: bare read of brforward", || {
            for path in &brforward {
                std::hint::black_box(std::fs::read(path)?);
            }
            Ok(())
        }),
        contestant("links and FDB by netlink: darkport", ours(&[Source::Links, Source::Fdb], "/nonexistent")?),
        contestant("links and FDB by the quickest source: darkport", ours(&[Source::Links, Source::Fdb], "/sys")?),
        contestant("whole inspection: six iproute2 commands", commands),
        contestant("whole inspection: darkport", || {
            let mut seen = Observation::default();
            Inspector::open()?.observe(&mut seen);
            std::hint::black_box(&seen);
            Ok(())
        }),
    ];
    for _ in 0..runs {
        for contestant in &mut field {
            let mut outcome = Ok(());
            let before = cpu_time()?;
            contestant.wall.push(time(|| outcome = (contestant.run)()));
            contestant.cpu.push(cpu_time()?.saturating_sub(before));
            outcome?;
        }
    }
    println!("| what | ms | of these on a CPU |\n|---|---|---|");
    let mut medians = Vec::new();
    for contestant in &mut field {
        let [wall, cpu] = [&mut contestant.wall, &mut contestant.cpu].map(|times| median(times).as_secs_f64() * 1e3);
        println!("| {} | {wall:.2} | {cpu:.2} |", contestant.name);
        medians.push((contestant.name, wall, cpu));
    }
    let ratio = |above: &str, below: &str| -> Outcome<(f64, f64)> {
        let of = |name: &str| medians.iter().find(|(one, ..)| *one == name).ok_or("no such contestant");
        let (a, b) = (of(above)?, of(below)?);
        Ok((a.1 / b.1, a.2 / b.2))
    };
    let (wall, cpu) = ratio("links, addresses, neighbours, routes: darkport", "links, addresses, neighbours, routes: bare loop")?;
    println!("\nlinks, addresses, neighbours, routes: {wall:.2} times the bare loop (CPU time: {cpu:.2}; limit 1.3)");
    let (wall, cpu) = ratio("whole inspection: six iproute2 commands", "whole inspection: darkport")?;
    println!("whole inspection: 1/{wall:.1} of the six iproute2 commands (CPU time: 1/{cpu:.1}; limit 1/6)");
    judging(&seen, runs)
}

fn name_of(source: FdbSource) -> &'static str {
    match source {
        FdbSource::Netlink => "netlink",
        FdbSource::Brforward => "brforward alone",
        _ => "brforward, what may be static by netlink",
    }
}
