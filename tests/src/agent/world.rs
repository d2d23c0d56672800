//! The data centre: a trunk switch, a network host, a healthy hypervisor and the one that will fail.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use super::guest::{Guest, Netns};
use super::host::{Host, batch, bind_file};
use super::identity::{Identity, Subnet, mac_text, nova_conf, subnet};
use super::machine::{Machine, WIRE_FAR, WIRE_KEY, WIRE_NEAR, Wire, start_qemu};
use crate::error::{LabError, Result};
use crate::scenario::{HostName, Layout, Scenario};

/// How many instances the healthy neighbour has.
const NEIGHBOURS: u16 = 2;

/// All that stands while one scenario runs. Fields drop in order: processes first, then hosts.
pub(super) struct World {
    /// The instances of virt1012, from their inside.
    pub(super) guests: Vec<Guest>,
    /// The neighbour's.
    pub(super) neighbours: Vec<Guest>,
    /// The instances of virt1012.
    pub(super) instances: Vec<Identity>,
    /// Where they are.
    pub(super) subnet: Subnet,
    /// The tap wire, if the scenario has one.
    pub(super) wire: Option<Wire>,
    machines: Vec<Machine>,
    hosts: Vec<Host>,
}

impl World {
    /// Builds it for a scenario.
    pub(super) fn build(scenario: &Scenario) -> Result<Self> {
        let layout = scenario.layout;
        let subnet = subnet(layout);
        let hosts = ["switch", "labnet1001", "virt1011", "virt1012"].into_iter().map(Host::boot).collect::<Result<Vec<_>>>()?;
        let mut world = Self {
            guests: Vec::new(),
            neighbours: Vec::new(),
            instances: (0..scenario.instances).map(|i| Identity::new(i, false, layout)).collect(),
            subnet,
            wire: None,
            machines: Vec::new(),
            hosts,
        };
        let neighbours: Vec<_> = if scenario.bare || layout == Layout::Libvirt {
            Vec::new()
        } else {
            (0..NEIGHBOURS).map(|i| Identity { tap: false, ..Identity::new(i, true, layout) }).collect()
        };
        // The guests' namespaces first: the veths are made straight into them.
        let mut nets = Vec::new();
        if !scenario.bare {
            for identity in world.instances.iter().chain(&neighbours) {
                nets.push(Netns::new(&identity.name)?);
            }
        }
        batch("ip", "the lab", &cables(scenario, &world.instances, &neighbours))?;
        world.host(HostName::Virt1012)?.batch("ip", &virt1012(scenario, &world.instances))?;
        world.named("switch")?.batch("ip", &switch(scenario))?;
        if layout != Layout::Libvirt {
            world.host(HostName::Labnet1001)?.batch("ip", &labnet(layout, subnet))?;
            world.host(HostName::Virt1011)?.batch("ip", &neighbour(layout, &neighbours))?;
        }
        if !layout.plain() {
            world.named("switch")?.batch("bridge", &switch_vlans(scenario))?;
        }
        if layout == Layout::VlanAware {
            world.host(HostName::Virt1012)?.batch("bridge", &vlan_aware_ports(&world.instances))?;
        }
        if scenario.wire_errors.is_some() {
            let wire = Wire::start(&world.named("switch")?.namespaces.net)?;
            world.wire = Some(wire);
        }
        world.start_instances(scenario, neighbours, nets)?;
        Ok(world)
    }

    fn start_instances(&mut self, scenario: &Scenario, neighbours: Vec<Identity>, nets: Vec<Netns>) -> Result<()> {
        let mut nets = nets.into_iter();
        for (identities, name) in [(self.instances.clone(), HostName::Virt1012), (neighbours, HostName::Virt1011)] {
            let host = self.hosts.iter().find(|h| h.name == name.as_str()).ok_or_else(|| missing(name.as_str()))?;
            let layout = if name == HostName::Virt1012 || scenario.layout.plain() { scenario.layout } else { Layout::NovaNetwork };
            host.write("/etc/nova/nova.conf", &nova_conf(name.as_str(), layout))?;
            for identity in identities {
                let pid = if scenario.bare {
                    0
                } else {
                    let net = nets.next().ok_or_else(|| missing(&identity.name))?;
                    let real = scenario.guest.is_some() && name == HostName::Virt1012 && identity.index == 0;
                    let machine = if real {
                        start_qemu(host, &identity, self.subnet)?
                    } else {
                        Machine::start(host, &identity, identity.tap.then_some(&net.file))?
                    };
                    let pid = machine.child.id();
                    self.machines.push(machine);
                    let _ = std::fs::write(format!("/run/lab/{}.pid", identity.name), pid.to_string());
                    let guest = if real {
                        Guest::from_outside(identity.clone(), &self.host(HostName::Labnet1001)?.namespaces.net)?
                    } else {
                        Guest::configure(identity.clone(), net, self.subnet)?
                    };
                    if name == HostName::Virt1012 {
                        self.guests.push(guest);
                    } else {
                        self.neighbours.push(guest);
                    }
                    pid
                };
                host.write(&format!("/etc/libvirt/qemu/{}.xml", identity.name), &identity.persistent_xml(layout.bridge()))?;
                let shown = if scenario.bare { 1 } else { pid };
                host.write(&format!("/run/libvirt/qemu/{}.xml", identity.name), &identity.live_xml(layout.bridge(), shown))?;
                if !scenario.bare {
                    host.write(&format!("/run/libvirt/qemu/{}.pid", identity.name), &pid.to_string())?;
                }
            }
        }
        Ok(())
    }

