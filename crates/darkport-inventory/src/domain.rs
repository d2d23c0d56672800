//! libvirt's domain and network XML (libvirt, `docs/formatdomain.rst`, `docs/formatnetwork.rst`, `src/conf/domain_conf.c`).

use std::net::IpAddr;

use darkport_model::{Fact, FactSource, Instance, Manager, Nic, Vid};
use roxmltree::{Document, Node, ParsingOptions};

use crate::bounds::{self, MAX_NICS, MAX_XML_NODES};
use crate::error::InputError;

/// What one domain XML says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct DomainXml {
    /// The instance; its facts come from [`FactSource::LiveXml`] when the XML was that of a running domain.
    pub instance: Instance,
    /// The libvirt network of each of its interfaces, in their order, where the XML names one but no bridge.
    pub networks: Vec<Option<String>>,
}

/// Reads a domain's XML: bare (`<domain>`, as defined) or as libvirt keeps it of a running one (`<domstatus state='running' pid='812'>`
/// around it). `name` is the file's, for facts and errors. Interfaces that have no device on this host (`user`, `hostdev`,
/// `vhostuser`, sockets) are passed over: there is no path to follow from them.
///
/// # Errors
/// When it is not well-formed XML, has a document type (libvirt writes none, and they can be bombs), or is not a domain's.
pub fn parse_domain_xml(name: &str, bytes: &[u8]) -> Result<DomainXml, InputError> {
    let text = String::from_utf8_lossy(bytes);
    let document = parse(name, &text)?;
    let root = document.root_element();
    let (status, domain) = match root.tag_name().name() {
        "domain" => (None, root),
        "domstatus" => (Some(root), child(root, "domain").ok_or_else(|| unexpected(name, root, "<domain> inside <domstatus>"))?),
        _ => return Err(unexpected(name, root, "<domain> or <domstatus>")),
    };
    let domain_name = text_of(domain, "name").ok_or_else(|| unexpected(name, domain, "<domain> with a <name>"))?;

    let mut read = DomainXml { instance: Instance::named(domain_name), networks: Vec::new() };
    let instance = &mut read.instance;
    instance.uuid = text_of(domain, "uuid").map(|uuid| uuid.to_lowercase());
    instance.display_name = nova_name(domain);
    instance.manager = Some(Manager::Libvirt);
    let source = if status.is_some() { FactSource::LiveXml } else { FactSource::PersistentXml };
    if let Some(status) = status {
        // The states' names: libvirt, src/conf/domain_conf.c, virDomainState.
        let state = status.attribute("state").unwrap_or_default();
        let runs = matches!(state, "running" | "blocked" | "paused" | "shutdown" | "pmsuspended");
        instance.running = Some(Fact::new(runs, source, name));
        instance.paused = Some(Fact::new(matches!(state, "paused" | "pmsuspended"), source, name));
        instance.pid = status.attribute("pid").and_then(|pid| pid.parse().ok()).filter(|pid| runs && *pid > 0);
    }
    let devices = child(domain, "devices");
    let interfaces = devices.into_iter().flat_map(|devices| children(devices, "interface")).filter(|node| has_device_here(*node));
    for interface in interfaces.take(MAX_NICS) {
        let fact = |value: String| Fact::new(value, source, name);
        let (nic, network) = nic(interface, &fact);
        instance.nics.push(nic);
        read.networks.push(network);
    }
    Ok(read)
}

/// Reads a network's XML, persistent or live: its name and the bridge that it puts taps into, if any.
///
/// # Errors
/// As for [`parse_domain_xml`].
pub fn parse_network_xml(name: &str, bytes: &[u8]) -> Result<(String, Option<String>), InputError> {
    let text = String::from_utf8_lossy(bytes);
    let document = parse(name, &text)?;
    let root = document.root_element();
    let network = match root.tag_name().name() {
        "network" => root,
        "networkstatus" => child(root, "network").ok_or_else(|| unexpected(name, root, "<network> inside <networkstatus>"))?,
        _ => return Err(unexpected(name, root, "<network> or <networkstatus>")),
    };
    let network_name = text_of(network, "name").ok_or_else(|| unexpected(name, network, "<network> with a <name>"))?;
    Ok((network_name, attribute(network, "bridge", "name")))
}

fn has_device_here(interface: Node) -> bool {
    matches!(interface.attribute("type"), Some("bridge" | "network" | "direct" | "ethernet"))
}

fn nic(interface: Node, fact: &dyn Fn(String) -> Fact<String>) -> (Nic, Option<String>) {
    // Of a running domain, <actual> says what a network gave the interface.
    let actual = child(interface, "actual");
    let given = |tag: &str, key: &str| actual.and_then(|node| attribute(node, tag, key)).or_else(|| attribute(interface, tag, key));
    let parsed = |value: Option<String>| value.map(fact);

    let mut nic = Nic::default();
    nic.mac = parsed(given("mac", "address")).and_then(convert);
    nic.tap = parsed(given("target", "dev"));
    nic.bridge = parsed(given("source", "bridge"));
    nic.vid = actual.and_then(vlan).or_else(|| vlan(interface)).map(fact).and_then(convert::<Vid>);
    nic.mtu = parsed(given("mtu", "size")).and_then(convert);
    nic.link_down = parsed(given("link", "state")).map(|state| Fact::new(state.value == "down", state.source, state.place));
    nic.filter = parsed(given("filterref", "filter"));
    nic.gateways = gateways(interface).into_iter().map(fact).filter_map(convert::<IpAddr>).collect();
    nic.addresses = addresses(interface).into_iter().map(fact).filter_map(convert::<IpAddr>).collect();
    let network = if nic.bridge.is_none() { given("source", "network") } else { None };
    (nic, network)
}

