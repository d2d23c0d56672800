//! The little that netlink does not tell, or tells slowly: files under `/sys/class/net`.
//!
//! A mounted sysfs shows the network namespace of whoever mounted it, whichever namespace the reader is in. Before anything is
//! taken from it, it must prove to be that of the socket.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use darkport_model::{Link, LinkKind};

use crate::brforward::RECORD;
use crate::decode::MOST;

/// Links that are compared before sysfs is believed, bridges before others.
const COMPARED: usize = 24;
/// `NET_ADDR_SET` (linux, `include/uapi/linux/netdevice.h`).
const NET_ADDR_SET: &str = "3";
/// What one read of a binary sysfs file gives at most.
const PAGE: usize = 4096;

#[derive(Debug, Clone)]
pub(crate) struct Sysfs {
    root: PathBuf,
}

impl Sysfs {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Where a link's file is; none for a name that is no file name, which no kernel gives and a recorded dump may have.
    fn file(&self, link: &str, file: &str) -> Option<PathBuf> {
        let one_component = Path::new(link).file_name().is_some_and(|name| name == link);
        one_component.then(|| self.root.join("class/net").join(link).join(file))
    }

    fn text(&self, link: &str, file: &str) -> io::Result<String> {
        let path = self.file(link, file).ok_or(io::ErrorKind::NotFound)?;
        fs::read_to_string(path).map(|text| text.trim_end().to_owned())
    }

    /// Whether this sysfs shows the same interfaces, by index and address.
    ///
    /// # Errors
    /// In words what is missing or different.
    pub(crate) fn shows(&self, links: &[Link]) -> Result<(), String> {
        let bridges = links.iter().filter(|link| matches!(link.kind, LinkKind::Bridge { .. }));
        let others = links.iter().filter(|link| !matches!(link.kind, LinkKind::Bridge { .. } | LinkKind::Loopback));
        for link in bridges.chain(others).take(COMPARED) {
            let path = self.root.display();
            let read = |file| self.text(&link.name, file).map_err(|error| format!("{path} does not show {}: {error}", link.name));
            let (index, address) = (read("ifindex")?, read("address")?);
            let same_address = link.mac.is_none_or(|mac| mac.to_string() == address);
            if index != link.index.0.to_string() || !same_address {
                return Err(format!("{path} shows another network namespace: {} differs", link.name));
            }
        }
        Ok(())
    }

    /// Whether a link's address was set by hand; none where that cannot be read.
    pub(crate) fn address_was_set(&self, link: &str) -> Option<bool> {
        self.text(link, "addr_assign_type").ok().map(|kind| kind == NET_ADDR_SET)
    }

    /// A bridge's whole `brforward`, as far as [`MOST`] records.
    pub(crate) fn brforward(&self, bridge: &str, until: Instant) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.file(bridge, "brforward").ok_or(io::ErrorKind::NotFound)?)?;
        let mut records = Vec::new();
        let mut page = [0; PAGE];
        while records.len() < MOST * RECORD {
            if Instant::now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match file.read(&mut page) {
                Ok(0) => break,
                Ok(length) => records.extend_from_slice(page.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_directory() {
        let sysfs = Sysfs::new("/sys".into());
        for name in ["", ".", "..", "../../etc", "a/b", "/"] {
            assert_eq!(sysfs.file(name, "ifindex"), None, "{name}");
        }
        assert_eq!(sysfs.file("eth1.1102", "ifindex"), Some("/sys/class/net/eth1.1102/ifindex".into()));
    }

    #[test]
    fn a_link_that_it_does_not_have_shows_the_wrong_namespace() {
        let mut link = Link::new(4711, "no-such-link");
        link.kind = LinkKind::Veth;
        assert!(Sysfs::new("/sys".into()).shows(&[link]).unwrap_err().contains("no-such-link"));
    }

    #[test]
    fn the_loopback_is_everywhere_and_proves_nothing() {
        let mut link = Link::new(77, "lo");
        link.kind = LinkKind::Loopback;
        assert_eq!(Sysfs::new("/nonexistent".into()).shows(&[link]), Ok(()));
    }
}
