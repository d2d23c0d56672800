//! What the kernel says of the tracepoint: where its fields are, and what its reasons are called. Both differ from kernel to kernel.

use std::collections::HashMap;

/// As many reasons are kept; Linux 6.18 has 127.
const MOST_REASONS: usize = 1024;
/// Longer names are no reason's.
const LONGEST: usize = 64;

/// The form of `skb:kfree_skb`, from its file `format`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format {
    /// The event's number.
    pub(super) id: u64,
    location: Field,
    protocol: Field,
    reason: Option<Field>,
    names: HashMap<u64, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Field {
    offset: usize,
    size: usize,
}

/// One dropped frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Dropped {
    /// None where the kernel has no reasons.
    pub(super) reason: Option<u64>,
    /// The address behind the call that dropped it.
    pub(super) location: u64,
    pub(super) protocol: u16,
}

impl Format {
    /// None where the text lacks the number, or a field that is needed, or where a field is no number.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let id = text.lines().find_map(|line| line.strip_prefix("ID:"))?.trim().parse().ok()?;
        let field = |name: &str| text.lines().find_map(|line| Field::parse(line, name));
        let print = text.lines().find(|line| line.starts_with("print fmt:")).unwrap_or_default();
        Some(Self { id, location: field("location")?, protocol: field("protocol")?, reason: field("reason"), names: names(print) })
    }

    /// A recorded event's own bytes.
    pub(super) fn read(&self, raw: &[u8]) -> Option<Dropped> {
        Some(Dropped {
            reason: self.reason.and_then(|field| field.read(raw)),
            location: self.location.read(raw)?,
            protocol: u16::try_from(self.protocol.read(raw)?).ok()?,
        })
    }

    /// What the kernel calls a reason; of one that it does not name here (they belong to modules) the number.
    pub(super) fn name(&self, reason: Option<u64>) -> String {
        let Some(reason) = reason else { return String::new() };
        self.names.get(&reason).cloned().unwrap_or_else(|| format!("reason {reason}"))
    }
}

impl Field {
    /// `field:unsigned short protocol; offset:32; size:2; signed:0;`
    fn parse(line: &str, name: &str) -> Option<Self> {
        let mut parts = line.trim().strip_prefix("field:")?.split(';').map(str::trim);
        if parts.next()?.rsplit([' ', '*']).next()? != name {
            return None;
        }
        let mut number = |key: &str| parts.next()?.strip_prefix(key)?.strip_prefix(':')?.parse::<usize>().ok();
        let field = Self { offset: number("offset")?, size: number("size")? };
        matches!(field.size, 1 | 2 | 4 | 8).then_some(field)
    }

    fn read(self, raw: &[u8]) -> Option<u64> {
        let bytes = raw.get(self.offset..self.offset.checked_add(self.size)?)?;
        Some(match *bytes {
            [a] => a.into(),
            [a, b] => u16::from_ne_bytes([a, b]).into(),
            [a, b, c, d] => u32::from_ne_bytes([a, b, c, d]).into(),
            [a, b, c, d, e, f, g, h] => u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
            _ => return None,
        })
    }
}

