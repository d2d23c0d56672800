//! systemd-networkd's `*.network` and `*.netdev` (systemd.network(5), systemd.netdev(5)).

use darkport_model::Intent;

use crate::error::InputError;

use super::ini::{Dialect, Entry, entries};
use super::{Configuration, vid};

/// Reads one file of either kind; they tell themselves apart by their sections. Only names without patterns are followed: what
/// `Name=vnet*` means depends on which devices there are.
pub fn parse_networkd(name: &str, bytes: &[u8]) -> Configuration {
    let mut read = Configuration::default();
    let mut matched: Vec<String> = Vec::new();
    let mut bridge: Option<(String, usize)> = None;
    let mut stacked: Vec<String> = Vec::new();
    let (mut device, mut kind, mut id) = (None, String::new(), None);
    for Entry { line, section, key, value } in entries(name, bytes, Dialect::Systemd, &mut read) {
        match (section.as_str(), key.as_str()) {
            // An empty assignment takes back what was said before.
            ("Match", "Name") if value.is_empty() => matched.clear(),
            ("Match", "Name") => matched.extend(value.split_ascii_whitespace().map(str::to_owned)),
            ("Network", "Bridge") => bridge = (!value.is_empty()).then_some((value, line)),
            ("Network", "VLAN") if value.is_empty() => stacked.clear(),
            ("Network", "VLAN") => stacked.push(value),
            ("NetDev", "Name") => device = Some(value),
            ("NetDev", "Kind") => kind = value,
            ("VLAN", "Id") => {
                id = vid(&value);
                if id.is_none() && value != "0" {
                    read.error(InputError::new(name, line, value, "a VLAN id from 0 to 4094"));
                }
            }
            _ => {}
        }
    }
    if let (Some(device), "vlan") = (device, kind.as_str()) {
        read.vlan(&device, id, None);
    }
    for port in matched.iter().filter(|port| !port.contains(['*', '?', '[', '!'])) {
        if let Some((bridge, line)) = &bridge {
            read.intent(Intent::new(bridge, port, format!("{name}:{line}")));
        }
        for vlan in &stacked {
            read.vlan(vlan, None, Some(port));
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_files_make_one_intent() {
        let mut all = parse_networkd("10-eth1.network", b"[Match]\nName=eth1\n\n[Network]\nVLAN=eth1.1102\nVLAN=mgmt\n");
        all.join(parse_networkd("20-vlan.netdev", b"[NetDev]\nName=eth1.1102\nKind=vlan\n[VLAN]\nId=1102\n"));
        all.join(parse_networkd("30-vlan.network", b"[Match]\nName=eth1.1102\n[Network]\n; the uplink\nBridge=br1102\n"));
        let mut wanted = Intent::new("br1102", "eth1.1102", "30-vlan.network:5");
        wanted.vid = vid("1102");
        wanted.parent = Some("eth1".into());
        assert_eq!(all.into_intents(), [wanted]);
    }

    #[test]
    fn a_name_says_no_vlan_here() {
        let read = parse_networkd("a.network", b"[Match]\nName=eth1.7 tap* eth2\n[Network]\nBridge=br0\n");
        let intents = read.into_intents();
        let ports: Vec<_> = intents.iter().map(|intent| (intent.uplink.as_str(), intent.vid)).collect();
        assert_eq!(ports, [("eth1.7", None), ("eth2", None)]);
    }

    #[test]
    fn values_go_on_behind_a_backslash_and_are_taken_back_by_nothing() {
        let read = parse_networkd("a.network", b"[Match]\nName=eth1 \\\n# between\n  eth2\n[Network]\nBridge=br0\nBridge=\nBridge=br1\n");
        let ports: Vec<_> = read.intents.iter().map(|intent| (intent.bridge.as_str(), intent.uplink.as_str())).collect();
        assert_eq!(ports, [("br1", "eth1"), ("br1", "eth2")]);
    }

    #[test]
    fn a_wrong_id_is_told() {
        let read = parse_networkd("v.netdev", b"[NetDev]\nName=v\nKind=vlan\n[VLAN]\nId=4095\n");
        assert_eq!(
            read.errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["v.netdev:5: found 4095, expected a VLAN id from 0 to 4094"]
        );
    }
}
