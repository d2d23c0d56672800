//! What is heard from beyond this host's NICs, and what the instances' own frames say of a loss there.
//!
//! A gateway that does not answer this host is not yet a fault: some answer no question from 0.0.0.0, although RFC 5227 (2.1.1) has them
//! do so. And one that does answer this host may still lose the instances' frames. Either way it is the instances that tell.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use darkport_model::{HeardArp, IfIndex, Link, LinkKind, Vid};

use crate::scene::{Scene, Segment};
use crate::uplink::Chain;

/// As often within the window asks only who gets no answer (linux, `net/core/neighbour.c`: one question a second, three in all).
const AGAIN: u32 = 2;

/// So many frames a guest sends in a window only if it talks to somebody.
const TALK: u64 = 5;

/// Of conversations comes back more than one frame for so many sent; of what others send to everybody, less.
const FEW: u64 = 4;

/// Instances that asked for the gateway, whose questions left this host, and to whom no answer came.
#[derive(Debug, Default)]
pub(crate) struct InVain {
    /// Their names.
    pub(crate) names: Vec<String>,
    /// Their questions, as they left.
    pub(crate) questions: u32,
}

/// What instances sent over an uplink by which little or nothing came back.
#[derive(Debug)]
pub(crate) struct OneWay {
    /// Frames that left.
    pub(crate) left: u64,
    /// Frames that came in and that nothing explains: they may be answers to instances.
    pub(crate) came: u64,
    /// The instances that sent some.
    pub(crate) names: Vec<String>,
}

impl<'a> Scene<'a> {
    /// Who of a segment's instances was overheard asking for the gateway in vain. None where one of them was answered, or where the
    /// overhearing has gaps.
    pub(crate) fn in_vain(&self, segment: &Segment<'a>) -> InVain {
        let heard = &self.seen.probes.heard;
        let mut found = InVain::default();
        let Some(gateway) = self.gateway(segment).map(|probe| probe.target).filter(|_| heard.dropped == 0 && !heard.cut) else {
            return found;
        };
        let at_uplink = |link: IfIndex| segment.uplinks.iter().any(|chain| chain.port.index == link);
        for (subject, nic) in self.members(segment) {
            let (Some(tap), Some(mac)) = (nic.live_tap(), nic.mac) else { continue };
            let asks = |one: &&HeardArp| !one.reply && one.sender_mac == mac && one.target == gateway && !one.sender.is_unspecified();
            let count = |outgoing: bool, at: &dyn Fn(IfIndex) -> bool| {
                let here = heard.arp.iter().filter(|one| asks(one) && one.outgoing == outgoing && at(one.link));
                here.fold(0, |sum: u32, one| sum.saturating_add(one.frames))
            };
            // Seen at its tap too: on a bridge that reflects, or beside a copy of it, what leaves need not be its own.
            let left = count(true, &at_uplink).min(count(false, &|link| link == tap.index));
            let Some(own) = heard.arp.iter().find(asks).map(|one| one.sender).filter(|_| left > 0) else { continue };
            if heard.arp.iter().any(|one| one.reply && one.sender == gateway && one.target == own) {
                return InVain::default();
            }
            found.questions = found.questions.saturating_add(left);
            if !found.names.contains(&subject.name) {
                found.names.push(subject.name.clone());
            }
        }
        found
    }

    /// Whether a segment's instances talk over an uplink by which hardly anything comes back: of what came in, answers to this host's own
    /// questions and broadcasts of others, which were overheard, are left out.
    pub(crate) fn one_way(&self, segment: &Segment<'a>) -> Option<OneWay> {
        let [chain] = segment.uplinks.as_slice() else { return None };
        let port = chain.port;
        let heard = &self.seen.probes.heard;
        let frames = |outgoing: bool| {
            let here = heard.arp.iter().filter(|one| one.link == port.index && one.outgoing == outgoing);
            here.fold(0, |sum: u64, one| sum.saturating_add(one.frames.into()))
        };
        let asked = |read: fn(&darkport_model::ArpProbe) -> u32| self.asked(segment).map(|probe| u64::from(read(probe))).sum::<u64>();
        let own_answers: u64 = self.asked(segment).flat_map(|probe| &probe.answers).map(|answer| u64::from(answer.count)).sum();
        let came = port.counters.rise(|count| count.rx_packets)?;
        let left = port.counters.rise(|count| count.tx_packets)?.saturating_sub(asked(|probe| probe.sent));
        let talkers = self.members(segment).filter(|(_, nic)| {
            let sent = nic.live_tap().and_then(|tap| tap.counters.rise(|count| count.rx_packets));
            sent.is_some_and(|sent| sent >= TALK)
        });
        let names: BTreeSet<String> = talkers.map(|(subject, _)| subject.name.clone()).collect();
        let came = came.saturating_sub(own_answers.saturating_add(frames(false)));
        (came <= left / FEW && left >= TALK && !names.is_empty()).then(|| OneWay { left, came, names: names.into_iter().collect() })
    }

    /// Whether more than this host's own unanswered questions says that frames leave and none comes back.
    pub(crate) fn bears_out(&self, segment: &Segment<'a>, chain: &Chain<'a>, gateway: Ipv4Addr) -> bool {
        matches!(Self::heard_by(chain), Rx::Nothing | Rx::OtherVlans)
            || !self.asking(chain, gateway).is_empty()
            || self.in_vain(segment).questions > AGAIN
            || self.one_way(segment).is_some()
    }

