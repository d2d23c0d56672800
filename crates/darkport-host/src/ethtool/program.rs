//! Offload features through `ethtool -k`, for kernels that tell them by ioctl only.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use darkport_model::bounded;

use crate::program::run;

/// The names that `ethtool -k` gives to single features of old, and the kernel's (ethtool, `ethtool.c`, `off_flag_def`).
const RENAMED: &[(&str, &str)] = &[
    ("rx-checksumming", "rx-checksum"),
    ("udp-fragmentation-offload", "tx-udp-fragmentation"),
    ("generic-segmentation-offload", "tx-generic-segmentation"),
    ("generic-receive-offload", "rx-gro"),
    ("large-receive-offload", "rx-lro"),
    ("rx-vlan-offload", "rx-vlan-hw-parse"),
    ("tx-vlan-offload", "tx-vlan-hw-insert"),
    ("ntuple-filters", "rx-ntuple-filter"),
    ("receive-hashing", "rx-hashing"),
];
/// Names that stand for several features, each of which has its own line.
const GROUPS: &[&str] = &["tx-checksumming", "scatter-gather", "tcp-segmentation-offload"];
/// How long the program may take; drivers wait for the RTNL lock.
const PATIENCE: Duration = Duration::from_secs(2);

/// The lines `NAME: on|off [fixed]`.
pub(crate) fn parse_listing(text: &str) -> BTreeMap<String, bool> {
    text.lines()
        .filter_map(|line| {
            let (name, value) = line.trim().split_once(": ")?;
            let on = match value.split_whitespace().next()? {
                "on" => true,
                "off" => false,
                _ => return None,
            };
            let name = RENAMED.iter().find(|(old, _)| *old == name).map_or(name, |(_, kernel)| kernel);
            (!GROUPS.contains(&name)).then(|| (bounded(name, 64), on))
        })
        .take(512)
        .collect()
}

/// Runs `ethtool -k NAME`.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] where there is no such program; what it said when it failed.
pub(super) fn ask(interface: &str) -> io::Result<BTreeMap<String, bool>> {
    if interface.starts_with('-') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the name would be taken for an option"));
    }
    run("ethtool", &["-k", interface], PATIENCE, 65_536).map(|text| parse_listing(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_of_old_become_the_kernel_s() {
        let text = "Features for eth1:\nrx-checksumming: on\ntx-checksumming: on\n\ttx-checksum-ipv4: off [fixed]\n\
                    large-receive-offload: on\nrx-vlan-filter: on [fixed]\nnonsense: maybe\nudp: \n";
        let expected = [("rx-checksum", true), ("rx-lro", true), ("rx-vlan-filter", true), ("tx-checksum-ipv4", false)];
        assert_eq!(parse_listing(text), expected.map(|(name, on)| (name.to_owned(), on)).into());
    }

    #[test]
    fn a_name_is_never_an_option() {
        assert_eq!(ask("-i").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = parse_listing(&text);
        }
    }
}
