//! What a qemu command line says of its instance's network (QEMU, `qemu-options.hx`): libvirt's, Proxmox VE's or one written by hand.

use std::collections::HashMap;

use darkport_model::MacAddr;
use serde_json::Value;

use crate::bounds::{self, MAX_NICS};

/// An instance as its command line tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QemuCommand {
    /// `-name`, or its `guest=`.
    pub name: Option<String>,
    /// `-uuid`, or the `uuid=` that `-smbios type=1` gives (Proxmox VE), in lower case.
    pub uuid: Option<String>,
    /// Proxmox VE's `-id`.
    pub id: Option<u32>,
    /// Its interfaces that have a tap, in their order. Those plugged in later are not on the command line.
    pub nics: Vec<QemuNic>,
}

/// A network interface as the command line tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct QemuNic {
    /// The guest's address.
    pub mac: Option<MacAddr>,
    /// The tap, where it is named (`ifname=`). A pattern such as `tap%d` names none: the kernel puts a number there (linux,
    /// `net/core/dev.c`, `dev_alloc_name`).
    pub tap: Option<String>,
    /// The bridge, where qemu's own helper puts the tap into it (`br=`).
    pub bridge: Option<String>,
    /// The tap's descriptors in the process, where it was opened before (`fd=`, `fds=`): libvirt's way.
    pub fds: Vec<u32>,
}

/// Reads a command line, program included. What is not about the instance's name and network is passed over, and so is what makes no
/// sense: a process that runs has a command line that qemu understood.
pub fn parse_qemu_command<S: AsRef<str>>(command: &[S]) -> QemuCommand {
    let mut read = QemuCommand::default();
    let mut network = Network::default();
    let mut arguments = command.iter().skip(1).map(AsRef::as_ref);
    while let Some(argument) = arguments.next() {
        // Every option that is followed here takes a value; qemu takes one or two dashes.
        let option = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
        match option {
            Some("name") => read.name = arguments.next().and_then(|value| Options::parse(value, "guest").take("guest")),
            Some("uuid") => read.uuid = arguments.next().map(|value| bounds::text(value).to_lowercase()),
            Some("id") => read.id = arguments.next().and_then(|value| value.parse().ok()),
            Some("smbios") => {
                let mut options = Options::parse(arguments.next().unwrap_or_default(), "");
                if read.uuid.is_none() && options.get("type") == Some("1") {
                    read.uuid = options.take("uuid").map(|uuid| uuid.to_lowercase());
                }
            }
            Some("netdev") => network.netdev(Options::parse(arguments.next().unwrap_or_default(), "type")),
            Some("device") => network.device(Options::parse(arguments.next().unwrap_or_default(), "driver")),
            Some("nic") => network.nic(Options::parse(arguments.next().unwrap_or_default(), "type")),
            Some("net") => network.net(Options::parse(arguments.next().unwrap_or_default(), "type")),
            _ => {}
        }
    }
    read.name = read.name.filter(|name| !name.is_empty());
    read.nics = network.nics();
    read
}

/// Back ends and front ends, joined by the back end's id, or by the hub that `-net … ,vlan=N` joins them with.
#[derive(Default)]
struct Network {
    backends: Vec<(Join, QemuNic)>,
    frontends: HashMap<Join, MacAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Join {
    Netdev(String),
    Hub(String),
    None,
}

impl Network {
    fn netdev(&mut self, mut options: Options) {
        let id = Join::Netdev(options.take("id").unwrap_or_default());
        self.backend(id, options);
    }

    fn device(&mut self, mut options: Options) {
        // A device with a back end is a network interface, whatever its driver.
        if let (Some(netdev), Some(mac)) = (options.take("netdev"), options.take("mac")) {
            self.frontend(Join::Netdev(netdev), &mac);
        }
    }

    fn nic(&mut self, mut options: Options) {
        let mac = options.take("mac").and_then(|mac| mac.parse().ok());
        let known = self.backends.len();
        self.backend(Join::None, options);
        if let Some((_, nic)) = self.backends.get_mut(known) {
            nic.mac = mac;
        }
    }

