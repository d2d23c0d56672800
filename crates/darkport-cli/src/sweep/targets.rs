//! Whom to ask for, and on which interface.

use std::collections::BTreeMap;
use std::net::IpAddr;

use darkport::model::{Instance, IpPrefix, MacAddr, Observation, bounded};
use darkport::probe::{ProbeError, Target, hosts};

/// A line that names no target.
#[derive(Debug, thiserror::Error)]
#[error("line {line} of {file}: {what:?} is neither an address nor a prefix")]
pub(super) struct BadLine {
    file: String,
    line: usize,
    what: String,
}

/// What the command line names. A single address is expected to answer.
pub(super) fn named(prefixes: &[IpPrefix]) -> Result<Vec<Target>, ProbeError> {
    let mut targets = Vec::new();
    for prefix in prefixes {
        match prefix.address() {
            IpAddr::V4(address) if prefix.length() == 32 => targets.push(Target::expected(address)),
            _ => targets.extend(hosts(*prefix)?.into_iter().map(Target::new)),
        }
    }
    Ok(targets)
}

/// What a file names: an address or prefix in each line, and behind it perhaps a hardware address; `#` begins a comment.
pub(super) fn listed(file: &str, bytes: &[u8]) -> Result<Vec<Target>, Box<dyn std::error::Error>> {
    let mut targets = Vec::new();
    for (number, line) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let line = String::from_utf8_lossy(line);
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        let Some(first) = words.next() else { continue };
        let prefix: IpPrefix = first.parse().map_err(|_| BadLine { file: file.into(), line: number, what: bounded(first, 64) })?;
        let found = named(&[prefix])?;
        match words.next().and_then(|word| word.parse::<MacAddr>().ok()).filter(|_| found.len() == 1) {
            Some(mac) => targets.extend(found.into_iter().map(|target| target.mac(mac))),
            None => targets.extend(found),
        }
    }
    Ok(targets)
}

/// This host's instances, by the bridge that each is on, and how many of their interfaces have no known address or bridge.
pub(super) fn instances(seen: &Observation) -> (BTreeMap<String, Vec<Target>>, usize) {
    let (mut by_bridge, mut unknown) = (BTreeMap::<String, Vec<Target>>::new(), 0);
    for instance in seen.inventory.instances.iter().filter(|instance| instance.is_running() != Some(false)) {
        for nic in &instance.nics {
            let bridge =
                nic.tap.as_ref().and_then(|tap| master(seen, &tap.value)).or(nic.bridge.as_ref().map(|bridge| bridge.value.clone()));
            let own: Vec<IpAddr> = nic.addresses.iter().map(|address| address.value).collect();
            // The control plane does not say which interface an address is on: with one interface it need not.
            let claimed = if own.is_empty() && instance.nics.len() == 1 { claimed(seen, instance) } else { Vec::new() };
            let addresses: Vec<_> =
                own.into_iter().chain(claimed).filter_map(|address| if let IpAddr::V4(v4) = address { Some(v4) } else { None }).collect();
            let (Some(bridge), false) = (bridge, addresses.is_empty()) else {
                unknown += 1;
                continue;
            };
            let silent =
                nic.link_down.as_ref().is_some_and(|down| down.value) || instance.paused.as_ref().is_some_and(|paused| paused.value);
            by_bridge.entry(bridge).or_default().extend(addresses.into_iter().map(|address| {
                let mut target = Target::new(address).name(bounded(&instance.name, 64));
                // Nobody expects a word from a guest that is paused or unplugged.
                target.expected = !silent;
                target.mac = nic.mac.as_ref().map(|mac| mac.value);
                target
            }));
        }
    }
    (by_bridge, unknown)
}

fn master(seen: &Observation, tap: &str) -> Option<String> {
    seen.link(seen.link_named(tap)?.master?).map(|bridge| bridge.name.clone())
}

/// The instance's addresses in the control plane's list. Those that are on no interface of an instance (floating ones) are in there
/// too and cannot be told apart by the list alone: only private ones are taken.
fn claimed(seen: &Observation, instance: &Instance) -> Vec<IpAddr> {
    let same = |claim: &&darkport::model::Claim| {
        (claim.uuid.is_some() && claim.uuid == instance.uuid) || claim.instance_name.as_deref() == Some(instance.name.as_str())
    };
    let claims = seen.inventory.claims.iter().filter(same);
    claims.flat_map(|claim| &claim.addresses).filter(|address| matches!(address, IpAddr::V4(v4) if v4.is_private())).copied().collect()
}

#[cfg(test)]
mod tests {
    use darkport::model::{Fact, FactSource, Nic};

    use super::*;

    #[test]
    fn a_list_is_read_line_by_line() {
        let targets = listed("x", b"10.0.0.9 fa:16:3e:00:00:09 # web\n\n# none\n10.0.0.4/30\n").unwrap();
        assert_eq!(targets.len(), 3);
        assert!(targets[0].expected && targets[0].mac == Some(MacAddr([0xfa, 0x16, 0x3e, 0, 0, 9])) && !targets[1].expected);
        let error = listed("x", b"10.0.0.1\nnonsense\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2 of x: \"nonsense\" is neither an address nor a prefix");
        assert!(listed("x", b"fe80::1\n").is_err());
    }

    #[test]
    fn instances_are_asked_for_where_they_are() {
        let fact = |text: &str| Some(Fact::new(text.to_owned(), FactSource::LiveXml, "x"));
        let mut nic = Nic::default();
        nic.bridge = fact("br1102");
        nic.mac = Some(Fact::new(MacAddr([2; 6]), FactSource::LiveXml, "x"));
        nic.addresses = vec![Fact::new("10.68.16.4".parse().unwrap(), FactSource::LiveXml, "x")];
        let mut known = Instance::named("instance-00000001");
        known.nics = vec![nic.clone()];
        let mut off = known.clone();
        off.running = Some(Fact::new(false, FactSource::LiveXml, "x"));
        let mut nameless = Instance::named("instance-00000003");
        nic.addresses.clear();
        nameless.nics = vec![nic];
        let mut seen = Observation::default();
        seen.inventory.instances = vec![known, off, nameless];
        let (by_bridge, unknown) = instances(&seen);
        assert_eq!(unknown, 1);
        let targets = &by_bridge["br1102"];
        assert_eq!(targets.len(), 1);
        assert!(targets[0].expected && targets[0].mac == Some(MacAddr([2; 6])));
    }
}
