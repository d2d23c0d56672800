//! What probing told of a segment: who answered, and where a question or its answer was last seen.

use std::borrow::Cow;

use darkport_model::{ArpProbe, Crossing, HopKind, IfIndex, Link, Origin, Part, Vid, Whom};

use crate::scene::{Scene, Segment};
use crate::uplink::Chain;

/// How far the frames of a probe that was not answered got.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Trail<'a> {
    /// Nothing of it was seen anywhere, not even where it was sent: nothing can be told.
    Untraced,
    /// Out of this host, by its last device, with this tag; nothing came back.
    Left(&'a Link, Option<Vid>),
    /// It was seen at `after` and not at `before`, the next device on its way.
    Lost { after: &'a Link, before: &'a Link },
    /// Its answer was seen at `after` and not at `before`, the next device on the way back.
    AnswerLost { after: &'a Link, before: &'a Link },
    /// Its answer was seen at every device of the way back, and still did not arrive.
    AnswerUnread,
}

impl<'a> Scene<'a> {
    /// The questions that were asked on a segment by this host itself.
    pub(crate) fn asked(&self, segment: &Segment<'a>) -> impl Iterator<Item = &'a ArpProbe> {
        let bridge = segment.bridge.index;
        self.seen.probes.arp.iter().filter(move |probe| probe.bridge == bridge && probe.origin == Origin::Host && probe.sent > 0)
    }

    /// The question for the gateway: the answered one, where there are several. Where this host itself could not ask, that of an instance
    /// that it played.
    pub(crate) fn gateway(&self, segment: &Segment<'a>) -> Option<&'a ArpProbe> {
        let own = self.asked(segment).filter(|probe| probe.whom == Whom::Gateway).max_by_key(|probe| (probe.answered, probe.unheard));
        own.or_else(|| {
            let here = |probe: &&ArpProbe| probe.bridge == segment.bridge.index && probe.origin == Origin::SyntheticInstance;
            self.seen.probes.arp.iter().filter(here).filter(|probe| probe.sent > 0).max_by_key(|probe| probe.answered)
        })
    }

    /// The gateway, where it was asked for, nobody answered, and nobody was overheard hearing from it either.
    pub(crate) fn silent_gateway(&self, segment: &Segment<'a>) -> Option<&'a ArpProbe> {
        self.gateway(segment).filter(|probe| probe.is_silent() && !self.overheard(segment, probe))
    }

    /// The questions for an instance on any of its segments.
    pub(crate) fn asked_for(&self, name: &str) -> impl Iterator<Item = &'a ArpProbe> {
        let about = move |probe: &&ArpProbe| matches!(&probe.whom, Whom::Instance(whose) if whose == name);
        self.seen.probes.arp.iter().filter(|probe| probe.sent > 0).filter(about)
    }

    /// Whether an instance answered to any of its addresses; none where it was not asked, or not listened to well.
    pub(crate) fn answers(&self, name: &str) -> Option<bool> {
        let mut asked = self.asked_for(name).filter(|probe| probe.answered > 0 || probe.is_silent()).peekable();
        asked.peek()?;
        Some(asked.any(|probe| probe.answered > 0))
    }

    /// Whether an answer by the address that a probe asked for was seen on its way to somebody on the segment.
    fn overheard(&self, segment: &Segment<'a>, probe: &ArpProbe) -> bool {
        let here =
            |link: IfIndex| link == segment.bridge.index || self.wiring.ports(segment.bridge.index).iter().any(|port| port.index == link);
        self.seen.probes.heard.arp.iter().any(|heard| heard.reply && heard.sender == probe.target && here(heard.link))
    }

    /// How far an unanswered question for somebody beyond the uplinks got.
    pub(crate) fn trail_out(&self, segment: &Segment<'a>, probe: &ArpProbe) -> Trail<'a> {
        let way = from_bridge(segment.bridge, probe);
        let mut stages = Vec::new();
        for bridge in self.bridges_from(segment.bridge) {
            stages.push(vec![bridge]);
            let Some(segment) = self.segment(bridge.index) else { break };
            let crossed = |chain: &&Chain<'a>| chain.all().filter(|device| crosses(&probe.way, device.index, Part::Question)).count();
            // Of several ways the one that was taken; by itself that is the first.
            let Some(chain) = segment.ways().max_by_key(|chain| (crossed(chain), chain.is_open())) else { break };
            stages.extend(chain.devices.iter().map(|device| vec![*device]));
            if !chain.slaves.is_empty() {
                stages.push(chain.slaves.clone());
            }
        }
        trail(&stages, &way)
    }

    /// What a device is on the way of this host's frames.
    pub(crate) fn hop_of(&self, link: &Link) -> HopKind {
        let chains = || self.segments.iter().flat_map(Segment::ways);
        if self.segment(link.index).is_some() {
            HopKind::Bridge
        } else if chains().any(|chain| chain.slaves.iter().any(|slave| slave.index == link.index)) {
            HopKind::Nic
        } else if chains().any(|chain| chain.port.index == link.index) {
            HopKind::UplinkPort
        } else if chains().any(|chain| chain.devices.iter().any(|device| device.index == link.index)) {
            Chain::hop(link)
        } else {
            HopKind::TapPort
        }
    }
}

/// How far an unanswered question for an instance behind `tap` got.
pub(crate) fn trail_in<'a>(segment: &Segment<'a>, tap: &'a Link, probe: &ArpProbe) -> Trail<'a> {
    trail(&[vec![segment.bridge], vec![tap]], &probe.way)
}

/// The way of a probe as if it had begun at the bridge: what a played instance asks comes in there by its port.
fn from_bridge<'p>(bridge: &Link, probe: &'p ArpProbe) -> Cow<'p, [Crossing]> {
    let came_in = |crossing: &&Crossing| crossing.part == Part::Question && !crossing.outgoing;
    match probe.way.iter().find(came_in).filter(|_| probe.origin == Origin::SyntheticInstance) {
        Some(first) => {
            let mut begun = *first;
            (begun.link, begun.outgoing) = (bridge.index, true);
            Cow::Owned([&[begun], probe.way.as_slice()].concat())
        }
        None => Cow::Borrowed(&probe.way),
    }
}

fn crosses(way: &[Crossing], link: IfIndex, part: Part) -> bool {
    way.iter().any(|crossing| crossing.link == link && crossing.part == part && crossing.outgoing == (part == Part::Question))
}

/// `stages` are the devices from where the question was asked outwards, with alternatives side by side. A bridge's own device shows an
/// incoming frame only once it is through (linux, `net/bridge/br_input.c`, `br_pass_frame_up`).
fn trail<'a>(stages: &[Vec<&'a Link>], way: &[Crossing]) -> Trail<'a> {
    let at = |stage: &Vec<&'a Link>, part| stage.iter().copied().find(|link| crosses(way, link.index, part));
    let outermost = |part| stages.iter().enumerate().rev().find_map(|(index, stage)| Some((index, at(stage, part)?)));
    let innermost = |part| stages.iter().enumerate().find_map(|(index, stage)| Some((index, at(stage, part)?)));
    if let Some((index, after)) = innermost(Part::Answer) {
        let inner = index.checked_sub(1).and_then(|inner| stages.get(inner)).and_then(|stage| stage.first().copied());
        return inner.map_or(Trail::AnswerUnread, |before| Trail::AnswerLost { after, before });
    }
    let Some((index, after)) = outermost(Part::Question) else { return Trail::Untraced };
    match stages.get(index + 1).and_then(|stage| stage.first().copied()) {
        Some(before) => Trail::Lost { after, before },
        None => Trail::Left(
            after,
            way.iter().find(|crossing| crossing.link == after.index && crossing.outgoing).and_then(|crossing| crossing.vid),
        ),
    }
}

