//! What the kernel writes into an event's memory (linux, `include/uapi/linux/perf_event.h`), and the counts that are made of it.

use std::collections::HashMap;

use super::format::{Dropped, Format};

const PERF_RECORD_LOST: u32 = 2;
const PERF_RECORD_SAMPLE: u32 = 9;
/// Different places and reasons that are kept. A guest can bring about a few of them, not thousands.
const MOST: usize = 512;

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// The event's own bytes.
    Sample(&'a [u8]),
    /// So many found no room.
    Lost(u64),
    Other,
}

/// The records that lie one behind the other in `bytes`.
pub(super) fn records(mut bytes: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (kind, rest) = bytes.split_first_chunk::<4>()?;
        let (_, rest) = rest.split_first_chunk::<2>()?;
        let (size, _) = rest.split_first_chunk::<2>()?;
        let size = usize::from(u16::from_ne_bytes(*size));
        let body = bytes.get(8..size)?;
        bytes = bytes.get(size..)?;
        Some(match u32::from_ne_bytes(*kind) {
            PERF_RECORD_SAMPLE => sample(body).map_or(Record::Other, Record::Sample),
            // An id stands before the number.
            PERF_RECORD_LOST => {
                let lost = body.get(8..).and_then(|rest| rest.first_chunk::<8>());
                lost.map_or(Record::Other, |lost| Record::Lost(u64::from_ne_bytes(*lost)))
            }
            _ => Record::Other,
        })
    })
}

fn sample(body: &[u8]) -> Option<&[u8]> {
    let (length, rest) = body.split_first_chunk::<4>()?;
    rest.get(..usize::try_from(u32::from_ne_bytes(*length)).ok()?)
}

/// How often was dropped what, before probing and during it.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: HashMap<Dropped, Count>,
    /// Records that found no room, in the kernel's memory or here.
    pub(super) lost: u64,
}

/// Frames of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Count {
    pub(super) before: u32,
    pub(super) during: u32,
}

impl Tally {
    /// Counts what stands in `bytes`.
    pub(super) fn take(&mut self, format: &Format, bytes: &[u8], probing: bool) {
        for record in records(bytes) {
            let dropped = match record {
                Record::Sample(raw) => format.read(raw),
                Record::Lost(lost) => {
                    self.lost = self.lost.saturating_add(lost);
                    None
                }
                Record::Other => None,
            };
            let Some(dropped) = dropped else { continue };
            if self.counts.len() >= MOST && !self.counts.contains_key(&dropped) {
                self.lost = self.lost.saturating_add(1);
                continue;
            }
            let count = self.counts.entry(dropped).or_default();
            let frames = if probing { &mut count.during } else { &mut count.before };
            *frames = frames.saturating_add(1);
        }
    }

    pub(super) fn counts(&self) -> impl Iterator<Item = (Dropped, Count)> + '_ {
        self.counts.iter().map(|(dropped, count)| (*dropped, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(kind: u32, body: &[u8]) -> Vec<u8> {
        let size = u16::try_from(8 + body.len()).unwrap();
        [&kind.to_ne_bytes()[..], &[0, 0], &size.to_ne_bytes(), body].concat()
    }

    fn event(location: u64) -> Vec<u8> {
        let raw = [&[0; 8][..], &location.to_ne_bytes(), &0x0806u16.to_ne_bytes(), &[0; 6]].concat();
        record(PERF_RECORD_SAMPLE, &[&u32::try_from(raw.len()).unwrap().to_ne_bytes()[..], &raw, &[0; 4]].concat())
    }

    fn format() -> Format {
        Format::parse("ID: 7\n\tfield:void * location;\toffset:8;\tsize:8;\n\tfield:unsigned short protocol;\toffset:16;\tsize:2;\n")
            .unwrap()
    }

    #[test]
    fn counts_before_and_during() {
        let mut tally = Tally::default();
        tally.take(&format(), &event(1), false);
        tally.take(
            &format(),
            &[event(1), record(PERF_RECORD_LOST, &[[0; 8], 5u64.to_ne_bytes()].concat()), event(1), event(2)].concat(),
            true,
        );
        let mut counts: Vec<_> = tally.counts().map(|(dropped, count)| (dropped.location, count.before, count.during)).collect();
        counts.sort_unstable();
        assert_eq!((counts.as_slice(), tally.lost), (&[(1, 1, 2), (2, 0, 1)][..], 5));
    }

    #[test]
    fn more_kinds_than_are_kept_are_lost_and_said_so() {
        let mut tally = Tally::default();
        for location in 0..600 {
            tally.take(&format(), &event(location), true);
        }
        assert_eq!((tally.counts().count(), tally.lost), (MOST, 88));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_loop(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0u32..12, size in 0u16..64) {
            let headed = [&kind.to_ne_bytes()[..], &[0, 0], &size.to_ne_bytes(), &bytes].concat();
            prop_assert!(records(&headed).count() <= headed.len() / 8);
            Tally::default().take(&format(), &headed, true);
        }
    }
}
