//! Guests that are not a kernel: they answer, or send, whatever a test wants.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use darkport_bridge::{Namespace, in_namespace};
use darkport_model::MacAddr;
use darkport_probe::wire::{Arp, DhcpMessage, Frame, Message};
use darkport_probe::{Batch, Filter, PacketSocket, Received, SocketOptions};

use crate::common::index;

/// A guest that goes on until it is dropped.
pub(crate) struct Guest {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Guest {
    /// One behind `device` in the namespace `guests` that does `work` over and over.
    fn new(device: &str, filter: Filter, mut work: impl FnMut(&mut PacketSocket) + Send + 'static) -> Self {
        let (stop, index) = (Arc::new(AtomicBool::new(false)), index(Some("guests"), device));
        let stopped = Arc::clone(&stop);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            in_namespace(&Namespace::Path("/run/netns/guests".into()), move || {
                let mut socket = PacketSocket::open(SocketOptions::new(index), &filter).unwrap();
                ready.send(()).unwrap();
                while !stopped.load(Ordering::Relaxed) {
                    work(&mut socket);
                }
            })
            .unwrap();
        });
        is_ready.recv().unwrap();
        Self { stop, thread: Some(thread) }
    }

    /// One that answers each ARP question as `answer` says.
    pub(crate) fn answering(device: &str, answer: impl Fn(&Received<'_>, &Frame<'_>, &Arp) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let mut batch = Batch::default();
        Self::new(device, Filter::Questions, move |socket| {
            let heard = socket.receive(Duration::from_millis(20), |received| {
                let Ok(frame) = Frame::decode(received.bytes, received.tag) else { return };
                let Message::Arp(question) = frame.message else { return };
                for bytes in answer(&received, &frame, &question) {
                    batch.push(|into| into.extend(bytes));
                }
            });
            heard.unwrap();
            socket.send(&batch).unwrap();
            batch.clear();
        })
    }

    /// One that answers each DHCP message as `answer` says.
    pub(crate) fn serving(device: &str, answer: impl Fn(&DhcpMessage<'_>) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let mut batch = Batch::default();
        Self::new(device, Filter::Dhcp { xid: None }, move |socket| {
            let heard = socket.receive(Duration::from_millis(20), |received| {
                let Ok(Message::Udp(udp)) = Frame::decode(received.bytes, received.tag).map(|frame| frame.message) else { return };
                let Ok(message) = DhcpMessage::decode(udp.payload) else { return };
                for bytes in answer(&message).into_iter().filter(|_| !message.reply) {
                    batch.push(|into| into.extend(bytes));
                }
            });
            heard.unwrap();
            socket.send(&batch).unwrap();
            batch.clear();
        })
    }

    /// One that sends these frames at about 50,000 a second.
    pub(crate) fn flooding(device: &str, frames: Vec<Vec<u8>>) -> Self {
        let mut frames = frames.into_iter().cycle();
        let mut batch = Batch::default();
        Self::new(device, Filter::Questions, move |socket| {
            frames.by_ref().take(100).for_each(|bytes| batch.push(|into| into.extend(bytes)));
            socket.send(&batch).unwrap();
            batch.clear();
            std::thread::sleep(Duration::from_millis(2));
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))), "the guest failed");
    }
}

/// The frame that answers a question with `mac`, with the question's tags.
pub(crate) fn reply(frame: &Frame<'_>, question: &Arp, mac: MacAddr) -> Vec<u8> {
    let mut bytes = Vec::new();
    Frame::new(question.sender_mac, mac, frame.tags[0], Message::Arp(Arp::reply_to(question, mac))).encode(&mut bytes);
    bytes
}