/// `, with tag 1102`, where there is one.
pub(crate) fn tagged(vid: Option<Vid>) -> String {
    vid.map(|vid| format!(" with tag {vid}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crossing(link: u32, part: Part) -> Crossing {
        Crossing::new(IfIndex(link), part == Part::Question, part)
    }

    #[test]
    fn the_trail_ends_where_a_frame_was_last_seen() {
        let links: Vec<_> = [(1, "br1102"), (2, "eth1.1102"), (3, "eth1")].map(|(index, name)| Link::new(index, name)).into();
        let stages: Vec<_> = links.iter().map(|link| vec![link]).collect();
        let told = |way: &[Crossing]| match trail(&stages, way) {
            Trail::Untraced => "untraced".to_owned(),
            Trail::Left(link, _) => format!("left {}", link.name),
            Trail::Lost { after, before } => format!("{} > {}", after.name, before.name),
            Trail::AnswerLost { after, before } => format!("{} < {}", before.name, after.name),
            Trail::AnswerUnread => "unread".to_owned(),
        };
        let question = |upto| (1..=upto).map(|link| crossing(link, Part::Question)).collect::<Vec<_>>();
        assert_eq!(told(&[]), "untraced");
        assert_eq!(told(&question(1)), "br1102 > eth1.1102");
        assert_eq!(told(&question(2)), "eth1.1102 > eth1");
        assert_eq!(told(&question(3)), "left eth1");
        let mut answered = question(3);
        answered.push(crossing(3, Part::Answer));
        assert_eq!(told(&answered), "eth1.1102 < eth1");
        answered.push(crossing(2, Part::Answer));
        assert_eq!(told(&answered), "br1102 < eth1.1102");
        answered.push(crossing(1, Part::Answer));
        assert_eq!(told(&answered), "unread");
    }
}
