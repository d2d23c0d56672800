//! What the sweep makes of a frame that came in.

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::{MacAddr, Vid};

use super::machine::Machine;
use super::state::{Holder, Outcome, cookie};
use crate::socket::Received;
use crate::wire::{Arp, ArpOperation, Frame, Ipv4, Message};

/// Hardware addresses kept for one address.
const HOLDERS: usize = 8;

impl Machine {
    /// None for what answers nothing.
    pub(super) fn hear(&mut self, received: &Received<'_>) -> Option<()> {
        let frame = Frame::decode(received.bytes, received.tag).ok()?;
        let [outer, inner] = frame.tags;
        // VLAN 0 is a priority and no VLAN (IEEE 802.1Q, 9.6).
        let vid = outer.map(|tag| tag.control & 0xfff).filter(|vid| *vid != 0);
        if frame.destination != self.plan.mac || vid != self.plan.vid.map(Vid::get).filter(|vid| *vid != 0) || inner.is_some() {
            return None;
        }
        match frame.message {
            Message::Arp(arp) => self.hear_arp(received.at, frame.source, &arp),
            Message::Ipv4(packet) => self.hear_echo(received.at, &packet),
            Message::Icmpv6(_) | Message::Udp(_) => None,
        }
    }

    fn find(&self, address: Ipv4Addr) -> Option<usize> {
        self.plan.targets.binary_search_by_key(&address, |target| target.address).ok()
    }

    fn hear_arp(&mut self, at: Duration, frame_from: MacAddr, arp: &Arp) -> Option<()> {
        if arp.operation != ArpOperation::Reply || !arp.sender_mac.is_unicast() || arp.sender_mac == self.plan.mac {
            return None;
        }
        let index = self.find(arp.sender)?;
        let state = self.states.get_mut(index).filter(|state| state.arp_tries > 0)?;
        let known = state.holders.iter().position(|holder| holder.mac == arp.sender_mac && holder.frame_from == frame_from);
        if let Some(holder) = known.and_then(|known| state.holders.get_mut(known)) {
            holder.answers = holder.answers.saturating_add(1);
        } else if state.holders.len() < HOLDERS {
            state.holders.push(Holder { mac: arp.sender_mac, frame_from, answers: 1 });
        }
        // Where it is known who ought to answer, another's word does not end the asking.
        let another = self.plan.targets.get(index)?.mac.is_some_and(|mac| mac != arp.sender_mac);
        if matches!(state.arp, Outcome::Answered(_)) || (another && state.arp == Outcome::Open) {
            return Some(());
        }
        let rtt = (state.arp_tries == 1).then(|| at.saturating_sub(state.last_asked));
        self.arp.answer(state.arp_tries, rtt);
        self.answered(index, rtt);
        Some(())
    }

    /// Somebody has the address: what is left to ask is the echo.
    pub(super) fn answered(&mut self, index: usize, rtt: Option<Duration>) {
        let (Some(state), Some(target)) = (self.states.get_mut(index), self.plan.targets.get(index)) else { return };
        let was_open = state.arp == Outcome::Open;
        state.arp = Outcome::Answered(rtt);
        if self.plan.settings.icmp && self.plan.source_for(target.address).is_some() {
            // One that was given up already is asked after all.
            self.open += usize::from(!was_open);
            state.echo = Outcome::Open;
            self.to_echo.extend(u32::try_from(index));
        } else {
            self.open -= usize::from(was_open);
            state.echo = Outcome::NotAsked;
        }
    }

    fn hear_echo(&mut self, at: Duration, packet: &Ipv4<'_>) -> Option<()> {
        let echo = packet.echo;
        let index = self.find(packet.source)?;
        let expected = cookie(self.plan.secret, packet.source, echo.sequence);
        let ours = echo.reply && echo.id == self.plan.echo_id() && echo.payload == expected;
        let state = self.states.get_mut(index).filter(|state| ours && (1..=u16::from(state.echo_tries)).contains(&echo.sequence))?;
        if matches!(state.echo, Outcome::Answered(_)) {
            return Some(());
        }
        self.open -= usize::from(state.echo == Outcome::Open);
        // The answer tells which try it is for; only the last one's time is kept.
        let rtt = (echo.sequence == u16::from(state.echo_tries)).then(|| at.saturating_sub(state.last_asked));
        state.echo = Outcome::Answered(rtt);
        self.echo.answer(state.echo_tries, rtt);
        Some(())
    }
}
