//! The devices that a conversation's frames crossed. Bounded, whatever guests send.

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::{Crossing, IfIndex, MacAddr, Part, Vid};

use super::machine::conversation;
use super::offer;
use crate::socket::{PacketType, Received};

/// Crossings of questions that are kept: a bridge of a thousand ports floods them to all.
const QUESTIONS: usize = 4096;
/// Crossings of answers that are kept.
const ANSWERS: usize = 1024;

/// Whose frame it is: of an answer, the server's identifier and the address that the frame came from.
type Whose = Option<(Ipv4Addr, MacAddr)>;

#[derive(Debug)]
struct Passage {
    whose: Whose,
    crossing: Crossing,
    first: Duration,
}

/// The book of one conversation.
#[derive(Debug)]
pub(crate) struct Book {
    xid: u32,
    questions: Vec<Passage>,
    answers: Vec<Passage>,
}

impl Book {
    pub(crate) fn new(xid: u32) -> Self {
        Self { xid, questions: Vec::new(), answers: Vec::new() }
    }

    /// Takes note of a frame, if it is of the conversation.
    pub(crate) fn note(&mut self, received: &Received<'_>) {
        let Some((frame, udp, message)) = conversation(received, self.xid) else { return };
        let [outer, _] = frame.tags;
        let vid: Option<Vid> = outer.and_then(crate::wire::Tag::vid).filter(|vid| vid.get() != 0);
        let (link, outgoing) = (IfIndex(received.interface), received.kind == PacketType::Outgoing);
        let (passages, most, part, whose) = if message.reply {
            (&mut self.answers, ANSWERS, Part::Answer, Some((offer::server(&udp, &message), frame.source)))
        } else {
            (&mut self.questions, QUESTIONS, Part::Question, None)
        };
        let same = |passage: &&mut Passage| {
            let crossing = &passage.crossing;
            passage.whose == whose && crossing.link == link && crossing.outgoing == outgoing && crossing.vid == vid
        };
        if let Some(passage) = passages.iter_mut().find(same) {
            passage.crossing.frames = passage.crossing.frames.saturating_add(1);
        } else if passages.len() < most {
            let mut crossing = Crossing::new(link, outgoing, part);
            crossing.vid = vid;
            passages.push(Passage { whose, crossing, first: received.at });
        }
    }

    /// The devices that all questions and answers crossed, those of several servers counted together.
    pub(crate) fn way(&self) -> Vec<Crossing> {
        let mut way: Vec<Crossing> = Vec::new();
        for crossing in self.crossings(self.questions.iter().chain(&self.answers)) {
            let same = |known: &&mut Crossing| {
                known.link == crossing.link
                    && known.outgoing == crossing.outgoing
                    && known.part == crossing.part
                    && known.vid == crossing.vid
            };
            match way.iter_mut().find(same) {
                Some(known) => known.frames = known.frames.saturating_add(crossing.frames),
                None => way.push(crossing),
            }
        }
        way
    }

    /// The devices that this server's answers crossed.
    pub(crate) fn way_of(&self, server: Ipv4Addr, frame_from: MacAddr) -> Vec<Crossing> {
        self.crossings(self.answers.iter().filter(|passage| passage.whose == Some((server, frame_from)))).collect()
    }

    fn crossings<'b>(&'b self, passages: impl Iterator<Item = &'b Passage> + 'b) -> impl Iterator<Item = Crossing> + 'b {
        let begun = self.questions.first().map(|passage| passage.first).unwrap_or_default();
        passages.map(move |passage| {
            let mut crossing = passage.crossing;
            crossing.first_us = u64::try_from(passage.first.saturating_sub(begun).as_micros()).unwrap_or(u64::MAX);
            crossing
        })
    }
}
