//! What listening costs, on ground that `probes.sh` builds.
//! Usage: `probe-figures filter ROUNDS` · `probe-figures trace ROUNDS` · `probe-figures command ROUNDS PROGRAM ARGUMENT…`
//!
//! The far ends of the bridge's ports are in the namespace /run/netns/guests.
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program that measures others")]

use std::error::Error;
use std::fs;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use darkport::model::MacAddr;
use darkport::probe::wire::{Arp, BROADCAST, Frame, Ipv4, Message};
use darkport::probe::{Batch, Filter, PacketSocket, SocketOptions};
use darkport::{Namespace, in_namespace};
use darkport_benches::{cpu_time, median};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Opens a listener, or none.
type Listen = Box<dyn Fn() -> Outcome<Option<PacketSocket>>>;

/// Unrelated frames that one timing sends.
const BURST: usize = 4_000;
/// Whom the unrelated frames are for.
const GUEST: MacAddr = MacAddr([0xfa, 0x16, 0x3e, 0, 0, 1]);
/// Unrelated frames a second that the cost is told for.
const BUSY: f64 = 100_000.0;
/// Who asks in the trace, and for whom.
const ASKER: MacAddr = MacAddr([0xfa, 0x16, 0x3e, 0, 0, 0]);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 68, 16, 1);

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["filter", rounds] => filter(rounds.parse()?),
        ["trace", rounds] => trace(rounds.parse()?),
        ["command", rounds, program, arguments @ ..] => command(rounds.parse()?, program, arguments),
        _ => Err("usage: probe-figures filter ROUNDS | trace ROUNDS | command ROUNDS PROGRAM ARGUMENT…".into()),
    }
}

fn index(device: &str) -> Outcome<u32> {
    Ok(fs::read_to_string(format!("/sys/class/net/{device}/ifindex"))?.trim().parse()?)
}

/// A socket in the namespace of the guests.
fn in_guests(device: &str, filter: &Filter) -> Outcome<PacketSocket> {
    let open = || -> Result<PacketSocket, String> {
        let links = Command::new("ip").args(["-o", "link", "show", device]).output().map_err(|error| error.to_string())?;
        let number = String::from_utf8_lossy(&links.stdout).split(':').next().and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| format!("there is no {device} among the guests"))?;
        PacketSocket::open(SocketOptions::new(number), filter).map_err(|error| error.to_string())
    };
    Ok(in_namespace(&Namespace::Path("/run/netns/guests".into()), open)??)
}

/// The socket that a diagnosis watches all devices with.
fn watch() -> Outcome<PacketSocket> {
    let mut options = SocketOptions::new(0);
    options.outgoing = true;
    Ok(PacketSocket::open(options, &Filter::Arp)?)
}

/// Sends unrelated frames from eth0 over the bridge to eth1, with each kind of listener by turns. A frame is worked off on the processor that
/// sends it (veth's `netif_rx`), in the sender's time: what that time grows by is what the listener costs.
fn filter(rounds: usize) -> Outcome<()> {
    let sender = in_guests("eth0", &Filter::Nothing)?;
    let packet = Ipv4::echo_request(Ipv4Addr::new(10, 99, 0, 1), Ipv4Addr::new(10, 99, 0, 2), 1, 1, &[0; 58]);
    let mut frame = Vec::new();
    Frame::new(GUEST, ASKER, None, Message::Ipv4(packet)).encode(&mut frame);
    let mut batch = Batch::default();
    (0..BURST).for_each(|_| batch.push(|bytes| bytes.extend(&frame)));
    let mac = MacAddr([2, 0, 0, 0, 0, 0xfe]);
    let listeners: [(&str, Listen); 3] = [
        ("nobody", Box::new(|| Ok(None))),
        ("the watch over all devices (`Filter::Arp`)", Box::new(|| watch().map(Some))),
        ("a sweep's socket on the bridge (`Filter::Answers`)", {
            Box::new(move || Ok(Some(PacketSocket::open(SocketOptions::new(index("br0")?), &Filter::Answers { mac, id: 1 })?)))
        }),
    ];
    let mut times: [Vec<Duration>; 3] = Default::default();
    for round in 0..rounds + 3 {
        for ((_, listen), times) in listeners.iter().zip(&mut times) {
            let listener = listen()?;
            let begun = cpu_time()?;
            sender.send(&batch)?;
            let took = cpu_time()?.saturating_sub(begun);
            drop(listener);
            // The first rounds warm up.
            if round >= 3 {
                times.push(took);
            }
        }
    }
    println!("| who listens | ns of processor a frame | at 100,000 frames/s, of a core |\n|---|---|---|");
    let nanos = |time: f64| time * 1e9 / BURST as f64;
    let [alone, ..] = times.clone();
    for ((name, _), times) in listeners.iter().zip(&mut times) {
        // Each round is held against its own: what the machine does besides changes from one to the next.
        let mut more: Vec<f64> = times.iter().zip(&alone).map(|(with, alone)| with.as_secs_f64() - alone.as_secs_f64()).collect();
        more.sort_unstable_by(f64::total_cmp);
        let more = more.get(more.len() / 2).copied().unwrap_or_default();
        println!("| {name} | {:.0} | {:+.2} % |", nanos(median(times).as_secs_f64()), nanos(more) / 1e9 * BUSY * 100.0);
    }
    Ok(())
}

