//! `/sys/class/net/BR/brforward`: a bridge's forwarding database as 16-byte records (linux, `include/uapi/linux/if_bridge.h`,
//! `struct __fdb_entry`; `net/bridge/br_fdb.c`, `br_fdb_fillbuf`).

use darkport_model::{FdbEntry, FdbKind, IfIndex, Link, MacAddr};

/// The length of one record.
pub(crate) const RECORD: usize = 16;
/// A bridge has at most 1,023 ports (`BR_PORT_BITS` is 10, linux, `net/bridge/br_private.h`).
const PORTS_MAX: usize = 1 << 10;

/// Which interface each port number of one bridge is.
#[derive(Debug, Clone, Default)]
pub struct PortNumbers(Vec<Option<IfIndex>>);

impl PortNumbers {
    /// The ports of `bridge` among `links`.
    pub fn of(bridge: IfIndex, links: &[Link]) -> Self {
        let mut ports = Self::default();
        for link in links.iter().filter(|link| link.master == Some(bridge)) {
            if let Some(number) = link.port.as_ref().and_then(|port| port.number) {
                ports.set(number, link.index);
            }
        }
        ports
    }

    fn set(&mut self, number: u16, index: IfIndex) {
        let number = usize::from(number);
        if number < PORTS_MAX {
            self.0.resize(self.0.len().max(number + 1), None);
            if let Some(slot) = self.0.get_mut(number) {
                *slot = Some(index);
            }
        }
    }

    fn get(&self, number: u16) -> Option<IfIndex> {
        self.0.get(usize::from(number)).copied().flatten()
    }

    /// How many ports there are.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().flatten().count()
    }
}

/// Decodes what `brforward` holds: the entries, and the number of records that name a port which is not among `ports`.
///
/// The file tells neither VLANs nor static entries; one with age 0 is either static or was seen in this very hundredth of a second.
/// The bridge's own addresses are not in it. Bytes behind the last whole record are passed over.
pub fn decode_brforward(records: &[u8], ports: &PortNumbers) -> (Vec<FdbEntry>, usize) {
    let mut entries = Vec::with_capacity(records.len() / RECORD);
    let mut strangers = 0;
    for record in records.chunks_exact(RECORD) {
        let [m0, m1, m2, m3, m4, m5, port_low, is_local, a0, a1, a2, a3, port_high, ..] = *record else { continue };
        let Some(port) = ports.get(u16::from_le_bytes([port_low, port_high])) else {
            strangers += 1;
            continue;
        };
        let kind = if is_local == 0 { FdbKind::Learned } else { FdbKind::Local };
        let mut entry = FdbEntry::new(MacAddr([m0, m1, m2, m3, m4, m5]), port, kind);
        // USER_HZ is 100 wherever linux runs, so that a tick is a hundredth of a second.
        entry.age_cs = (kind == FdbKind::Learned).then_some(u32::from_ne_bytes([a0, a1, a2, a3]));
        entries.push(entry);
    }
    (entries, strangers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use darkport_model::Port;
    use proptest::prelude::*;

    fn ports() -> PortNumbers {
        let mut link = Link::new(7, "vnet0");
        link.master = Some(IfIndex(3));
        let mut port = Port::forwarding();
        port.number = Some(300);
        link.port = Some(port);
        PortNumbers::of(IfIndex(3), &[link])
    }

    #[test]
    fn a_record_has_its_port_in_two_bytes_far_apart() {
        let record = [0xfa, 0x16, 0x3e, 0, 0, 1, 44, 0, 0x2c, 1, 0, 0, 1, 0, 0, 0];
        let (entries, strangers) = decode_brforward(&record, &ports());
        assert_eq!((entries.len(), strangers), (1, 0));
        assert_eq!((entries[0].port, entries[0].kind, entries[0].age_cs), (IfIndex(7), FdbKind::Learned, Some(300)));
    }

    #[test]
    fn an_unknown_port_is_counted_and_a_cut_record_passed_over() {
        let (entries, strangers) = decode_brforward(&[1; 40], &ports());
        assert_eq!((entries.len(), strangers), (0, 2));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let (entries, strangers) = decode_brforward(&bytes, &ports());
            prop_assert_eq!(entries.len() + strangers, bytes.len() / RECORD);
        }
    }
}
