//! What a synthetic instance tries, in the order in which an instance that boots does.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use darkport_model::{DhcpOffer, MacAddr, SyntheticTest, TestKind};

use super::rtnl::Rtnl;
use super::services;
use crate::socket::{Batch, Filter, PacketSocket, Received, SocketOptions};
use crate::wire::{Arp, ArpOperation, BROADCAST, Frame, Icmpv6, Ipv4, Message};

/// With 5 % loss each way, fewer than one run in a hundred thousand loses all of them.
const TRIES: u32 = 5;
const WAIT: Duration = Duration::from_millis(500);
/// Routers may take half a second (RFC 4861, 6.2.6).
const ROUTER_WAIT: Duration = Duration::from_millis(800);
const CONNECT_WAIT: Duration = Duration::from_secs(1);
/// The number of the echo requests: nobody else asks in that namespace.
const ID: u16 = 0x6470;
pub(super) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
const NO_ADDRESS: &str = "it has no address";
const NO_GATEWAY: &str = "no gateway is known";
const NO_SERVER: &str = "no name server is known";
/// What the far device is called in its namespace.
const DEVICE: &str = "eth0";

/// What is to be tried.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) mac: MacAddr,
    pub(super) mtu: u32,
    pub(super) address: Option<(Ipv4Addr, u8)>,
    pub(super) gateway: Option<Ipv4Addr>,
    pub(super) deadline: Duration,
}

struct Wire {
    socket: PacketSocket,
    until: Instant,
    mac: MacAddr,
}

impl Wire {
    /// Sends a message up to `tries` times and waits each time for what `is_answer` tells something of; how often it was sent, and the
    /// answers.
    fn ask<'m, T>(
        &mut self,
        (tries, wait): (u32, Duration),
        to: MacAddr,
        message: impl Fn(u32) -> Message<'m>,
        mut is_answer: impl FnMut(u32, &Received<'_>) -> Option<T>,
    ) -> io::Result<(u32, Vec<T>)> {
        let (mut sent, mut answers) = (0, Vec::new());
        for number in 0..tries {
            if Instant::now() >= self.until {
                break;
            }
            let (mut batch, mut answer) = (Batch::default(), None);
            let frame = Frame::new(to, self.mac, None, message(number));
            batch.push(|bytes| frame.encode(bytes));
            self.socket.send(&batch)?;
            sent += 1;
            let until = Instant::now() + wait;
            while let Some(left) = until.checked_duration_since(Instant::now()).filter(|_| answer.is_none()) {
                self.socket.receive(left, |frame| answer = answer.take().or_else(|| is_answer(number, &frame)))?;
            }
            answers.extend(answer);
        }
        Ok((sent, answers))
    }

    /// Asks who has `target`.
    fn arp(&mut self, tries: (u32, Duration), sender: Ipv4Addr, target: Ipv4Addr) -> io::Result<(u32, Vec<MacAddr>)> {
        let mac = self.mac;
        self.ask(
            tries,
            BROADCAST,
            |_| Message::Arp(Arp::request(mac, sender, target)),
            |_, frame| match Frame::decode(frame.bytes, frame.tag).ok()?.message {
                Message::Arp(arp) if arp.operation == ArpOperation::Reply && arp.sender == target => Some(arp.sender_mac),
                _ => None,
            },
        )
    }

    fn echo(&mut self, to: MacAddr, from: Ipv4Addr, target: Ipv4Addr, payload: &[u8]) -> io::Result<(u32, u32)> {
        // Numbers of their own, so that a late answer to the short ones does not count for the long ones.
        let first = u32::try_from(payload.len()).unwrap_or_default();
        let sequence = |number: u32| u16::try_from((first + number) & 0xffff).unwrap_or_default();
        let echo = |number| Message::Ipv4(Ipv4::echo_request(from, target, ID, sequence(number), payload));
        let (sent, answers) = self.ask((TRIES, WAIT), to, echo, |number, frame| is_echo(frame, target, sequence(number)).then_some(()))?;
        Ok((sent, u32::try_from(answers.len()).unwrap_or(u32::MAX)))
    }
}

/// Whether it is `target`'s answer to an echo. Longer ones than the socket keeps are known by their headers.
fn is_echo(frame: &Received<'_>, target: Ipv4Addr, sequence: u16) -> bool {
    if frame.length <= frame.bytes.len() {
        let decoded = Frame::decode(frame.bytes, frame.tag).map(|frame| frame.message);
        return matches!(decoded, Ok(Message::Ipv4(ip)) if ip.source == target && ip.echo.reply && ip.echo.id == ID && ip.echo.sequence == sequence);
    }
    let at = |place: usize, bytes: &[u8]| frame.bytes.get(place..place + bytes.len()) == Some(bytes);
    at(12, &[8, 0, 0x45])
        && at(23, &[1])
        && at(26, &target.octets())
        && at(34, &[0])
        && at(38, &ID.to_be_bytes())
        && at(40, &sequence.to_be_bytes())
}

/// A router advertisement (RFC 4861, 4.2), by its headers: IPv6, `ICMPv6`, hop limit 255, type 134.
fn is_advertisement(frame: &Received<'_>) -> bool {
    let at = |place: usize, bytes: &[u8]| frame.bytes.get(place..place + bytes.len()) == Some(bytes);
    at(12, &[0x86, 0xdd]) && at(20, &[58, 255]) && at(54, &[134, 0])
}

/// What came of it all.
#[derive(Debug)]
pub(super) struct Tried {
    /// The address that was used.
    pub(super) address: Option<Ipv4Addr>,
    pub(super) offers: Vec<DhcpOffer>,
    pub(super) tests: Vec<SyntheticTest>,
}

