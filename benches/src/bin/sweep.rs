//! Runs darkport-sweep and its peers by turns on ground that `sweep.sh` built, and holds what each found against the truth.
//! Usage: `sweep-figures RUNS TRUTH NAME=COMMAND…`; `NAME/10=COMMAND` runs in every tenth round only.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that measures others")]

use std::collections::BTreeSet;
use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use darkport_benches::median;

/// One program, and what became of its runs.
struct Runner {
    name: String,
    words: Vec<String>,
    /// Of each N rounds it runs in one: the slow ones would take hours.
    every: usize,
    times: Vec<Duration>,
    right: usize,
    most_missed: usize,
    most_invented: usize,
    /// Frames that went out of the bridge's ports, by the kernel's counters.
    delivered: Vec<u64>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: sweep-figures RUNS TRUTH NAME=COMMAND…";
    let runs: usize = args.next().ok_or(usage)?.parse()?;
    let truth: BTreeSet<Ipv4Addr> = fs::read_to_string(args.next().ok_or(usage)?)?.lines().filter_map(|line| line.parse().ok()).collect();
    let mut runners: Vec<Runner> = args.filter_map(|text| runner(&text)).collect();
    for round in 0..runs {
        for runner in runners.iter_mut().filter(|runner| round % runner.every == 0) {
            run(runner, &truth)?;
        }
    }
    println!("| program | median s | fastest s | slowest s | right runs | most missed | most invented | frames to guests |");
    println!("|---|---|---|---|---|---|---|---|");
    for runner in &mut runners {
        let middle = median(&mut runner.times).as_secs_f64();
        let of = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
        runner.delivered.sort_unstable();
        println!(
            "| {} | {middle:.3} | {:.3} | {:.3} | {} of {} | {} | {} | {} |",
            runner.name,
            of(runner.times.first()),
            of(runner.times.last()),
            runner.right,
            runner.times.len(),
            runner.most_missed,
            runner.most_invented,
            runner.delivered.get(runner.delivered.len() / 2).copied().unwrap_or_default(),
        );
    }
    Ok(())
}

/// `NAME=COMMAND`, or `NAME/10=COMMAND` for one that runs in every tenth round.
fn runner(text: &str) -> Option<Runner> {
    let (name, command) = text.split_once('=')?;
    let (name, every) = name.split_once('/').map_or((name, 1), |(name, every)| (name, every.parse().unwrap_or(1)));
    Some(Runner {
        name: format!("{name} `{}`", command.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")),
        words: command.split_whitespace().map(str::to_owned).collect(),
        every,
        times: Vec::new(),
        right: 0,
        most_missed: 0,
        most_invented: 0,
        delivered: Vec::new(),
    })
}

fn run(runner: &mut Runner, truth: &BTreeSet<Ipv4Addr>) -> Result<(), Box<dyn Error>> {
    let (program, arguments) = runner.words.split_first().ok_or("an empty command")?;
    let before = to_guests()?;
    let begun = Instant::now();
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output()?;
    runner.times.push(begun.elapsed());
    runner.delivered.push(to_guests()? - before);
    let text = String::from_utf8_lossy(&output.stdout);
    let mut found: BTreeSet<Ipv4Addr> =
        text.lines().filter_map(|line| found(line, arguments.iter().any(|word| word == "--icmp"))).collect();
    // The bridge's own address, which some of the programs ask too, is the network's first: nobody's answer.
    found.retain(|address| truth.contains(address) || !own(*address));
    let (missed, invented) = (truth.difference(&found).count(), found.difference(truth).count());
    runner.right += usize::from(missed + invented == 0);
    runner.most_missed = runner.most_missed.max(missed);
    runner.most_invented = runner.most_invented.max(invented);
    Ok(())
}

/// The address that a line of any of the programs says is up.
fn found(line: &str, icmp: bool) -> Option<Ipv4Addr> {
    let address = if line.starts_with('{') {
        let answered = line.contains(if icmp { r#""icmp":"answered""# } else { r#""state":"answered""# });
        line.split_once(r#""address":""#).filter(|_| answered && line.contains(r#""type":"host""#))?.1.split('"').next()?
    } else if let Some(rest) = line.strip_prefix("Host: ") {
        // nmap -oG -
        rest.split(' ').next().filter(|_| line.contains("Status: Up"))?
    } else {
        // arp-scan; fping -a
        line.split_whitespace().next()?
    };
    address.parse().ok()
}

/// The first address of the /16 or of the /21 that `sweep.sh` uses.
fn own(address: Ipv4Addr) -> bool {
    [Ipv4Addr::new(10, 68, 0, 1), Ipv4Addr::new(10, 68, 16, 1)].contains(&address)
}

/// Frames sent out of all ports of the bridge.
fn to_guests() -> Result<u64, Box<dyn Error>> {
    let mut sum = 0;
    for entry in fs::read_dir("/sys/class/net")? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vnet")) {
            sum += fs::read_to_string(path.join("statistics/tx_packets"))?.trim().parse::<u64>()?;
        }
    }
    Ok(sum)
}