/// The VLAN of an access port; a trunk's several tags say nothing about the one that the guest uses.
fn vlan(node: Node) -> Option<String> {
    let vlan = child(node, "vlan").filter(|vlan| vlan.attribute("trunk") != Some("yes"))?;
    let mut tags = children(vlan, "tag");
    let tag = tags.next().filter(|_| tags.next().is_none())?;
    tag.attribute("id").map(bounds::text)
}

/// The server that a filter lets the guest hear DHCP from (`<parameter name='DHCPSERVER'>`, which nova sets).
fn gateways(interface: Node) -> Vec<String> {
    let parameters = child(interface, "filterref").into_iter().flat_map(|filter| children(filter, "parameter"));
    let servers = parameters.filter(|node| node.attribute("name") == Some("DHCPSERVER")).filter_map(|node| node.attribute("value"));
    servers.map(bounds::text).take(MAX_NICS).collect()
}

/// Addresses that a filter lets through (`<parameter name='IP'>`, which nova sets) or that the interface is given (`<ip>`).
fn addresses(interface: Node) -> Vec<String> {
    let filter = child(interface, "filterref");
    let parameters = filter.into_iter().flat_map(|filter| children(filter, "parameter"));
    let filtered =
        parameters.filter(|node| matches!(node.attribute("name"), Some("IP" | "IPV6"))).filter_map(|node| node.attribute("value"));
    let given = children(interface, "ip").filter_map(|node| node.attribute("address"));
    let mut found: Vec<String> = Vec::new();
    for address in filtered.chain(given).map(bounds::text).take(MAX_NICS) {
        if !found.contains(&address) {
            found.push(address);
        }
    }
    found
}

/// The name that the owner gave the instance, from nova's metadata (nova, `nova/virt/libvirt/config.py`, since 2014.2).
fn nova_name(domain: Node) -> Option<String> {
    let is_novas = |node: &Node| {
        node.tag_name().name() == "instance"
            && node.tag_name().namespace().is_some_and(|uri| uri.starts_with("http://openstack.org/xmlns/libvirt/nova/"))
    };
    child(domain, "metadata")?.children().find(is_novas).and_then(|instance| text_of(instance, "name"))
}

fn convert<T: std::str::FromStr>(fact: Fact<String>) -> Option<Fact<T>> {
    let value = fact.value.parse().ok()?;
    Some(Fact::new(value, fact.source, fact.place))
}

fn children<'a, 'i>(node: Node<'a, 'i>, tag: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.is_element() && child.tag_name().name() == tag)
}

fn child<'a, 'i>(node: Node<'a, 'i>, tag: &'static str) -> Option<Node<'a, 'i>> {
    children(node, tag).next()
}

fn attribute(node: Node, tag: &str, key: &str) -> Option<String> {
    let found = node.children().filter(|child| child.tag_name().name() == tag).find_map(|child| child.attribute(key));
    found.map(bounds::text).filter(|value| !value.is_empty())
}

fn text_of(node: Node, tag: &'static str) -> Option<String> {
    child(node, tag).and_then(|child| child.text()).map(bounds::text).filter(|text| !text.is_empty())
}

fn parse<'i>(name: &str, text: &'i str) -> Result<Document<'i>, InputError> {
    let options = ParsingOptions { allow_dtd: false, nodes_limit: MAX_XML_NODES, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).map_err(|error| explain(name, text, &error))
}

fn explain(name: &str, text: &str, error: &roxmltree::Error) -> InputError {
    let position = error.pos();
    let (line, column) = (position.row as usize, position.col as usize);
    let at = |found: String, expected: &str| InputError::new(name, line, found, expected).at_column(column);
    match error {
        roxmltree::Error::DtdDetected => {
            InputError::new(name, 1, "a document type (<!DOCTYPE …>)", "XML without one, as libvirt writes it")
        }
        roxmltree::Error::NodesLimitReached => {
            InputError::too_large(name, 1, "XML of more elements than are read", format!("at most {MAX_XML_NODES}"))
        }
        roxmltree::Error::NoRootNode => InputError::new(name, 1, "no element", "<domain>, <domstatus> or <network>"),
        roxmltree::Error::UnclosedRootNode | roxmltree::Error::UnexpectedEndOfStream => {
            let last = text.lines().count().max(1);
            InputError::new(name, last, "the end of the file", "the end of what was begun: a closing tag")
        }
        roxmltree::Error::UnexpectedCloseTag(expected, actual, _) => at(format!("</{actual}>"), &format!("</{expected}>")),
        other => {
            let message = other.to_string();
            let told = message.rsplit_once(" at ").map_or(message.as_str(), |(told, _)| told);
            let told = told.trim_end_matches(" found").trim_end_matches(" detected");
            at(told.to_owned(), "well-formed XML")
        }
    }
}

fn unexpected(name: &str, node: Node, expected: &str) -> InputError {
    let position = node.document().text_pos_at(node.range().start);
    InputError::new(name, position.row as usize, format!("<{}>", node.tag_name().name()), expected).at_column(position.col as usize)
}

#[cfg(test)]
#[path = "domain_tests.rs"]
mod tests;
