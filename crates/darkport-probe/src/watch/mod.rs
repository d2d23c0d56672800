//! What passes at every device of the host: others' ARP, counted, and the devices that own questions and their answers crossed. Pure and
//! bounded, whatever guests send.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::{Crossing, Heard, HeardArp, IfIndex, MacAddr, Part, Vid};

use crate::pcapng::Capture;
use crate::socket::{PacketType, Received};
use crate::wire::{Arp, ArpOperation, Frame, Message};

/// Different frames of others that are kept; a guest that makes more of them up is told as such.
const OTHERS: usize = 4096;
/// Crossings of own questions and answers that are kept: far more than there are devices on the way to a thousand instances.
const CROSSINGS: usize = 32_768;

/// Who asks for whom, so that own frames are known again.
#[derive(Debug, Default)]
pub(crate) struct Interest {
    /// Hardware addresses that own questions come from.
    pub(crate) askers: HashSet<MacAddr>,
    /// Devices towards guests: of a question that is flooded to all of them only the one of whom it is for counts.
    pub(crate) taps: HashSet<IfIndex>,
    /// The tap behind which each address asked for ought to be; none for one beyond the uplink.
    pub(crate) asked: HashMap<(MacAddr, Ipv4Addr), Option<IfIndex>>,
}

/// ARP frames that are counted as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Alike {
    link: IfIndex,
    outgoing: bool,
    vid: Option<Vid>,
    reply: bool,
    frame_from: MacAddr,
    sender_mac: MacAddr,
    sender: Ipv4Addr,
    target: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Passage {
    asker: MacAddr,
    target: Ipv4Addr,
    link: IfIndex,
    outgoing: bool,
    part: Part,
    vid: Option<Vid>,
}

/// The book of what passed.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) interest: Interest,
    /// Where own frames are kept, if that is wanted.
    pub(crate) capture: Option<Capture>,
    /// How often each question was seen to be asked.
    rounds: HashMap<(MacAddr, Ipv4Addr), u32>,
    others: HashMap<Alike, u32>,
    /// How many, when first, and as the how manieth of all: frames that wait together bear one time.
    passages: HashMap<Passage, (u32, Duration, usize)>,
    entered: HashMap<(MacAddr, Ipv4Addr, MacAddr), IfIndex>,
    cut: bool,
}

impl Ledger {
    /// Takes note of a frame, if it is ARP.
    pub(crate) fn note(&mut self, received: &Received<'_>) {
        let Ok(frame) = Frame::decode(received.bytes, received.tag) else { return };
        let Message::Arp(arp) = frame.message else { return };
        let [outer, _] = frame.tags;
        let vid = outer.and_then(crate::wire::Tag::vid).filter(|vid| vid.get() != 0);
        let (link, outgoing) = (IfIndex(received.interface), received.kind == PacketType::Outgoing);
        if !self.own(&frame, &arp, link, outgoing, vid, received) {
            self.other(&frame, &arp, link, outgoing, vid);
        }
    }

    /// Whether it belongs to an own question.
    fn own(&mut self, frame: &Frame<'_>, arp: &Arp, link: IfIndex, outgoing: bool, vid: Option<Vid>, received: &Received<'_>) -> bool {
        let (asker, target, part) = match arp.operation {
            ArpOperation::Request => (arp.sender_mac, arp.target, Part::Question),
            ArpOperation::Reply => (frame.destination, arp.sender, Part::Answer),
        };
        if !self.interest.askers.contains(&asker) {
            return false;
        }
        let Some(tap) = self.interest.asked.get(&(asker, target)).copied() else { return false };
        let flooded = part == Part::Question && outgoing && tap != Some(link) && self.interest.taps.contains(&link);
        if flooded {
            return true;
        }
        let number = self.passages.len();
        let passage = Passage { asker, target, link, outgoing, part, vid };
        let mut here = 1;
        if let Some((frames, ..)) = self.passages.get_mut(&passage) {
            *frames = frames.saturating_add(1);
            here = *frames;
        } else if number >= CROSSINGS {
            self.cut = true;
        } else {
            self.passages.insert(passage, (1, received.at, number));
        }
        if part == Part::Answer && !outgoing && self.entered.len() < CROSSINGS {
            self.entered.entry((asker, target, arp.sender_mac)).or_insert(link);
        }
        if let Some(capture) = &mut self.capture {
            // Where some were lost on the way, a device counts fewer than were asked: the most that any saw is the question's number.
            let round = self.rounds.entry((asker, target)).or_default();
            if part == Part::Question && outgoing {
                *round = (*round).max(here);
            }
            let what = if part == Part::Question { "question" } else { "answer to question" };
            let goes = if outgoing { "leaves" } else { "comes in by" };
            let tag = vid.map_or_else(String::new, |vid| format!(" with tag {vid}"));
            let comment = format!("ARP {target}: {what} {round} {goes} {}{tag}", capture.name(link));
            capture.keep(received, comment);
        }
        true
    }

