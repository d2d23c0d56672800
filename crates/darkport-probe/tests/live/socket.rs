//! The packet socket on a real kernel: what the filter lets through, what is told beside a frame, what is lost.

use std::time::Duration;

use darkport_model::MacAddr;
use darkport_probe::wire::{Arp, BROADCAST, Frame, Message, Tag};
use darkport_probe::{Batch, Filter, PacketSocket, PacketType, SocketOptions};

use crate::common::{in_new_namespace, index, run};

pub(crate) const A: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xa]);
pub(crate) const B: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xb]);

pub(crate) fn wire() -> (u32, u32) {
    run("ip link add wa address 02:00:00:00:00:0a type veth peer name wb address 02:00:00:00:00:0b");
    run("ip link set wa up");
    run("ip link set wb up");
    while run("ip -o link").matches("state UP").count() < 2 {
        std::thread::sleep(Duration::from_millis(50));
    }
    (index(None, "wa"), index(None, "wb"))
}

pub(crate) fn arp(reply: bool, to: MacAddr, tag: Option<Tag>) -> Vec<u8> {
    let question = Arp::request(B, "10.0.0.2".parse().unwrap(), "10.0.0.1".parse().unwrap());
    let message = if reply { Arp::reply_to(&question, A) } else { question };
    let mut bytes = Vec::new();
    Frame::new(to, A, tag, Message::Arp(message)).encode(&mut bytes);
    bytes
}

pub(crate) fn send(socket: &PacketSocket, frames: &[Vec<u8>]) {
    let mut batch = Batch::default();
    for bytes in frames {
        batch.push(|into| into.extend(bytes));
    }
    socket.send(&batch).unwrap();
}

#[test]
fn the_kernels_filter_is_the_one_that_was_written() {
    in_new_namespace("the_kernels_filter_is_the_one_that_was_written", || {
        let (a, b) = wire();
        let sender = PacketSocket::open(SocketOptions::new(a), &Filter::Everything).unwrap();
        let mut receiver = PacketSocket::open(SocketOptions::new(b), &Filter::Answers { mac: B, id: 1 }).unwrap();
        let vid = Tag::new(1102.try_into().unwrap());
        send(&sender, &[arp(false, BROADCAST, None), arp(true, A, None), arp(true, B, None), vec![0xff; 200], arp(true, B, Some(vid))]);
        let before = receiver.now();
        let mut heard = Vec::new();
        while receiver
            .receive(Duration::from_millis(200), |frame| {
                heard.push((frame.bytes.to_vec(), frame.tag, frame.kind, frame.interface, frame.at));
            })
            .unwrap()
            > 0
        {}
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert_eq!(heard[0].0, arp(true, B, None));
        assert_eq!((heard[0].1, heard[0].2, heard[0].3), (None, PacketType::Host, b));
        assert_eq!(heard[1].1, Some(vid), "the tag comes beside the frame");
        assert_eq!(Frame::decode(&heard[1].0, heard[1].1).unwrap().tags, [Some(vid), None]);
        // The kernel's stamp is of when the frame came, not of when it was fetched.
        assert!(heard.iter().all(|frame| frame.4 <= before), "{heard:?} {before:?}");
        assert_eq!(receiver.dropped().unwrap(), 0);
        assert!(!run("ip link show wb").contains("PROMISC"));
    });
}

#[test]
fn what_found_no_room_is_counted() {
    in_new_namespace("what_found_no_room_is_counted", || {
        let (a, b) = wire();
        let sender = PacketSocket::open(SocketOptions::new(a), &Filter::Everything).unwrap();
        let mut options = SocketOptions::new(b);
        options.receive_buffer = 8192;
        let mut receiver = PacketSocket::open(options, &Filter::Everything).unwrap();
        send(&sender, &vec![arp(true, B, None); 2000]);
        let mut heard = 0;
        while receiver.receive(Duration::from_millis(200), |_| heard += 1).unwrap() > 0 {}
        let dropped = receiver.dropped().unwrap();
        assert!(dropped > 1000 && dropped + heard >= 2000, "{dropped} and {heard}");
        assert_eq!(receiver.dropped().unwrap(), dropped, "asking twice loses nothing");
    });
}

#[test]
fn own_frames_are_heard_only_when_asked_for() {
    in_new_namespace("own_frames_are_heard_only_when_asked_for", || {
        let (a, _) = wire();
        let mut deaf = PacketSocket::open(SocketOptions::new(a), &Filter::Everything).unwrap();
        let mut options = SocketOptions::new(a);
        options.outgoing = true;
        let mut hearing = PacketSocket::open(options, &Filter::Everything).unwrap();
        let mine = arp(true, B, None);
        send(&PacketSocket::open(SocketOptions::new(a), &Filter::Everything).unwrap(), std::slice::from_ref(&mine));
        let heard = |socket: &mut PacketSocket| {
            let mut found = Vec::new();
            while socket
                .receive(Duration::from_millis(100), |frame| {
                    if frame.bytes == mine {
                        found.push(frame.kind);
                    }
                })
                .unwrap()
                > 0
            {}
            found
        };
        assert_eq!(heard(&mut hearing), [PacketType::Outgoing]);
        assert_eq!(heard(&mut deaf), []);
    });
}