    fn net(&mut self, mut options: Options) {
        let hub = options.take("vlan").unwrap_or_else(|| "0".to_owned());
        if options.get("type") == Some("nic") {
            let join = options.take("netdev").map_or(Join::Hub(hub), Join::Netdev);
            if let Some(mac) = options.take("macaddr") {
                self.frontend(join, &mac);
            }
        } else {
            self.backend(Join::Hub(hub), options);
        }
    }

    fn backend(&mut self, join: Join, mut options: Options) {
        let kind = options.take("type").unwrap_or_default();
        if !matches!(kind.as_str(), "tap" | "bridge") || self.backends.len() >= MAX_NICS {
            return;
        }
        let fds = options.take("fds").or_else(|| options.take("fd")).unwrap_or_default();
        let fds = fds.split(':').filter_map(|fd| fd.parse().ok()).take(MAX_NICS).collect();
        let tap = options.take("ifname").filter(|name| !name.contains('%'));
        let nic = QemuNic { mac: None, tap, bridge: options.take("br"), fds };
        self.backends.push((join, nic));
    }

    fn frontend(&mut self, join: Join, mac: &str) {
        if let (Ok(mac), true) = (mac.parse(), self.frontends.len() < MAX_NICS) {
            self.frontends.entry(join).or_insert(mac);
        }
    }

    fn nics(self) -> Vec<QemuNic> {
        let Self { backends, frontends } = self;
        let with_mac = |(join, mut nic): (Join, QemuNic)| {
            nic.mac = nic.mac.or_else(|| frontends.get(&join).copied());
            nic
        };
        backends.into_iter().map(with_mac).collect()
    }
}

/// `type=tap,id=net0,…`, where the first key may be left out, and `,,` is a comma in a value; or the same as a JSON object.
struct Options(HashMap<String, String>);

impl Options {
    fn parse(text: &str, first_key: &str) -> Self {
        if text.starts_with('{') {
            return Self::from_json(text);
        }
        let mut found = HashMap::new();
        for (at, part) in split_at_commas(text).into_iter().enumerate().take(MAX_NICS) {
            match part.split_once('=') {
                Some((key, value)) => found.insert(key.to_owned(), bounds::text(value)),
                None if at == 0 && !first_key.is_empty() => found.insert(first_key.to_owned(), bounds::text(&part)),
                None => found.insert(part, "on".to_owned()),
            };
        }
        Self(found)
    }

    fn from_json(text: &str) -> Self {
        let Ok(Value::Object(object)) = serde_json::from_str(text) else { return Self(HashMap::new()) };
        let plain = |(key, value): (String, Value)| match value {
            Value::String(text) => Some((key, bounds::text(&text))),
            Value::Number(number) => Some((key, number.to_string())),
            _ => None,
        };
        Self(object.into_iter().filter_map(plain).collect())
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    fn take(&mut self, key: &str) -> Option<String> {
        self.0.remove(key)
    }
}

fn split_at_commas(text: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut part = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != ',' {
            part.push(character);
        } else if characters.next_if_eq(&',').is_some() {
            part.push(',');
        } else {
            parts.push(std::mem::take(&mut part));
        }
    }
    parts.push(part);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(line: &str) -> QemuCommand {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        parse_qemu_command(&words)
    }

    fn mac(text: &str) -> Option<MacAddr> {
        text.parse().ok()
    }

    #[test]
    fn libvirt_hands_taps_over_by_descriptor() {
        // libvirt 1.2 to 6 (src/qemu/qemu_command.c, tests/qemuxml2argvdata): key=value.
        let read = parse(
            "/usr/bin/qemu-system-x86_64 -name guest=instance-0000002a,debug-threads=on -S -uuid 6A9F0C1E-0D6B-4A4E-9A27-2F7F4A1C0001 \
             -netdev tap,fds=26:28,id=hostnet0,vhost=on,vhostfds=29:30 -device virtio-net-pci,mq=on,vectors=6,netdev=hostnet0,id=net0,mac=fa:16:3e:71:ec:6d,bus=pci.0,addr=0x3 \
             -netdev tap,fd=31,id=hostnet1 -device e1000,netdev=hostnet1,id=net1,mac=fa:16:3e:71:ec:6e",
        );
        assert_eq!(read.name.as_deref(), Some("instance-0000002a"));
        assert_eq!(read.uuid.as_deref(), Some("6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001"));
        assert_eq!(read.nics.len(), 2);
        assert_eq!((read.nics[0].fds.as_slice(), read.nics[0].mac), ([26, 28].as_slice(), mac("fa:16:3e:71:ec:6d")));
        assert_eq!((read.nics[1].fds.as_slice(), read.nics[1].mac), ([31].as_slice(), mac("fa:16:3e:71:ec:6e")));
    }