/// Asks for the gateway beyond the uplink as a guest does, with and without the watch by turns.
fn trace(rounds: usize) -> Outcome<()> {
    let mut asker = in_guests("eth0", &Filter::Answers { mac: ASKER, id: 1 })?;
    let mut question = Batch::default();
    let arp = Message::Arp(Arp::request(ASKER, Ipv4Addr::UNSPECIFIED, GATEWAY));
    question.push(|bytes| Frame::new(BROADCAST, ASKER, None, arp).encode(bytes));
    let mut plain = Vec::new();
    let mut watched = Vec::new();
    let mut told = Vec::new();
    let mut devices = 0;
    for _ in 0..rounds {
        // One that is not timed wakes up who is asked.
        round_trip(&mut asker, &question)?;
        plain.push(round_trip(&mut asker, &question)?);
        let mut watch = watch()?;
        round_trip(&mut asker, &question)?;
        watch.receive(Duration::ZERO, |_| ())?;
        watched.push(round_trip(&mut asker, &question)?);
        let begun = Instant::now();
        let mut crossed = Vec::new();
        watch.receive(Duration::ZERO, |frame| {
            if Frame::decode(frame.bytes, frame.tag).is_ok() {
                crossed.push((frame.interface, frame.kind, frame.at));
            }
        })?;
        told.push(begun.elapsed());
        crossed.sort_by_key(|(interface, ..)| *interface);
        crossed.dedup_by_key(|(interface, ..)| *interface);
        devices = crossed.len();
    }
    let micros = |times: &mut [Duration]| median(times).as_secs_f64() * 1e6;
    let (plain, watched, told) = (micros(&mut plain), micros(&mut watched), micros(&mut told));
    println!("| | µs |\n|---|---|");
    println!("| question to answer, nobody watches | {plain:.1} |");
    println!("| the same with the watch over {devices} devices | {watched:.1} |");
    println!("| reading what it saw, both ways | {told:.1} |");
    println!("| so the trace adds (limit 1,000) | {:.1} |", watched - plain + told);
    Ok(())
}

fn round_trip(asker: &mut PacketSocket, question: &Batch) -> Outcome<Duration> {
    let begun = Instant::now();
    asker.send(question)?;
    let mut answered = None;
    while answered.is_none() && begun.elapsed() < Duration::from_secs(1) {
        asker.receive(Duration::from_secs(1), |_| answered = Some(begun.elapsed()))?;
    }
    answered.ok_or_else(|| "the gateway does not answer".into())
}

/// How long a whole run of a program takes.
fn command(rounds: usize, program: &str, arguments: &[&str]) -> Outcome<()> {
    let mut times = Vec::new();
    let mut last = String::new();
    for _ in 0..rounds {
        let begun = Instant::now();
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output()?;
        times.push(begun.elapsed());
        let text = String::from_utf8_lossy(&output.stdout);
        last = format!("exit code {:?}: {}", output.status.code(), text.lines().next().unwrap_or_default());
    }
    let middle = median(&mut times);
    let of = |time: Option<&Duration>| time.map_or(0.0, Duration::as_secs_f64);
    println!("| median s | fastest s | slowest s |\n|---|---|---|");
    println!("| {:.3} | {:.3} | {:.3} |\n\n{last}", middle.as_secs_f64(), of(times.first()), of(times.last()));
    Ok(())
}
