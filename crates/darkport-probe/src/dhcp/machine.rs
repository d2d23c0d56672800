//! DHCP as a client speaks it, without a socket and without a clock.

use std::net::Ipv4Addr;
use std::time::Duration;

use darkport_model::{DhcpLease, DhcpOffer, MacAddr, Vid};

use super::ask::{CLIENT, DhcpAsk};
use super::offer;
use super::plan::{DhcpPlan, TakeLease};
use crate::socket::Received;
use crate::sweep::Next;
use crate::wire::{DhcpMessage, Frame, Message, Udp};

/// Offers that are kept, one for each server and hardware address that it speaks from. A guest that makes servers up is told as such.
const OFFERS: usize = 64;
/// Hardware addresses that are kept for one expected server beyond these.
const FACES: usize = 8;
/// Times that a REQUEST is sent, and how long each may take.
const REQUESTS: u8 = 3;
const REQUEST_WAIT: Duration = Duration::from_millis(1500);
/// Nobody confirms a RELEASE: it is sent as often, in case that one is lost.
const RELEASES: u8 = 3;
const RELEASE_WAIT: Duration = Duration::from_millis(100);

/// What came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DhcpCounts {
    /// DISCOVERs that were sent.
    pub discovers: u32,
    /// Answers to this client.
    pub answers: u32,
    /// Frames that are none.
    pub strays: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Collect,
    Request { sent: u8, next: Duration },
    Release { sent: u8, next: Duration },
    Done,
}

/// A client: time and frames go in, messages to be sent come out.
#[derive(Debug, Clone)]
pub struct DhcpMachine {
    plan: DhcpPlan,
    phase: Phase,
    begun: Option<Duration>,
    next_try: Duration,
    last_try: Duration,
    offers: Vec<DhcpOffer>,
    cut: bool,
    alive: Vec<Ipv4Addr>,
    refused: Vec<Ipv4Addr>,
    lease: Option<DhcpLease>,
    /// Where the lease's server speaks from.
    leased_by: Option<MacAddr>,
    counts: DhcpCounts,
}

impl DhcpMachine {
    /// A client that has asked nothing yet.
    pub fn new(plan: DhcpPlan) -> Self {
        Self {
            plan,
            phase: Phase::Collect,
            begun: None,
            next_try: Duration::ZERO,
            last_try: Duration::ZERO,
            offers: Vec::new(),
            cut: false,
            alive: Vec::new(),
            refused: Vec::new(),
            lease: None,
            leased_by: None,
            counts: DhcpCounts::default(),
        }
    }

    /// What it was told.
    pub fn plan(&self) -> &DhcpPlan {
        &self.plan
    }

    /// The offers, in the order in which they came.
    pub fn offers(&self) -> &[DhcpOffer] {
        &self.offers
    }

    /// Whether more made offers than are kept.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Who answered a DHCPINFORM.
    pub fn alive(&self) -> &[Ipv4Addr] {
        &self.alive
    }

    /// Who refused a REQUEST.
    pub fn refused(&self) -> &[Ipv4Addr] {
        &self.refused
    }

    /// The lease that was asked for.
    pub fn lease(&self) -> Option<&DhcpLease> {
        self.lease.as_ref()
    }

    /// What came by.
    pub fn counts(&self) -> DhcpCounts {
        self.counts
    }

    /// Whether those who did not offer were asked as often, and waited for as long, as it takes to tell silence from loss.
    pub fn has_waited(&self, now: Duration) -> bool {
        self.phase != Phase::Collect
            && self.counts.discovers >= u32::from(self.plan.settings.tries)
            && now.saturating_sub(self.last_try) >= Duration::from_secs(1)
    }

    /// Takes a frame that came in, if there is one, and says what to send now and when to call again.
    pub fn poll(&mut self, now: Duration, frame: Option<Received<'_>>, asks: &mut Vec<DhcpAsk>) -> Next {
        if let Some(frame) = frame {
            if self.hear(now, &frame).is_some() {
                self.counts.answers = self.counts.answers.saturating_add(1);
            } else {
                self.counts.strays = self.counts.strays.saturating_add(1);
            }
        }
        loop {
            let before = self.phase;
            let next = match self.phase {
                Phase::Collect => self.collect(now, asks),
                Phase::Request { sent, next } => self.request(now, sent, next, asks),
                Phase::Release { sent, next } => self.release(now, sent, next, asks),
                Phase::Done => return Next::Done,
            };
            // A phase that has just ended is followed by the next at once.
            if std::mem::discriminant(&before) == std::mem::discriminant(&self.phase) {
                return Next::Wait(next);
            }
        }
    }

