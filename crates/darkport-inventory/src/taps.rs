//! Which tap belongs to which of a process's interfaces.

use darkport_model::{Fact, FactSource, Instance, Link, MacAddr, Nic};

use crate::bounds;
use crate::qemu::{QemuCommand, QemuNic};

/// The device that an open tun descriptor drives: the `iff:` line of `/proc/PID/fdinfo/FD` (linux, `drivers/net/tun.c`,
/// `tun_chr_show_fdinfo`, since 3.14). None for a descriptor of something else, and for a tun that has no device yet.
pub fn parse_fdinfo_iff(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"iff:"))?;
    Some(bounds::text(&String::from_utf8_lossy(line))).filter(|name| !name.is_empty())
}

/// Whether the command line leaves a tap open that only a look through all descriptors can tell: an old `-net tap` without a name
/// or with a pattern for one, or an interface that was plugged in later, which it does not know at all.
pub(crate) fn needs_search(command: &QemuCommand) -> bool {
    command.nics.is_empty() || command.nics.iter().any(|nic| nic.tap.is_none() && nic.fds.is_empty())
}

/// The instance that a process runs. `taps` are the devices of its descriptors: those named on the command line for sure, all where
/// they were looked through. Each goes to the interface that holds its descriptor, or has the MAC that libvirt makes the tap's from, or
/// else is the next one without a tap. `dir` is the process's, for places.
pub(crate) fn instance(pid: u32, command: QemuCommand, taps: &[(u32, String)], links: &[Link], dir: &str) -> Instance {
    let place = format!("{dir}/cmdline");
    let mut instance = Instance::named(command.name.unwrap_or_default());
    instance.uuid = command.uuid;
    instance.pid = Some(pid);
    instance.running = Some(Fact::new(true, FactSource::QemuProcess, &place));
    let cmdline = |value: String| Fact::new(value, FactSource::QemuProcess, &place);
    let owner = |(fd, tap): &(u32, String)| Fact::new(tap.clone(), FactSource::TunOwner, format!("{dir}/fdinfo/{fd}"));

    let mut free: Vec<&(u32, String)> = Vec::new();
    for tap in taps {
        let known = command.nics.iter().any(|nic| nic.fds.contains(&tap.0) || nic.tap.as_ref() == Some(&tap.1));
        // A tap with several queues has a descriptor for each.
        if !known && !free.iter().any(|other| other.1 == tap.1) {
            free.push(tap);
        }
    }
    let mut take = |wanted: &dyn Fn(&str) -> bool| free.iter().position(|(_, tap)| wanted(tap)).map(|at| free.remove(at));

    let mut nics: Vec<(QemuNic, Option<Fact<String>>)> = Vec::new();
    for nic in command.nics {
        let held = taps.iter().find(|(fd, _)| nic.fds.contains(fd)).or_else(|| taps.iter().find(|(_, tap)| nic.tap.as_ref() == Some(tap)));
        let by_mac = |mac: MacAddr| take(&|tap| links.iter().any(|link| link.name == tap && link.mac == Some(mac.with_first_byte(0xfe))));
        let open = nic.tap.is_none() && nic.fds.is_empty();
        let found = held.or_else(|| nic.mac.filter(|_| open).and_then(by_mac)).map(owner);
        let tap = found.or_else(|| nic.tap.clone().map(cmdline));
        nics.push((nic, tap));
    }
    for (nic, tap) in &mut nics {
        if tap.is_none() && nic.fds.is_empty() {
            *tap = take(&|_| true).map(owner);
        }
    }
    for (nic, tap) in nics {
        let mut told = Nic::default();
        told.mac = nic.mac.map(|mac| Fact::new(mac, FactSource::QemuProcess, &place));
        told.bridge = nic.bridge.map(cmdline);
        told.tap = tap;
        instance.nics.push(told);
    }
    // Taps that no interface of the command line can have: plugged in later.
    for tap in free {
        let mut told = Nic::default();
        told.tap = Some(owner(tap));
        instance.nics.push(told);
    }
    instance
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_qemu_command;

    fn owned(command: &[&str], taps: &[(u32, &str)], links: &[Link]) -> Vec<(Option<String>, Option<String>)> {
        let taps: Vec<(u32, String)> = taps.iter().map(|(fd, tap)| (*fd, (*tap).to_owned())).collect();
        let instance = instance(812, parse_qemu_command(command), &taps, links, "/proc/812");
        let shown = |nic: Nic| {
            let tap = nic.tap.map(|fact| format!("{} ({:?} {})", fact.value, fact.source, fact.place));
            (nic.mac.map(|fact| fact.value.to_string()), tap)
        };
        instance.nics.into_iter().map(shown).collect()
    }

    #[test]
    fn the_iff_line_names_the_device() {
        assert_eq!(parse_fdinfo_iff(b"pos:\t0\nflags:\t0104002\nmnt_id:\t25\nino:\t84\niff:\tvnet5\n").as_deref(), Some("vnet5"));
        assert_eq!(parse_fdinfo_iff(b"pos:\t0\nflags:\t0104002\niff:\t\n"), None);
        assert_eq!(parse_fdinfo_iff(b"pos:\t0\neventfd-count: 0\n"), None);
    }

    #[test]
    fn the_descriptors_number_decides() {
        let command = ["qemu", "-netdev", "tap,fds=26:27,id=a", "-device", "x,netdev=a,mac=fa:16:3e:00:00:01", "-netdev", "tap,fd=28,id=b"];
        let found = owned(&command, &[(28, "vnet7"), (26, "vnet5"), (27, "vnet5")], &[]);
        assert_eq!(found[0], (Some("fa:16:3e:00:00:01".into()), Some("vnet5 (TunOwner /proc/812/fdinfo/26)".into())));
        assert_eq!(found[1], (None, Some("vnet7 (TunOwner /proc/812/fdinfo/28)".into())));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn libvirts_mac_decides_where_no_descriptor_is_named() {
        let mut link = Link::new(9, "vnet9");
        link.mac = Some("fe:16:3e:00:00:01".parse().unwrap());
        let command = ["qemu", "-net", "nic,vlan=3,macaddr=fa:16:3e:00:00:02", "-net", "tap,vlan=3", "-nic", "tap,mac=fa:16:3e:00:00:01"];
        let found = owned(&command, &[(5, "vnet9"), (6, "vnet2")], &[link]);
        assert_eq!(found[0].1.as_deref(), Some("vnet2 (TunOwner /proc/812/fdinfo/6)"), "what is left, by order");
        assert_eq!(found[1].1.as_deref(), Some("vnet9 (TunOwner /proc/812/fdinfo/5)"));
    }

    #[test]
    fn what_was_plugged_in_later_is_there_without_a_mac() {
        let found = owned(&["qemu", "-name", "late"], &[(5, "vnet3")], &[]);
        assert_eq!(found, [(None, Some("vnet3 (TunOwner /proc/812/fdinfo/5)".into()))]);
    }

    #[test]
    fn a_pattern_is_no_name() {
        let command = ["qemu", "-netdev", "tap,id=n,ifname=tapz%d", "-netdev", "tap,id=m,ifname=tap7"];
        assert!(needs_search(&parse_qemu_command(&command)));
        let found = owned(&command, &[(9, "tapz0"), (10, "tap7")], &[]);
        assert_eq!(found[0].1.as_deref(), Some("tapz0 (TunOwner /proc/812/fdinfo/9)"));
        assert_eq!(owned(&command, &[], &[])[0], (None, None), "who holds it is not known, so neither is its name");
        assert!(!needs_search(&parse_qemu_command(&["qemu", "-netdev", "tap,id=n,ifname=tap7"])));
    }

    #[test]
    fn without_descriptors_the_command_lines_word_stands() {
        let found = owned(&["qemu", "-netdev", "tap,id=n,ifname=tap0"], &[], &[]);
        assert_eq!(found, [(None, Some("tap0 (QemuProcess /proc/812/cmdline)".into()))]);
        let proven = owned(&["qemu", "-netdev", "tap,id=n,ifname=tap0"], &[(9, "tap0")], &[]);
        assert_eq!(proven[0].1.as_deref(), Some("tap0 (TunOwner /proc/812/fdinfo/9)"));
    }
}
