//! Proxmox VE's virtual machine files (qemu-server, `PVE/QemuServer.pm`, qm.conf(5); what becomes of a tap: pve-common,
//! `PVE/Network.pm`, `tap_plug`).

use darkport_model::{Fact, FactSource, Instance, Manager, Nic};

use crate::bounds::{self, MAX_NICS};
use crate::error::InputError;

/// Reads the file of virtual machine `id`. `is_vlan_aware` tells whether a bridge enforces VLANs, where that is known: a tap with a tag
/// goes into such a bridge with that VLAN, and into a bridge of its own, `vmbr0v1102`, beside any other. With a firewall it goes into
/// `fwbr101i0`. Snapshots further down in the file are passed over.
///
/// # Errors
/// One for each line that makes no sense; the rest is read all the same.
pub fn parse_proxmox_conf(name: &str, id: u32, bytes: &[u8], is_vlan_aware: &dyn Fn(&str) -> Option<bool>) -> (Instance, Vec<InputError>) {
    let mut instance = Instance::named(id.to_string());
    (instance.manager, instance.vmid) = (Some(Manager::Proxmox), Some(id));
    let mut errors = Vec::new();
    let text = String::from_utf8_lossy(bytes);
    for (at, line) in text.lines().enumerate().take_while(|(_, line)| !line.starts_with('[')) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            errors.push(InputError::new(name, at + 1, line, "KEY: VALUE, a comment or a [SNAPSHOT]"));
            continue;
        };
        let value = bounds::text(value);
        match key {
            "name" => instance.name = value,
            "smbios1" => instance.uuid = option(&value, "uuid").map(str::to_lowercase),
            _ => {
                let Some(number) = key.strip_prefix("net").and_then(|number| number.parse::<u8>().ok()) else { continue };
                if instance.nics.len() < MAX_NICS {
                    let place = format!("{name}:{}", at + 1);
                    instance.nics.push(nic(&value, id, number, &place, is_vlan_aware));
                }
            }
        }
    }
    (instance, errors)
}

fn nic(value: &str, id: u32, number: u8, place: &str, is_vlan_aware: &dyn Fn(&str) -> Option<bool>) -> Nic {
    fn fact<T>(value: T, place: &str) -> Fact<T> {
        Fact::new(value, FactSource::Configuration, place)
    }
    let mut nic = Nic::default();
    // The address is given to the model's name: virtio=…, e1000=….
    nic.mac = value.split(',').find_map(|part| part.split_once('=')?.1.parse().ok()).map(|mac| fact(mac, place));
    nic.tap = Some(fact(format!("tap{id}i{number}"), place));
    // 1 is for the bridge's own, which is not known here.
    nic.mtu = option(value, "mtu").and_then(|mtu| mtu.parse().ok()).filter(|mtu| *mtu > 1).map(|mtu| fact(mtu, place));
    nic.link_down = option(value, "link_down").map(|down| fact(down == "1", place));
    let tag = option(value, "tag");
    let bridge = option(value, "bridge");
    if option(value, "firewall") == Some("1") {
        nic.bridge = bridge.map(|_| fact(format!("fwbr{id}i{number}"), place));
    } else if let (Some(bridge), Some(tag)) = (bridge, tag.filter(|_| bridge.and_then(is_vlan_aware) == Some(false))) {
        nic.bridge = Some(fact(format!("{bridge}v{tag}"), place));
    } else {
        nic.bridge = bridge.map(|bridge| fact(bridge.to_owned(), place));
        nic.vid = tag.and_then(|tag| tag.parse().ok()).map(|vid| fact(vid, place));
    }
    nic
}

fn option<'a>(value: &'a str, key: &str) -> Option<&'a str> {
    value.split(',').find_map(|part| part.strip_prefix(key)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn where_the_taps_go() {
        let conf = b"# a web server\nboot: order=scsi0\nname: web\nsmbios1: uuid=6A9F0C1E-0D6B-4A4E-9A27-2F7F4A1C0001,base64=1\n\
            net0: virtio=BC:24:11:9A:C1:70,bridge=vmbr0,tag=1102,link_down=1,mtu=1450\n\
            net1: e1000=BC:24:11:9A:C1:71,bridge=vmbr1,tag=7,mtu=1\nnet2: virtio=BC:24:11:9A:C1:72,bridge=vmbr0,firewall=1,tag=8\nnonsense\n\
            [before-upgrade]\nname: old\nnet0: virtio=BC:24:11:9A:C1:79,bridge=vmbr9\n";
        let (instance, errors) = parse_proxmox_conf("101.conf", 101, conf, &|bridge| Some(bridge == "vmbr0"));
        assert_eq!((instance.name.as_str(), instance.uuid.as_deref()), ("web", Some("6a9f0c1e-0d6b-4a4e-9a27-2f7f4a1c0001")));
        assert_eq!((instance.manager, instance.vmid), (Some(Manager::Proxmox), Some(101)));
        let shown = |nic: &Nic| {
            let (tap, bridge) = (nic.tap.as_ref().unwrap(), nic.bridge.as_ref().unwrap());
            let (vid, mtu) = (nic.vid.as_ref().map(|vid| vid.value.get()), nic.mtu.as_ref().map(|mtu| mtu.value));
            let down = nic.link_down.as_ref().map(|down| down.value);
            format!("{} {} {} {vid:?} {mtu:?} {down:?} {}", nic.mac.as_ref().unwrap().value, tap.value, bridge.value, tap.place)
        };
        assert_eq!(
            instance.nics.iter().map(shown).collect::<Vec<_>>(),
            [
                "bc:24:11:9a:c1:70 tap101i0 vmbr0 Some(1102) Some(1450) Some(true) 101.conf:5",
                "bc:24:11:9a:c1:71 tap101i1 vmbr1v7 None None None 101.conf:6",
                "bc:24:11:9a:c1:72 tap101i2 fwbr101i2 None None None 101.conf:7",
            ]
        );
        let told: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["101.conf:8: found nonsense, expected KEY: VALUE, a comment or a [SNAPSHOT]"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, text in "(net[0-9]: [a-z0-9=:,]{0,30}\n|.{0,20}\n){0,5}") {
            let _ = parse_proxmox_conf("x", 1, &bytes, &|_| None);
            let _ = parse_proxmox_conf("x", 1, text.as_bytes(), &|_| Some(false));
        }
    }
}
