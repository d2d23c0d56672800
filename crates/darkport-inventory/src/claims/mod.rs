//! What the control plane says, in any form that its clients print: told apart by looking.

mod cell;
mod csv;
mod fields;
mod join;
mod json;
mod table;

pub use join::merge_claims;

use darkport_model::Claim;

use crate::bounds::{MAX_CLAIMS, MAX_ERRORS, MAX_ROWS};
use crate::error::InputError;

/// What came of reading a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ParsedClaims {
    /// A claim for each row that makes sense.
    pub claims: Vec<Claim>,
    /// The rows that don't, in their order; at most 101, the last of which then says that the rest was not read.
    pub errors: Vec<InputError>,
}

/// Reads what the control plane says: the table of `nova list`, `openstack server list` as table, JSON or CSV, one or several
/// `nova show` or `openstack server show` as table or JSON. `name` is the file's, for places and errors.
///
/// Columns are known by their names, in any order, and those that say nothing about where an instance is are passed over. The column
/// `Host` of `openstack server list --long` is the hypervisor's host name (openstackclient, `compute/v2/server.py`), not nova's `host`,
/// which only `OS-EXT-SRV-ATTR:host` is. At most 64 MiB and 200,000 rows are read.
pub fn parse_claims(name: &str, bytes: &[u8]) -> ParsedClaims {
    let mut rows = Rows { name, read: ParsedClaims::default(), stopped: false };
    let kept = bytes.get(..MAX_CLAIMS).map_or(bytes, |head| {
        // Cut behind a whole line, so that the cut makes no error of its own.
        head.rsplitn(2, |byte| *byte == b'\n').last().unwrap_or(head)
    });
    let text = String::from_utf8_lossy(kept);
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        rows.error(InputError::new(name, 1, "nothing", EXPECTED));
    } else if json::looks_like(text) {
        json::read(text, &mut rows);
    } else if table::looks_like(text) {
        table::read(text, &mut rows);
    } else if csv::looks_like(text) {
        csv::read(text, &mut rows);
    } else {
        let (at, line) = text.lines().enumerate().find(|(_, line)| !line.trim().is_empty()).unwrap_or((0, ""));
        rows.error(InputError::new(name, at + 1, line.trim(), EXPECTED));
    }
    if kept.len() < bytes.len() && !rows.stopped {
        let line = text.lines().count();
        rows.read.errors.push(InputError::too_large(
            name,
            line,
            format!("more than {} MiB", MAX_CLAIMS >> 20),
            "less: the rest was not read",
        ));
    }
    rows.read
}

const EXPECTED: &str = "what `nova list`, `nova show`, `openstack server list -f json|csv|table` or `openstack server show` print";

/// The rows as they come, within bounds.
struct Rows<'a> {
    name: &'a str,
    read: ParsedClaims,
    stopped: bool,
}

impl Rows<'_> {
    fn error(&mut self, error: InputError) {
        if self.stopped {
            return;
        }
        let line = error.line;
        self.read.errors.push(error);
        if self.read.errors.len() >= MAX_ERRORS {
            self.stopped = true;
            let found = format!("{MAX_ERRORS} errors up to here");
            self.read.errors.push(InputError::new(self.name, line, found, format!("{EXPECTED}: the rest was not read")));
        }
    }

    fn claim(&mut self, line: usize, mut claim: Claim) {
        if self.stopped {
            return;
        }
        if self.read.claims.len() >= MAX_ROWS {
            self.stopped = true;
            let error = InputError::too_large(self.name, line, format!("more than {MAX_ROWS} rows"), "fewer: the rest was not read");
            self.read.errors.push(error);
            return;
        }
        claim.place = format!("{}:{line}", self.name);
        self.read.claims.push(claim);
    }
}
