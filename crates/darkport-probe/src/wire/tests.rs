use std::net::{Ipv4Addr, Ipv6Addr};

use darkport_model::MacAddr;
use pnet_packet::Packet as _;
use pnet_packet::arp::{ArpOperations, ArpPacket};
use pnet_packet::ethernet::EthernetPacket;
use pnet_packet::icmp::echo_request::EchoRequestPacket;
use pnet_packet::icmp::{IcmpPacket, IcmpTypes};
use pnet_packet::ipv4::Ipv4Packet;
use pnet_packet::vlan::VlanPacket;
use proptest::prelude::*;

use super::*;

const ME: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const YOU: MacAddr = MacAddr([0xfa, 0x16, 0x3e, 0, 0, 2]);

fn bytes(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame.encode(&mut bytes);
    bytes
}

#[test]
fn pnet_reads_the_arp_that_is_written() {
    let target = Ipv4Addr::new(10, 68, 16, 9);
    let arp = Arp::request(ME, Ipv4Addr::UNSPECIFIED, target);
    let bytes = bytes(&Frame::new(BROADCAST, ME, Some(Tag::new(1102.try_into().unwrap())), Message::Arp(arp)));
    assert_eq!(bytes.len(), 60);
    let frame = EthernetPacket::new(&bytes).unwrap();
    assert_eq!((frame.get_destination().octets(), frame.get_source().octets(), frame.get_ethertype().0), ([0xff; 6], ME.0, 0x8100));
    let vlan = VlanPacket::new(frame.payload()).unwrap();
    assert_eq!((vlan.get_vlan_identifier(), vlan.get_ethertype().0), (1102, 0x0806));
    let read = ArpPacket::new(vlan.payload()).unwrap();
    assert_eq!(read.get_operation(), ArpOperations::Request);
    assert_eq!(
        (read.get_hardware_type().0, read.get_protocol_type().0, read.get_hw_addr_len(), read.get_proto_addr_len()),
        (1, 0x0800, 6, 4)
    );
    assert_eq!((read.get_sender_hw_addr().octets(), read.get_sender_proto_addr()), (ME.0, Ipv4Addr::UNSPECIFIED));
    assert_eq!((read.get_target_hw_addr().octets(), read.get_target_proto_addr()), ([0; 6], target));
}

#[test]
fn pnet_reads_the_echo_that_is_written() {
    let (from, to) = (Ipv4Addr::new(10, 68, 16, 1), Ipv4Addr::new(10, 68, 16, 9));
    let bytes = bytes(&Frame::new(YOU, ME, None, Message::Ipv4(Ipv4::echo_request(from, to, 7, 9, b"0123456789abcdef!"))));
    let frame = EthernetPacket::new(&bytes).unwrap();
    let packet = Ipv4Packet::new(frame.payload()).unwrap();
    assert_eq!(packet.get_checksum(), pnet_packet::ipv4::checksum(&packet));
    assert_eq!((packet.get_source(), packet.get_destination(), packet.get_ttl()), (from, to, 64));
    let whole = &frame.payload()[20..usize::from(packet.get_total_length())];
    let icmp = IcmpPacket::new(whole).unwrap();
    assert_eq!(icmp.get_icmp_type(), IcmpTypes::EchoRequest);
    assert_eq!(icmp.get_checksum(), pnet_packet::icmp::checksum(&icmp));
    let echo = EchoRequestPacket::new(whole).unwrap();
    assert_eq!((echo.get_identifier(), echo.get_sequence_number(), echo.payload()), (7, 9, &b"0123456789abcdef!"[..]));
}