    fn other(&mut self, frame: &Frame<'_>, arp: &Arp, link: IfIndex, outgoing: bool, vid: Option<Vid>) {
        let reply = arp.operation == ArpOperation::Reply;
        // A flood to all taps says nothing that its arrival does not.
        if outgoing && !reply && self.interest.taps.contains(&link) {
            return;
        }
        let Arp { sender_mac, sender, target, .. } = *arp;
        let alike = Alike { link, outgoing, vid, reply, frame_from: frame.source, sender_mac, sender, target };
        if let Some(count) = self.others.get_mut(&alike) {
            *count = count.saturating_add(1);
        } else if self.others.len() < OTHERS {
            self.others.insert(alike, 1);
        } else {
            self.cut = true;
        }
    }

    /// The devices that a question by `asker` for `target` and its answers crossed, in that order in time.
    pub(crate) fn way(&self, asker: MacAddr, target: Ipv4Addr) -> Vec<Crossing> {
        let mine = self.passages.iter().filter(|(passage, _)| passage.asker == asker && passage.target == target);
        let mut found: Vec<(usize, Duration, Crossing)> = mine
            .map(|(passage, (frames, first, number))| {
                let mut crossing = Crossing::new(passage.link, passage.outgoing, passage.part);
                (crossing.vid, crossing.frames) = (passage.vid, *frames);
                (*number, *first, crossing)
            })
            .collect();
        found.sort_by_key(|(number, ..)| *number);
        let begun = found.first().map(|(_, first, _)| *first).unwrap_or_default();
        for (_, first, crossing) in &mut found {
            crossing.first_us = u64::try_from(first.saturating_sub(begun).as_micros()).unwrap_or(u64::MAX);
        }
        found.into_iter().map(|(.., crossing)| crossing).collect()
    }

    /// The first device that `mac`'s answer for `target` came in by.
    pub(crate) fn came_in_by(&self, asker: MacAddr, target: Ipv4Addr, mac: MacAddr) -> Option<IfIndex> {
        self.entered.get(&(asker, target, mac)).copied()
    }

    /// What others said, in an order that does not depend on chance.
    pub(crate) fn arp(&self) -> Vec<HeardArp> {
        let told = |(alike, frames): (&Alike, &u32)| {
            let mut heard = HeardArp::request(alike.link, alike.sender_mac, alike.sender, alike.target);
            (heard.outgoing, heard.vid, heard.reply) = (alike.outgoing, alike.vid, alike.reply);
            (heard.frame_from, heard.frames) = (alike.frame_from, *frames);
            heard
        };
        let mut found: Vec<_> = self.others.iter().map(told).collect();
        found.sort_by_key(|heard| {
            (heard.link, heard.outgoing, heard.reply, heard.sender, heard.target, heard.sender_mac, heard.frame_from, heard.vid)
        });
        found
    }

