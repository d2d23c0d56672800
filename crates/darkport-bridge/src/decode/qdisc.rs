//! `RTM_NEWQDISC`: queueing disciplines (linux, `include/uapi/linux/rtnetlink.h` `struct tcmsg`, `gen_stats.h`).

use darkport_model::{IfIndex, Qdisc, QdiscStats, Sampled};

use crate::wire::{Attribute, Malformed, Message, field};

const TCA_KIND: u16 = 1;
const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
const TCA_STATS_PKT64: u16 = 8;

/// `IFNAMSIZ` bounds a kind's name too.
const KIND_MAX: usize = 32;

pub(super) fn decode(message: &Message<'_>) -> Result<Qdisc, Malformed> {
    let (header, attributes) = message.split::<20>()?;
    let mut qdisc = Qdisc::default();
    qdisc.link = IfIndex(u32::from_ne_bytes(field(header, 4)));
    qdisc.handle = u32::from_ne_bytes(field(header, 8));
    qdisc.parent = u32::from_ne_bytes(field(header, 12));
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            TCA_KIND => qdisc.kind = attribute.text(KIND_MAX),
            TCA_STATS2 => qdisc.stats = Sampled::once(stats(&attribute)?),
            _ => {}
        }
    }
    Ok(qdisc)
}

fn stats(stats: &Attribute<'_>) -> Result<QdiscStats, Malformed> {
    let mut counted = QdiscStats::default();
    let mut wide_packets = None;
    for attribute in stats.nested() {
        let attribute = attribute?;
        let number = |at: usize| u32::from_ne_bytes(field(attribute.payload, at)).into();
        match attribute.kind {
            // struct gnet_stats_basic: u64 bytes, u32 packets
            TCA_STATS_BASIC => {
                counted.bytes = attribute.u64()?;
                counted.packets = number(8);
            }
            // struct gnet_stats_queue: qlen, backlog, drops, requeues, overlimits
            TCA_STATS_QUEUE => {
                counted.queued_packets = number(0);
                counted.queued_bytes = number(4);
                counted.drops = number(8);
                counted.overlimits = number(16);
            }
            TCA_STATS_PKT64 => wide_packets = Some(attribute.u64()?),
            _ => {}
        }
    }
    counted.packets = wide_packets.unwrap_or(counted.packets);
    Ok(counted)
}