/// Tries all. What is not `asked` for is taken from what a server offers.
pub(super) fn all(asked: &Asked, guest: &mut Rtnl, eth0: u32) -> io::Result<Tried> {
    let mut options = SocketOptions::new(eth0);
    options.receive_buffer = 1 << 20;
    let socket = PacketSocket::open(options, &Filter::Everything)?;
    let mut wire = Wire { socket, until: Instant::now() + asked.deadline, mac: asked.mac };
    let (offers, test) = services::dhcp(asked.mac, DEVICE);
    let mut tests = vec![test];
    let mut asked = asked.clone();
    let offer = offers.first();
    if let Some(offer) = offer {
        asked.gateway = asked.gateway.or_else(|| offer.routers.first().copied());
        asked.address = asked.address.or_else(|| Some((offer.address, offer.prefix?.min(32))));
    }
    let asked = &asked;

    let mut gateway_mac = None;
    let mut test = SyntheticTest::new(TestKind::ArpGateway);
    match asked.gateway {
        Some(gateway) => {
            test.target = Some(gateway.into());
            let (sent, answers) = wire.arp((TRIES, WAIT), Ipv4Addr::UNSPECIFIED, gateway)?;
            (test.tries, test.passed) = (sent, u32::try_from(answers.len()).unwrap_or(u32::MAX));
            gateway_mac = answers.first().copied();
            test.detail = gateway_mac.map_or_else(|| "no answer".into(), |mac| format!("{mac} answers"));
        }
        None => test.detail = NO_GATEWAY.into(),
    }
    tests.push(test);

    let (address, why) = own_address(asked, &mut wire, guest, eth0)?;
    tests.extend(echoes(asked, &mut wire, address.ok_or(why.as_str()), gateway_mac)?);

    let mut metadata = SyntheticTest::new(TestKind::Metadata);
    metadata.target = Some(METADATA.into());
    let server = offer.and_then(|offer| offer.name_servers.first().copied());
    let mut dns = SyntheticTest::new(TestKind::Dns);
    dns.target = server.map(Into::into);
    let ready = match (address, asked.gateway) {
        (None, _) => Err(why),
        (_, None) => Err(NO_GATEWAY.to_owned()),
        (Some(address), Some(gateway)) => match guest.default_route(eth0, gateway) {
            Err(error) => Err(format!("no route to the gateway: {error}")),
            Ok(()) => Ok(address),
        },
    };
    match (ready, server) {
        (Ok(address), server) => {
            connect(&mut metadata, wire.until);
            match server {
                Some(server) => dns = services::dns(address, server, wire.until),
                None => dns.detail = NO_SERVER.into(),
            }
        }
        (Err(why), _) => (metadata.detail, dns.detail) = (why.clone(), why),
    }
    tests.extend([metadata, dns]);

    let mut test = SyntheticTest::new(TestKind::RouterSolicitation);
    let ask = Icmpv6::router_solicitation(Ipv6Addr::UNSPECIFIED, asked.mac);
    let group = ask.group_mac().unwrap_or(BROADCAST);
    let (sent, answers) = wire.ask((3, ROUTER_WAIT), group, |_| Message::Icmpv6(ask), |_, frame| is_advertisement(frame).then_some(()))?;
    (test.tries, test.passed) = (sent, u32::try_from(answers.len()).unwrap_or(u32::MAX));
    test.detail = if answers.is_empty() { "no IPv6 router answers".into() } else { "a router answers".into() };
    tests.push(test);
    Ok(Tried { address, offers, tests })
}

/// Gives the far device its address, unless somebody has it already; else why not.
fn own_address(asked: &Asked, wire: &mut Wire, guest: &mut Rtnl, eth0: u32) -> io::Result<(Option<Ipv4Addr>, String)> {
    let Some((address, prefix)) = asked.address else { return Ok((None, NO_ADDRESS.into())) };
    let (_, holders) = wire.arp((3, Duration::from_millis(200)), Ipv4Addr::UNSPECIFIED, address)?;
    if let Some(holder) = holders.first() {
        return Ok((None, format!("{address} is taken: {holder} answers for it")));
    }
    guest.address(eth0, address, prefix)?;
    Ok((Some(address), String::new()))
}

fn echoes(asked: &Asked, wire: &mut Wire, address: Result<Ipv4Addr, &str>, mac: Option<MacAddr>) -> io::Result<[SyntheticTest; 2]> {
    // What an echo takes beside its payload: the headers of IPv4 and ICMP.
    let full = usize::try_from(asked.mtu.min(65_535).saturating_sub(28)).unwrap_or_default();
    let mut tests = [SyntheticTest::new(TestKind::PingGateway), SyntheticTest::new(TestKind::FullMtu)];
    for (test, length) in tests.iter_mut().zip([56, full]) {
        test.target = asked.gateway.map(Into::into);
        match (asked.gateway, address, mac) {
            (None, ..) => test.detail = NO_GATEWAY.into(),
            (_, Err(why), _) => test.detail = why.into(),
            (_, _, None) => test.detail = "the gateway does not answer ARP".into(),
            (Some(gateway), Ok(address), Some(mac)) => {
                (test.tries, test.passed) = wire.echo(mac, address, gateway, &vec![0x64; length])?;
                test.detail = format!("{} bytes, not to be cut", length + 28);
            }
        }
    }
    Ok(tests)
}

/// Connects until it succeeds once.
fn connect(test: &mut SyntheticTest, until: Instant) {
    while test.tries < TRIES && test.passed == 0 && Instant::now() < until {
        test.tries += 1;
        match TcpStream::connect_timeout(&SocketAddr::from((METADATA, 80)), CONNECT_WAIT) {
            Ok(_) => (test.passed, test.detail) = (1, "connected".into()),
            Err(error) => test.detail = error.to_string(),
        }
    }
}
