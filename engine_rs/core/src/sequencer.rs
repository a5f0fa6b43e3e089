//! The sequencer: decides which records are on the tape. Checks, raises, quarantines and counts; never reorders.
//! May not live here: what a record does to the market, or reading of any source.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::record::{BarPrice, CommandCause, Kind, OperatorCommand, Record, FLAG_BAR_LENGTH_MASK, SIDE_SELL};
use crate::setup::{Policy, Setup};

/// Raw prices and sizes above this are taken for broken data: their products must fit the ledger.
pub const RAW_MAX: i64 = 1 << 60;

/// Why a record was not admitted. The names stand in dead letters and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    UnknownKind,
    UnknownInstrument,
    UnknownBarLength,
    BadPrice,
    BadSize,
    BadBar,
    BadSide,
    Overflow,
    ImplausibleTime,
    Ahead,
    Gap,
    Late,
    UnknownCommand,
}

pub const FAULTS: [(Fault, &str); 13] = [
    (Fault::UnknownKind, "unknown_kind"),
    (Fault::UnknownInstrument, "unknown_instrument"),
    (Fault::UnknownBarLength, "unknown_bar_length"),
    (Fault::BadPrice, "bad_price"),
    (Fault::BadSize, "bad_size"),
    (Fault::BadBar, "bad_bar"),
    (Fault::BadSide, "bad_side"),
    (Fault::Overflow, "overflow"),
    (Fault::ImplausibleTime, "implausible_time"),
    (Fault::Ahead, "ahead"),
    (Fault::Gap, "gap"),
    (Fault::Late, "late"),
    (Fault::UnknownCommand, "unknown_command"),
];

impl Fault {
    pub fn name(self) -> &'static str {
        FAULTS[self as usize].1
    }
}

/// What was found in a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The admitted records where they differ from the batch; None: the batch as it is.
    pub changed: Option<Vec<Record>>,
    /// Rows of the batch that were quarantined.
    pub rejected: Vec<(usize, Fault)>,
    /// The row at which the policy halts the run; nothing from there on was admitted.
    pub halted: Option<(usize, Fault)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Sequencer {
    setup: Arc<Setup>,
    watermarks: Vec<i64>,
    last_event: Option<i64>,
    pub admitted: u64,
    pub raised: u64,
    pub late: u64,
    pub crossed: u64,
    pub faults: [u64; FAULTS.len()],
}

impl Sequencer {
    pub fn new(setup: Arc<Setup>) -> Sequencer {
        Sequencer {
            watermarks: vec![i64::MIN; setup.clocks as usize],
            setup,
            last_event: None,
            admitted: 0,
            raised: 0,
            late: 0,
            crossed: 0,
            faults: [0; FAULTS.len()],
        }
    }

    /// Checks a batch, in order. The batch itself is never copied unless a record is raised or left out.
    pub fn admit(&mut self, batch: &[Record]) -> Verdict {
        let mut verdict = Verdict::default();
        for (row, record) in batch.iter().enumerate() {
            match self.check(record) {
                Ok(()) => {
                    let is_raised = record.ts_recv < record.ts_event;
                    if is_raised {
                        self.raised += 1;
                        verdict.changed.get_or_insert_with(|| batch[..row].to_vec());
                    }
                    if let Some(changed) = &mut verdict.changed {
                        let mut record = *record;
                        record.ts_recv = record.ts_recv.max(record.ts_event);
                        changed.push(record);
                    }
                    self.note(record);
                }
                Err((fault, policy)) => {
                    self.faults[fault as usize] += 1;
                    verdict.changed.get_or_insert_with(|| batch[..row].to_vec());
                    if policy == Policy::Halt {
                        verdict.halted = Some((row, fault));
                        break;
                    }
                    verdict.rejected.push((row, fault));
                }
            }
        }
        verdict
    }

    #[inline]
    fn note(&mut self, record: &Record) {
        self.admitted += 1;
        if record.kind == Kind::Command as u8 {
            // An operator's command is no data: it says nothing of any source's time.
            return;
        }
        self.last_event = Some(record.ts_event);
        if record.kind == Kind::Clock as u8 {
            for (clock, watermark) in self.watermarks.iter_mut().enumerate() {
                if self.setup.one_clock || record.a < 0 || record.a == clock as i64 {
                    *watermark = (*watermark).max(record.ts_event);
                }
            }
        } else if let Some(clock) = self.clock_of(record) {
            let watermark = &mut self.watermarks[clock];
            if record.ts_event < *watermark {
                self.late += 1;
            } else {
                *watermark = record.ts_event;
            }
        }
    }