    /// Ends early; what was leased, or may have been, is still given back.
    pub fn give_up(&mut self, asks: &mut Vec<DhcpAsk>) {
        if let Phase::Request { sent: 1.., .. } | Phase::Release { sent: 0, .. } = self.phase {
            asks.extend(self.release_ask());
        }
        self.phase = Phase::Done;
    }

    fn collect(&mut self, now: Duration, asks: &mut Vec<DhcpAsk>) -> Duration {
        let begun = *self.begun.get_or_insert(now);
        let settings = &self.plan.settings;
        let offered = |server: &Ipv4Addr| self.offers.iter().any(|offer| offer.server == *server);
        let content = !self.offers.is_empty() && self.plan.expected.iter().all(offered);
        let end = begun + if content { settings.collect.min(settings.deadline) } else { settings.deadline };
        if now >= end {
            self.phase = match self.choice() {
                Some(lease) => {
                    self.lease = Some(lease);
                    Phase::Request { sent: 0, next: now }
                }
                None => Phase::Done,
            };
            return now;
        }
        let tries = u32::from(settings.tries);
        if self.counts.discovers < tries && now >= self.next_try {
            asks.push(DhcpAsk::Discover { seconds: self.seconds(now) });
            if let Some(address) = self.plan.inform.filter(|_| !content && self.counts.discovers > 0) {
                asks.push(DhcpAsk::Inform(address));
            }
            self.counts.discovers += 1;
            self.last_try = now;
            self.next_try = now + (Duration::from_millis(500) * self.counts.discovers).min(Duration::from_secs(2));
        }
        if self.counts.discovers < tries { end.min(self.next_try) } else { end }
    }

    /// The address to be asked for, where one is to be.
    fn choice(&self) -> Option<DhcpLease> {
        let sound = |offer: &&DhcpOffer| offer.checksum_ok != Some(false) && !offer.address.is_unspecified();
        match self.plan.lease {
            TakeLease::No => None,
            TakeLease::Remembered(address) => Some(DhcpLease::new(address, None)),
            TakeLease::Offered => {
                let mut offers = self.offers.iter().filter(sound);
                let expected = offers.clone().find(|offer| self.plan.expected.contains(&offer.server));
                expected.or_else(|| offers.next()).map(|offer| DhcpLease::new(offer.address, Some(offer.server)))
            }
        }
    }

    fn request(&mut self, now: Duration, sent: u8, next: Duration, asks: &mut Vec<DhcpAsk>) -> Duration {
        let answered = self.lease.and_then(|lease| lease.granted);
        if answered == Some(false) {
            self.phase = Phase::Done;
        } else if answered == Some(true) || (sent >= REQUESTS && now >= next) {
            // Without an answer the server may have leased it all the same.
            self.phase = Phase::Release { sent: 0, next: now };
        } else if let Some(lease) = self.lease.filter(|_| now >= next) {
            asks.push(DhcpAsk::Request { address: lease.address, server: lease.server, seconds: self.seconds(now) });
            self.phase = Phase::Request { sent: sent + 1, next: now + REQUEST_WAIT };
            return now + REQUEST_WAIT;
        }
        next
    }

    fn release(&mut self, now: Duration, sent: u8, next: Duration, asks: &mut Vec<DhcpAsk>) -> Duration {
        if self.lease.and_then(|lease| lease.granted) == Some(false) {
            // A late refusal: there is nothing to give back.
            self.phase = Phase::Done;
            return now;
        }
        if now < next {
            return next;
        }
        match self.release_ask().filter(|_| sent < RELEASES) {
            Some(ask) => {
                asks.push(ask);
                self.phase = Phase::Release { sent: sent + 1, next: now + RELEASE_WAIT };
            }
            None => self.phase = Phase::Done,
        }
        now + RELEASE_WAIT
    }

