//! Files that guests, tenants and broken disks may have written: none of them may panic, hang or grow without bound.
//!
//! The first byte picks the parser, the rest is the file.
#![no_main]

use darkport_inventory::{
    merge, merge_claims, parse_claims, parse_domain_xml, parse_fdinfo_iff, parse_interfaces, parse_network_xml, parse_networkd,
    parse_nova_conf, parse_proxmox_conf, parse_qemu_command,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((which, file)) = data.split_first() else { return };
    match which % 9 {
        0 => {
            let parsed = parse_claims("fuzz", file);
            assert!(parsed.errors.len() <= 101);
            let rows = parsed.claims.len();
            assert!(merge_claims(parsed.claims).len() <= rows);
        }
        1 => {
            if let Ok(domain) = parse_domain_xml("fuzz", file) {
                assert_eq!(domain.networks.len(), domain.instance.nics.len());
                let once = merge(vec![domain.instance.clone(), domain.instance]);
                assert_eq!(once.len(), 1);
                assert_eq!(merge(once.clone()), once);
            }
        }
        2 => drop(parse_network_xml("fuzz", file)),
        3 => {
            let arguments: Vec<_> = file.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            assert!(parse_qemu_command(&arguments).nics.len() <= 256);
        }
        4 => assert_ne!(parse_fdinfo_iff(file).as_deref(), Some("")),
        5 => drop(parse_nova_conf([("fuzz", file)]).into_intents()),
        6 => drop(parse_interfaces("fuzz", file).into_intents()),
        7 => drop(parse_networkd("fuzz", file).into_intents()),
        _ => drop(parse_proxmox_conf("fuzz", 101, file, &|bridge| Some(bridge.len() % 2 == 0))),
    }
});
