//! Counters: what the engine has seen and decided, read by the shell between batches; nothing here enters the digest.
//! May not live here: names or labels of metrics.

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventKind};
use crate::reason::REASONS;
use crate::record::Kind;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Records taken, by kind.
    pub records: [u64; Kind::COUNT],
    /// Events decided, by kind.
    pub events: [u64; 11],
    /// Fills: none, maker, taker.
    pub fills: [u64; 3],
    /// Orders admitted or rejected, by type.
    pub orders: [u64; 5],
    /// Rejections and cancellations, by reason code.
    pub reasons: Vec<u64>,
    pub late: u64,
    pub stale: u64,
    pub late_bar_ticks: u64,
    pub timers_fired: u64,
    /// Handler calls, by strategy.
    pub calls: Vec<u64>,
    pub equity_points: u64,
}

impl Counters {
    pub fn new(strategies: usize) -> Counters {
        Counters {
            reasons: vec![0; REASONS.len()],
            calls: vec![0; strategies],
            ..Counters::default()
        }
    }

    pub fn count_event(&mut self, event: &Event) {
        self.events[event.kind as usize] += 1;
        self.reasons[event.reason as usize] += 1;
        if event.kind == EventKind::Fill as u8 {
            self.fills[event.liquidity as usize] += 1;
        }
    }
}
