//! ifupdown's `/etc/network/interfaces` (interfaces(5), vlan-interfaces(5), bridge-utils-interfaces(5); ifupdown2's
//! `interfaces(5)` spells options with `-` for `_`).

use darkport_model::{Intent, Vid};

use crate::bounds;
use crate::error::InputError;

use super::{Configuration, vid, vlan_in_name};

/// Reads one file; files that it asks for are named in [`Configuration::sources`]. Ports that are given by a pattern (`all`, `regex`,
/// `glob`) are passed over: what they mean depends on which devices there are.
pub fn parse_interfaces(name: &str, bytes: &[u8]) -> Configuration {
    let text = String::from_utf8_lossy(bytes);
    let mut read = Configuration::default();
    let mut stanza = Stanza::None;
    let mut from_names: Vec<String> = Vec::new();
    for (line, logical) in logical_lines(&text) {
        let mut words = logical.split_whitespace();
        let Some(first) = words.next() else { continue };
        match first {
            "iface" => {
                stanza.end(&mut read);
                match words.next() {
                    Some(device) => stanza = Stanza::Interface(Interface { name: bounds::text(device), ..Interface::default() }),
                    None => read.error(InputError::new(name, line, &logical, "iface NAME FAMILY METHOD")),
                }
            }
            "source" => read.sources.extend(words.map(bounds::text)),
            "source-directory" | "source-dir" => read.sources.extend(words.map(|dir| format!("{}/*", bounds::text(dir)))),
            "auto" | "mapping" | "template" | "rename" | "no-auto-down" | "no-scripts" => stanza.begin_other(&mut read),
            _ if first.starts_with("allow-") => stanza.begin_other(&mut read),
            option => match &mut stanza {
                Stanza::Interface(interface) => {
                    let values: Vec<String> = words.map(bounds::text).collect();
                    let option = option.replace('_', "-");
                    if option == "bridge-ports" && values == ["none"] {
                        read.isolate(&interface.name, format!("{name}:{line}"));
                    }
                    for port in interface.option(&option, &values) {
                        read.intent(Intent::new(&interface.name, &port, format!("{name}:{line}")));
                        from_names.push(port);
                    }
                }
                Stanza::Other => {}
                Stanza::None => read.error(InputError::new(name, line, &logical, "iface, auto, allow-…, source or mapping")),
            },
        }
    }
    stanza.end(&mut read);
    // bridge-utils makes a port called eth1.1102 by itself, if nothing else says what it is.
    for port in from_names {
        if let Some((parent, vid)) = vlan_in_name(&port) {
            read.vlan(&port, Some(vid), Some(parent));
        }
    }
    read
}

enum Stanza {
    None,
    Interface(Interface),
    Other,
}

impl Stanza {
    fn begin_other(&mut self, read: &mut Configuration) {
        self.end(read);
        *self = Self::Other;
    }

    /// The interface that ends here, if it is a VLAN.
    fn end(&mut self, read: &mut Configuration) {
        let Self::Interface(interface) = std::mem::replace(self, Self::Other) else { return };
        let Interface { name, raw_device, id } = interface;
        if let Some((parent, in_name)) = vlan_in_name(&name) {
            // The device in the name counts, whatever vlan-raw-device says (vlan-interfaces(5)).
            read.vlan(&name, id.or(Some(in_name)), Some(parent));
        } else if let Some(parent) = raw_device {
            read.vlan(&name, id.or_else(|| name.strip_prefix("vlan").and_then(vid)), Some(&parent));
        }
    }
}

#[derive(Default)]
struct Interface {
    name: String,
    raw_device: Option<String>,
    id: Option<Vid>,
}

impl Interface {
    /// Takes an option; the ports that it names.
    fn option(&mut self, option: &str, values: &[String]) -> Vec<String> {
        match option {
            "vlan-raw-device" => self.raw_device = values.first().cloned(),
            "vlan-id" => self.id = values.first().and_then(|id| vid(id)),
            "bridge-ports" => return ports(values),
            _ => {}
        }
        Vec::new()
    }
}

fn ports(values: &[String]) -> Vec<String> {
    let mut named = Vec::new();
    let mut values = values.iter();
    while let Some(value) = values.next() {
        match value.as_str() {
            "none" | "all" => {}
            "regex" | "noregex" | "glob" => {
                values.next();
            }
            port => named.push(port.to_owned()),
        }
    }
    named
}