    /// Reaps instances whose process ended, as libvirt would.
    pub(super) fn reap(&mut self) {
        for machine in &mut self.machines {
            let _ = machine.child.try_wait();
        }
    }

    fn named(&self, name: &str) -> Result<&Host> {
        self.hosts.iter().find(|h| h.name == name).ok_or_else(|| missing(name))
    }

    /// A host.
    pub(super) fn host(&self, name: HostName) -> Result<&Host> {
        self.named(name.as_str())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.machines.clear();
        for guest in self.guests.iter().chain(&self.neighbours) {
            let _ = std::fs::remove_file(format!("/run/lab/{}.pid", guest.identity.name));
        }
    }
}

fn missing(what: &str) -> LabError {
    LabError::Broken(format!("{what} was not built"))
}

/// Burnt-in addresses as in the hosts of that time: below every tap's, so that the uplink's is the bridge's.
fn nic_mac(host: &str, nic: &str) -> String {
    let last = nic.bytes().last().unwrap_or(b'0') - b'0';
    match host {
        "virt1012" => format!("40:a8:f0:38:35:{:02x}", 0x88 + last),
        "virt1011" => format!("40:a8:f0:31:02:{:02x}", 0x40 + last),
        _ => format!("d4:be:d9:af:66:{:02x}", 0xba + last),
    }
}

/// Every device that spans two namespaces, and the taps.
fn cables(scenario: &Scenario, instances: &[Identity], neighbours: &[Identity]) -> String {
    let mut text = String::new();
    let mut cable = |host: &str, near: &str, far: &str| {
        let mac = nic_mac(host, near);
        let _ = writeln!(text, "link add {near} netns {host} address {mac} up type veth peer name {far} netns switch");
    };
    for (host, short) in [("virt1012", "virt1012"), ("virt1011", "virt1011"), ("labnet1001", "labnet")] {
        cable(host, "eth0", &format!("m-{short}"));
        if scenario.layout != Layout::Libvirt && !(host == "virt1012" && scenario.wire_errors.is_some()) {
            cable(host, "eth1", &format!("sw-{short}"));
        }
    }
    if scenario.layout == Layout::Bond {
        cable("virt1012", "eth2", "sw-virt1012b");
    }
    for (identity, host) in instances.iter().map(|i| (i, "virt1012")).chain(neighbours.iter().map(|i| (i, "virt1011"))) {
        let mac = mac_text(identity.port_mac());
        let (port, name) = (&identity.port, &identity.name);
        if scenario.bare {
            let _ = writeln!(text, "link add {port} netns {host} address {mac} up type veth peer name p{port} netns switch");
        } else if !identity.tap {
            let _ = writeln!(text, "link add {port} netns {host} address {mac} up type veth peer name eth0 netns {name}");
        }
    }
    text
}

fn virt1012(scenario: &Scenario, instances: &[Identity]) -> String {
    let bridge = scenario.layout.bridge();
    let mut text = String::from("addr add 10.64.20.12/24 dev eth0\nroute add default via 10.64.20.1 dev eth0 onlink\n");
    if scenario.wire_errors.is_some() {
        text.push_str("link set eth0 mtu 1600\n");
        text.push_str(&tunnel("eth1", WIRE_NEAR, WIRE_FAR));
        text.push_str("link set eth1 address 40:a8:f0:38:35:89\n");
    }
    let stp = if scenario.stp { "stp_state 1 forward_delay 200 hello_time 100 max_age 600" } else { "stp_state 0 forward_delay 0" };
    let (uplink, extra) = match scenario.layout {
        Layout::NovaNetwork | Layout::GatewayOnBridge => ("eth1.1102", "link add link eth1 name eth1.1102 up type vlan id 1102\n"),
        Layout::Bond => (
            "bond0.1102",
            "link add bond0 type bond mode active-backup miimon 100\nlink set eth1 down\nlink set eth2 down\nlink set eth1 master bond0\n\
             link set eth2 master bond0\nlink set bond0 up\nlink add link bond0 name bond0.1102 up type vlan id 1102\n",
        ),
        Layout::VlanAware | Layout::Flat => ("eth1", ""),
        Layout::Libvirt => ("", ""),
    };
    text.push_str(extra);
    let filtering = if scenario.layout == Layout::VlanAware { " vlan_filtering 1 vlan_default_pvid 1" } else { "" };
    // As libvirt does, which gives its network's bridge an address of its own.
    let address = if scenario.layout == Layout::Libvirt { "address 52:54:00:3c:d1:01 " } else { "" };
    let _ = writeln!(text, "link add {bridge} {address}type bridge {stp}{filtering}");
    if !uplink.is_empty() {
        let _ = writeln!(text, "link set {uplink} master {bridge}");
    }
    for identity in instances {
        let (port, mac) = (&identity.port, mac_text(identity.port_mac()));
        if identity.tap && !scenario.bare {
            let _ = writeln!(text, "tuntap add dev {port} mode tap\nlink set {port} address {mac} up");
        }
        let _ = writeln!(text, "link set {port} master {bridge}");
    }
    let _ = writeln!(text, "link set {bridge} up");
    match scenario.layout {
        Layout::Libvirt => text.push_str("addr add 192.168.122.1/24 broadcast + dev virbr0\n"),
        Layout::GatewayOnBridge => text.push_str("addr add 10.68.16.1/21 broadcast + dev br1102\n"),
        _ => {}
    }
    text
}