    /// What came in by a way out of this host while it was looked at.
    pub(crate) fn heard_by(chain: &Chain<'a>) -> Rx {
        let rise = |link: &Link| link.counters.rise(|count| count.rx_packets);
        let working: Vec<_> = if chain.slaves.is_empty() { vec![chain.bottom()] } else { chain.slaves.clone() };
        let nic = working.into_iter().map(rise).try_fold(0, |sum: u64, rise| Some(sum.saturating_add(rise?)));
        let vlan = chain.devices.iter().find(|device| vid_of(device).is_some());
        match (nic, vlan.map(|vlan| (rise(vlan), vlan.counters.first.rx_packets))) {
            (Some(0), _) => Rx::Nothing,
            (Some(_), Some((Some(0), before))) if before > 0 => Rx::OtherVlans,
            (Some(_), Some((Some(1..), _))) => Rx::SameVlan,
            _ => Rx::Unknown,
        }
    }

    /// Who, beyond the NIC, was overheard asking for the gateway again and again. Who asks once may well have been answered: the answer
    /// goes to them alone.
    pub(crate) fn asking(&self, chain: &Chain<'a>, gateway: Ipv4Addr) -> BTreeSet<Ipv4Addr> {
        let port = chain.port.index;
        let own: BTreeSet<_> = self.subjects.iter().flat_map(|subject| &subject.nics).filter_map(|nic| nic.mac).collect();
        let foreign = self.seen.probes.heard.arp.iter().filter(|heard| {
            let in_vain = !heard.reply && heard.target == gateway && heard.frames >= AGAIN;
            heard.link == port && !heard.outgoing && in_vain && !own.contains(&heard.sender_mac) && !heard.sender.is_unspecified()
        });
        foreign.map(|heard| heard.sender).collect()
    }
}

/// What comes in by a way out of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rx {
    /// Nothing at all.
    Nothing,
    /// Frames, but none of this VLAN, of which there were some before.
    OtherVlans,
    /// Frames of this VLAN.
    SameVlan,
    /// It cannot be told.
    Unknown,
}

pub(crate) fn vid_of(link: &Link) -> Option<Vid> {
    match link.kind {
        LinkKind::Vlan { vid, .. } => Some(vid),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Seen, asked, asking_in_vain, count, diagnosed, healthy, nova_network, only, passed, silent_gateway};
    use darkport_model::{Certainty, ExitCode, HeardArp, HopKind, InstanceState, MacAddr, Status, Whom};

    fn answering_gateway(seen: &mut Seen) {
        asked(seen, "10.68.16.1", Whom::Gateway, &[[2, 0, 0, 0, 0, 9]]);
        seen.probes.arp[0].answers[0].count = 6;
    }

    /// Every instance sends, the uplink lets it out, and six answers to this host come in.
    fn one_way(seen: &mut Seen) {
        for tap in ["vnet0", "vnet1", "vnet2"] {
            passed(seen, tap, 8, 0);
        }
        passed(seen, "eth1.1102", 6, 30);
        passed(seen, "eth1", 20, 30);
    }

    #[test]
    fn a_gateway_that_hears_this_host_and_none_of_its_instances() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            answering_gateway(seen);
            asking_in_vain(seen, 3, 2);
        });
        let place = diagnosis.place.clone().unwrap();
        assert_eq!((diagnosis.status, place.hop, ExitCode::of(&diagnosis)), (Status::Fault, HopKind::Wire, ExitCode::Critical));
        assert!(diagnosis.instances.iter().all(|instance| instance.state == InstanceState::Dark));
    }

    #[test]
    fn one_answer_shows_that_instances_are_heard() {
        healthy(&diagnosed(nova_network(3), |seen| {
            answering_gateway(seen);
            asking_in_vain(seen, 3, 2);
            let tap = seen.link_mut("vnet1").index;
            let mut reply = HeardArp::request(tap, MacAddr([2, 0, 0, 0, 0, 9]), [10, 68, 16, 1].into(), [10, 68, 16, 11].into());
            (reply.reply, reply.outgoing) = (true, true);
            seen.probes.heard.arp.push(reply);
        }));
    }

    #[test]
    fn one_instance_of_several_that_asks_in_vain_may_have_a_wrong_address() {
        healthy(&diagnosed(nova_network(3), |seen| {
            answering_gateway(seen);
            asking_in_vain(seen, 1, 30);
        }));
    }

    #[test]
    fn instances_that_only_send_leave_a_doubt_and_raise_no_alarm() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            answering_gateway(seen);
            one_way(seen);
        });
        assert_eq!((diagnosis.status, ExitCode::of(&diagnosis)), (Status::Undetermined, ExitCode::Unknown), "{}", diagnosis.headline);
        assert!(diagnosis.instances.iter().all(|instance| instance.state == InstanceState::Unknown));
        healthy(&diagnosed(nova_network(3), |seen| {
            answering_gateway(seen);
            one_way(seen);
            count(seen.link_mut("eth1.1102"), |last| last.rx_packets += 1);
        }));
    }

    #[test]
    fn a_gateway_that_ignores_this_host_is_no_fault_while_nobody_wants_it() {
        let diagnosis = diagnosed(nova_network(3), |seen| {
            silent_gateway(seen, &["br1102", "eth1.1102", "eth1"]);
            passed(seen, "eth1", 20, 30);
            passed(seen, "eth1.1102", 3, 30);
        });
        assert_eq!((diagnosis.status, ExitCode::of(&diagnosis)), (Status::Undetermined, ExitCode::Unknown));
        assert!(diagnosis.headline.contains("10.68.16.1 does not answer this host"), "{}", diagnosis.headline);
        assert_eq!(only(&diagnosis, "network-host-down").certainty, Certainty::Possible);
        assert!(diagnosis.instances.iter().all(|instance| instance.state == InstanceState::Unknown));
    }
}
