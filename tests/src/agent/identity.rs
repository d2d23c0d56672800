//! Who an instance is: names, addresses, and the files that libvirt and nova keep about it.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use crate::scenario::Layout;

/// One instance.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// `instance-00000001`.
    pub(super) name: String,
    /// Its UUID.
    pub(super) uuid: String,
    /// Its number on its host, from 0.
    pub(super) index: u16,
    /// Its MAC.
    pub(super) mac: [u8; 6],
    /// Its address.
    pub(super) ip: Ipv4Addr,
    /// The gateway that its network has.
    pub(super) gateway: Ipv4Addr,
    /// Its port on the host.
    pub(super) port: String,
    /// Its port is a real tap with a reader process; otherwise a veth.
    pub(super) tap: bool,
}

/// The network that instances are on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subnet {
    /// The gateway's address.
    pub(super) gateway: Ipv4Addr,
    /// The prefix's length.
    pub(super) prefix: u8,
    /// The broadcast address.
    pub(super) broadcast: Ipv4Addr,
}

/// The subnet of a layout.
pub(super) fn subnet(layout: Layout) -> Subnet {
    if layout == Layout::Libvirt {
        Subnet { gateway: Ipv4Addr::new(192, 168, 122, 1), prefix: 24, broadcast: Ipv4Addr::new(192, 168, 122, 255) }
    } else {
        Subnet { gateway: Ipv4Addr::new(10, 68, 16, 1), prefix: 21, broadcast: Ipv4Addr::new(10, 68, 23, 255) }
    }
}

/// A MAC as text.
pub(super) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

impl Identity {
    /// The instance with a number on `virt1012`, or on its neighbour.
    pub(super) fn new(index: u16, neighbour: bool, layout: Layout) -> Self {
        let number = u32::from(index) + if neighbour { 0x101 } else { 1 };
        let [high, low] = index.to_be_bytes();
        let host = if neighbour { 0x5d } else { 0x5c };
        let base = match (layout, neighbour) {
            (Layout::Libvirt, _) => Ipv4Addr::new(192, 168, 122, 10),
            (_, false) => Ipv4Addr::new(10, 68, 16, 10),
            (_, true) => Ipv4Addr::new(10, 68, 22, 10),
        };
        Self {
            name: format!("instance-{number:08x}"),
            uuid: format!("6b1f{host:04x}-1d3e-4b1c-9a52-{number:012x}"),
            index,
            mac: [0xfa, 0x16, 0x3e, host, high, low],
            ip: Ipv4Addr::from(u32::from(base) + u32::from(index)),
            gateway: subnet(layout).gateway,
            port: format!("vnet{index}"),
            tap: index % 2 == 0,
        }
    }

    /// The MAC that libvirt gives the port: the guest's, with `fe` first, so that it never becomes the bridge's lowest
    /// (libvirt virnetdevtap.c).
    pub(super) fn port_mac(&self) -> [u8; 6] {
        let [_, rest @ ..] = self.mac;
        let [a, b, c, d, e] = rest;
        [0xfe, a, b, c, d, e]
    }

    /// The arguments of the process that runs it.
    pub(super) fn arguments(&self) -> Vec<String> {
        let id = self.index + 1;
        let mut text = vec![
            "-name".into(),
            format!("guest={},debug-threads=on", self.name),
            "-S".into(),
            "-machine".into(),
            "pc-i440fx-2.0,accel=kvm,usb=off".into(),
            "-m".into(),
            "2048".into(),
            "-smp".into(),
            "1,sockets=1,cores=1,threads=1".into(),
            "-uuid".into(),
            self.uuid.clone(),
            "-no-user-config".into(),
            "-nodefaults".into(),
            "-chardev".into(),
            format!("socket,id=charmonitor,path=/var/lib/libvirt/qemu/domain-{id}-{}/monitor.sock,server,nowait", self.name),
            "-netdev".into(),
            "tap,fd=23,id=hostnet0,vhost=on,vhostfd=24".into(),
            "-device".into(),
            format!("virtio-net-pci,netdev=hostnet0,id=net0,mac={},bus=pci.0,addr=0x3", mac_text(self.mac)),
        ];
        text.shrink_to_fit();
        text
    }

    fn interface(&self, bridge: &str, live: bool) -> String {
        let mac = mac_text(self.mac);
        let target = if live { format!("\n      <target dev='{}'/>", self.port) } else { String::new() };
        let alias = if live { "\n      <alias name='net0'/>" } else { "" };
        format!(
            "    <interface type='bridge'>\n      <mac address='{mac}'/>\n      <source bridge='{bridge}'/>{target}\n      \
             <model type='virtio'/>\n      <filterref filter='nova-instance-{}-{}'>\n        <parameter name='IP' value='{}'/>\n        \
             <parameter name='DHCPSERVER' value='{}'/>\n      </filterref>{alias}\n      \
             <address type='pci' domain='0x0000' bus='0x00' slot='0x03' function='0x0'/>\n    </interface>\n",
            self.name,
            mac.replace(':', ""),
            self.ip,
            self.gateway,
        )
    }

