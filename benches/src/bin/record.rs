//! Records this network namespace's netlink dumps, as fixtures for tests, benches and fuzzing.
#![allow(clippy::disallowed_methods, reason = "a program that writes files")]

use std::error::Error;

use darkport_benches::BareSocket;

/// File, kind, family, length of the header, attributes of the request. `IFLA_EXT_MASK` 4 asks for VLANs as ranges.
const DUMPS: [(&str, u16, u8, u32, &[u8]); 10] = [
    ("links", 18, 0, 16, &[]),
    ("bridge-vlans", 18, 7, 16, &[8, 0, 29, 0, 4, 0, 0, 0]),
    ("addresses", 22, 0, 8, &[]),
    ("neighbours", 30, 0, 12, &[]),
    ("fdb", 30, 7, 12, &[]),
    ("routes", 26, 2, 12, &[]),
    ("routes6", 26, 10, 12, &[]),
    ("rules", 34, 2, 12, &[]),
    ("rules6", 34, 10, 12, &[]),
    ("qdiscs", 38, 0, 20, &[]),
];

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("usage: record-dumps DIRECTORY")?;
    for (name, kind, family, length, attributes) in DUMPS {
        let dump = BareSocket::open()?.record(kind, family, length, attributes)?;
        std::fs::write(format!("{directory}/{name}.nl"), dump)?;
    }
    Ok(())
}
