//! The parsers of `/proc`, `/sys` and netlink answers: the first byte says which, the rest is what it reads.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some((which, data)) = data.split_first() {
        darkport_host::fuzzing::parse(*which, data);
    }
});
