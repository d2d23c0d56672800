//! Where a synthetic instance's frames pass: the host's devices are listened at, each, for what it sends and what is sent to it.

use std::collections::HashSet;
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use darkport_model::{Crossing, IfIndex, MacAddr, Part, SyntheticTest, TestKind, Vid};

use super::tries::METADATA;
use crate::socket::{Filter, PacketSocket, PacketType, Received, SocketOptions};
use crate::wire::Tag;

/// Passages that are kept: seven tests on some devices, both ways.
const PASSAGES: usize = 512;
/// How soon the end is noticed.
const TURN: Duration = Duration::from_millis(20);
/// The short echo is shorter and the full one longer.
const SHORT: usize = 200;

/// Whose frames are followed.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) mac: MacAddr,
    /// The gateway that it asks for.
    pub(super) gateway: Option<Ipv4Addr>,
    /// Ports that a flood goes out by as well: other instances' taps.
    pub(super) beside: HashSet<IfIndex>,
}

/// The devices that were passed, test by test.
#[derive(Debug, Default)]
pub(super) struct Trail {
    passages: Vec<(TestKind, Crossing, Duration)>,
}

/// Listens while `work` runs. Where that is not possible, nothing is known of the ways, and the tests stand all the same.
pub(super) fn follow<T>(who: &Followed, work: impl FnOnce() -> T) -> (T, Trail) {
    let mut options = SocketOptions::new(0);
    options.outgoing = true;
    let socket = PacketSocket::open(options, &Filter::Station { mac: who.mac });
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let listening = socket.map(|socket| scope.spawn(|| listen(socket, who, &over)));
        let done = work();
        over.store(true, Ordering::Relaxed);
        let trail = match listening.map(thread::ScopedJoinHandle::join) {
            Ok(Ok(Ok(trail))) => trail,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Ok(Ok(Err(error))) | Err(error) => {
                tracing::debug!(%error, "the synthetic instance's frames are not followed");
                Trail::default()
            }
        };
        (done, trail)
    })
}

fn listen(mut socket: PacketSocket, who: &Followed, over: &AtomicBool) -> io::Result<Trail> {
    let mut trail = Trail::default();
    loop {
        let ends = over.load(Ordering::Relaxed);
        let got = socket.receive(TURN, |frame| trail.note(who, &frame))?;
        if ends && got == 0 {
            return Ok(trail);
        }
    }
}

impl Trail {
    fn note(&mut self, who: &Followed, received: &Received<'_>) {
        let link = IfIndex(received.interface);
        let own = received.bytes.get(6..12) == Some(&who.mac.0);
        if own && who.beside.contains(&link) {
            return;
        }
        let Some(kind) = kind(who, received) else { return };
        let mut crossing = Crossing::new(link, received.kind == PacketType::Outgoing, if own { Part::Question } else { Part::Answer });
        crossing.vid = received.tag.and_then(Tag::vid).or_else(|| inner_vid(received.bytes)).filter(|vid| vid.get() != 0);
        let same = |(known_kind, known, _): &&mut (TestKind, Crossing, Duration)| {
            *known_kind == kind
                && (known.link, known.outgoing, known.part, known.vid) == (crossing.link, crossing.outgoing, crossing.part, crossing.vid)
        };
        if let Some((_, known, _)) = self.passages.iter_mut().find(same) {
            known.frames = known.frames.saturating_add(1);
        } else if self.passages.len() < PASSAGES {
            self.passages.push((kind, crossing, received.at));
        }
    }

    /// Writes into each test which devices its frames crossed.
    pub(super) fn tell(&self, tests: &mut [SyntheticTest]) {
        for test in tests {
            let own = || self.passages.iter().filter(|(kind, ..)| *kind == test.kind);
            let Some(begun) = own().map(|(.., at)| *at).min() else { continue };
            let since = |at: Duration| u64::try_from(at.saturating_sub(begun).as_micros()).unwrap_or(u64::MAX);
            test.way = own()
                .map(|(_, crossing, at)| {
                    let mut crossing = *crossing;
                    crossing.first_us = since(*at);
                    crossing
                })
                .collect();
        }
    }
}

/// What comes after the addresses and any tags: the protocol's number, and its bytes.
fn payload(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let mut rest = bytes.get(12..)?;
    // Two tags are the most that a bridge makes.
    for _ in 0..3 {
        let (kind, after) = rest.split_first_chunk::<2>()?;
        let kind = u16::from_be_bytes(*kind);
        if !matches!(kind, 0x8100 | 0x88a8) {
            return Some((kind, after));
        }
        rest = after.get(2..)?;
    }
    None
}

fn inner_vid(bytes: &[u8]) -> Option<Vid> {
    let word = |at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    Tag::from_parts(word(12).filter(|kind| matches!(kind, 0x8100 | 0x88a8))?, word(14)?).vid()
}

