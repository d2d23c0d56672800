//! A bug on purpose, five particular bytes deep: `./x fuzz` first shows that it is found, so that "no crash" elsewhere means something.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let [_, 0xfa, 0x16, 0x3e, rest @ ..] = data {
        assert!(!rest.starts_with(b"\x11\x02"), "the planted bug");
    }
});
