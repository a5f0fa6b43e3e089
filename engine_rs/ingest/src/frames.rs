//! Frames in line: replay's own Kafka messages that follow one another without a gap, so that they are one piece.
//! May not live here: what any other message means (adapters/kafka/frames.py); the layout is that of adapters/kafka/wire.py.

use std::ops::Range;

use crate::checksum::crc32;

const MAGIC: &[u8; 4] = b"RPLF";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 72;
const CRC_AT: usize = 64;
const RECORD_BYTES: usize = 64;
/// The records have sequence numbers of their own: they are not all of their range.
const FLAG_SEQUENCES: u16 = 1;

/// What the next frame of a partition must go on from.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    pub next_seq: u64,
    pub stream: u64,
    pub table_hash: &'a [u8],
}

/// Where the records of each frame are, for as many of the first messages as are in line by their headers.
pub fn in_line(messages: &[&[u8]], line: Line<'_>) -> Vec<Range<usize>> {
    let mut next_seq = line.next_seq;
    let mut places = Vec::new();
    for message in messages {
        match records_of(message, Line { next_seq, ..line }) {
            Some(place) => {
                next_seq += (place.len() / RECORD_BYTES) as u64;
                places.push(place);
            }
            None => break,
        }
    }
    places
}

/// Copies the records of these frames one after the other, up to the first frame that does not match its checksum.
///
/// `out` has room for all of them. Returns how many frames were whole.
pub fn copy_whole(messages: &[&[u8]], places: &[Range<usize>], out: &mut [u8]) -> usize {
    let mut at = 0;
    for (frame, (message, place)) in messages.iter().zip(places).enumerate() {
        if !is_whole(message) {
            return frame;
        }
        out[at..at + place.len()].copy_from_slice(&message[place.clone()]);
        at += place.len();
    }
    places.len()
}

/// Whether a frame, of which there is a header at least, matches its checksum.
pub fn is_whole(message: &[u8]) -> bool {
    let before = crc32(&message[..CRC_AT], 0);
    crc32(&message[CRC_AT + 4..], before) == u32_at(message, CRC_AT)
}

fn records_of(message: &[u8], line: Line<'_>) -> Option<Range<usize>> {
    if message.len() < HEADER_BYTES || &message[..4] != MAGIC {
        return None;
    }
    let (version, flags) = (u16_at(message, 4), u16_at(message, 6));
    let (count, table_bytes) = (u32_at(message, 8) as usize, u32_at(message, 12) as usize);
    let (first, limit) = (u64_at(message, 16), u64_at(message, 24));
    let start = HEADER_BYTES + table_bytes.next_multiple_of(8);
    let is_next = version == VERSION
        && flags & FLAG_SEQUENCES == 0
        && count > 0
        && first == line.next_seq
        && first.checked_add(count as u64) == Some(limit)
        && limit < 1 << 63
        && u64_at(message, 40) == line.stream
        && &message[48..64] == line.table_hash
        && u32_at(message, 68) == 0
        && message.len() == start + count * RECORD_BYTES;
    is_next.then_some(start..message.len())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
