//! What a synthetic instance asks of servers: an address, a name.

use std::io;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::{Duration, Instant};

use darkport_model::{DhcpOffer, MacAddr, SyntheticTest, TestKind};

use crate::dhcp::{Dhcp, DhcpSettings};

const DNS_TRIES: u32 = 3;
const DNS_WAIT: Duration = Duration::from_secs(1);
/// A question for the root's servers, its number aside (RFC 1035, 4.1): flags (recursion wanted), four counts, name, type NS, class IN. Every
/// server has an answer to it, if only a refusal.
const QUESTION: [u8; 15] = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];

/// Asks for an address as one that boots does, and takes none: the offers, and what came of it.
pub(super) fn dhcp(mac: MacAddr, device: &str) -> (Vec<DhcpOffer>, SyntheticTest) {
    let mut settings = DhcpSettings::default();
    // A server may look for three seconds whether an address is in use before it offers it (dnsmasq, `src/config.h`, `PING_WAIT`).
    (settings.tries, settings.collect, settings.deadline) = (4, Duration::from_millis(500), Duration::from_secs(5));
    let mut test = SyntheticTest::new(TestKind::Dhcp);
    match Dhcp::on(device).mac(mac).settings(settings).run() {
        Err(error) => {
            test.detail = format!("it could not be asked: {error}");
            (Vec::new(), test)
        }
        Ok(report) => {
            test.tries = report.probe.sent;
            test.passed = report.probe.offers.iter().fold(0, |sum: u32, offer| sum.saturating_add(offer.count)).min(test.tries);
            let mut offers = report.probe.offers;
            for offer in &mut offers {
                // Those are devices of the instance's own namespace.
                (offer.came_in_by, offer.way) = (None, Vec::new());
            }
            let first = offers.first();
            test.target = first.map(|offer| offer.server.into());
            test.detail = first.map_or_else(
                || "no offer: a server that knows its clients one by one has none for a stranger".into(),
                |offer| format!("{} offers {}", offer.server, offer.address),
            );
            (offers, test)
        }
    }
}

/// Asks a name server anything: that it answers at all is what counts.
pub(super) fn dns(from: Ipv4Addr, server: Ipv4Addr, until: Instant) -> SyntheticTest {
    let mut test = SyntheticTest::new(TestKind::Dns);
    test.target = Some(IpAddr::V4(server));
    test.detail = "no answer".into();
    if let Err(error) = ask(&mut test, from, server, until) {
        test.detail = error.to_string();
    }
    test
}

fn ask(test: &mut SyntheticTest, from: Ipv4Addr, server: Ipv4Addr, until: Instant) -> io::Result<()> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.connect((server, 53))?;
    socket.set_read_timeout(Some(DNS_WAIT))?;
    while test.tries < DNS_TRIES && test.passed == 0 && Instant::now() < until {
        test.tries += 1;
        let id = u16::try_from(0x6470 + test.tries).unwrap_or_default().to_be_bytes();
        socket.send(&[&id[..], &QUESTION].concat())?;
        let mut answer = [0; 512];
        match socket.recv(&mut answer) {
            Ok(_) if answer.starts_with(&id) && answer.get(2).is_some_and(|flags| flags & 0x80 != 0) => {
                (test.passed, test.detail) = (1, "it answers".into());
            }
            Ok(_) => test.detail = "it answers something else".into(),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
