//! Offload features over generic netlink (linux 5.7 or later, `net/ethtool/features.c`), else through the program `ethtool`.

use std::collections::BTreeMap;
use std::io;

use darkport_model::{Gap, GapReason, Link, Source, bounded};
use netlink_sys::protocols::NETLINK_GENERIC;

use super::program;
use crate::netlink::{ONE, attribute, attributes, request, string};

const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_HW: u16 = 2;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
const NLA_F_NESTED: u16 = 1 << 15;
/// The most features kept; linux 6.x has 64 (`NETDEV_FEATURE_COUNT`).
const FEATURES_MAX: usize = 512;

/// The features of an answer: every one that the kernel knows is named under `HW`, those that are on under `ACTIVE`.
pub(crate) fn parse_features(message: &[u8]) -> BTreeMap<String, bool> {
    let mut features = BTreeMap::new();
    for (kind, bitset) in attributes(message.get(4..).unwrap_or_default()) {
        if kind != ETHTOOL_A_FEATURES_HW && kind != ETHTOOL_A_FEATURES_ACTIVE {
            continue;
        }
        for name in names(bitset) {
            if features.len() < FEATURES_MAX {
                let on = features.entry(name).or_insert(false);
                *on |= kind == ETHTOOL_A_FEATURES_ACTIVE;
            }
        }
    }
    features
}

fn names(bitset: &[u8]) -> impl Iterator<Item = String> {
    attributes(bitset)
        .filter(|(kind, _)| *kind == ETHTOOL_A_BITSET_BITS)
        .flat_map(|(_, bits)| attributes(bits))
        .flat_map(|(_, bit)| attributes(bit))
        .filter(|(kind, _)| *kind == ETHTOOL_A_BITSET_BIT_NAME)
        .map(|(_, name)| bounded(&string(name), 64))
}

/// How to ask, found out once.
pub(super) enum Asker {
    /// Generic netlink, with the family's number.
    Kernel(u16),
    /// The program, since the kernel said no.
    Program,
    /// Nobody: the files are not this host's own.
    Nobody,
}

impl Asker {
    pub(super) fn new(live: bool) -> Self {
        if live { family().map_or(Self::Program, Self::Kernel) } else { Self::Nobody }
    }

    /// The features of an interface.
    pub(super) fn ask(&mut self, link: &Link) -> Result<BTreeMap<String, bool>, Gap> {
        let what = format!("offload features of {}", link.name);
        if let Self::Kernel(family) = self {
            match ask_kernel(*family, link.index.0) {
                Ok(features) => return Ok(features),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => *self = Self::Program,
                Err(error) => return Err(Gap::from_io(Source::Ethtool, what, &error)),
            }
        }
        match self {
            Self::Nobody => Err(Gap::new(Source::Ethtool, what, GapReason::NotAsked, "not in files: only the running kernel tells them")),
            _ => program::ask(&link.name).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    let why = "this kernel does not tell them over netlink (before linux 5.7), and there is no program ethtool";
                    Gap::new(Source::Ethtool, what, GapReason::Absent, why)
                }
                _ => Gap::from_io(Source::Ethtool, what, &error),
            }),
        }
    }
}

/// The number of the family `ethtool`; an error says that this kernel has none (`ENOENT`).
fn family() -> io::Result<u16> {
    let mut message = vec![CTRL_CMD_GETFAMILY, 1, 0, 0];
    message.extend(attribute(CTRL_ATTR_FAMILY_NAME, b"ethtool\0"));
    let mut family = None;
    request(NETLINK_GENERIC, GENL_ID_CTRL, ONE, &message, |answer| {
        let id = attributes(answer.get(4..).unwrap_or_default()).find(|(kind, _)| *kind == CTRL_ATTR_FAMILY_ID);
        family = id.and_then(|(_, id)| id.first_chunk()).map(|id| u16::from_ne_bytes(*id));
        true
    })?;
    family.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn ask_kernel(family: u16, index: u32) -> io::Result<BTreeMap<String, bool>> {
    let mut message = vec![ETHTOOL_MSG_FEATURES_GET, 1, 0, 0];
    let header = attribute(ETHTOOL_A_HEADER_DEV_INDEX, &index.to_ne_bytes());
    message.extend(attribute(ETHTOOL_A_FEATURES_HEADER | NLA_F_NESTED, &header));
    let mut features = BTreeMap::new();
    request(NETLINK_GENERIC, family, ONE, &message, |answer| {
        features.append(&mut parse_features(answer));
        true
    })?;
    Ok(features)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_known_and_not_active_is_off() {
        let bit = |name: &str| attribute(1, &attribute(ETHTOOL_A_BITSET_BIT_NAME, format!("{name}\0").as_bytes()));
        let bitset = |kind, names: &[&str]| {
            attribute(kind, &attribute(ETHTOOL_A_BITSET_BITS, &names.iter().flat_map(|name| bit(name)).collect::<Vec<_>>()))
        };
        let message = [
            vec![ETHTOOL_MSG_FEATURES_GET, 1, 0, 0],
            bitset(ETHTOOL_A_FEATURES_HW, &["rx-lro", "rx-gro"]),
            bitset(3, &["rx-lro"]),
            bitset(ETHTOOL_A_FEATURES_ACTIVE, &["rx-gro"]),
        ]
        .concat();
        assert_eq!(parse_features(&message), BTreeMap::from([("rx-lro".into(), false), ("rx-gro".into(), true)]));
    }

    #[test]
    fn this_kernel_s_loopback_has_features() {
        let mut lo = Link::new(1, "lo");
        lo.name = "lo".into();
        match family() {
            Ok(family) => {
                let features = ask_kernel(family, lo.index.0).unwrap();
                assert_eq!(features.get("rx-lro"), Some(&false), "{features:?}");
                assert!(features.values().any(|on| *on), "{features:?}");
            }
            Err(error) => println!("NOT RUN: this kernel has no ethtool netlink: {error}"),
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_features(&bytes);
        }
    }
}
