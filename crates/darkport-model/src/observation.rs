//! Everything known about one host at one moment.

use serde::{Deserialize, Serialize};

use crate::gap::{Gap, Source};
use crate::host::Host;
use crate::ids::{IfIndex, Timestamp};
use crate::inventory::Inventory;
use crate::l2::{Fdb, PortVlan};
use crate::l3::{Address, Neighbour, Route, Rule};
use crate::link::{Link, Qdisc};
use crate::probes::Probes;

/// The version of the JSON form of [`Observation`] and [`Diagnosis`](crate::Diagnosis). It rises when an older darkport would misread a newer file; fields that an
/// older one can do without are added without it.
pub const SCHEMA: u32 = 1;

/// The schema that a value was written with; a new value has this darkport's own, [`SCHEMA`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct SchemaVersion(pub u32);

impl Default for SchemaVersion {
    fn default() -> Self {
        Self(SCHEMA)
    }
}

/// One host at one moment, and what could not be read of it. A value: it can be saved, carried away and diagnosed elsewhere.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
#[non_exhaustive]
pub struct Observation {
    /// The version of this form.
    pub schema: SchemaVersion,
    /// The darkport that took it.
    pub darkport: String,
    /// When the second look ended.
    pub taken_at: Timestamp,
    /// Milliseconds between the two looks; none when there was one only, so that no rate can be told.
    pub window_ms: Option<u64>,
    /// The host beyond its interfaces.
    pub host: Host,
    /// Its interfaces.
    pub links: Vec<Link>,
    /// Queueing disciplines.
    pub qdiscs: Vec<Qdisc>,
    /// Forwarding databases, one for each bridge.
    pub fdbs: Vec<Fdb>,
    /// VLANs of bridge ports.
    pub port_vlans: Vec<PortVlan>,
    /// Addresses.
    pub addresses: Vec<Address>,
    /// Neighbours.
    pub neighbours: Vec<Neighbour>,
    /// Routes of all tables.
    pub routes: Vec<Route>,
    /// Policy rules.
    pub rules: Vec<Rule>,
    /// What ought to be here.
    pub inventory: Inventory,
    /// What darkport's own frames met with, and what was overheard.
    pub probes: Probes,
    /// What could not be read.
    pub gaps: Vec<Gap>,
}

/// A saved observation that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// Not the JSON of an observation.
    #[error("failed to read the observation: line {line}, column {column}: {message}")]
    Malformed {
        /// Where it stops making sense, from 1.
        line: usize,
        /// The column there, from 1.
        column: usize,
        /// What was expected.
        message: String,
    },
    /// Written by a newer darkport whose form this one would misread.
    #[error(
        "failed to read the observation: it has schema {found}, this darkport reads up to {SCHEMA}: use the darkport that wrote it, or a newer one"
    )]
    Newer {
        /// The file's schema.
        found: u32,
    },
    /// JSON, but no `schema` in it: not an observation.
    #[error("failed to read the observation: the file has no \"schema\": expected what `darkport --save FILE` writes")]
    NotAnObservation,
}

#[derive(Deserialize)]
struct Header {
    schema: Option<u32>,
}

impl Observation {
    /// The link with this index.
    pub fn link(&self, index: IfIndex) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    /// The link with this name.
    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// The ports of a bridge or members of a bond.
    pub fn ports_of(&self, master: IfIndex) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(move |link| link.master == Some(master))
    }

    /// The gaps in one source.
    pub fn gaps_in(&self, source: Source) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().filter(move |gap| gap.source == source)
    }

    /// The JSON form, on one line.
    pub fn to_json(&self) -> String {
        // Every map here has string keys and every value a JSON form, so that this cannot fail; an empty text would not load.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads the JSON form back. Fields that this darkport does not know are passed over; fields that an older one did not
    /// write take their defaults.
    ///
    /// # Errors
    /// [`LoadError::Newer`] for a form that this darkport would misread, [`LoadError::NotAnObservation`] for other JSON,
    /// [`LoadError::Malformed`] with the place otherwise.
    pub fn from_json(text: &str) -> Result<Self, LoadError> {
        let header: Header = serde_json::from_str(text).map_err(|error| LoadError::malformed(&error))?;
        match header.schema {
            None | Some(0) => Err(LoadError::NotAnObservation),
            Some(found) if found > SCHEMA => Err(LoadError::Newer { found }),
            Some(_) => serde_json::from_str(text).map_err(|error| LoadError::malformed(&error)),
        }
    }
}

impl LoadError {
    fn malformed(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // serde_json ends its message with the place, which is told apart here.
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message).to_owned();
        Self::Malformed { line: error.line(), column: error.column(), message }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_observation_loads_with_defaults() {
        let seen = Observation::from_json(r#"{"schema":1,"links":[{"index":3,"name":"eth1"}]}"#).unwrap();
        assert_eq!(seen.links, [Link::new(3, "eth1")]);
        assert_eq!(seen.window_ms, None);
    }

    #[test]
    fn what_a_newer_darkport_added_is_passed_over() {
        let seen =
            Observation::from_json(r#"{"schema":1,"tomorrow":{"x":1},"links":[{"index":3,"name":"eth1","colour":"blue"}]}"#).unwrap();
        assert_eq!(seen.links, [Link::new(3, "eth1")]);
    }

    #[test]
    fn a_newer_form_is_refused_by_name() {
        let error = Observation::from_json(r#"{"schema":2,"links":7}"#).unwrap_err();
        assert!(matches!(error, LoadError::Newer { found: 2 }));
        assert!(error.to_string().contains("schema 2"), "{error}");
    }

    #[test]
    fn other_json_and_broken_json_say_so() {
        assert!(matches!(Observation::from_json("{}"), Err(LoadError::NotAnObservation)));
        let error = Observation::from_json("{\n\"schema\":1,\n\"links\":[{]}").unwrap_err();
        assert!(matches!(error, LoadError::Malformed { line: 3, .. }), "{error}");
    }
}