    #[test]
    fn newer_libvirt_writes_json() {
        // libvirt since 6.10 (-netdev) and 8.0 (-device).
        let read = parse(
            r#"qemu -netdev {"type":"tap","fd":"34","vhost":true,"vhostfd":"38","id":"hostnet0"} -device {"driver":"virtio-net-pci","netdev":"hostnet0","id":"net0","mac":"52:54:00:7a:e8:17","bus":"pci.1"}"#,
        );
        assert_eq!(read.nics, [QemuNic { mac: mac("52:54:00:7a:e8:17"), fds: vec![34], ..QemuNic::default() }]);
    }

    #[test]
    fn proxmox_names_its_taps() {
        // qemu-server, PVE/QemuServer.pm, print_netdev_full.
        let read = parse(
            "/usr/bin/kvm -id 101 -name web,debug-threads=on -smbios type=1,uuid=6A9F0C1E-0D6B-4A4E-9A27-2F7F4A1C0002 \
             -netdev type=tap,id=net0,ifname=tap101i0,script=/usr/libexec/qemu-server/pve-bridge,vhost=on -device virtio-net-pci,mac=BC:24:11:9A:C1:70,netdev=net0,bus=pci.0",
        );
        assert_eq!((read.id, read.name.as_deref()), (Some(101), Some("web")));
        assert_eq!(read.uuid.as_deref(), Some("6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0002"));
        assert_eq!(read.nics, [QemuNic { mac: mac("bc:24:11:9a:c1:70"), tap: Some("tap101i0".into()), ..QemuNic::default() }]);
    }

    #[test]
    fn old_hubs_join_by_their_number() {
        // QEMU before 2.12: -net nic,vlan=N with -net tap,vlan=N; 0 where none is given.
        let read = parse(
            "kvm -name old -net nic,macaddr=52:54:00:00:00:01 -net tap,ifname=tap7 -net nic,vlan=1,macaddr=52:54:00:00:00:02 -net tap,vlan=1,fd=9",
        );
        assert_eq!(read.nics[0], QemuNic { mac: mac("52:54:00:00:00:01"), tap: Some("tap7".into()), ..QemuNic::default() });
        assert_eq!(read.nics[1], QemuNic { mac: mac("52:54:00:00:00:02"), fds: vec![9], ..QemuNic::default() });
    }

    #[test]
    fn by_hand_in_one_option_and_by_the_bridge_helper() {
        let read = parse(
            "qemu --nic tap,ifname=tap0,mac=52:54:00:00:00:03 -netdev bridge,br=br0,id=n -net nic,netdev=n,macaddr=52:54:00:00:00:04 -netdev user,id=u",
        );
        assert_eq!(read.nics.len(), 2, "a user-mode network has no tap");
        assert_eq!((read.nics[0].tap.as_deref(), read.nics[0].mac), (Some("tap0"), mac("52:54:00:00:00:03")));
        assert_eq!((read.nics[1].bridge.as_deref(), read.nics[1].mac), (Some("br0"), mac("52:54:00:00:00:04")));
    }

    #[test]
    fn a_doubled_comma_is_a_comma() {
        assert_eq!(parse("qemu -name web,,1,process=x").name.as_deref(), Some("web,1"));
        assert_eq!(parse("qemu -name").name, None);
    }

    proptest! {
        #[test]
        fn no_command_panics(command in proptest::collection::vec("(-(name|netdev|device|net|nic|smbios|uuid|id))|(\\{.{0,30})|.{0,40}", 0..12)) {
            let _ = parse_qemu_command(&command);
        }

        #[test]
        fn any_name_survives_qemus_escaping(name in "[^\u{0}-\u{20}{][^\u{0}-\u{1f}]{0,40}[^\u{0}-\u{20}]") {
            prop_assume!(name.trim() == name);
            let escaped = format!("guest={}", name.replace(',', ",,"));
            let command = ["qemu", "-name", &escaped];
            prop_assert_eq!(parse_qemu_command(&command).name, Some(name));
        }
    }
}
