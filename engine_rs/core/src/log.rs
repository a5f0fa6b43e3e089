//! The event log: decided events in order, their ids, and the running SHA-256 over their bytes.
//! May not live here: what an event means, or files.

use serde::{Deserialize, Serialize};

use crate::event::{Event, EVENT_BYTES};

/// SHA-256 whose state is plain data: an event is two whole blocks, so nothing is ever left over between events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    state: [u32; 8],
    bytes: u64,
}

const INITIAL: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

impl Default for Digest {
    fn default() -> Digest {
        Digest {
            state: INITIAL,
            bytes: 0,
        }
    }
}

impl Digest {
    /// Hashes whole 64-byte blocks.
    fn update(&mut self, blocks: &[u8]) {
        assert_eq!(blocks.len() % 64, 0, "the digest takes whole blocks");
        for block in blocks.chunks_exact(64) {
            let block: [u8; 64] = block.try_into().expect("64 bytes");
            sha2::compress256(&mut self.state, &[block.into()]);
        }
        self.bytes += blocks.len() as u64;
    }

    /// The SHA-256 of all bytes so far, as `sha256sum` prints it.
    pub fn hex(&self) -> String {
        let mut last = [0u8; 64];
        last[0] = 0x80;
        last[56..].copy_from_slice(&(self.bytes * 8).to_be_bytes());
        let mut copy = self.clone();
        copy.update(&last);
        copy.state.iter().map(|word| format!("{word:08x}")).collect()
    }
}

/// Events wait here until the shell takes them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct EventLog {
    waiting: Vec<Event>,
    /// How many of `waiting` are hashed already.
    hashed: usize,
    digest: Digest,
    tape_seq: u64,
    next_index: u32,
    pub count: u64,
}

impl EventLog {
    /// Events from here on are caused by the record with this tape seq.
    pub fn begin_record(&mut self, tape_seq: u64) {
        self.tape_seq = tape_seq;
        self.next_index = 0;
    }

    /// Gives the event its id and keeps it.
    pub fn push(&mut self, mut event: Event) -> Event {
        event.tape_seq = self.tape_seq;
        event.index = self.next_index;
        self.next_index += 1;
        self.count += 1;
        self.waiting.push(event);
        event
    }

    fn hash_waiting(&mut self) {
        let bytes: &[u8] = bytemuck::cast_slice(&self.waiting[self.hashed..]);
        debug_assert_eq!(bytes.len() % EVENT_BYTES, 0);
        self.digest.update(bytes);
        self.hashed = self.waiting.len();
    }

    /// The events since the last call.
    pub fn take(&mut self) -> Vec<Event> {
        self.take_with(<[Event]>::to_vec)
    }

    /// Hands over the events since the last call; their room is kept for those of the next batch.
    pub fn take_with<T>(&mut self, read: impl FnOnce(&[Event]) -> T) -> T {
        self.hash_waiting();
        self.hashed = 0;
        let outcome = read(&self.waiting);
        self.waiting.clear();
        outcome
    }

    /// Events that wait to be taken.
    pub fn waiting(&self) -> &[Event] {
        &self.waiting
    }

    /// Hex SHA-256 over all events so far, taken or not.
    pub fn digest(&mut self) -> String {
        self.hash_waiting();
        self.digest.hex()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    #[test]
    fn digest_is_the_sha_256_of_the_event_bytes() {
        let mut log = EventLog::default();
        assert_eq!(
            log.digest(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        let mut bytes = Vec::new();
        for seq in 0..5 {
            log.begin_record(seq);
            let event = log.push(Event {
                kind: seq as u8,
                order_id: 77,
                ..Event::default()
            });
            bytes.extend_from_slice(bytemuck::bytes_of(&event));
            if seq == 2 {
                log.take();
            }
        }
        let expected: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(log.digest(), expected);
    }
}
