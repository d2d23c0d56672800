//! Own questions and their answers as a file that Wireshark reads: pcapng (IETF, draft-ietf-opsawg-pcapng), one interface a device, and
//! beside each frame a comment that names the hop.

use std::collections::BTreeMap;
use std::time::Duration;

use darkport_model::{IfIndex, bounded, printable};

use crate::socket::{PacketType, Received};

/// Frames that are kept: of an ordinary host all. Whoever forges answers to own questions fills this up, and no more.
const FRAMES: usize = 20_000;
/// Bytes of a frame that are kept, its tags included: far more than ARP has.
const KEPT: usize = 128;
/// The block types and options that are written (draft-ietf-opsawg-pcapng, 4.1, 4.2, 4.3, 3.5).
const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const PACKET: u32 = 6;
const COMMENT: u16 = 1;
const NAME: u16 = 2;
const FLAGS: u16 = 2;
const APPLICATION: u16 = 4;
const RESOLUTION: u16 = 9;
const ETHERNET: u16 = 1;

/// Frames of probes as they passed at each device, for [`Examiner::observe_keeping`](crate::Examiner::observe_keeping). Bounded, whatever guests send.
#[derive(Debug, Clone, Default)]
pub struct Capture {
    /// The wall clock, since 1970, when the clock of the frames began.
    pub(crate) begun: Duration,
    pub(crate) names: BTreeMap<IfIndex, String>,
    frames: Vec<Kept>,
    cut: bool,
}

#[derive(Debug, Clone)]
struct Kept {
    at: Duration,
    link: IfIndex,
    outgoing: bool,
    length: usize,
    bytes: Vec<u8>,
    comment: String,
}

impl Capture {
    /// How many frames are kept.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Keeps a frame. Its tag, which the kernel keeps beside it, is put back to where it was (IEEE 802.1Q, 9.3).
    pub(crate) fn keep(&mut self, received: &Received<'_>, comment: String) {
        if self.frames.len() >= FRAMES {
            self.cut = true;
            return;
        }
        let (addresses, rest) = received.bytes.split_at_checked(12).unwrap_or((received.bytes, &[]));
        let mut bytes = addresses.to_vec();
        if let Some(tag) = received.tag {
            bytes.extend(tag.protocol.to_be_bytes());
            bytes.extend(tag.control.to_be_bytes());
        }
        let added = bytes.len() - addresses.len();
        bytes.extend(rest);
        bytes.truncate(KEPT);
        let length = received.length.saturating_add(added).max(bytes.len());
        let (link, outgoing) = (IfIndex(received.interface), received.kind == PacketType::Outgoing);
        self.frames.push(Kept { at: received.at, link, outgoing, length, bytes, comment });
    }

    /// What is said of each frame, in the order of keeping.
    #[cfg(test)]
    pub(crate) fn comments(&self) -> impl Iterator<Item = &str> {
        self.frames.iter().map(|kept| kept.comment.as_str())
    }

    /// The file: one section, in the order of time.
    pub fn to_pcapng(&self) -> Vec<u8> {
        let mut order: Vec<&Kept> = self.frames.iter().collect();
        order.sort_by_key(|kept| kept.at);
        let mut devices: Vec<IfIndex> = order.iter().map(|kept| kept.link).collect();
        devices.sort_unstable();
        devices.dedup();
        let mut out = self.section();
        for device in &devices {
            out.extend(self.device(*device));
        }
        for kept in order {
            // Every device of a frame is among them.
            let number = devices.binary_search(&kept.link).unwrap_or_default();
            out.extend(self.packet(kept, u32::try_from(number).unwrap_or_default()));
        }
        out
    }

    fn section(&self) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(0x1a2b_3c4d_u32.to_le_bytes());
        body.extend(1_u16.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        // The section's length is not told (-1).
        body.extend((-1_i64).to_le_bytes());
        if self.cut {
            option(&mut body, COMMENT, format!("more frames passed than the {FRAMES} that are kept").as_bytes());
        }
        option(&mut body, APPLICATION, concat!("darkport ", env!("CARGO_PKG_VERSION")).as_bytes());
        block(SECTION, &body)
    }

    fn device(&self, link: IfIndex) -> Vec<u8> {
        let mut body = Vec::new();
        body.extend(ETHERNET.to_le_bytes());
        body.extend(0_u16.to_le_bytes());
        body.extend(u32::try_from(KEPT).unwrap_or(0).to_le_bytes());
        option(&mut body, NAME, self.name(link).as_bytes());
        // Units of 10^-9 s.
        option(&mut body, RESOLUTION, &[9]);
        block(INTERFACE, &body)
    }

    fn packet(&self, kept: &Kept, device: u32) -> Vec<u8> {
        let at = u64::try_from(self.begun.saturating_add(kept.at).as_nanos()).unwrap_or(u64::MAX);
        let size = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        let mut body = Vec::new();
        body.extend(device.to_le_bytes());
        body.extend(u32::try_from(at >> 32).unwrap_or_default().to_le_bytes());
        body.extend(u32::try_from(at & 0xffff_ffff).unwrap_or_default().to_le_bytes());
        body.extend(size(kept.bytes.len()).to_le_bytes());
        body.extend(size(kept.length).to_le_bytes());
        body.extend(&kept.bytes);
        pad(&mut body);
        option(&mut body, COMMENT, kept.comment.as_bytes());
        // Bits 0 and 1: 1 came in, 2 went out (4.3.1).
        option(&mut body, FLAGS, &u32::from(1 + u8::from(kept.outgoing)).to_le_bytes());
        block(PACKET, &body)
    }

