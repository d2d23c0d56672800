//! What columns mean, whatever the client calls them and however it prints their values.

use std::net::IpAddr;

use darkport_model::Claim;
use serde_json::Value;

use crate::bounds::{self, MAX_NICS};

/// A field of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Uuid,
    Name,
    InstanceName,
    Host,
    HypervisorHostname,
    Status,
    PowerState,
    TaskState,
    Addresses,
}

/// The properties that `show` prints and that mean something here, by their full names.
pub(super) const PROPERTIES: [&str; 9] = [
    "OS-EXT-SRV-ATTR:host",
    "OS-EXT-SRV-ATTR:hypervisor_hostname",
    "OS-EXT-SRV-ATTR:instance_name",
    "OS-EXT-STS:power_state",
    "OS-EXT-STS:task_state",
    "addresses",
    "id",
    "name",
    "status",
];

/// What a column or property holds. nova's client writes `OS-EXT-SRV-ATTR: Instance Name` where the API says
/// `OS-EXT-SRV-ATTR:instance_name`; case, blanks and underscores make no difference.
pub(super) fn field(title: &str) -> Option<Field> {
    let plain: String = title.chars().filter(|c| !matches!(c, ' ' | '_')).flat_map(char::to_lowercase).take(64).collect();
    Some(match plain.as_str() {
        "id" => Field::Uuid,
        "name" => Field::Name,
        "os-ext-srv-attr:instancename" | "instancename" => Field::InstanceName,
        "os-ext-srv-attr:host" | "computehost" => Field::Host,
        "os-ext-srv-attr:hypervisorhostname" | "hypervisorhostname" | "host" => Field::HypervisorHostname,
        "status" => Field::Status,
        "os-ext-sts:powerstate" | "powerstate" => Field::PowerState,
        "os-ext-sts:taskstate" | "taskstate" => Field::TaskState,
        "networks" | "addresses" => Field::Addresses,
        _ => return None,
    })
}

/// Puts a value into its field; what was expected instead, where it cannot be one.
pub(super) fn set(claim: &mut Claim, field: Field, value: &str) -> Result<(), &'static str> {
    let text = bounds::text(value);
    // Clients print nothing as `-` (nova), `None` (older nova, openstack) or `N/A`.
    let said = (!matches!(text.as_str(), "" | "-" | "None" | "N/A")).then(|| text.clone());
    match field {
        Field::Uuid => match said {
            Some(id) if is_uuid(&id) => claim.uuid = Some(id.to_lowercase()),
            _ => return Err("a UUID"),
        },
        // An instance may well be called `None`.
        Field::Name => claim.name = Some(text).filter(|name| !name.is_empty()),
        Field::InstanceName => claim.instance_name = said,
        Field::Host => claim.host = said,
        Field::HypervisorHostname => claim.hypervisor_hostname = said,
        Field::Status => claim.status = said.map(|status| status.to_uppercase()),
        Field::PowerState => claim.power_state = said.map(power_state),
        Field::TaskState => claim.task_state = said,
        Field::Addresses => add_addresses(claim, addresses(value)?),
    }
    Ok(())
}

/// Puts a JSON value into its field.
pub(super) fn set_json(claim: &mut Claim, field: Field, value: &Value) -> Result<(), &'static str> {
    match (field, value) {
        (_, Value::Null) if field != Field::Uuid => Ok(()),
        (_, Value::String(text)) => set(claim, field, text),
        (Field::Addresses, Value::Object(networks)) => {
            let listed = networks.values().flat_map(|list| list.as_array().into_iter().flatten());
            for address in listed.take(MAX_NICS) {
                let text = address.as_str().or_else(|| address.get("addr").and_then(Value::as_str));
                let parsed = text.and_then(|text| text.parse().ok()).ok_or("an IP address")?;
                add_addresses(claim, vec![parsed]);
            }
            Ok(())
        }
        (_, Value::Number(number)) => set(claim, field, &number.to_string()),
        _ => Err("a text or a number"),
    }
}

/// Adds addresses that are not there yet.
pub(super) fn add_addresses(claim: &mut Claim, addresses: Vec<IpAddr>) {
    for address in addresses {
        if claim.addresses.len() < MAX_NICS && !claim.addresses.contains(&address) {
            claim.addresses.push(address);
        }
    }
}

/// Addresses out of `net=ip, ip; net2=ip`, out of `ip, ip`, and out of what Python makes of a dictionary in CSV:
/// `{'net': ['ip']}`.
pub(super) fn addresses(text: &str) -> Result<Vec<IpAddr>, &'static str> {
    let text = text.trim();
    let parse = |token: &str| token.parse::<IpAddr>().map_err(|_| "addresses such as net=10.68.16.4, 10.68.16.5; net2=10.0.0.4");
    if matches!(text, "" | "-" | "None" | "N/A") {
        return Ok(Vec::new());
    }
    if text.starts_with('{') {
        return in_brackets(text).into_iter().take(MAX_NICS).map(parse).collect();
    }
    let lists = text.split(';').map(|network| network.rsplit_once('=').map_or(network, |(_, list)| list));
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|token| !token.is_empty()).take(MAX_NICS).map(parse).collect()
}

/// The quoted texts between `[` and `]`: the addresses, while the networks' names stand outside.
fn in_brackets(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut inside = false;
    let mut rest = text;
    while let Some(at) = rest.find(['[', ']', '\'', '"']) {
        let mark = rest.get(at..=at).unwrap_or_default();
        rest = rest.get(at + 1..).unwrap_or_default();
        match mark {
            "[" => inside = true,
            "]" => inside = false,
            quote => {
                let (quoted, behind) = rest.split_once(quote).unwrap_or((rest, ""));
                if inside {
                    found.push(quoted);
                }
                rest = behind;
            }
        }
    }
    found
}

/// The API's number of a power state in the clients' words (nova, `nova/compute/power_state.py`).
fn power_state(text: String) -> String {
    match text.as_str() {
        "0" => "NOSTATE",
        "1" => "Running",
        "3" => "Paused",
        "4" => "Shutdown",
        "6" => "Crashed",
        "7" => "Suspended",
        _ => return text,
    }
    .to_owned()
}

/// Whether it is a UUID in its usual form, 8-4-4-4-12 hexadecimal digits.
pub(super) fn is_uuid(text: &str) -> bool {
    text.len() == 36 && begins_uuid(text)
}

/// Whether a UUID may begin so.
pub(super) fn begins_uuid(text: &str) -> bool {
    let fits = |(at, byte): (usize, u8)| if matches!(at, 8 | 13 | 18 | 23) { byte == b'-' } else { byte.is_ascii_hexdigit() };
    text.len() <= 36 && text.bytes().enumerate().all(fits)
}
