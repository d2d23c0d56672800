//! Which function an address of the kernel's lies in, by `/proc/kallsyms`.

use std::collections::BTreeMap;
use std::io::{self, BufRead};

/// Of a longer line only so much is looked at.
const LONGEST: u64 = 1024;

/// The functions that `addresses` lie in: of each the nearest one that begins at or below it. An address that nothing is told of is left
/// out; all are, where the kernel hides its addresses and shows zeros (`kptr_restrict`, linux, `kernel/kallsyms.c`).
pub(super) fn functions(mut text: impl BufRead, addresses: &[u64]) -> io::Result<BTreeMap<u64, String>> {
    let mut wanted = addresses.to_vec();
    wanted.sort_unstable();
    wanted.dedup();
    let mut best: Vec<Option<(u64, String)>> = vec![None; wanted.len()];
    let mut line = Vec::new();
    while io::Read::take(&mut text, LONGEST).read_until(b'\n', &mut line)? > 0 {
        if let Some((begin, name)) = symbol(&line) {
            // The list is sorted by modules, not in whole. A function is noted for the first address above its beginning only.
            let at = wanted.partition_point(|address| *address < begin);
            if let Some(place) = best.get_mut(at) {
                if place.as_ref().is_none_or(|(known, _)| *known < begin) {
                    *place = Some((begin, name.to_owned()));
                }
            }
        }
        line.clear();
    }
    let mut nearest = None;
    let mut found = BTreeMap::new();
    for (address, place) in wanted.into_iter().zip(best) {
        // What begins between the address before and this one is nearer than what that one had.
        nearest = place.or(nearest);
        if let Some((_, name)) = &nearest {
            found.insert(address, name.clone());
        }
    }
    Ok(found)
}

/// `ffffffff81e42670 T kfree_skb_list_reason`, with `[module]` behind it; of functions only.
fn symbol(line: &[u8]) -> Option<(u64, &str)> {
    let mut parts = std::str::from_utf8(line).ok()?.split_ascii_whitespace();
    let begin = u64::from_str_radix(parts.next()?, 16).ok().filter(|begin| *begin != 0)?;
    if !matches!(parts.next()?, "t" | "T" | "w" | "W") {
        return None;
    }
    // What the compiler made of a function (`.isra.0`, `.cold`) is still that function to a reader of its source.
    let name = parts.next()?.split('.').next()?;
    let plain = !name.is_empty() && name.len() <= 128 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain.then_some((begin, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIST: &str = "\
ffffffff81000000 T _stext
ffffffff81c00100 t nf_hook_slow.part.0
ffffffff81c00300 T nf_hook_slow_list
ffffffff81c00380 D some_data
ffffffffc0400000 t br_handle_frame\t[bridge]
ffffffffc0300000 t tun_net_xmit\t[tun]
";

    fn found(list: &str, addresses: &[u64]) -> Vec<String> {
        functions(list.as_bytes(), addresses).unwrap().into_values().collect()
    }

    #[test]
    fn the_nearest_function_below() {
        let asked = [0xffff_ffff_81c0_03f0, 0xffff_ffff_81c0_0123, 0xffff_ffff_c030_0040, 0xffff_ffff_c040_0000, 0xffff_ffff_c030_0044];
        assert_eq!(found(LIST, &asked), ["nf_hook_slow", "nf_hook_slow_list", "tun_net_xmit", "tun_net_xmit", "br_handle_frame"]);
        assert!(found(LIST, &[0x1000]).is_empty(), "below all");
    }

    #[test]
    fn hidden_addresses_tell_nothing() {
        let hidden: Vec<String> = LIST.lines().map(|line| format!("0000000000000000{}", &line[16..])).collect();
        assert!(found(&hidden.join("\n"), &[0xffff_ffff_81c0_0123]).is_empty());
    }

    #[test]
    fn a_line_without_end_takes_no_room() {
        let list = format!("ffffffff81000000 T {}\n{LIST}", "x".repeat(100_000));
        assert_eq!(found(&list, &[0xffff_ffff_81c0_0123]), ["nf_hook_slow"]);
    }

    proptest! {
        #[test]
        fn as_a_plain_search_would_find(symbols in prop::collection::vec(1u64..500, 0..40), asked in prop::collection::vec(0u64..600, 0..12)) {
            let list: Vec<String> = symbols.iter().map(|begin| format!("{begin:x} t f{begin}")).collect();
            let found = functions(list.join("\n").as_bytes(), &asked).unwrap();
            for address in asked {
                let nearest = symbols.iter().filter(|begin| **begin <= address).max().map(|begin| format!("f{begin}"));
                prop_assert_eq!(found.get(&address), nearest.as_ref());
            }
        }
    }
}
