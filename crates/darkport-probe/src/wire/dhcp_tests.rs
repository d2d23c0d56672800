//! DHCP's codec, against itself and against another's (`dhcproto`).

use std::net::Ipv4Addr;

use darkport_model::MacAddr;
use dhcproto::v4;
use dhcproto::{Decodable as _, Encodable as _};
use proptest::prelude::*;

use super::{DhcpMessage, DhcpOptions, Frame, Message, Udp, UdpChecksum};

const ME: MacAddr = MacAddr([0xfa, 0x16, 0x3e, 0, 0, 1]);

fn bytes(message: &DhcpMessage<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    bytes
}

/// A message with these three fields of options.
fn fields<'a>(options: &'a [u8], file: &'a [u8; 128], server_name: &'a [u8; 64]) -> DhcpMessage<'a> {
    DhcpMessage { server_name, file, ..DhcpMessage::request(7, ME, options) }
}

fn field<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut field = [0; N];
    field[..bytes.len()].copy_from_slice(bytes);
    field
}

#[test]
fn options_go_on_in_the_other_fields() {
    let options = [52, 1, 3, 3, 2, 10, 0, 255];
    let (file, name) = (field(&[0, 3, 2, 0, 1, 52, 1, 3, 255, 9]), field(&[12, 2, b'a', b'b', 255]));
    let message = fields(&options, &file, &name);
    assert_eq!(message.options().map(|(code, _)| code).collect::<Vec<_>>(), [52, 3, 3, 52, 12]);
    assert_eq!(message.addresses(3), [Ipv4Addr::new(10, 0, 0, 1)], "one option in two fields (RFC 3396)");
    let only_name = [52, 1, 2, 255];
    assert_eq!(fields(&only_name, &file, &name).options().map(|(code, _)| code).collect::<Vec<_>>(), [52, 12]);
    assert_eq!(fields(&[255], &file, &name).options().count(), 0, "without leave these are a name and a file");
}

#[test]
fn a_cut_option_is_the_last_and_is_told() {
    for cut in [&[53, 1, 2, 54, 4, 10][..], &[53, 1, 2, 54], &[53, 1, 2, 54, 255]] {
        let message = DhcpMessage::request(7, ME, cut);
        let mut options = message.options();
        assert_eq!((options.by_ref().count(), options.is_malformed(), message.kind()), (1, true, Some(2)), "{cut:?}");
    }
    let mut whole = DhcpMessage::request(7, ME, &[0, 53, 1, 2]).options();
    assert!(whole.by_ref().count() == 1 && !whole.is_malformed(), "an end is not missed");
    for wrong in [&[53, 0][..], &[53, 2, 1, 1], &[51, 3, 0, 0, 1], &[54, 3, 1, 2, 3]] {
        let message = DhcpMessage::request(7, ME, wrong);
        assert_eq!((message.kind(), message.number(51), message.addresses(54)), (None, None, Vec::new()));
    }
}

#[test]
fn what_is_no_dhcp_is_refused() {
    let whole = bytes(&DhcpMessage::request(7, ME, &DhcpOptions::of(1).finish()));
    assert_eq!(whole.len(), 300);
    for length in 0..240 {
        assert!(DhcpMessage::decode(&whole[..length]).is_err());
    }
    for (place, value) in [(0, 0), (0, 3), (236, 98)] {
        let mut wrong = whole.clone();
        wrong[place] = value;
        assert!(DhcpMessage::decode(&wrong).is_err());
    }
    let mut token_ring = whole;
    token_ring[1] = 6;
    assert_eq!(DhcpMessage::decode(&token_ring).unwrap().mac(), None);
}

/// A datagram as another's packet type sees it: its word on our checksum.
#[test]
fn another_implementation_agrees_on_the_checksum() {
    use pnet_packet::udp::{UdpPacket, ipv4_checksum};
    let (from, to) = (Ipv4Addr::new(10, 68, 16, 1), Ipv4Addr::BROADCAST);
    for length in 0..64u8 {
        let (payload, mut frame) = ((0..length).collect::<Vec<_>>(), Vec::new());
        Frame::new(ME, ME, None, Message::Udp(Udp::new((from, 67), (to, 68), &payload))).encode(&mut frame);
        let end = 34 + 8 + usize::from(length);
        let packet = UdpPacket::new(&frame[34..end]).unwrap();
        assert_eq!(packet.get_checksum(), ipv4_checksum(&packet, &from, &to));
        frame[end - 1] ^= 1;
        let decoded = Frame::decode(&frame, None);
        assert!(length == 0 || matches!(decoded.unwrap().message, Message::Udp(udp) if udp.checksum == UdpChecksum::Wrong));
    }
}