/// Which test a frame belongs to, by its headers alone: long ones are not kept whole.
fn kind(who: &Followed, received: &Received<'_>) -> Option<TestKind> {
    let (protocol, bytes) = payload(received.bytes)?;
    let address = |at: usize| bytes.get(at..)?.first_chunk::<4>().copied().map(Ipv4Addr::from);
    match protocol {
        0x0806 => {
            // Whom a question is for, whom an answer is from (RFC 826).
            let target = if bytes.get(7) == Some(&1) { address(24) } else { address(14) };
            (target.is_some() && target == who.gateway).then_some(TestKind::ArpGateway)
        }
        0x0800 => {
            let ends = [address(12)?, address(16)?];
            let header = usize::from(bytes.first()? & 0xf) * 4;
            let port = |at: usize| Some(u16::from_be_bytes(*bytes.get(header + at..)?.first_chunk()?));
            match bytes.get(9)? {
                1 if who.gateway.is_some_and(|gateway| ends.contains(&gateway)) => {
                    Some(if received.length > SHORT { TestKind::FullMtu } else { TestKind::PingGateway })
                }
                6 if ends.contains(&METADATA) => Some(TestKind::Metadata),
                // Whose conversation it is says the client's hardware address (RFC 2131, 2).
                17 if [port(0)?, port(2)?].contains(&67) => {
                    (bytes.get(header + 36..)?.first_chunk::<6>() == Some(&who.mac.0)).then_some(TestKind::Dhcp)
                }
                17 if [port(0)?, port(2)?].contains(&53) => Some(TestKind::Dns),
                _ => None,
            }
        }
        0x86dd if bytes.get(6) == Some(&58) && matches!(bytes.get(40), Some(133 | 134)) => Some(TestKind::RouterSolicitation),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::{Arp, BROADCAST, Frame, Ipv4, Message};

    const ME: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const YOU: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn followed() -> Followed {
        Followed { mac: ME, gateway: Some(GATEWAY), beside: [IfIndex(9)].into() }
    }

    fn noted(trail: &mut Trail, link: u32, outgoing: bool, bytes: &[u8]) {
        let mut received = Received::new(bytes, Duration::from_micros(5 * u64::from(link)));
        received.interface = link;
        received.kind = if outgoing { PacketType::Outgoing } else { PacketType::Host };
        trail.note(&followed(), &received);
    }

    fn bytes(to: MacAddr, from: MacAddr, message: Message<'_>) -> Vec<u8> {
        let mut bytes = Vec::new();
        Frame::new(to, from, None, message).encode(&mut bytes);
        bytes
    }

    #[test]
    fn each_test_knows_its_way() {
        let mut trail = Trail::default();
        let question = Arp::request(ME, Ipv4Addr::UNSPECIFIED, GATEWAY);
        let asked = bytes(BROADCAST, ME, Message::Arp(question));
        for (link, outgoing) in [(4, false), (9, true), (3, true)] {
            noted(&mut trail, link, outgoing, &asked);
        }
        noted(&mut trail, 3, false, &bytes(ME, YOU, Message::Arp(Arp::reply_to(&question, YOU))));
        let own_check = Arp::request(ME, Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 0, 7));
        noted(&mut trail, 3, true, &bytes(BROADCAST, ME, Message::Arp(own_check)));
        for length in [56, 1472] {
            let echo = Ipv4::echo_request(Ipv4Addr::new(10, 0, 0, 7), GATEWAY, 1, 1, &[0; 1472][..length]);
            noted(&mut trail, 3, true, &bytes(YOU, ME, Message::Ipv4(echo)));
        }
        let mut tests = [TestKind::ArpGateway, TestKind::PingGateway, TestKind::FullMtu, TestKind::Dns].map(SyntheticTest::new);
        trail.tell(&mut tests);
        let told = |at: usize| tests[at].way.iter().map(|one| (one.link.0, one.outgoing, one.part, one.frames)).collect::<Vec<_>>();
        assert_eq!(told(0), [(4, false, Part::Question, 1), (3, true, Part::Question, 1), (3, false, Part::Answer, 1)]);
        assert_eq!(told(1), [(3, true, Part::Question, 1)]);
        assert_eq!(told(2), [(3, true, Part::Question, 1)]);
        assert!(told(3).is_empty());
    }

    proptest! {
        /// Whatever passes, nothing panics and nothing grows.
        #[test]
        fn any_frame_can_be_noted(frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..80), any::<u32>()), 0..64)) {
            let mut trail = Trail::default();
            for (frame, link) in &frames {
                noted(&mut trail, *link, false, frame);
            }
            prop_assert!(trail.passages.len() <= PASSAGES);
        }
    }
}
