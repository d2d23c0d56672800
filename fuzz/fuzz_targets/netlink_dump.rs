//! No bytes from a netlink socket or from `brforward` may panic, and every observation they make must survive its own JSON.
#![no_main]

use darkport_bridge::{PortNumbers, decode, decode_brforward};
use darkport_model::{IfIndex, Observation};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut seen = Observation::default();
    decode(data, &mut seen);
    let again = Observation::from_json(&seen.to_json());
    assert!(again.as_ref().is_ok_and(|again| *again == seen), "{again:?}");

    // Decoding must not depend on what came before: twice the same bytes are twice the same things.
    let mut twice = Observation::default();
    decode(&data.repeat(2), &mut twice);
    assert!(twice.links.len() >= seen.links.len() && twice.routes.len() >= seen.routes.len());

    let ports = PortNumbers::of(IfIndex(1), &seen.links);
    let (entries, strangers) = decode_brforward(data, &ports);
    assert_eq!(entries.len() + strangers, data.len() / 16);
});
