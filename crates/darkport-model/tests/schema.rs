//! The JSON schema of what darkport reads and writes, held against the committed copies: it cannot change unseen.
//!
//! `UPDATE_SCHEMA=1 cargo test -p darkport-model --features schema` writes them anew.
#![cfg(feature = "schema")]
#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "a test reads its fixtures, and fails where it cannot")]

use darkport_model::{Diagnosis, Observation};
use schemars::schema_for;

fn compare(name: &str, schema: &schemars::Schema) {
    let path = format!("{}/schema/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let now = serde_json::to_string_pretty(schema).unwrap() + "\n";
    if std::env::var("UPDATE_SCHEMA").is_ok() {
        std::fs::write(&path, &now).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == now,
        "{path} is not the schema of this code: if the change is meant, run with UPDATE_SCHEMA=1 and say so in CHANGELOG.md"
    );
}

#[test]
fn the_observation_has_its_committed_schema() {
    compare("observation", &schema_for!(Observation));
}

#[test]
fn the_diagnosis_has_its_committed_schema() {
    compare("diagnosis", &schema_for!(Diagnosis));
}
