//! What the host's own configuration wants: which device is to be a port of which bridge, and in which VLAN.

mod ifupdown;
mod ini;
mod networkd;
mod nova;
mod reader;

pub use ifupdown::parse_interfaces;
pub use networkd::parse_networkd;
pub use nova::parse_nova_conf;
pub(crate) use reader::read;

use std::collections::{BTreeMap, HashMap, HashSet};

use darkport_model::{Fact, FactSource, Intent, Vid};

use crate::bounds::{MAX_ERRORS, MAX_FILES, MAX_TEXT};
use crate::error::InputError;

/// What one configuration file says, before it is put together with others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Configuration {
    /// Ports of bridges.
    pub intents: Vec<Intent>,
    /// VLAN devices.
    pub vlans: Vec<VlanDevice>,
    /// Bridges that are to have no port, as this file says.
    pub isolated: Vec<Fact<String>>,
    /// Further files that it asks for, as written: paths whose last part may hold `*` and `?`.
    pub sources: Vec<String>,
    /// Lines that make no sense, at most 100.
    pub errors: Vec<InputError>,
}

/// A VLAN device that a configuration defines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VlanDevice {
    /// Its name.
    pub name: String,
    /// Its VLAN id, where this file tells.
    pub vid: Option<Vid>,
    /// The device below it, where this file tells.
    pub parent: Option<String>,
}

impl Configuration {
    fn error(&mut self, error: InputError) {
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error);
        }
    }

    fn intent(&mut self, intent: Intent) {
        if self.intents.len() < MAX_FILES {
            self.intents.push(intent);
        }
    }

    fn isolate(&mut self, bridge: &str, place: String) {
        if self.isolated.len() < MAX_FILES {
            self.isolated.push(Fact::new(bridge.to_owned(), FactSource::Configuration, place));
        }
    }

    fn vlan(&mut self, name: &str, vid: Option<Vid>, parent: Option<&str>) {
        if self.vlans.len() < MAX_FILES {
            self.vlans.push(VlanDevice { name: name.to_owned(), vid, parent: parent.map(str::to_owned) });
        }
    }

    /// Adds what another file says.
    pub fn join(&mut self, other: Configuration) {
        self.intents.extend(other.intents);
        self.vlans.extend(other.vlans);
        self.isolated.extend(other.isolated);
        self.sources.extend(other.sources);
        self.errors.extend(other.errors);
    }

    /// The bridges that have no uplink on purpose, each once and in the order of their names: those that one file wants without a port
    /// and no file gives one.
    pub fn isolated_bridges(&self) -> Vec<Fact<String>> {
        let given: HashSet<&str> = self.intents.iter().map(|intent| intent.bridge.as_str()).collect();
        let mut merged: BTreeMap<&str, Fact<String>> = BTreeMap::new();
        for fact in self.isolated.iter().filter(|fact| !given.contains(fact.value.as_str())) {
            match merged.get_mut(fact.value.as_str()) {
                Some(known) if known.place.len() + fact.place.len() < MAX_TEXT => known.place = format!("{}, {}", known.place, fact.place),
                Some(_) => {}
                None => {
                    merged.insert(&fact.value, fact.clone());
                }
            }
        }
        merged.into_values().collect()
    }

    /// The intents, each once, with what any file says of its uplink's VLAN. Where files differ, the first one that says something
    /// is believed.
    pub fn into_intents(self) -> Vec<Intent> {
        let mut devices: HashMap<String, VlanDevice> = HashMap::new();
        for vlan in self.vlans {
            let known = devices.entry(vlan.name.clone()).or_insert_with(|| VlanDevice { vid: None, parent: None, ..vlan.clone() });
            known.vid = known.vid.or(vlan.vid);
            known.parent = known.parent.take().or(vlan.parent);
        }
        let mut merged: Vec<Intent> = Vec::new();
        let mut places: HashMap<(String, String), usize> = HashMap::new();
        for mut intent in self.intents {
            if let Some(device) = devices.get(&intent.uplink) {
                intent.vid = intent.vid.or(device.vid);
                intent.parent = intent.parent.or_else(|| device.parent.clone());
            }
            let key = (intent.bridge.clone(), intent.uplink.clone());
            match places.get(&key).and_then(|at| merged.get_mut(*at)) {
                Some(known) if known.place.len() + intent.place.len() < MAX_TEXT => {
                    known.place = format!("{}, {}", known.place, intent.place);
                }
                Some(_) => {}
                None => {
                    places.insert(key, merged.len());
                    merged.push(intent);
                }
            }
        }
        merged
    }
}

/// The device and VLAN that a name such as `eth1.1102` stands for. Only where a configuration gives names this meaning: ifupdown does
/// (vlan-interfaces(5), bridge-utils-interfaces(5)), the kernel does not.
fn vlan_in_name(name: &str) -> Option<(&str, Vid)> {
    let (parent, number) = name.rsplit_once('.')?;
    Some((parent, vid(number)?)).filter(|_| !parent.is_empty())
}

/// A VLAN id other than 0, which is none (IEEE 802.1Q, 9.6); `0001` is 1.
fn vid(number: &str) -> Option<Vid> {
    let plain = (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
    number.parse().ok().filter(|vid: &Vid| plain && vid.get() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_number_behind_the_last_dot_is_a_vlan() {
        assert_eq!(vlan_in_name("eth1.1102").map(|(parent, vid)| (parent, vid.get())), Some(("eth1", 1102)));
        assert_eq!(vlan_in_name("bond0.0007").map(|(parent, vid)| (parent, vid.get())), Some(("bond0", 7)));
        for other in ["eth1", "eth1.", ".7", "eth1.0", "eth1.4095", "eth1.x7", "eth1.+7", "eth1.00007", "eth0.1:1"] {
            assert_eq!(vlan_in_name(other), None, "{other}");
        }
    }
}
