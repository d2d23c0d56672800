//! What a packet socket is to hear, as a classic BPF program that the kernel runs before it copies anything.

use darkport_model::MacAddr;

/// Which frames are heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Filter {
    /// All of them.
    Everything,
    /// ARP replies to `mac`, and ICMP echo replies to `mac` with this number.
    Answers {
        /// The address that the questions come from.
        mac: MacAddr,
        /// The number of the echo requests.
        id: u16,
    },
    /// What others ask: ARP requests, and ICMP echo requests.
    Questions,
    /// All of ARP, in a VLAN too.
    Arp,
    /// DHCP of one conversation, or of all, both ways; in a VLAN too.
    Dhcp {
        /// The conversation's number.
        xid: Option<u32>,
    },
    /// All that one station sends, and all that is sent to it alone; and DHCP of anybody, since a server may answer to all.
    Station {
        /// Its address.
        mac: MacAddr,
    },
    /// None: for a socket that only sends.
    Nothing,
}

/// One instruction: operation, jumps, constant (linux, `include/uapi/linux/filter.h`, `struct sock_filter`).
pub(super) type Instruction = (u16, u8, u8, u32);

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_BYTE: u16 = 0x30;
const LOAD_WORD_AT_X: u16 = 0x40;
const LOAD_HALF_AT_X: u16 = 0x48;
const LOAD_BYTE_AT_X: u16 = 0x50;
/// X = four times the low half of a byte: the length of an IPv4 header.
const LOAD_X_HEADER: u16 = 0xb1;
const EQUAL: u16 = 0x15;
const ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;
/// `SKF_AD_OFF + SKF_AD_PKTTYPE`.
const PACKET_TYPE: u32 = 0xffff_f000 + 4;
const OUTGOING: u32 = 4;

/// A jump that the program's end is not known for yet.
const NO: u8 = u8::MAX;