fn addresses() -> impl Strategy<Value = Vec<Ipv4Addr>> {
    prop::collection::vec(any::<Ipv4Addr>(), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_is_written_is_read_back(
        fixed: [u8; 28], hardware: [u8; 16], file in any::<u8>(), options: Vec<u8>, reply: bool,
    ) {
        let mut whole = vec![1 + u8::from(reply)];
        whole.extend(&fixed[1..]);
        whole.extend(hardware);
        whole.extend([file; 192]);
        whole.extend([99, 130, 83, 99]);
        whole.extend(&options);
        let message = DhcpMessage::decode(&whole).unwrap();
        prop_assert_eq!(message.reply, reply);
        prop_assert_eq!(&bytes(&message), &whole);
        let total: usize = message.options().map(|(_, data)| data.len() + 2).sum();
        prop_assert!(total <= options.len() + 192);
    }

    #[test]
    fn no_bytes_panic(data: Vec<u8>) {
        let _ = DhcpMessage::decode(&data);
    }

    #[test]
    fn another_reads_what_we_write(xid: u32, seconds: u16, yours: Ipv4Addr, server: Ipv4Addr, routers in addresses(), id in prop::collection::vec(any::<u8>(), 1..200)) {
        let options = DhcpOptions::of(2).with_addresses(54, &[server]).with_addresses(3, &routers).with(61, &id).finish();
        let mut message = DhcpMessage::request(xid, ME, &[]).answer(yours, &options);
        message.seconds = seconds;
        let theirs = v4::Message::from_bytes(&bytes(&message)).unwrap();
        prop_assert_eq!((theirs.xid(), theirs.secs(), theirs.yiaddr(), theirs.chaddr()), (xid, seconds, yours, &ME.0[..]));
        prop_assert_eq!(theirs.opts().msg_type(), Some(v4::MessageType::Offer));
        let option = |code| theirs.opts().get(code).cloned();
        prop_assert_eq!(option(v4::OptionCode::ServerIdentifier), Some(v4::DhcpOption::ServerIdentifier(server)));
        prop_assert_eq!(option(v4::OptionCode::Router), Some(v4::DhcpOption::Router(routers)));
        prop_assert_eq!(option(v4::OptionCode::ClientIdentifier), Some(v4::DhcpOption::ClientIdentifier(id)));
    }

    #[test]
    fn we_read_what_another_writes(xid: u32, relay: Ipv4Addr, mask: Ipv4Addr, servers in addresses(), lease: u32) {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut theirs = v4::Message::new_with_id(xid, none, none, none, relay, &ME.0);
        theirs.set_opcode(v4::Opcode::BootReply);
        theirs.opts_mut().insert(v4::DhcpOption::MessageType(v4::MessageType::Nak));
        theirs.opts_mut().insert(v4::DhcpOption::SubnetMask(mask));
        theirs.opts_mut().insert(v4::DhcpOption::DomainNameServer(servers.clone()));
        theirs.opts_mut().insert(v4::DhcpOption::AddressLeaseTime(lease));
        let written = theirs.to_vec().unwrap();
        let message = DhcpMessage::decode(&written).unwrap();
        prop_assert_eq!((message.xid, message.reply, message.relay, message.mac()), (xid, true, relay, Some(ME)));
        prop_assert_eq!((message.kind(), message.number(51)), (Some(DhcpMessage::NAK), Some(lease)));
        prop_assert_eq!((message.addresses(1), message.addresses(6)), (vec![mask], servers));
    }

    /// An option of any length, in pieces where it is long, comes back whole.
    #[test]
    fn long_options_come_back_whole(data in prop::collection::vec(any::<u8>(), 0..900)) {
        let options = DhcpOptions::of(5).with(121, &data).finish();
        let message = DhcpMessage::request(7, ME, &options);
        let whole = message.option(121);
        prop_assert_eq!(whole.as_deref(), Some(&data[..]));
        prop_assert_eq!(message.options().count(), 1 + data.len().div_ceil(255).max(1));
    }
}
