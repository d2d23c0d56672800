//! Judging alone: a host with 1,000 instances and 50,000 forwarding entries, healthy and broken.
#![allow(missing_docs, clippy::indexing_slicing, clippy::unwrap_used, reason = "a bench builds what it measures")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use darkport::diagnose;
use darkport::model::{
    Carrier, Counters, Fact, FactSource, Fdb, FdbEntry, FdbKind, IfIndex, Instance, Intent, Link, LinkKind, MacAddr, Nic, Observation, Port,
};

const INSTANCES: u32 = 1_000;
const ENTRIES: u32 = 50_000;

fn guest(number: u32) -> MacAddr {
    let [_, a, b, c] = number.to_be_bytes();
    MacAddr([0xfa, 0x16, 0x3e, a, b, c])
}

fn link(index: u32, name: String, kind: LinkKind, master: Option<u32>) -> Link {
    let mut link = Link::new(index, name);
    (link.kind, link.mtu, link.admin_up, link.carrier) = (kind, 1500, true, Carrier::Up);
    link.counters.last = Some(Counters::default());
    link.master = master.map(IfIndex);
    link.port = master.map(|_| Port::forwarding());
    link
}

fn big_host() -> Observation {
    let mut seen = Observation::default();
    seen.links.push(link(1, "br1102".into(), LinkKind::bridge(), None));
    seen.links.push(link(2, "eth1".into(), LinkKind::Physical, None));
    let vlan = LinkKind::Vlan { vid: 1102.try_into().unwrap(), protocol: "802.1Q".into() };
    let mut uplink = link(3, "eth1.1102".into(), vlan, Some(1));
    uplink.lower = Some(IfIndex(2));
    seen.links.push(uplink);
    seen.inventory.intents.push(Intent::new("br1102", "eth1.1102", "/etc/nova/nova.conf:1"));
    for number in 0..INSTANCES {
        let tap = LinkKind::Tun { tap: true, persist: true, multi_queue: false, queues: None };
        seen.links.push(link(number + 4, format!("vnet{number}"), tap, Some(1)));
        let mut instance = Instance::named(format!("instance-{number:08x}"));
        instance.running = Some(Fact::new(true, FactSource::LiveXml, "i.xml"));
        let mut nic = Nic::default();
        nic.mac = Some(Fact::new(guest(number), FactSource::LiveXml, "i.xml"));
        nic.tap = Some(Fact::new(format!("vnet{number}"), FactSource::LiveXml, "i.xml"));
        nic.bridge = Some(Fact::new("br1102".into(), FactSource::LiveXml, "i.xml"));
        instance.nics.push(nic);
        seen.inventory.instances.push(instance);
    }
    let mut fdb = Fdb::default();
    fdb.bridge = IfIndex(1);
    let port = |number: u32| IfIndex(if number < INSTANCES { number + 4 } else { 3 });
    fdb.entries = (0..ENTRIES).map(|number| FdbEntry::new(guest(number), port(number), FdbKind::Learned)).collect();
    seen.fdbs.push(fdb);
    seen
}

fn judge(criterion: &mut Criterion) {
    let healthy = big_host();
    let mut detached = big_host();
    detached.links[2].master = None;
    let mut scattered = big_host();
    for link in scattered.links.iter_mut().filter(|link| link.name.starts_with("vnet")) {
        link.master = None;
    }
    let mut group = criterion.benchmark_group("diagnose 1,000 instances");
    for (name, seen) in [("healthy", &healthy), ("uplink out of the bridge", &detached), ("every tap out of the bridge", &scattered)] {
        group.bench_function(name, |bencher| bencher.iter(|| diagnose(black_box(seen))));
    }
    group.finish();
    let text = healthy.to_json();
    criterion.bench_function("load a saved observation", |bencher| bencher.iter(|| Observation::from_json(black_box(&text)).unwrap()));
}

criterion_group!(benches, judge);
criterion_main!(benches);