impl Filter {
    /// The program. It looks at the frame without the tag that the kernel took out of it.
    pub(super) fn program(self, outgoing: bool) -> Vec<Instruction> {
        let mut program = Vec::new();
        if !outgoing {
            program.extend([(LOAD_WORD, 0, 0, PACKET_TYPE), (EQUAL, NO, 0, OUTGOING)]);
        }
        let (arp_operation, echo_type) = match self {
            Self::Everything => {
                program.extend(ends());
                return finish(program);
            }
            Self::Nothing => return vec![(RETURN, 0, 0, 0)],
            Self::Arp => {
                let tagged =
                    [(EQUAL, 2, 0, 0x8100), (EQUAL, 1, 0, 0x88a8), (RETURN, 0, 0, 0), (LOAD_HALF, 0, 0, 16), (EQUAL, 0, NO, 0x0806)];
                program.extend([(LOAD_HALF, 0, 0, 12), (EQUAL, 5, 0, 0x0806)]);
                program.extend(tagged);
                program.extend(ends());
                return finish(program);
            }
            Self::Dhcp { xid } => {
                let untagged = dhcp(xid, 0);
                let past = u8::try_from(untagged.len()).unwrap_or(NO);
                program.extend([(LOAD_HALF, 0, 0, 12), (EQUAL, 0, past, 0x0800)]);
                program.extend(untagged);
                // `a` holds the protocol still: what is not IPv4 leads here.
                program.extend([(EQUAL, 1, 0, 0x8100), (EQUAL, 0, NO, 0x88a8), (LOAD_HALF, 0, 0, 16), (EQUAL, 0, NO, 0x0800)]);
                program.extend(dhcp(xid, 4));
                program.push((RETURN, 0, 0, 0));
                return finish(program);
            }
            Self::Station { mac: MacAddr([a, b, c, d, e, f]) } => {
                let (start, end) = (u32::from_be_bytes([a, b, c, d]), u32::from(u16::from_be_bytes([e, f])));
                program.extend([(LOAD_WORD, 0, 0, 6), (EQUAL, 0, 2, start), (LOAD_HALF, 0, 0, 10), (EQUAL, 4, 0, end)]);
                program.extend([(LOAD_WORD, 0, 0, 0), (EQUAL, 0, 3, start), (LOAD_HALF, 0, 0, 4), (EQUAL, 0, 1, end)]);
                program.push((RETURN, 0, 0, 0x4_0000));
                let mut program = finish(program);
                program.extend(Self::Dhcp { xid: None }.program(true));
                return program;
            }
            Self::Answers { mac, .. } => {
                let [a, b, c, d, e, f] = mac.0;
                program.extend([
                    (LOAD_WORD, 0, 0, 0),
                    (EQUAL, 0, NO, u32::from_be_bytes([a, b, c, d])),
                    (LOAD_HALF, 0, 0, 4),
                    (EQUAL, 0, NO, u16::from_be_bytes([e, f]).into()),
                ]);
                (2, 0)
            }
            Self::Questions => (1, 8),
        };
        let mut echo = vec![
            (EQUAL, 0, NO, 0x0800),
            (LOAD_BYTE, 0, 0, 23),
            (EQUAL, 0, NO, 1),
            (LOAD_HALF, 0, 0, 20),
            (ANY_BIT, NO, 0, 0x1fff),
            (LOAD_X_HEADER, 0, 0, 14),
            (LOAD_BYTE_AT_X, 0, 0, 14),
            (EQUAL, 0, NO, echo_type),
        ];
        if let Self::Answers { id, .. } = self {
            echo.extend([(LOAD_HALF_AT_X, 0, 0, 18), (EQUAL, 0, NO, id.into())]);
        }
        // Past the two instructions on ARP's operation and over the first end to the second.
        let past = u8::try_from(echo.len()).unwrap_or(NO);
        program.extend([(LOAD_HALF, 0, 0, 12), (EQUAL, 0, 3, 0x0806)]);
        program.extend([(LOAD_HALF, 0, 0, 20), (EQUAL, 0, NO, arp_operation), (0x05, 0, 0, past.into())]);
        program.extend(echo);
        program.extend(ends());
        finish(program)
    }
}

/// From the IPv4 header on, `shift` bytes behind its usual place: UDP to or from a client's port to or from a server's, of this conversation.
fn dhcp(xid: Option<u32>, shift: u32) -> Vec<Instruction> {
    let mut program = vec![
        (LOAD_BYTE, 0, 0, 23 + shift),
        (EQUAL, 0, NO, 17),
        (LOAD_HALF, 0, 0, 20 + shift),
        (ANY_BIT, NO, 0, 0x1fff),
        (LOAD_X_HEADER, 0, 0, 14 + shift),
        (LOAD_HALF_AT_X, 0, 0, 16 + shift),
        (EQUAL, 1, 0, 67),
        (EQUAL, 0, NO, 68),
    ];
    if let Some(xid) = xid {
        program.extend([(LOAD_WORD_AT_X, 0, 0, 26 + shift), (EQUAL, 0, NO, xid)]);
    }
    program.push((RETURN, 0, 0, 0x4_0000));
    program
}

/// Take the whole frame, or nothing.
fn ends() -> [Instruction; 2] {
    [(RETURN, 0, 0, 0x4_0000), (RETURN, 0, 0, 0)]
}