    #[inline]
    fn clock_of(&self, record: &Record) -> Option<usize> {
        if record.kind == Kind::Clock as u8 || record.kind == Kind::Command as u8 {
            return None;
        }
        Some(self.setup.instruments[record.instrument as usize].clock as usize)
    }

    #[inline]
    fn check(&mut self, record: &Record) -> Result<(), (Fault, Policy)> {
        let quarantine = |fault: Fault| Err((fault, Policy::Quarantine));
        let Some(kind) = Kind::from_u8(record.kind) else {
            return quarantine(Fault::UnknownKind);
        };
        if kind == Kind::Clock {
            let is_known = record.a >= -1 && record.a < self.setup.venues.len() as i64;
            return if is_known {
                Ok(())
            } else {
                quarantine(Fault::UnknownInstrument)
            };
        }
        if kind == Kind::Command {
            let is_known = OperatorCommand::from_i64(record.a).is_some() && CommandCause::from_i64(record.b).is_some();
            return if is_known {
                Ok(())
            } else {
                quarantine(Fault::UnknownCommand)
            };
        }
        let Some(instrument) = self.setup.instruments.get(record.instrument as usize) else {
            return quarantine(Fault::UnknownInstrument);
        };
        let largest = record.a.unsigned_abs().max(record.b.unsigned_abs()).max(match kind {
            Kind::Trade => 0,
            _ => record
                .c
                .unsigned_abs()
                .max(record.d.unsigned_abs())
                .max(record.e.unsigned_abs()),
        });
        if largest > RAW_MAX as u64 {
            return quarantine(Fault::Overflow);
        }
        let is_price = |price: i64| price > 0 || instrument.allow_negative_price;
        match kind {
            Kind::Quote => {
                if record.c < 0 || record.d < 0 {
                    return quarantine(Fault::BadSize);
                }
                let shows_sizes = instrument.sizes == crate::setup::Sizes::Full;
                let (has_bid, has_ask) = (!shows_sizes || record.c != 0, !shows_sizes || record.d != 0);
                if (has_bid && !is_price(record.a)) || (has_ask && !is_price(record.b)) {
                    return quarantine(Fault::BadPrice);
                }
                if has_bid && has_ask && record.a > record.b {
                    self.crossed += 1;
                }
            }
            Kind::Trade => {
                if !is_price(record.a) {
                    return quarantine(Fault::BadPrice);
                }
                if record.b < 0 || (record.b == 0 && instrument.sizes == crate::setup::Sizes::Full) {
                    return quarantine(Fault::BadSize);
                }
                if record.side > SIDE_SELL {
                    return quarantine(Fault::BadSide);
                }
            }
            Kind::Bar => {
                let [open, high, low, close] = [record.a, record.b, record.c, record.d];
                if !is_price(low) {
                    return quarantine(Fault::BadPrice);
                }
                if low > open.min(close) || high < open.max(close) {
                    return quarantine(Fault::BadBar);
                }
                if record.e < 0 {
                    return quarantine(Fault::BadSize);
                }
                if (record.flags & FLAG_BAR_LENGTH_MASK) as usize >= self.setup.bar_lengths.len() {
                    return quarantine(Fault::UnknownBarLength);
                }
                if BarPrice::from_u8(record.side).is_none() {
                    return quarantine(Fault::BadSide);
                }
            }
            _ => {}
        }
        self.check_time(record)
    }

    #[inline]
    fn check_time(&self, record: &Record) -> Result<(), (Fault, Policy)> {
        if record.ts_event < self.setup.plausible_from {
            return Err((Fault::ImplausibleTime, Policy::Halt));
        }
        if record.ts_event > record.ts_recv.saturating_add(self.setup.max_ahead) && self.setup.leap != Policy::Accept {
            return Err((Fault::Ahead, self.setup.leap));
        }
        if record.ts_event == record.ts_recv && self.setup.gap != Policy::Accept {
            if let Some(last) = self.last_event {
                if record.ts_event.saturating_sub(last).saturating_abs() > self.setup.max_gap {
                    return Err((Fault::Gap, self.setup.gap));
                }
            }
        }
        if self.setup.late != Policy::Accept {
            if let Some(clock) = self.clock_of(record) {
                if record.ts_event < self.watermarks[clock] {
                    return Err((Fault::Late, self.setup.late));
                }
            }
        }
        Ok(())
    }
}
