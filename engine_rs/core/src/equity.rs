//! The equity curve: points of equity on the tape's time, and the drawdown so far.
//! May not live here: how equity is reckoned (ledger), or statistics.

use serde::{Deserialize, Serialize};

/// One point. Amounts are doubled, on the account currency's ledger scale; cash is not doubled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EquityPoint {
    pub ts: i64,
    pub tape_seq: u64,
    pub doubled_equity: i128,
    pub cash: i128,
    pub doubled_exposure: i128,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct EquityCurve {
    every: i64,
    next: i64,
    waiting: Vec<EquityPoint>,
    pub last: Option<EquityPoint>,
    /// Highest doubled equity so far.
    pub peak: i128,
    /// Largest fall from a peak, doubled, and the peak it fell from.
    pub drawdown: i128,
    pub drawdown_peak: i128,
}

impl EquityCurve {
    pub fn new(every: i64) -> EquityCurve {
        EquityCurve {
            every,
            next: i64::MIN,
            waiting: Vec::new(),
            last: None,
            peak: i128::MIN,
            drawdown: 0,
            drawdown_peak: 0,
        }
    }

    /// From this time on the next point is due.
    #[inline]
    pub fn next_time(&self) -> i64 {
        self.next
    }

    /// Adds a point; without an equity (a mark is still unknown) only the time goes on.
    pub fn add(&mut self, ts: i64, tape_seq: u64, equity: Option<i128>, cash: i128, exposure: i128) {
        if ts < self.next.saturating_add(self.every) {
            // The usual case: the next multiple, without a division.
            self.next = if ts < self.next {
                self.next
            } else {
                self.next + self.every
            };
        } else {
            self.next = ts.div_euclid(self.every).saturating_add(1).saturating_mul(self.every);
        }
        let Some(doubled_equity) = equity else {
            return;
        };
        self.peak = self.peak.max(doubled_equity);
        if self.peak - doubled_equity > self.drawdown {
            self.drawdown = self.peak - doubled_equity;
            self.drawdown_peak = self.peak;
        }
        let point = EquityPoint {
            ts,
            tape_seq,
            doubled_equity,
            cash,
            doubled_exposure: exposure,
        };
        self.last = Some(point);
        self.waiting.push(point);
    }

    /// Points that wait to be taken.
    pub fn waiting(&self) -> &[EquityPoint] {
        &self.waiting
    }

    /// The points since the last call.
    pub fn take(&mut self) -> Vec<EquityPoint> {
        self.take_with(<[EquityPoint]>::to_vec)
    }

    /// Hands over the points since the last call; their room is kept for those of the next batch.
    pub fn take_with<T>(&mut self, read: impl FnOnce(&[EquityPoint]) -> T) -> T {
        let outcome = read(&self.waiting);
        self.waiting.clear();
        outcome
    }
}