/// `__print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 3, "NO_SOCKET" })`
fn names(print: &str) -> HashMap<u64, String> {
    let Some((_, list)) = print.split_once("__print_symbolic(REC->reason,") else { return HashMap::new() };
    let pairs = list.split('{').filter_map(|pair| {
        let (number, rest) = pair.split_once(',')?;
        let name = rest.split('"').nth(1)?;
        let plain = !name.is_empty() && name.len() <= LONGEST && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        plain.then_some((number.trim().parse().ok()?, name.to_owned()))
    });
    pairs.take(MOST_REASONS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COMMON: &str = "name: kfree_skb\nID: 1417\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;\n\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;\n\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\tfield:void * skbaddr;\toffset:8;\tsize:8;\tsigned:0;\n";

    /// The fields after `skbaddr`, and what follows them.
    fn kernel(fields: &[(&str, usize, usize)], print: &str) -> Format {
        let field = |(name, offset, size): &(&str, usize, usize)| format!("\tfield:{name};\toffset:{offset};\tsize:{size};\tsigned:0;\n");
        let text = format!("{COMMON}{}\nprint fmt: {print}\n", fields.iter().map(field).collect::<Vec<_>>().concat());
        Format::parse(&text).unwrap()
    }

    fn raw(parts: &[&[u8]]) -> Vec<u8> {
        let mut raw = vec![0; 16];
        raw.extend(parts.concat());
        raw
    }

    const WHERE: u64 = 0xffff_ffff_81e4_2670;
    const ARP: u16 = 0x0806;

    #[test]
    fn the_oldest_has_the_protocol_first_and_no_reason() {
        // Linux 3.2 (include/trace/events/skb.h).
        let format = kernel(
            &[("unsigned short protocol", 16, 2), ("void * location", 24, 8)],
            r#""skbaddr=%p protocol=%u location=%p", REC->skbaddr, REC->protocol, REC->location"#,
        );
        let dropped = format.read(&raw(&[&ARP.to_ne_bytes(), &[0; 6], &WHERE.to_ne_bytes()])).unwrap();
        assert_eq!(dropped, Dropped { reason: None, location: WHERE, protocol: ARP });
        assert_eq!((format.id, format.name(dropped.reason).as_str()), (1417, ""));
    }

    #[test]
    fn from_4_19_to_5_16_the_location_comes_first() {
        for print in [
            r#""skbaddr=%p protocol=%u location=%p", REC->skbaddr, REC->protocol, REC->location"#,
            r#""skbaddr=%p protocol=%u location=%pS", REC->skbaddr, REC->protocol, REC->location"#,
        ] {
            let format = kernel(&[("void * location", 16, 8), ("unsigned short protocol", 24, 2)], print);
            let dropped = format.read(&raw(&[&WHERE.to_ne_bytes(), &ARP.to_ne_bytes(), &[0; 6]])).unwrap();
            assert_eq!(dropped, Dropped { reason: None, location: WHERE, protocol: ARP });
        }
    }

    #[test]
    fn from_5_17_on_there_is_a_reason_as_in_6_1() {
        let format = kernel(
            &[("void * location", 16, 8), ("unsigned short protocol", 24, 2), ("enum skb_drop_reason reason", 28, 4)],
            r#""skbaddr=%p protocol=%u location=%p reason: %s", REC->skbaddr, REC->protocol, REC->location, __print_symbolic(REC->reason, { 1, "NOT_SPECIFIED" }, { 2, "NO_SOCKET" }, { 7, "NETFILTER_DROP" }, { 50, "TC_INGRESS" }, { SKB_DROP_REASON_MAX, "MAX" })"#,
        );
        let dropped = format.read(&raw(&[&WHERE.to_ne_bytes(), &ARP.to_ne_bytes(), &[0; 2], &7u32.to_ne_bytes()])).unwrap();
        assert_eq!(dropped, Dropped { reason: Some(7), location: WHERE, protocol: ARP });
        assert_eq!(format.name(dropped.reason), "NETFILTER_DROP");
        assert_eq!(format.name(Some(1)), "NOT_SPECIFIED");
        assert_eq!(format.name(Some(0x3_0001)), "reason 196609", "Open vSwitch's own are not in the list");
    }

    #[test]
    fn newer_ones_tell_the_socket_too_as_6_12() {
        let format = kernel(
            &[
                ("void * location", 16, 8),
                ("void * rx_sk", 24, 8),
                ("unsigned short protocol", 32, 2),
                ("enum skb_drop_reason reason", 36, 4),
            ],
            r#""skbaddr=%p rx_sk=%p protocol=%u location=%pS reason: %s", REC->skbaddr, REC->rx_sk, REC->protocol, REC->location, __print_symbolic(REC->reason, { 2, "NOT_SPECIFIED" }, { 11, "NETFILTER_DROP" }, { 61, "TC_INGRESS" })"#,
        );
        let dropped = format.read(&raw(&[&WHERE.to_ne_bytes(), &[0; 8], &ARP.to_ne_bytes(), &[0; 2], &61u32.to_ne_bytes()])).unwrap();
        assert_eq!((format.name(dropped.reason).as_str(), dropped.protocol), ("TC_INGRESS", ARP));
    }

    #[test]
    fn what_is_no_format_is_none() {
        assert_eq!(Format::parse(""), None);
        assert_eq!(Format::parse(COMMON), None, "neither location nor protocol");
        let odd = format!("{COMMON}\tfield:void * location;\toffset:16;\tsize:3;\n\tfield:unsigned short protocol;\toffset:24;\tsize:2;\n");
        assert_eq!(Format::parse(&odd), None, "a field of three bytes");
    }

    proptest! {
        #[test]
        fn no_text_and_no_record_makes_it_panic(
            text in r"(ID: [0-9]{1,25}\n)?((\tfield:[a-z *]{0,9}(location|protocol|reason);\toffset:[0-9]{1,22};\tsize:[0-9];\n)|(print fmt: __print_symbolic\(REC->reason,[ {}0-9,A-Z\x22]{0,40}\n)|\PC{0,30}\n){0,9}",
            raw in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            if let Some(format) = Format::parse(&text) {
                let told = format.read(&raw);
                prop_assert!(told.is_none() || raw.len() >= format.location.size);
                prop_assert!(format.name(told.and_then(|told| told.reason)).len() <= LONGEST);
            }
        }
    }
}