    fn domain(&self, bridge: &str, live: bool) -> String {
        let id = if live { format!(" id='{}'", self.index + 1) } else { String::new() };
        format!(
            "<domain type='kvm'{id}>\n  <name>{}</name>\n  <uuid>{}</uuid>\n  <memory unit='KiB'>2097152</memory>\n  \
             <vcpu placement='static'>1</vcpu>\n  <sysinfo type='smbios'>\n    <system>\n      \
             <entry name='manufacturer'>OpenStack Foundation</entry>\n      <entry name='product'>OpenStack Nova</entry>\n    </system>\n  \
             </sysinfo>\n  <os>\n    <type arch='x86_64' machine='pc-i440fx-trusty'>hvm</type>\n    <boot dev='hd'/>\n  </os>\n  <devices>\n    \
             <emulator>/usr/bin/qemu-system-x86_64</emulator>\n    <disk type='file' device='disk'>\n      \
             <source file='/var/lib/nova/instances/{}/disk'/>\n      <target dev='vda' bus='virtio'/>\n    </disk>\n{}  </devices>\n</domain>\n",
            self.name,
            self.uuid,
            self.uuid,
            self.interface(bridge, live),
        )
    }

    /// What libvirt keeps in `/etc/libvirt/qemu/`.
    pub(super) fn persistent_xml(&self, bridge: &str) -> String {
        format!(
            "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE\nOVERWRITTEN AND LOST. Changes to this xml \
             configuration should be made using:\n  virsh edit {}\nor other application using the libvirt API.\n-->\n\n{}",
            self.name,
            self.domain(bridge, false)
        )
    }

    /// What libvirt keeps in `/run/libvirt/qemu/` while it runs (qemuDomainObjPrivateXMLFormat wraps the domain in
    /// `domstatus`, virDomainObjFormat).
    pub(super) fn live_xml(&self, bridge: &str, pid: u32) -> String {
        let indented: String = self.domain(bridge, true).lines().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "  {line}");
            text
        });
        format!(
            "<!--\nWARNING: THIS IS AN AUTO-GENERATED FILE. CHANGES TO IT ARE LIKELY TO BE\nOVERWRITTEN AND LOST. Changes to this xml \
             configuration should be made using:\n  virsh edit {0}\nor other application using the libvirt API.\n-->\n\n\
             <domstatus state='running' reason='booted' pid='{pid}'>\n  \
             <monitor path='/var/lib/libvirt/qemu/domain-{1}-{0}/monitor.sock' json='1' type='unix'/>\n  <vcpus>\n    \
             <vcpu id='0' pid='{pid}'/>\n  </vcpus>\n{indented}</domstatus>\n",
            self.name,
            self.index + 1,
        )
    }
}

/// nova's configuration of that time (operations/puppet `modules/openstack/templates/icehouse/nova/nova.conf.erb`).
pub(super) fn nova_conf(host: &str, layout: Layout) -> String {
    let (interface, bridge) = match layout {
        Layout::Bond => ("bond0.1102", "br1102"),
        Layout::VlanAware => ("eth1", "vmbr0"),
        Layout::Flat => ("eth1", "br100"),
        Layout::NovaNetwork | Layout::GatewayOnBridge | Layout::Libvirt => ("eth1.1102", "br1102"),
    };
    format!(
        "[DEFAULT]\nhost={host}\nlogdir=/var/log/nova\nstate_path=/var/lib/nova\nlock_path=/var/lock/nova\n\
         network_manager=nova.network.manager.FlatDHCPManager\nmulti_host=False\nflat_injected=False\nflat_interface={interface}\n\
         flat_network_bridge={bridge}\nflat_network_dhcp_start=10.68.16.4\nfixed_range=10.68.16.0/21\nnetwork_host=10.64.20.13\n\
         dhcp_domain=eqiad.wmflabs\ndhcp_lease_time=86400\nforce_dhcp_release=True\nallow_same_net_traffic=False\n\
         public_interface=eth0\nlibvirt_use_virtio_for_bridges=True\ncompute_driver=libvirt.LibvirtDriver\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_have_their_own_addresses() {
        let a = Identity::new(0, false, Layout::NovaNetwork);
        assert_eq!((a.name.as_str(), a.port.as_str(), a.tap), ("instance-00000001", "vnet0", true));
        assert_eq!(mac_text(a.mac), "fa:16:3e:5c:00:00");
        assert_eq!(mac_text(a.port_mac()), "fe:16:3e:5c:00:00");
        let b = Identity::new(299, false, Layout::NovaNetwork);
        assert_eq!(b.ip, Ipv4Addr::new(10, 68, 17, 53));
        assert!(b.live_xml("br1102", 7).contains("<target dev='vnet299'/>"));
        assert!(!b.persistent_xml("br1102").contains("<target dev='vnet"));
    }
}
