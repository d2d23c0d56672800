//! What the kernel tells beside a frame: control messages, read from their bytes (cmsg(3)).

use std::time::Duration;

use crate::wire::Tag;

/// What is of use there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extra {
    /// When the frame came in, since 1970.
    pub(super) stamp: Option<Duration>,
    /// Its VLAN tag.
    pub(super) tag: Option<Tag>,
    /// Its checksum is not made yet.
    pub(super) unfinished: bool,
}

const WORD: usize = size_of::<usize>();
/// `struct cmsghdr`: a length of pointer size, level, type.
const HEADER: usize = WORD + 8;
const TPID_VALID: u32 = libc::TP_STATUS_VLAN_TPID_VALID;
const TAG_VALID: u32 = libc::TP_STATUS_VLAN_VALID;

/// Reads all control messages; what is cut or unknown is passed over.
pub(super) fn read(mut bytes: &[u8]) -> Extra {
    let mut extra = Extra::default();
    while let Some((length, level, kind)) = header(bytes) {
        let Some(data) = bytes.get(HEADER..length) else { break };
        match (level, kind) {
            (libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS) => extra.stamp = stamp(data),
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) => (extra.tag, extra.unfinished) = (tag(data), unfinished(data)),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(WORD)..).unwrap_or_default();
    }
    extra
}

fn header(bytes: &[u8]) -> Option<(usize, i32, i32)> {
    let (length, rest) = bytes.split_first_chunk::<WORD>()?;
    let length = usize::from_ne_bytes(*length);
    // A length that does not reach beyond its own header would be read for ever.
    (length >= HEADER && length <= bytes.len()).then_some((length, int(rest, 0)?, int(rest, 4)?))
}

fn chunk<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn int(bytes: &[u8], at: usize) -> Option<i32> {
    chunk(bytes, at).map(i32::from_ne_bytes)
}

/// `struct timespec`, of two `long`s.
fn stamp(data: &[u8]) -> Option<Duration> {
    let (seconds, nanos) = if data.len() >= 16 {
        (i64::from_ne_bytes(chunk(data, 0)?), i64::from_ne_bytes(chunk(data, 8)?))
    } else {
        (int(data, 0)?.into(), int(data, 4)?.into())
    };
    Some(Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?))
}

/// `struct tpacket_auxdata` (linux, `include/uapi/linux/if_packet.h`): status, two lengths, two offsets, tag, tag protocol.
fn tag(data: &[u8]) -> Option<Tag> {
    let status = chunk(data, 0).map(u32::from_ne_bytes)?;
    let control = chunk(data, 16).map(u16::from_ne_bytes)?;
    let protocol = chunk(data, 18).map(u16::from_ne_bytes).filter(|_| status & TPID_VALID != 0).unwrap_or(0x8100);
    (status & TAG_VALID != 0).then(|| Tag::from_parts(protocol, control))
}

fn unfinished(data: &[u8]) -> bool {
    chunk(data, 0).map(u32::from_ne_bytes).is_some_and(|status| status & libc::TP_STATUS_CSUMNOTREADY != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(level: i32, kind: i32, data: &[u8]) -> Vec<u8> {
        let mut bytes = (HEADER + data.len()).to_ne_bytes().to_vec();
        bytes.extend(level.to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(WORD), 0);
        bytes
    }

    #[test]
    fn the_stamp_and_the_tag_are_found() {
        let mut auxdata = (TAG_VALID | TPID_VALID | libc::TP_STATUS_CSUMNOTREADY).to_ne_bytes().to_vec();
        auxdata.extend([0; 12]);
        auxdata.extend(1102u16.to_ne_bytes());
        auxdata.extend(0x88a8u16.to_ne_bytes());
        let time: Vec<u8> = [1_424_755_800i64, 5].iter().flat_map(|part| part.to_ne_bytes()).collect();
        let mut bytes = message(libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS, &time);
        bytes.extend(message(1, 99, &[1, 2, 3]));
        bytes.extend(message(libc::SOL_PACKET, libc::PACKET_AUXDATA, &auxdata));
        let extra = read(&bytes);
        let stamp = Some(Duration::new(1_424_755_800, 5));
        assert_eq!(extra, Extra { stamp, tag: Some(Tag::from_parts(0x88a8, 1102)), unfinished: true });
        let untagged = message(libc::SOL_PACKET, libc::PACKET_AUXDATA, &[0; 20]);
        assert_eq!(read(&untagged), Extra::default());
    }

    proptest! {
        #[test]
        fn no_control_bytes_panic_or_hang(bytes: Vec<u8>) {
            read(&bytes);
        }
    }
}