/// Puts the way to the last instruction in where a jump leads there.
fn finish(mut program: Vec<Instruction>) -> Vec<Instruction> {
    let last = program.len().saturating_sub(1);
    for (index, (_, yes, no, _)) in program.iter_mut().enumerate() {
        let way = u8::try_from(last.saturating_sub(index + 1)).unwrap_or(NO);
        for jump in [yes, no] {
            if *jump == NO {
                *jump = way;
            }
        }
    }
    program
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::wire::{Arp, BROADCAST, DhcpMessage, DhcpOptions, Frame, Ipv4, Message, Tag, Udp};

    const ME: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
    const YOU: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

    /// What the kernel does with a program (linux, `Documentation/networking/filter.rst`); a load beyond the frame ends it with 0.
    fn passes(program: &[Instruction], frame: &[u8], packet_type: u32) -> bool {
        let (mut a, mut x, mut at) = (0u32, 0usize, 0usize);
        let load =
            |from: usize, bytes: usize| frame.get(from..from + bytes).map(|b| b.iter().fold(0u32, |sum, b| sum << 8 | u32::from(*b)));
        loop {
            let (operation, yes, no, k) = program[at];
            at += 1;
            let place = k as usize;
            let loaded = match operation {
                LOAD_WORD if k == PACKET_TYPE => Some(packet_type),
                LOAD_WORD => load(place, 4),
                LOAD_HALF => load(place, 2),
                LOAD_BYTE => load(place, 1),
                LOAD_WORD_AT_X => load(x + place, 4),
                LOAD_HALF_AT_X => load(x + place, 2),
                LOAD_BYTE_AT_X => load(x + place, 1),
                LOAD_X_HEADER => {
                    x = load(place, 1).map_or(0, |byte| (byte as usize & 0xf) * 4);
                    Some(a)
                }
                EQUAL | ANY_BIT => {
                    let holds = if operation == EQUAL { a == k } else { a & k != 0 };
                    at += usize::from(if holds { yes } else { no });
                    Some(a)
                }
                0x05 => {
                    at += place;
                    Some(a)
                }
                RETURN => return k > 0,
                other => panic!("no such instruction: {other:#x}"),
            };
            let Some(loaded) = loaded else { return false };
            a = loaded;
        }
    }

    fn arp(reply: bool, to: MacAddr) -> Vec<u8> {
        let question = Arp::request(ME, Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 0, 0, 2));
        let message = if reply { Arp::reply_to(&question, YOU) } else { question };
        let mut bytes = Vec::new();
        Frame::new(to, YOU, None, Message::Arp(message)).encode(&mut bytes);
        bytes
    }

    fn echo(reply: bool, id: u16, to: MacAddr) -> Vec<u8> {
        let request = Ipv4::echo_request(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), id, 1, &[1; 24]);
        let mut bytes = Vec::new();
        Frame::new(to, YOU, None, Message::Ipv4(if reply { request.reply() } else { request })).encode(&mut bytes);
        bytes
    }

    #[test]
    fn answers_pass_and_nothing_else() {
        let program = Filter::Answers { mac: ME, id: 7 }.program(false);
        assert!(passes(&program, &arp(true, ME), 0));
        assert!(passes(&program, &echo(true, 7, ME), 0));
        let mut udp = echo(true, 7, ME);
        udp[23] = 17;
        let mut fragment = echo(true, 7, ME);
        fragment[21] = 3;
        for (what, frame) in [
            ("a reply to another", arp(true, YOU)),
            ("a question", arp(false, ME)),
            ("a broadcast question", arp(false, BROADCAST)),
            ("another's echo", echo(true, 8, ME)),
            ("an echo to another", echo(true, 7, YOU)),
            ("an echo request", echo(false, 7, ME)),
            ("UDP", udp),
            ("a fragment", fragment),
            ("a cut frame", arp(true, ME)[..15].to_vec()),
        ] {
            assert!(!passes(&program, &frame, 0), "{what}");
        }
        assert!(!passes(&program, &arp(true, ME), OUTGOING), "an own frame");
        assert!(passes(&Filter::Answers { mac: ME, id: 7 }.program(true), &arp(true, ME), OUTGOING));
    }

    #[test]
    fn questions_pass_and_nothing_else() {
        let program = Filter::Questions.program(false);
        assert!(passes(&program, &arp(false, BROADCAST), 1) && passes(&program, &echo(false, 9, YOU), 3));
        assert!(!passes(&program, &arp(true, ME), 0) && !passes(&program, &echo(true, 9, ME), 0));
    }

    #[test]
    fn arp_passes_in_a_vlan_and_without() {
        let program = Filter::Arp.program(true);
        let tagged = |protocol: u16| {
            let mut frame = arp(false, BROADCAST);
            frame.splice(12..12, [protocol.to_be_bytes(), 1102u16.to_be_bytes()].concat());
            frame
        };
        for frame in [arp(true, ME), arp(false, BROADCAST), tagged(0x8100), tagged(0x88a8)] {
            assert!(passes(&program, &frame, OUTGOING));
        }
        let mut echo_in_vlan = echo(false, 9, YOU);
        echo_in_vlan.splice(12..12, [0x81, 0, 4, 78]);
        for frame in [echo(false, 9, YOU), echo_in_vlan, vec![0xff; 13], tagged(0x8101)] {
            assert!(!passes(&program, &frame, 0));
        }
        assert!(!passes(&Filter::Nothing.program(true), &arp(true, ME), 0));
    }

    #[test]
    fn dhcp_passes_in_a_vlan_and_without() {
        let frame = |xid: u32, port: u16, tag: Option<u16>| {
            let (options, mut payload, mut bytes) = (DhcpOptions::of(1).finish(), Vec::new(), Vec::new());
            DhcpMessage::request(xid, ME, &options).encode(&mut payload);
            let message = Message::Udp(Udp::new((Ipv4Addr::UNSPECIFIED, 68), (Ipv4Addr::BROADCAST, port), &payload));
            Frame::new(BROADCAST, ME, tag.map(|protocol| Tag::from_parts(protocol, 1102)), message).encode(&mut bytes);
            bytes
        };
        let (mine, all) = (Filter::Dhcp { xid: Some(7) }.program(true), Filter::Dhcp { xid: None }.program(true));
        for tag in [None, Some(0x8100), Some(0x88a8)] {
            assert!(passes(&mine, &frame(7, 67, tag), OUTGOING) && passes(&mine, &frame(7, 68, tag), 0), "{tag:?}");
            assert!(!passes(&mine, &frame(8, 67, tag), 0) && passes(&all, &frame(8, 67, tag), 0));
            let mut fragment = frame(7, 67, tag);
            fragment[if tag.is_some() { 25 } else { 21 }] = 1;
            assert!(!passes(&mine, &frame(7, 53, tag), 0) && !passes(&mine, &fragment, 0) && !passes(&mine, &frame(7, 67, tag)[..30], 0));
        }
        for program in [&mine, &all] {
            assert!(!passes(program, &arp(true, ME), 0) && !passes(program, &echo(true, 7, ME), 0));
            assert!(!passes(program, &frame(7, 67, Some(0x8101)), 0));
        }
        assert!(!passes(&Filter::Dhcp { xid: None }.program(false), &frame(7, 67, None), OUTGOING));
    }

    #[test]
    fn a_station_is_heard_both_ways_and_nobody_else() {
        let program = Filter::Station { mac: ME }.program(true);
        let frame = |to: MacAddr, from: MacAddr| [&to.0[..], &from.0, &[8, 0, 1]].concat();
        assert!(passes(&program, &frame(BROADCAST, ME), OUTGOING) && passes(&program, &frame(ME, YOU), 0));
        let mut offer = [&frame(BROADCAST, YOU)[..], &[0; 40]].concat();
        (offer[14], offer[23], offer[37]) = (0x45, 17, 68);
        assert!(passes(&program, &offer, 0));
        assert!(!passes(&program, &frame(BROADCAST, YOU), 0) && !passes(&program, &frame(YOU, YOU), 0) && !passes(&program, &[2; 11], 0));
    }

    #[test]
    fn everything_is_everything_that_comes_in() {
        let program = Filter::Everything.program(false);
        assert!(passes(&program, &[0; 60], 0) && !passes(&program, &[0; 60], OUTGOING));
        assert!(passes(&Filter::Everything.program(true), &[], OUTGOING));
    }
}
