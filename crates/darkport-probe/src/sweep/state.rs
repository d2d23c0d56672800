//! What a sweep asks, and what it knows of each address.

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::MacAddr;

use super::lanes::Stage;

/// What to do until the next call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Next {
    /// Call again then, or when a frame came in.
    Wait(Duration),
    /// All is known, or time is over.
    Done,
}

/// A question to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ask {
    /// Who has this address?
    Arp {
        /// The address.
        target: Ipv4Addr,
        /// Everybody, or the one who ought to have it.
        to: MacAddr,
        /// Who asks; unspecified where the host has no address there.
        from: Ipv4Addr,
    },
    /// Does it answer an ICMP echo?
    Echo {
        /// The address.
        target: Ipv4Addr,
        /// Who has it.
        to: MacAddr,
        /// Who asks.
        from: Ipv4Addr,
        /// Which try.
        sequence: u16,
    },
}

/// One who says that it has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The hardware address in the ARP answer.
    pub mac: MacAddr,
    /// The hardware address that the frame came from: another one's, where somebody answers for others.
    pub frame_from: MacAddr,
    /// How often it said so.
    pub answers: u32,
}

/// How far the question to one address got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Not asked, or not often enough when time was over.
    Open,
    /// It answered; the round-trip time where it is known which try was answered.
    Answered(Option<Duration>),
    /// It was asked as often as it takes, and did not answer.
    Silent,
    /// It cannot be asked: nobody has the address, or this host has no address to ask from.
    NotAsked,
}

/// What is known of one target.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct State {
    /// ARP.
    pub arp: Outcome,
    /// ICMP; not asked unless the settings say so.
    pub echo: Outcome,
    /// ARP questions sent.
    pub arp_tries: u8,
    /// ICMP questions sent.
    pub echo_tries: u8,
    /// Who answered ARP, the first first, eight at most.
    pub holders: Vec<Holder>,
    pub(super) first_asked: Duration,
    pub(super) last_asked: Duration,
}

/// What was sent and heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Frames to everybody.
    pub broadcasts: u64,
    /// Frames to one.
    pub unicasts: u64,
    /// Answers to questions of this sweep.
    pub answers: u64,
    /// Frames that answer nothing that was asked, or are damaged.
    pub strays: u64,
}

/// Whether an answer to that is still waited for.
pub(super) fn waits(of: &State, stage: Stage) -> bool {
    match stage {
        Stage::Arp => of.arp == Outcome::Open,
        Stage::Echo => of.echo == Outcome::Open,
    }
}

/// What an echo carries: this sweep's number mixed with whom it is for and which try it is, so that no answer serves for another.
pub(super) fn cookie(secret: u64, target: Ipv4Addr, sequence: u16) -> [u8; 24] {
    let [a, b, c, d] = target.octets();
    let [e, f] = sequence.to_be_bytes();
    let mut seed = secret ^ u64::from_be_bytes([a, b, c, d, e, f, 0, 0]);
    let mut bytes = *b"darkport--------========";
    for part in bytes.chunks_exact_mut(8).skip(1) {
        // SplitMix64's step: it only has to look like nothing else.
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(mixed ^ (mixed >> 31)).to_be_bytes());
    }
    bytes
}
