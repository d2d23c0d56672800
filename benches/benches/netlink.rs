//! Decoding alone, without a kernel: recorded dumps, made as large as a big host's.
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, reason = "a bench reads its fixtures")]

use std::hint::black_box;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use darkport_bridge::{PortNumbers, decode, decode_brforward};
use darkport_model::{IfIndex, Link, Observation, Port};

/// A recorded dump's messages over and over, until there are `count` of them; the end-of-dump message is left out.
fn dump_of(name: &str, count: usize) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/darkport-bridge/tests/data/linux-6.1").join(name);
    let recorded = std::fs::read(path).unwrap();
    let mut messages = Vec::new();
    let mut rest = recorded.as_slice();
    while let Some([a, b, c, d, k0, k1, ..]) = rest.first_chunk::<16>() {
        let length = (u32::from_ne_bytes([*a, *b, *c, *d]) as usize).next_multiple_of(4).min(rest.len());
        let (message, behind) = rest.split_at(length);
        if u16::from_ne_bytes([*k0, *k1]) >= 16 {
            messages.push(message);
        }
        rest = behind;
    }
    messages.into_iter().cycle().take(count).flatten().copied().collect()
}

fn dumps(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for (name, count) in [("links.nl", 1_000), ("fdb.nl", 50_000), ("neighbours.nl", 5_000), ("routes.nl", 1_000), ("qdiscs.nl", 1_000)] {
        let dump = dump_of(name, count);
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("{count} of {name}"), |bencher| {
            bencher.iter_batched_ref(Observation::default, |seen| decode(black_box(&dump), seen), BatchSize::LargeInput);
        });
    }
    group.finish();
}

fn brforward(criterion: &mut Criterion) {
    let links: Vec<Link> = (1..=1_000u16)
        .map(|number| {
            let mut link = Link::new(u32::from(number) + 1, format!("vnet{number}"));
            let mut port = Port::forwarding();
            port.number = Some(number);
            (link.master, link.port) = (Some(IfIndex(1)), Some(port));
            link
        })
        .collect();
    let ports = PortNumbers::of(IfIndex(1), &links);
    let records: Vec<u8> = (0..50_000u32)
        .flat_map(|entry| {
            let [_, a, b, c] = entry.to_be_bytes();
            let [low, high] = u16::try_from(entry % 1_000 + 1).unwrap().to_le_bytes();
            [0xfa, 0x16, 0x3e, a, b, c, low, 0, 7, 0, 0, 0, high, 0, 0, 0]
        })
        .collect();
    let mut group = criterion.benchmark_group("brforward");
    group.throughput(Throughput::Elements(50_000));
    group.bench_function("50000 records", |bencher| bencher.iter(|| decode_brforward(black_box(&records), &ports)));
    group.finish();
}

criterion_group!(benches, dumps, brforward);
criterion_main!(benches);
