//! What the demo can break, and how.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use darkport::model::{bounded, printable};

use super::ground::DemoError;
use super::town::{BRIDGE, Town};

/// One way to break virt1012.
pub(super) struct Break {
    /// The cause that the diagnosis must name.
    pub(super) code: &'static str,
    needs: Needs,
    /// Commands with `UPLINK` and `BRIDGE` in the places of names.
    commands: &'static [&'static str],
}

#[derive(PartialEq, Eq)]
enum Needs {
    Nothing,
    Vlans,
    /// A bridge that can filter by VLAN, which shows only when it is tried.
    VlanFiltering,
}

const ALL: &[Break] = &[
    Break { code: "uplink-not-in-bridge", needs: Needs::Nothing, commands: &["ip link set UPLINK nomaster"] },
    Break { code: "uplink-admin-down", needs: Needs::Nothing, commands: &["ip link set UPLINK down"] },
    Break { code: "bridge-admin-down", needs: Needs::Nothing, commands: &["ip link set BRIDGE down"] },
    Break { code: "tap-not-in-bridge", needs: Needs::Nothing, commands: &["ip link set vnet1 nomaster"] },
    Break { code: "tap-admin-down", needs: Needs::Nothing, commands: &["ip link set vnet2 down"] },
    Break { code: "mtu-mismatch", needs: Needs::Nothing, commands: &["ip link set UPLINK mtu 1300"] },
    Break {
        code: "port-learning-or-flood-off",
        needs: Needs::Nothing,
        commands: &[
            "ip link set UPLINK type bridge_slave flood off mcast_flood off learning off",
            "ip link set UPLINK type bridge_slave fdb_flush",
        ],
    },
    Break { code: "stp-port-blocked", needs: Needs::Nothing, commands: &["ip link set UPLINK type bridge_slave state 1"] },
    Break {
        code: "fdb-wrong-port",
        needs: Needs::Nothing,
        commands: &["bridge fdb replace fa:16:3e:00:00:01 dev vnet3 master sticky static"],
    },
    Break {
        code: "vlan-id-mismatch",
        needs: Needs::Vlans,
        commands: &["ip link del UPLINK", "ip link add link eth1 name UPLINK type vlan id 1103", "ip link set UPLINK master BRIDGE up"],
    },
    Break {
        code: "bridge-vlan-filter-missing",
        needs: Needs::VlanFiltering,
        commands: &["ip link set BRIDGE type bridge vlan_filtering 1", "bridge vlan del dev UPLINK vid 1"],
    },
];

/// What the caller wants broken.
pub(super) enum Choice {
    List,
    Nothing,
    This(&'static Break),
    /// All of them, in an order that nobody knows.
    Random(Vec<&'static Break>),
}

/// A word that names nothing to break.
#[derive(Debug, thiserror::Error)]
#[error("the demo cannot break {0:?}")]
pub(super) struct NoSuchBreak(String);

pub(super) fn choose(word: &str) -> Result<Choice, NoSuchBreak> {
    match word {
        "list" => Ok(Choice::List),
        "none" => Ok(Choice::Nothing),
        "random" => Ok(Choice::Random(shuffled())),
        code => {
            let found = ALL.iter().find(|broken| broken.code == code);
            found.map(Choice::This).ok_or_else(|| NoSuchBreak(bounded(&printable(code), 60)))
        }
    }
}

fn shuffled() -> Vec<&'static Break> {
    // The standard library's hash keys are random: all the chance that a demo needs.
    let chance = RandomState::new();
    let mut order: Vec<_> = ALL.iter().collect();
    order.sort_by_cached_key(|broken| {
        let mut hasher = chance.build_hasher();
        hasher.write(broken.code.as_bytes());
        hasher.finish()
    });
    order
}

/// The codes of what can be broken, one on a line; with a built host, of what can be broken on this kernel.
pub(super) fn list(town: Option<&Town>) -> String {
    let fits = |broken: &&Break| town.is_none_or(|town| broken.fits(town));
    ALL.iter().filter(fits).flat_map(|broken| [broken.code, "\n"]).collect()
}

impl Break {
    /// Whether this kernel can do it.
    pub(super) fn fits(&self, town: &Town) -> bool {
        match self.needs {
            Needs::Nothing => true,
            Needs::Vlans => town.has_vlans(),
            // Filtering with every port in VLAN 1, as ports begin, changes nothing for the instances.
            Needs::VlanFiltering => {
                let on = Town::shell(&format!("ip link set {BRIDGE} type bridge vlan_filtering 1")).is_ok();
                let _ = Town::shell(&format!("ip link set {BRIDGE} type bridge vlan_filtering 0"));
                on
            }
        }
    }

    pub(super) fn commands(&self, town: &Town) -> Vec<String> {
        let filled = |command: &&str| command.replace("UPLINK", town.uplink()).replace("BRIDGE", BRIDGE);
        self.commands.iter().map(filled).collect()
    }

    pub(super) fn apply(&self, town: &Town) -> Result<(), DemoError> {
        match self.needs {
            Needs::Vlans if !self.fits(town) => return Err(DemoError::Kernel("VLAN devices")),
            Needs::VlanFiltering if !self.fits(town) => return Err(DemoError::Kernel("bridges that filter by VLAN")),
            _ => {}
        }
        self.commands(town).iter().try_for_each(|command| Town::shell(command))
    }
}
