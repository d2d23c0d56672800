//! `nova.conf` of nova-network (nova 2014.1, `nova/network/manager.py` and `nova/network/linux_net.py`).

use darkport_model::Intent;

use super::Configuration;
use super::ini::{Dialect, Entry, entries};

/// Reads nova's configuration from several files as nova does: in their order, the last word counts. `flat_interface` is wanted as a
/// port of `flat_network_bridge`. `vlan_interface` says nothing by itself: which bridges there are stands in nova's database.
///
/// No VLAN is read into the interface's name here: nova takes the name as it is, and whoever made `eth1.1102` decided what it is.
pub fn parse_nova_conf<'a>(files: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Configuration {
    let mut read = Configuration::default();
    let mut interface: Option<(String, String)> = None;
    let mut bridge: Option<String> = None;
    for (name, bytes) in files {
        for Entry { line, section, key, value } in entries(name, bytes, Dialect::Oslo, &mut read) {
            if section != "DEFAULT" {
                continue;
            }
            match key.as_str() {
                "flat_interface" => interface = plain(&value).map(|value| (value, format!("{name}:{line}"))),
                "flat_network_bridge" => bridge = plain(&value),
                _ => {}
            }
        }
    }
    if let (Some((interface, place)), Some(bridge)) = (interface, bridge) {
        read.intent(Intent::new(bridge, interface, place));
    }
    read
}

/// A device's name: without the quotes that oslo takes off, and no reference to another option.
fn plain(value: &str) -> Option<String> {
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(value);
    Some(unquoted).filter(|name| !name.is_empty() && !name.contains(['$', ' '])).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Configuration {
        parse_nova_conf([("nova.conf", text.as_bytes())])
    }

    #[test]
    fn flat_dhcp_wants_its_interface_in_its_bridge() {
        let read = parse(
            "[DEFAULT]\n# network\nnetwork_manager=nova.network.manager.FlatDHCPManager\nflat_network_bridge = br1102\nflat_interface: 'eth1.1102'\n",
        );
        assert_eq!(read.intents, [Intent::new("br1102", "eth1.1102", "nova.conf:5")]);
        assert_eq!(read.errors, []);
    }

    #[test]
    fn the_last_word_counts_also_over_files() {
        let read = parse_nova_conf([
            ("nova.conf", b"[DEFAULT]\nflat_interface=eth0\nflat_network_bridge=br100\nflat_interface=eth1\n".as_slice()),
            ("nova-compute.conf", b"[DEFAULT]\nflat_network_bridge=br7\n[other]\nflat_interface=eth9\n".as_slice()),
        ]);
        assert_eq!(read.intents, [Intent::new("br7", "eth1", "nova.conf:4")]);
    }

    #[test]
    fn continuations_belong_to_the_value_before() {
        let read = parse("[DEFAULT]\nosapi_extension=a,\n  flat_interface=eth5\nflat_interface=eth1\nflat_network_bridge=br0\n");
        assert_eq!(read.intents, [Intent::new("br0", "eth1", "nova.conf:4")]);
    }

    #[test]
    fn half_of_it_or_a_reference_is_no_intent() {
        assert_eq!(parse("[DEFAULT]\nflat_interface=eth1\n").intents, []);
        assert_eq!(parse("[DEFAULT]\nflat_interface=$vlan_interface\nflat_network_bridge=br0\n").intents, []);
        assert_eq!(parse("flat_interface=eth1\nflat_network_bridge=br0\n").intents, [], "outside any section");
    }

    #[test]
    fn a_bad_line_is_told_and_the_rest_goes_on() {
        let read = parse("[DEFAULT]\nnonsense\n[DEFAULT\nflat_interface=eth1\nflat_network_bridge=br0\n");
        assert_eq!(read.intents.len(), 1);
        let told: Vec<String> = read.errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        nova.conf:2: found nonsense, expected KEY=VALUE, [SECTION] or a comment
        nova.conf:3: found [DEFAULT, expected ] at the end of a section's name
        ");
    }
}