/// One end of the wire that can go bad.
fn tunnel(name: &str, local: Ipv4Addr, remote: Ipv4Addr) -> String {
    format!("link add {name} mtu 1500 type gretap local {local} remote {remote} key {WIRE_KEY} icsum ocsum\nlink set {name} up\n")
}

fn vlan_aware_ports(instances: &[Identity]) -> String {
    let mut text = String::from("vlan add dev eth1 vid 1102\nvlan add dev eth1 vid 1200-1203\n");
    for identity in instances {
        let _ = writeln!(text, "vlan del dev {0} vid 1\nvlan add dev {0} vid 1102 pvid untagged", identity.port);
    }
    text
}

fn switch_ports(scenario: &Scenario) -> Vec<&'static str> {
    let mut ports = vec!["sw-virt1012", "sw-virt1011", "sw-labnet"];
    if scenario.layout == Layout::Bond {
        ports.push("sw-virt1012b");
    }
    if scenario.layout == Layout::Libvirt {
        ports.clear();
    }
    ports
}

fn switch(scenario: &Scenario) -> String {
    let mut text = String::from("link add mgmt up type bridge forward_delay 0\n");
    for host in ["virt1012", "virt1011", "labnet"] {
        let _ = writeln!(text, "link set m-{host} master mgmt up");
    }
    if scenario.wire_errors.is_some() {
        text.push_str("link set m-virt1012 mtu 1600\nlink set mgmt mtu 1600\naddr add 10.64.20.1/24 dev mgmt\n");
        text.push_str(&tunnel("sw-virt1012", WIRE_FAR, WIRE_NEAR));
    }
    let filtering = if scenario.layout.plain() { "" } else { " vlan_filtering 1" };
    let _ = writeln!(text, "link add trunk up type bridge forward_delay 0{filtering}");
    for port in switch_ports(scenario) {
        let _ = writeln!(text, "link set {port} master trunk up");
    }
    text
}

fn switch_vlans(scenario: &Scenario) -> String {
    switch_ports(scenario).into_iter().fold(String::new(), |mut text, port| {
        let _ = writeln!(text, "vlan add dev {port} vid 1102");
        text
    })
}

fn labnet(layout: Layout, subnet: Subnet) -> String {
    let mut text = String::from("addr add 10.64.20.13/24 dev eth0\n");
    let (bridge, uplink) = if layout == Layout::Flat {
        ("br100", "eth1")
    } else {
        text.push_str("link add link eth1 name eth1.1102 up type vlan id 1102\n");
        ("br1102", "eth1.1102")
    };
    let _ = writeln!(text, "link add {bridge} up type bridge forward_delay 0\nlink set {uplink} master {bridge}");
    if layout != Layout::GatewayOnBridge {
        let _ = writeln!(text, "addr add {}/{} broadcast + dev {bridge}", subnet.gateway, subnet.prefix);
    }
    text
}

fn neighbour(layout: Layout, instances: &[Identity]) -> String {
    let mut text = String::from("addr add 10.64.20.11/24 dev eth0\n");
    let (bridge, uplink) = if layout == Layout::Flat {
        ("br100", "eth1")
    } else {
        text.push_str("link add link eth1 name eth1.1102 up type vlan id 1102\n");
        ("br1102", "eth1.1102")
    };
    let _ = writeln!(text, "link add {bridge} up type bridge forward_delay 0\nlink set {uplink} master {bridge}");
    for identity in instances {
        let _ = writeln!(text, "link set {} master {bridge}", identity.port);
    }
    text
}

/// Where the lab keeps its own state.
pub(super) fn prepare_directories() -> Result<()> {
    for dir in ["/run/netns", "/run/lab"] {
        std::fs::create_dir_all(dir).map_err(|source| LabError::Io { doing: format!("making {dir}"), source })?;
    }
    // `ip netns` wants its own network there too.
    bind_file("/proc/self/ns/net", "/run/netns/lab")
}