    fn release_ask(&mut self) -> Option<DhcpAsk> {
        let by = self.leased_by;
        let lease = self.lease.as_mut()?;
        let server = lease.server?;
        let to = by.or_else(|| self.offers.iter().find(|offer| offer.server == server).map(|offer| offer.frame_from))?;
        lease.released = true;
        Some(DhcpAsk::Release { address: lease.address, server, to })
    }

    fn seconds(&self, now: Duration) -> u16 {
        let since = now.saturating_sub(self.begun.unwrap_or(now)).as_secs();
        u16::try_from(since).unwrap_or(u16::MAX)
    }

    /// Writes the frame of a message behind what `into` holds.
    pub fn encode(&self, ask: &DhcpAsk, into: &mut Vec<u8>) {
        ask.encode(&self.plan, into);
    }

    /// None where it is no answer to this client.
    fn hear(&mut self, now: Duration, received: &Received<'_>) -> Option<()> {
        let (frame, udp, message) = conversation(received, self.plan.xid)?;
        let [outer, inner] = frame.tags;
        let vid = outer.map(|tag| tag.control & 0xfff).filter(|vid| *vid != 0);
        let here = vid == self.plan.vid.map(Vid::get).filter(|vid| *vid != 0) && inner.is_none();
        let mine = message.reply && message.mac() == Some(self.plan.mac) && udp.destination_port == CLIENT;
        if !here || !mine {
            return None;
        }
        let begun = self.begun?;
        match message.kind()? {
            DhcpMessage::OFFER => {
                let mut offer = offer::read(frame.source, &udp, &message, received.unfinished);
                offer.after_us = u64::try_from(received.at.min(now).saturating_sub(begun).as_micros()).ok();
                self.offered(offer);
            }
            DhcpMessage::ACK => self.acknowledged(frame.source, offer::server(&udp, &message), &message)?,
            DhcpMessage::NAK if self.lease.is_some() => {
                let server = offer::server(&udp, &message);
                note(&mut self.refused, server);
                let lease = self.lease.as_mut()?;
                // Another server's word does not end what this one was asked.
                if lease.granted.is_none() && lease.server.is_none_or(|asked| asked == server) {
                    (lease.granted, lease.server) = (Some(false), Some(server));
                }
            }
            _ => return None,
        }
        Some(())
    }

    fn offered(&mut self, offer: DhcpOffer) {
        let same = |known: &&mut DhcpOffer| known.server == offer.server && known.frame_from == offer.frame_from;
        if let Some(known) = self.offers.iter_mut().find(same) {
            known.count = known.count.saturating_add(1);
            return;
        }
        let faces = self.offers.iter().filter(|known| known.server == offer.server).count();
        let expected = faces < FACES && self.plan.expected.contains(&offer.server);
        if self.offers.len() < OFFERS || expected {
            self.offers.push(offer);
        } else {
            self.cut = true;
        }
    }

    fn acknowledged(&mut self, frame_from: MacAddr, server: Ipv4Addr, message: &DhcpMessage<'_>) -> Option<()> {
        // An answer to a DHCPINFORM gives no address (RFC 2131, 4.3.5).
        if message.yours.is_unspecified() && self.plan.inform.is_some() {
            note(&mut self.alive, server);
            return Some(());
        }
        let lease = self.lease.as_mut()?;
        if lease.granted.is_none() && message.yours == lease.address && lease.server.is_none_or(|asked| asked == server) {
            (lease.granted, lease.server) = (Some(true), Some(server));
            self.leased_by = Some(frame_from);
        }
        Some(())
    }
}

/// A frame of this conversation.
pub(super) fn conversation<'a>(received: &Received<'a>, xid: u32) -> Option<(Frame<'a>, Udp<'a>, DhcpMessage<'a>)> {
    let frame = Frame::decode(received.bytes, received.tag).ok()?;
    let Message::Udp(udp) = frame.message else { return None };
    let message = DhcpMessage::decode(udp.payload).ok().filter(|message| message.xid == xid)?;
    Some((frame, udp, message))
}

/// Takes note of a server, once, and of as many as offers are kept.
fn note(servers: &mut Vec<Ipv4Addr>, server: Ipv4Addr) {
    if !servers.contains(&server) && servers.len() < OFFERS {
        servers.push(server);
    }
}