    /// What was overheard in `window`, with so many frames missed.
    pub(crate) fn heard(&self, window: Duration, dropped: u64) -> Heard {
        let mut heard = Heard::default();
        heard.window_ms = u64::try_from(window.as_millis()).ok();
        heard.arp = self.arp();
        (heard.dropped, heard.cut) = (dropped, self.cut);
        heard
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::BROADCAST;
    use proptest::prelude::*;

    const ME: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const YOU: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
    const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    fn noted(ledger: &mut Ledger, link: u32, outgoing: bool, arp: Arp, to: MacAddr, at: u64) {
        let mut bytes = Vec::new();
        Frame::new(to, arp.sender_mac, None, Message::Arp(arp)).encode(&mut bytes);
        let mut received = Received::new(&bytes, Duration::from_micros(at));
        received.interface = link;
        received.kind = if outgoing { PacketType::Outgoing } else { PacketType::Broadcast };
        ledger.note(&received);
    }

    fn asking(tap: Option<u32>) -> Ledger {
        let mut ledger = Ledger::default();
        ledger.interest.askers.insert(ME);
        ledger.interest.taps.extend([IfIndex(10), IfIndex(11)]);
        ledger.interest.asked.insert((ME, GATEWAY), tap.map(IfIndex));
        ledger
    }

    #[test]
    fn a_question_and_its_answer_are_followed_both_ways() {
        let mut ledger = asking(None);
        let question = Arp::request(ME, Ipv4Addr::UNSPECIFIED, GATEWAY);
        for (at, link) in [1, 10, 11, 2, 3].into_iter().enumerate() {
            noted(&mut ledger, link, true, question, BROADCAST, 100 + at as u64);
        }
        for (at, link) in [3, 2, 1].into_iter().enumerate() {
            noted(&mut ledger, link, false, Arp::reply_to(&question, YOU), ME, 200 + at as u64);
        }
        let way: Vec<_> = ledger.way(ME, GATEWAY).iter().map(|one| (one.link.0, one.outgoing, one.first_us)).collect();
        assert_eq!(way, [(1, true, 0), (2, true, 3), (3, true, 4), (3, false, 100), (2, false, 101), (1, false, 102)]);
        assert_eq!(ledger.came_in_by(ME, GATEWAY, YOU), Some(IfIndex(3)));
        assert!(ledger.arp().is_empty(), "a flood of our own is nobody else's");
    }

    #[test]
    fn kept_frames_say_which_question_passes_where() {
        let mut ledger = asking(None);
        let mut capture = Capture::default();
        capture.names.insert(IfIndex(3), "eth1".into());
        ledger.capture = Some(capture);
        let question = Arp::request(ME, Ipv4Addr::UNSPECIFIED, GATEWAY);
        // The first is lost before the NIC.
        for (at, link) in [1, 1, 3].into_iter().enumerate() {
            noted(&mut ledger, link, true, question, BROADCAST, at as u64);
        }
        noted(&mut ledger, 3, false, Arp::reply_to(&question, YOU), ME, 9);
        noted(&mut ledger, 10, false, Arp::request(YOU, Ipv4Addr::new(10, 0, 0, 9), GATEWAY), BROADCAST, 10);
        let capture = ledger.capture.unwrap();
        let comments: Vec<&str> = capture.comments().collect();
        assert_eq!(
            comments,
            [
                "ARP 10.0.0.1: question 1 leaves if1",
                "ARP 10.0.0.1: question 2 leaves if1",
                "ARP 10.0.0.1: question 2 leaves eth1",
                "ARP 10.0.0.1: answer to question 2 comes in by eth1",
            ],
            "others' frames are not kept"
        );
    }

    #[test]
    fn of_a_flood_the_tap_in_question_counts() {
        let mut ledger = asking(Some(11));
        for link in [1, 10, 11] {
            noted(&mut ledger, link, true, Arp::request(ME, Ipv4Addr::UNSPECIFIED, GATEWAY), BROADCAST, 1);
        }
        let links: Vec<_> = ledger.way(ME, GATEWAY).iter().map(|one| one.link.0).collect();
        assert_eq!(links, [1, 11]);
    }

    #[test]
    fn what_others_say_is_counted() {
        let mut ledger = asking(None);
        let theirs = Arp::request(YOU, Ipv4Addr::new(10, 0, 0, 9), GATEWAY);
        for _ in 0..3 {
            noted(&mut ledger, 10, false, theirs, BROADCAST, 1);
            noted(&mut ledger, 11, true, theirs, BROADCAST, 1);
        }
        let heard = ledger.heard(Duration::from_secs(2), 0);
        assert_eq!(heard.arp.len(), 1);
        assert_eq!((heard.arp[0].frames, heard.arp[0].link, heard.cut), (3, IfIndex(10), false));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        /// A guest that makes frames up fills no memory and pushes no own crossing out.
        #[test]
        fn a_flood_of_inventions_stays_bounded(seed in any::<u32>()) {
            let mut ledger = asking(None);
            for number in 0..4596u32 {
                let sender = Ipv4Addr::from(seed.wrapping_add(number));
                noted(&mut ledger, 10, false, Arp::request(YOU, sender, GATEWAY), BROADCAST, 1);
                noted(&mut ledger, 10, false, Arp::reply_to(&Arp::request(ME, sender, sender), YOU), ME, 1);
            }
            noted(&mut ledger, 3, true, Arp::request(ME, Ipv4Addr::UNSPECIFIED, GATEWAY), BROADCAST, 2);
            let heard = ledger.heard(Duration::from_secs(1), 0);
            prop_assert!(heard.cut && heard.arp.len() <= OTHERS);
            prop_assert_eq!(ledger.way(ME, GATEWAY).len(), 1);
        }

        /// Any bytes at all.
        #[test]
        fn no_frame_breaks_it(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            asking(None).note(&Received::new(&bytes, Duration::ZERO));
        }
    }
}
