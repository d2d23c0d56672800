//! `nic-errors`: the NIC receives broken frames, or has no room for good ones.

use darkport_model::{Certainty, Counters, Effect, Finding, Fix, HopKind, Link, Source};

use crate::check::{Definition, Explanation, Outcome, percent, proven_share, quoted};
use crate::scene::Scene;
use crate::uplink::Chain;

/// Fewer broken frames in a window are an accident.
const FEWEST: u64 = 5;
/// The share of broken frames from which on users notice.
const SHARE: f64 = 0.01;

pub(crate) const CAUSE: Definition = Definition {
    explanation: Explanation {
        code: "nic-errors",
        hop: HopKind::Nic,
        what: "The NIC receives a share of its frames broken (checksum, alignment) or loses them for want of buffers: bad cable or transceiver, \
               duplex mismatch, a ring that is too small.",
        proof: "Error counters rose within the window by more than one in a hundred of the frames received.",
        fix: "change cable or transceiver; ethtool -G for missed frames",
        reboot_helps: Some(false),
        reboot: "a cable stays as it is; counters from before the reboot are lost",
        reference: "linux, include/uapi/linux/if_link.h (struct rtnl_link_stats64)",
    },
    needs: &[Source::Links],
    worst: Effect::Degraded,
    check,
};

fn check(scene: &Scene<'_>) -> Outcome {
    let mut findings: Vec<Finding> = Vec::new();
    let (mut looked, mut devices) = (0, 0);
    for segment in &scene.segments {
        for link in segment.ways().flat_map(Chain::all) {
            devices += 1;
            let Some(rises) = rises(link) else { continue };
            looked += 1;
            if rises.broken < FEWEST || proven_share(rises.broken, rises.offered()) < SHARE {
                continue;
            }
            if let Some(held) = findings.iter_mut().find(|finding| finding.at == link.name) {
                held.affects.extend(scene.names_on(segment));
                continue;
            }
            findings.push(finding(link, &rises, scene.names_on(segment)));
        }
    }
    match (findings.is_empty(), looked, devices) {
        (false, ..) => Outcome::Found(findings),
        (true, _, 0) => Outcome::NotApplicable,
        (true, 0, _) => Outcome::Unknown("a second look at the NICs' counters".to_owned()),
        _ => Outcome::RuledOut(format!("errors of {looked} devices did not rise by one in a hundred frames in the window")),
    }
}

struct Rises {
    broken: u64,
    received: u64,
    kinds: Vec<String>,
}

impl Rises {
    /// All frames that reached the NIC, good or broken.
    fn offered(&self) -> u64 {
        self.broken.saturating_add(self.received)
    }
}

type Read = fn(&Counters) -> u64;

/// The kinds of error that the kernel counts apart, by a word for each.
const KINDS: [(&str, Read); 6] = [
    ("checksum", |count| count.rx_crc_errors),
    ("alignment", |count| count.rx_frame_errors),
    ("length", |count| count.rx_length_errors),
    ("overrun", |count| count.rx_over_errors),
    ("fifo", |count| count.rx_fifo_errors),
    ("missed", |count| count.rx_missed_errors),
];

fn rises(link: &Link) -> Option<Rises> {
    let received = link.counters.rise(|count| count.rx_packets)?;
    let mut risen: Vec<(&str, u64)> = KINDS.iter().filter_map(|(name, read)| Some((*name, link.counters.rise(read)?))).collect();
    risen.retain(|(_, count)| *count > 0);
    // Drivers add the detailed counts into rx_errors, or do not: the larger of the two is what was lost.
    let detailed = risen.iter().fold(0, |sum: u64, (_, count)| sum.saturating_add(*count));
    let broken = detailed.max(link.counters.rise(|count| count.rx_errors)?);
    Some(Rises { broken, received, kinds: risen.into_iter().map(|(name, count)| format!("{count} {name}")).collect() })
}

fn finding(link: &Link, rises: &Rises, names: Vec<String>) -> Finding {
    let name = &link.name;
    let share = percent(rises.broken, rises.offered());
    let kinds = if rises.kinds.is_empty() { String::new() } else { format!(" ({})", rises.kinds.join(", ")) };
    Finding::new(
        CAUSE.explanation.code,
        Chain::hop(link),
        name,
        Certainty::Proven,
        Effect::Degraded,
        format!("{name} loses {share} of the frames that reach it to errors"),
    )
    .affecting(names)
    .seen(format!("{} errors{kinds} beside {} good frames in the window", rises.broken, rises.received), "netlink counters, two looks")
    .fixed_by(Fix::advice(format!("change the cable or transceiver of {name}, look at the switch port's own errors; for missed frames enlarge the ring (ethtool -g {})", quoted(name))))
}

#[cfg(test)]
mod tests {
    use crate::testing::{count, diagnosed, healthy, nova_network, only};

    #[test]
    fn a_rate_of_errors_counts_and_not_their_sum_since_boot() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            count(seen.link_mut("eth1"), |last| {
                last.rx_packets += 500;
                last.rx_crc_errors += 60;
                last.rx_errors += 60;
            });
        });
        assert_eq!(only(&diagnosis, "nic-errors").at, "eth1");
        healthy(&diagnosed(nova_network(3), |seen| {
            let nic = seen.link_mut("eth1");
            nic.counters.first.rx_crc_errors = 1_000_000;
            count(nic, |last| last.rx_packets += 500);
        }));
    }

    #[test]
    fn a_few_broken_frames_are_an_accident() {
        healthy(&diagnosed(nova_network(3), |seen| {
            count(seen.link_mut("eth1"), |last| {
                last.rx_packets += 2000;
                last.rx_crc_errors += 6;
            });
        }));
    }
}