/// Lines with those joined that end in a backslash, without comments; each with the number of its first.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines: Vec<(usize, String)> = Vec::new();
    let mut open = false;
    for (at, line) in text.lines().enumerate() {
        if !open && line.trim_start().starts_with('#') {
            continue;
        }
        let part = line.strip_suffix('\\');
        match lines.last_mut().filter(|_| open) {
            Some((_, begun)) if begun.len() < bounds::MAX_TEXT => {
                begun.push(' ');
                begun.push_str(part.unwrap_or(line));
            }
            Some(_) => {}
            None => lines.push((at + 1, part.unwrap_or(line).to_owned())),
        }
        open = part.is_some();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intents(text: &str) -> Vec<String> {
        let told = |Intent { bridge, uplink, vid, parent, place, .. }: Intent| {
            let (vid, parent) = (vid.map(|vid| vid.to_string()).unwrap_or_default(), parent.unwrap_or_default());
            format!("{bridge} {uplink} vid={vid} parent={parent} {place}")
        };
        parse_interfaces("interfaces", text.as_bytes()).into_intents().into_iter().map(told).collect()
    }

    #[test]
    fn a_tagged_uplink_in_a_bridge() {
        let text = "# made by puppet\nauto lo\niface lo inet loopback\n\nauto eth1.1102\niface eth1.1102 inet manual\n\tup ip link set $IFACE up\n\niface br1102 inet manual\n\tbridge_ports eth1.1102\n\tbridge_stp off\n";
        assert_eq!(intents(text), ["br1102 eth1.1102 vid=1102 parent=eth1 interfaces:10"]);
    }

    #[test]
    fn raw_devices_ids_and_other_spellings() {
        let text = "iface vlan0007 inet manual\n vlan-raw-device bond0\niface storage inet manual\n vlan_raw_device eth2\n vlan-id 30\niface br7 inet manual\n bridge-ports vlan0007 \\\n   storage eth9\n";
        assert_eq!(
            intents(text),
            [
                "br7 vlan0007 vid=7 parent=bond0 interfaces:7",
                "br7 storage vid=30 parent=eth2 interfaces:7",
                "br7 eth9 vid= parent= interfaces:7",
            ]
        );
    }

    #[test]
    fn patterns_and_none_name_no_port() {
        assert_eq!(
            intents(
                "iface br0 inet manual\n bridge_ports none\niface br1 inet manual\n bridge_ports regex eth.* noregex eth0\niface br2 inet manual\n bridge_ports all\n"
            ),
            [""; 0]
        );
    }

    #[test]
    fn a_bridge_without_ports_is_meant_so_unless_another_stanza_gives_it_one() {
        let text = "iface vmbr1 inet static\n bridge-ports none\niface br9 inet manual\n bridge_ports none\niface br0 inet6 manual\n bridge_ports none\n\
            iface vmbr1 inet6 static\n bridge_ports none\niface br0 inet manual\n bridge_ports eth0\niface br2 inet manual\n bridge_ports none eth1\niface br3 inet manual\n bridge_ports all\n";
        let isolated = parse_interfaces("i", text.as_bytes()).isolated_bridges();
        let told: Vec<_> = isolated.iter().map(|fact| (fact.value.as_str(), fact.place.as_str())).collect();
        assert_eq!(told, [("br9", "i:4"), ("vmbr1", "i:2, i:8")]);
    }

    #[test]
    fn sources_are_named() {
        let read = parse_interfaces("interfaces", b"source /etc/network/interfaces.d/*\nsource-directory more\n");
        assert_eq!(read.sources, ["/etc/network/interfaces.d/*", "more/*"]);
    }

    #[test]
    fn a_bad_line_is_told_and_the_rest_goes_on() {
        let read = parse_interfaces("interfaces", b"bridge_ports eth0\niface\niface br0 inet manual\n bridge_ports eth1\n");
        assert_eq!(read.intents.len(), 1);
        let told: Vec<String> = read.errors.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(told.join("\n"), @r"
        interfaces:1: found bridge_ports eth0, expected iface, auto, allow-…, source or mapping
        interfaces:2: found iface, expected iface NAME FAMILY METHOD
        ");
    }
}
