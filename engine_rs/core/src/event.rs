//! The event: one decision of the engine, in the pinned 128-byte form that the digest and the event log cover.
//! May not live here: who decides it, or how it is shown.

use bytemuck::{Pod, Zeroable};
use serde::{Deserialize, Serialize};

pub const EVENT_BYTES: usize = 128;

/// An absent price or time.
pub const ABSENT: i64 = i64::MIN;

/// One decision, little-endian. The byte form is pinned by a test: the event log of a run is nothing but these.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable, Serialize, Deserialize)]
pub struct Event {
    pub tape_seq: u64,
    pub index: u32,
    pub kind: u8,
    pub side: u8,
    pub order_type: u8,
    pub time_in_force: u8,
    pub order_id: u64,
    pub strategy: u32,
    pub instrument: u32,
    pub venue_time: i64,
    pub answer_time: i64,
    pub reason: u16,
    pub liquidity: u8,
    /// Bit 0 of a fill: the source shows no sizes. Of a posting: the account kind.
    pub flags: u8,
    pub currency: u32,
    pub quantity: i64,
    pub filled: i64,
    pub limit: i64,
    pub trigger: i64,
    pub expire: i64,
    pub last_price: i64,
    pub last_size: i64,
    pub amount_low: u64,
    pub amount_high: i64,
}

const _: () = assert!(std::mem::size_of::<Event>() == EVENT_BYTES);

impl Event {
    /// Fee of a fill, or amount of a posting, on the currency's ledger scale.
    pub fn amount(&self) -> i128 {
        ((self.amount_high as i128) << 64) | self.amount_low as i128
    }

    pub fn set_amount(&mut self, amount: i128) {
        self.amount_low = amount as u64;
        self.amount_high = (amount >> 64) as i64;
    }
}

#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    New = 1,
    Rejected = 2,
    Triggered = 3,
    Replaced = 4,
    Canceled = 5,
    Expired = 6,
    CancelRejected = 7,
    AmendRejected = 8,
    Fill = 9,
    Posting = 10,
}

pub const LIQUIDITY_MAKER: u8 = 1;
pub const LIQUIDITY_TAKER: u8 = 2;
/// Flag of a fill whose source shows no sizes (or that took on trade data): law 2 does not bind it.
pub const FLAG_UNSIZED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layout_of_an_event_is_pinned() {
        let mut event = Event {
            tape_seq: 1,
            index: 2,
            kind: 3,
            side: 4,
            order_type: 5,
            time_in_force: 6,
            ..Event::default()
        };
        event.order_id = 7;
        event.strategy = 8;
        event.instrument = 9;
        event.venue_time = 10;
        event.answer_time = 11;
        event.reason = 12;
        event.liquidity = 13;
        event.flags = 14;
        event.currency = 15;
        (event.quantity, event.filled, event.limit, event.trigger) = (16, 17, 18, 19);
        (event.expire, event.last_price, event.last_size) = (20, 21, 22);
        event.set_amount(-3);
        let bytes = bytemuck::bytes_of(&event);
        let word = |at: usize| i64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        assert_eq!(bytes[8..16], [2, 0, 0, 0, 3, 4, 5, 6]);
        assert_eq!(bytes[48..56], [12, 0, 13, 14, 15, 0, 0, 0]);
        assert_eq!((word(0), word(16), word(32), word(40)), (1, 7, 10, 11));
        assert_eq!(
            (7..14).map(|i| word(i * 8)).collect::<Vec<_>>(),
            [16, 17, 18, 19, 20, 21, 22]
        );
        assert_eq!((word(112), word(120)), (-3, -1));
        assert_eq!(event.amount(), -3);
    }
}