#[test]
fn a_neighbour_solicitation_is_as_rfc_4861_wants_it() {
    let (from, target): (Ipv6Addr, Ipv6Addr) = ("fe80::1".parse().unwrap(), "2001:db8::12:3456".parse().unwrap());
    let ask = Icmpv6::neighbour_solicitation(from, ME, target);
    assert_eq!(ask.destination, "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
    assert_eq!(ask.group_mac(), Some(MacAddr([0x33, 0x33, 0xff, 0x12, 0x34, 0x56])));
    let bytes = bytes(&Frame::new(ask.group_mac().unwrap(), ME, None, Message::Icmpv6(ask)));
    let packet = pnet_packet::icmpv6::Icmpv6Packet::new(&bytes[54..]).unwrap();
    assert_eq!(packet.get_checksum(), pnet_packet::icmpv6::checksum(&packet, &from, &ask.destination));
    // Nobody's hardware address may not be told.
    let nobody = Icmpv6::router_solicitation(Ipv6Addr::UNSPECIFIED, ME);
    assert_eq!(nobody.message, Icmpv6Message::RouterSolicitation { link: None });
}

#[test]
fn a_frame_that_is_cut_anywhere_says_where() {
    let echo = Ipv4::echo_request(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, 1, 1, &[7; 40]);
    let whole = bytes(&Frame::new(YOU, ME, Some(Tag::new(5.try_into().unwrap())), Message::Ipv4(echo)));
    for length in 0..whole.len() {
        let error = Frame::decode(&whole[..length], None).unwrap_err();
        assert!(matches!(error, WireError::Truncated { .. }), "{length}: {error}");
    }
    assert_eq!(Frame::decode(&whole[..20], None).unwrap_err().to_string(), "IPv4: 20 bytes are needed, 2 are there");
}

#[test]
fn a_third_tag_is_refused_and_two_are_kept() {
    let mut frame = Frame::new(
        BROADCAST,
        ME,
        Some(Tag::new(7.try_into().unwrap())),
        Message::Arp(Arp::request(ME, Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST)),
    );
    frame.tags[1] = Some(Tag::from_parts(0x88a8, 0xe005));
    let bytes = bytes(&frame);
    assert_eq!(Frame::decode(&bytes, None), Ok(frame));
    let error = Frame::decode(&bytes, Some(Tag::new(9.try_into().unwrap()))).unwrap_err();
    assert_eq!(error, WireError::Unsupported { layer: Layer::Vlan, value: 0x88a8 });
}

#[test]
fn a_flipped_bit_in_an_echo_is_noticed() {
    let echo = Ipv4::echo_request(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 1, 1, &[7; 32]);
    let whole = bytes(&Frame::new(YOU, ME, None, Message::Ipv4(echo)));
    let right = Frame::decode(&whole, None).unwrap();
    for bit in 14 * 8..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_ne!(Frame::decode(&bytes, None), Ok(right), "bit {bit}");
    }
}

fn macs() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr)
}

fn messages(payload: &'static [u8]) -> impl Strategy<Value = Message<'static>> {
    let operation = prop_oneof![Just(ArpOperation::Request), Just(ArpOperation::Reply)];
    let arp = (operation, macs(), any::<Ipv4Addr>(), macs(), any::<Ipv4Addr>()).prop_map(
        |(operation, sender_mac, sender, target_mac, target)| Message::Arp(Arp { operation, sender_mac, sender, target_mac, target }),
    );
    let echo =
        (any::<Ipv4Addr>(), any::<Ipv4Addr>(), any::<u8>(), any::<bool>(), any::<bool>(), any::<u16>(), any::<u16>(), 0..=payload.len())
            .prop_map(move |(source, destination, ttl, dont_fragment, reply, id, sequence, length)| {
                Message::Ipv4(Ipv4 {
                    source,
                    destination,
                    ttl,
                    dont_fragment,
                    echo: Echo { reply, id, sequence, payload: &payload[..length] },
                })
            });
    let link = || proptest::option::of(macs());
    let message = prop_oneof![
        link().prop_map(|link| Icmpv6Message::RouterSolicitation { link }),
        (any::<Ipv6Addr>(), link()).prop_map(|(target, link)| Icmpv6Message::NeighbourSolicitation { target, link }),
        (any::<Ipv6Addr>(), 0u8..8, link()).prop_map(|(target, flags, link)| Icmpv6Message::NeighbourAdvertisement {
            target,
            flags: flags << 5,
            link
        }),
    ];
    let icmpv6 = (any::<Ipv6Addr>(), any::<Ipv6Addr>(), message)
        .prop_map(|(source, destination, message)| Message::Icmpv6(Icmpv6 { source, destination, message }));
    let sum = prop_oneof![Just(UdpChecksum::Right), Just(UdpChecksum::Wrong), Just(UdpChecksum::Absent)];
    let udp = (any::<Ipv4Addr>(), any::<Ipv4Addr>(), any::<u8>(), any::<bool>(), any::<u16>(), any::<u16>(), sum, 0..=payload.len())
        .prop_map(move |(source, destination, ttl, dont_fragment, source_port, destination_port, checksum, length)| {
            let payload = &payload[..length];
            Message::Udp(Udp { source, destination, ttl, dont_fragment, source_port, destination_port, checksum, payload })
        });
    prop_oneof![arp, echo, icmpv6, udp]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_written_is_read_back(
        destination in macs(), source in macs(), control in proptest::option::of(any::<u16>()),
        message in messages(&[0xa5; 300]),
    ) {
        let frame = Frame::new(destination, source, control.map(|control| Tag::from_parts(0x8100, control)), message);
        let bytes = bytes(&frame);
        prop_assert_eq!(Frame::decode(&bytes, None), Ok(frame));
    }

    #[test]
    fn no_bytes_panic(data: Vec<u8>) {
        let _ = Frame::decode(&data, None);
    }

    #[test]
    fn no_damaged_frame_panics(message in messages(&[0; 64]), places in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6), cut: usize) {
        let mut bytes = bytes(&Frame::new(BROADCAST, ME, None, message));
        for (place, value) in places {
            let place = place % bytes.len();
            bytes[place] = value;
        }
        bytes.truncate(cut % (bytes.len() + 1));
        if let Ok(frame) = Frame::decode(&bytes, None) {
            let mut again = Vec::new();
            frame.encode(&mut again);
            prop_assert_eq!(Frame::decode(&again, None), Ok(frame));
        }
    }
}
