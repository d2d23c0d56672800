//! Driver, link and offloads of the interfaces that carry others.

mod features;
mod program;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use darkport_model::{Ethtool, Gap, GapReason, Link, Source, bounded};

pub(crate) use self::features::parse_features;
pub(crate) use self::program::parse_listing;
use crate::look::{Absence, FILE_MAX, Look, from_io, read_bounded};

pub(crate) fn read(look: &mut Look<'_>, links: &[&Link]) -> BTreeMap<String, Ethtool> {
    let mut features = features::Asker::new(look.roots.are_live());
    links
        .iter()
        .map(|link| {
            let mut told = Ethtool::default();
            from_sysfs(look, link, &mut told);
            match features.ask(link) {
                Ok(features) => told.features = features,
                Err(gap) => look.sum("features", gap),
            }
            (link.name.clone(), told)
        })
        .collect()
}

/// What `/sys/class/net/NAME` tells, if it is the same interface.
fn from_sysfs(look: &mut Look<'_>, link: &Link, told: &mut Ethtool) {
    let directory = look.sys("class/net").join(&link.name);
    if !is_same(look, &directory, link) {
        return;
    }
    told.driver = match std::fs::read_link(directory.join("device/driver")) {
        Ok(target) => target.file_name().map(|name| bounded(&name.to_string_lossy(), 64)),
        // Only what sits on a bus has a driver there.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            look.sum("driver", from_io(Source::Ethtool, &directory.join("device/driver"), &error));
            None
        }
    };
    // Without a carrier these give EINVAL, and -1 where the driver does not know (linux, net/core/net-sysfs.c).
    let value = |file| read_bounded(&directory.join(file), FILE_MAX).ok().map(|(text, _)| text.trim().to_owned());
    told.speed_mbit = value("speed").and_then(|speed| speed.parse().ok()).filter(|speed| *speed > 0 && *speed < u32::MAX);
    told.duplex = value("duplex").filter(|duplex| duplex == "full" || duplex == "half");
}

/// sysfs shows the namespace in which it was mounted, which need not be the calling thread's, and there the name may be another
/// interface's.
fn is_same(look: &mut Look<'_>, directory: &Path, link: &Link) -> bool {
    let mut value = |file| {
        let text = look.text(Source::Ethtool, &directory.join(file), FILE_MAX, Absence::Fact)?;
        Some(text.trim().to_owned())
    };
    let index = value("ifindex");
    let mac = value("address").and_then(|mac| mac.parse().ok());
    let same = index.is_some_and(|index| index == link.index.0.to_string()) && (link.mac.is_none() || mac == link.mac);
    if !same {
        let why = "not there, or another interface of that name: gone, or sysfs shows another network namespace";
        look.sum("sysfs", Gap::new(Source::Ethtool, directory.display().to_string(), GapReason::Absent, why));
    }
    same
}
