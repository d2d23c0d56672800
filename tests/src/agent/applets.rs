//! The names under which this binary serves inside the lab.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use super::{host, machine};
use crate::error::{Doing, LabError, Result};

/// Serves if the binary was called by one of those names; returns the exit code then.
pub(crate) fn applet(arguments: &[String]) -> Option<i32> {
    let (name, rest) = arguments.split_first()?;
    let name = Path::new(name).file_name()?.to_str()?;
    let result = match (name, rest) {
        ("qemu-system-x86_64", _) => machine::qemu().map(|()| 0),
        ("on", rest) => host::on(rest),
        ("blast", rest) => blast(rest).map(|()| 0),
        (_, [word, name, dir]) if word == host::INIT_ARGUMENT => host::init(name, dir).map(|()| 0),
        _ => return None,
    };
    Some(result.unwrap_or_else(|error| {
        eprintln!("{name}: {error}");
        1
    }))
}

/// `blast ADDRESS SIZE PER_SECOND [SECONDS]`: UDP datagrams to the discard port, for scenario files.
pub(crate) fn blast(arguments: &[String]) -> Result<()> {
    let usage = || LabError::Broken("usage: blast ADDRESS SIZE PER_SECOND [SECONDS]".into());
    let [address, size, rate, seconds @ ..] = arguments else { return Err(usage()) };
    let size: usize = size.parse().map_err(|_| usage())?;
    let rate: f64 = rate.parse().map_err(|_| usage())?;
    let seconds: f64 = seconds.first().map_or(Ok(600.0), |s| s.parse()).map_err(|_| usage())?;
    let socket = UdpSocket::bind("0.0.0.0:0").doing(|| "opening a UDP socket".into())?;
    socket.set_broadcast(true).doing(|| "allowing broadcast".into())?;
    let payload = vec![0x5a; size.min(65_507)];
    let start = Instant::now();
    let targets = targets(address).ok_or_else(usage)?;
    let mut next = targets.iter().cycle();
    let mut sent = 0.0;
    while start.elapsed().as_secs_f64() < seconds {
        while sent < start.elapsed().as_secs_f64() * rate {
            // Lost ones are the point of it.
            if let Some(target) = next.next() {
                let _ = socket.send_to(&payload, (*target, 9));
            }
            sent += 1.0;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(())
}

/// `10.0.0.1`, or `10.0.0.1-250` for all of them in turn.
fn targets(text: &str) -> Option<Vec<Ipv4Addr>> {
    let (first, last) = text.split_once('-').map_or((text, None), |(first, last)| (first, Some(last)));
    let [a, b, c, d] = first.parse::<Ipv4Addr>().ok()?.octets();
    let last: u8 = last.map_or(Ok(d), str::parse).ok()?;
    Some((d..=last).map(|d| Ipv4Addr::new(a, b, c, d)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_addresses() {
        assert_eq!(targets("10.0.0.7").unwrap(), [Ipv4Addr::new(10, 0, 0, 7)]);
        assert_eq!(targets("10.0.0.7-9").unwrap().len(), 3);
        assert!(targets("10.0.0.7-999").is_none());
    }
}