    /// A device as it may be shown.
    pub(crate) fn name(&self, link: IfIndex) -> String {
        self.names.get(&link).map_or_else(|| format!("if{}", link.0), |name| bounded(&printable(name), 64))
    }
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// An option of a block; the last is followed by the end of options, which is four zeros, and [`block`] writes it.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or_default().to_le_bytes());
    body.extend(value);
    pad(body);
}

/// A block: type, length, what it says, the end of its options, length.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len().saturating_add(16)).unwrap_or(u32::MAX).to_le_bytes();
    [&kind.to_le_bytes()[..], &length, body, &[0; 4], &length].concat()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::Ipv4Addr;
    use std::process::Command;

    use super::*;
    use crate::wire::{Arp, BROADCAST, Frame, Message, Tag};
    use darkport_model::MacAddr;
    use proptest::prelude::*;

    fn received(bytes: &[u8], link: u32, micros: u64) -> Received<'_> {
        let mut received = Received::new(bytes, Duration::from_micros(micros));
        received.interface = link;
        received
    }

    /// Block types, after checking that every length holds and is told twice.
    fn blocks(file: &[u8]) -> Vec<u32> {
        let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
        let (mut at, mut kinds) = (0, Vec::new());
        while at < file.len() {
            let length = word(at + 4) as usize;
            assert!(length.is_multiple_of(4) && word(at + length - 4) as usize == length);
            kinds.push(word(at));
            at += length;
        }
        kinds
    }

    #[test]
    fn one_section_a_device_each_and_the_frames_in_time() {
        let mut capture = Capture::default();
        capture.keep(&received(&[7; 60], 5, 20), "second".into());
        capture.keep(&received(&[7; 61], 3, 10), "first".into());
        let file = capture.to_pcapng();
        assert_eq!(blocks(&file), [SECTION, INTERFACE, INTERFACE, PACKET, PACKET]);
        let at = |text: &str| file.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
        assert!(at("first") < at("second") && at("if3") < at("if5"));
    }

    #[test]
    fn a_tag_stands_where_it_was() {
        let mut capture = Capture::default();
        let bytes: Vec<u8> = (0..60).collect();
        capture.keep(&received(&bytes, 3, 0).tagged(Tag::from_parts(0x8100, 1102)), String::new());
        let kept = &capture.frames[0];
        assert_eq!((&kept.bytes[..12], &kept.bytes[12..16], &kept.bytes[16..]), (&bytes[..12], &[0x81, 0, 4, 0x4e][..], &bytes[12..]));
        assert_eq!(kept.length, 64);
    }

    #[test]
    fn wireshark_sees_the_tag() {
        let path = std::env::temp_dir().join(format!("darkport-{}.pcapng", std::process::id()));
        let mut capture = Capture::default();
        capture.names.insert(IfIndex(3), "eth1".into());
        let mut bytes = Vec::new();
        let question = Arp::request(MacAddr([2, 0, 0, 0, 0, 1]), Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 0, 1));
        Frame::new(BROADCAST, question.sender_mac, None, Message::Arp(question)).encode(&mut bytes);
        capture.keep(&received(&bytes, 3, 1_500).tagged(Tag::from_parts(0x8100, 1102)), "a hop".into());
        std::fs::write(&path, capture.to_pcapng()).unwrap();
        let fields = ["vlan.id", "arp.dst.proto_ipv4", "frame.interface_name", "frame.comment", "frame.time_epoch"];
        let fields = fields.iter().flat_map(|field| ["-e", field]);
        let read = Command::new("tshark").arg("-r").arg(&path).args(["-T", "fields"]).args(fields).output();
        let _ = std::fs::remove_file(&path);
        let Ok(read) = read else {
            let _ = writeln!(std::io::stderr(), "SKIPPED pcapng::tests::wireshark_sees_the_tag: tshark is missing");
            return;
        };
        assert_eq!(String::from_utf8_lossy(&read.stdout).trim_end(), "1102\t10.0.0.1\teth1\ta hop\t0.001500000");
    }

    #[test]
    fn whoever_forges_answers_fills_no_memory() {
        let mut capture = Capture::default();
        for micros in 0..FRAMES as u64 + 5 {
            capture.keep(&received(&[7; 2048], 3, micros), String::new());
        }
        assert!(capture.cut && capture.len() == FRAMES && capture.frames.iter().all(|kept| kept.bytes.len() == KEPT));
        assert_eq!(blocks(&capture.to_pcapng()).len(), FRAMES + 2);
    }

    proptest! {
        /// Whatever stands in frames and names, the file is well formed.
        #[test]
        fn every_file_is_well_formed(frames in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..200), 0..4u32, any::<u16>()), 0..20), name in ".{0,80}") {
            let mut capture = Capture::default();
            capture.names.insert(IfIndex(1), name);
            for (bytes, link, control) in &frames {
                let received = received(bytes, *link, 0);
                let received = if *link == 2 { received.tagged(Tag::from_parts(0x8100, *control)) } else { received };
                let comment = capture.name(IfIndex(*link));
                capture.keep(&received, comment);
            }
            let kinds = blocks(&capture.to_pcapng());
            prop_assert_eq!(kinds.iter().filter(|kind| **kind == PACKET).count(), frames.len());
        }
    }
}
