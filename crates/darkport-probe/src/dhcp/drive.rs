//! A client's machine on two sockets: one that sends on its interface, one that hears every interface.

use std::io;
use std::time::Duration;

use super::book::Book;
use super::machine::DhcpMachine;
use crate::socket::{Batch, PacketSocket, PacketType};
use crate::sweep::Next;

/// Frames taken in one go before time is looked at again: a flood must not stop the clock.
const TURN: usize = 4096;
/// How often progress is told.
const TELL: Duration = Duration::from_millis(250);

/// Runs the machine to its end. Whatever goes wrong, an address that may have been leased is given back.
pub(crate) fn drive(
    machine: &mut DhcpMachine,
    device: u32,
    watch: &mut PacketSocket,
    out: &PacketSocket,
    book: &mut Book,
    progress: &mut dyn FnMut(Duration),
) -> io::Result<()> {
    let ended = until_done(machine, device, watch, out, book, progress);
    let mut asks = Vec::new();
    machine.give_up(&mut asks);
    let mut batch = Batch::default();
    for ask in &asks {
        batch.push(|bytes| machine.encode(ask, bytes));
    }
    ended.and(if batch.is_empty() { Ok(()) } else { out.send(&batch) })
}

fn until_done(
    machine: &mut DhcpMachine,
    device: u32,
    watch: &mut PacketSocket,
    out: &PacketSocket,
    book: &mut Book,
    progress: &mut dyn FnMut(Duration),
) -> io::Result<()> {
    let (mut asks, mut batch, mut told) = (Vec::new(), Batch::default(), Duration::ZERO);
    loop {
        let now = watch.now();
        let mut taken = 0;
        loop {
            let count = watch.receive(Duration::ZERO, |frame| {
                book.note(&frame);
                if frame.interface == device && frame.kind != PacketType::Outgoing {
                    machine.poll(now, Some(frame), &mut asks);
                }
            })?;
            taken += count;
            if count == 0 || taken >= TURN {
                break;
            }
        }
        let next = machine.poll(now, None, &mut asks);
        for ask in asks.drain(..) {
            batch.push(|bytes| machine.encode(&ask, bytes));
        }
        if !batch.is_empty() {
            out.send(&batch)?;
            batch.clear();
        }
        if now >= told + TELL {
            told = now;
            progress(now);
        }
        match next {
            Next::Wait(until) => drop(watch.wait(until.min(told + TELL).saturating_sub(watch.now()))?),
            Next::Done => return Ok(()),
        }
    }
}
