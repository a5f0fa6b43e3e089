//! The timeline: what is due before a record and at it, taken in the order of (time, kind, seq).
//! May not live here: what a record does to the market, or the loop over records.

use std::sync::Arc;

use super::{Call, Engine, Halt, Step, DUE_ITEMS_MAX, TIMERS_IN_GAP_MAX};
use crate::due::{Arrival, DueKind, DUE_KINDS};
use crate::event::EventKind;
use crate::handles;
use crate::order::Order;
use crate::setup::Source;
use crate::told;

impl Engine {
    /// Whether nothing is due before the record is applied.
    #[inline]
    pub(super) fn is_quiet_before(&self) -> bool {
        match self.record_clock {
            Some(clock) => {
                self.next_clock_due[clock as usize] > self.event_time
                    && self.exchange.next_answer >= self.take_time
                    && self.next_timer >= self.take_time
            }
            None => false,
        }
    }

    /// Whether nothing is due at the record.
    #[inline]
    pub(super) fn is_quiet_at(&self) -> bool {
        match self.record_clock {
            Some(clock) => {
                !self.has_sent
                    && self.next_clock_due[clock as usize] > self.event_time
                    && self.exchange.next_answer > self.take_time
                    && self.next_timer >= self.take_time
            }
            None => false,
        }
    }

    /// Takes what is due, the smallest (time, kind, seq) first; `before` the record is applied, or at it.
    #[inline(never)]
    pub(super) fn run_due(&mut self, before: bool) -> Result<Option<Step>, Halt> {
        if self.gap_seq != self.tape_seq {
            self.gap_seq = self.tape_seq;
            self.timers_in_gap = 0;
            self.livelock_time = i64::MIN;
        }
        let step = self.run_due_items(before)?;
        self.note_next_due();
        if step.is_none() && before {
            self.exchange.now = self.take_time;
        }
        Ok(step)
    }

    pub(super) fn note_next_due(&mut self) {
        self.exchange.next_answer = self.exchange.answers.next_time();
        self.next_timer = self.timers.next_time();
        for (next, clock) in self.next_clock_due.iter_mut().zip(&self.clocks) {
            *next = clock.next_time();
        }
    }

    fn run_due_items(&mut self, before: bool) -> Result<Option<Step>, Halt> {
        while let Some((time, kind, seq, clock)) = self.pick(before) {
            let strategy = self.strategy_of_next(kind, clock);
            self.guard_livelock(time, kind, strategy)?;
            match kind {
                DueKind::Expiry => {
                    let clock = &mut self.clocks[clock];
                    let queue = if clock.expiries.next_key() == Some((time, seq)) {
                        &mut clock.expiries
                    } else {
                        &mut clock.bar_expiries
                    };
                    let (time, _, id) = queue.pop().expect("picked");
                    if self.exchange.orders.contains(id) {
                        self.exchange.expire(id, time);
                    }
                }
                DueKind::BarClose => {
                    let (_, _, series) = self.clocks[clock].bar_closes.pop().expect("picked");
                    self.series.close_built(series);
                }
                DueKind::Arrival => {
                    let (time, _, arrival) = self.clocks[clock].arrivals.pop().expect("picked");
                    let venue_time = time.max(self.clocks[clock].watermark.unwrap_or(i64::MIN));
                    self.exchange.arrive(arrival, venue_time);
                    self.place_expiries();
                }
                DueKind::Answer => {
                    let (time, _, answer) = self.exchange.answers.pop().expect("picked");
                    self.exchange.now = self.exchange.now.max(time);
                    self.event = answer.event;
                    let setup = Arc::clone(&self.exchange.setup);
                    told::apply(&setup, &mut self.exchange.orders, &mut self.told, &self.event);
                    let step = if self.event.kind == EventKind::Fill as u8 {
                        self.call(self.event.strategy, handles::FILL, Call::Fill)
                    } else {
                        self.call(self.event.strategy, handles::ORDER, Call::Order)
                    };
                    if step.is_some() {
                        return Ok(step);
                    }
                }
                DueKind::Timer => {
                    let (time, seq, timer) = self.timers.pop().expect("picked");
                    if timer.period > 0 {
                        self.timers.push(time.saturating_add(timer.period), seq, timer);
                    }
                    self.exchange.now = self.exchange.now.max(time);
                    self.exchange.counters.timers_fired += 1;
                    self.fires_again = timer.period > 0;
                    if let Some(step) = self.call(timer.strategy, handles::TIMER, Call::Timer(timer.name)) {
                        return Ok(Some(step));
                    }
                }
            }
        }
        Ok(None)
    }

    /// The smallest (time, kind, seq) of what may be taken now, with its clock.
    fn pick(&self, before: bool) -> Option<(i64, DueKind, u64, usize)> {
        let mut best: Option<((i64, DueKind, u64), usize)> = None;
        let mut consider = |key: Option<(i64, u64)>, kind: DueKind, limit_time: i64, clock: usize| {
            if let Some((time, seq)) = key {
                if time < limit_time && best.is_none_or(|(key, _)| (time, kind, seq) < key) {
                    best = Some(((time, kind, seq), clock));
                }
            }
        };
        // Times below `limit_time` are taken: "<= e" is "< e + 1".
        let after = |time: i64| time.saturating_add(1);
        let own_clock = self.record_clock.map(|clock| clock as usize);
        for (index, clock) in self.clocks.iter().enumerate() {
            if before {
                let belongs = own_clock == Some(index) || self.is_clock_for_all();
                if !belongs {
                    continue;
                }
                let event_time = clock.watermark.unwrap_or(i64::MIN).max(self.record.ts_event);
                consider(clock.expiries.next_key(), DueKind::Expiry, after(event_time), index);
                consider(clock.bar_expiries.next_key(), DueKind::Expiry, event_time, index);
                consider(clock.bar_closes.next_key(), DueKind::BarClose, after(event_time), index);
                if clock.watermark.is_some() {
                    consider(clock.arrivals.next_key(), DueKind::Arrival, event_time, index);
                }
            } else if let Some(watermark) = clock.watermark {
                consider(clock.arrivals.next_key(), DueKind::Arrival, after(watermark), index);
            }
        }
        let answers_before = if before { self.take_time } else { after(self.take_time) };
        consider(self.exchange.answers.next_key(), DueKind::Answer, answers_before, 0);
        consider(self.timers.next_key(), DueKind::Timer, self.take_time, 0);
        best.map(|((time, kind, seq), clock)| (time, kind, seq, clock))
    }

    fn strategy_of_next(&self, kind: DueKind, clock: usize) -> u32 {
        match kind {
            DueKind::Answer => self.exchange.answers.peek().map_or(0, |answer| answer.event.strategy),
            DueKind::Timer => self.timers.peek().map_or(0, |timer| timer.strategy),
            DueKind::Arrival => match self.clocks[clock].arrivals.peek() {
                Some(Arrival::Submit(id) | Arrival::Cancel(id) | Arrival::Amend { order: id, .. }) => {
                    self.exchange.orders.find(*id).map_or(0, |order| order.strategy)
                }
                None => 0,
            },
            _ => 0,
        }
    }

    fn guard_livelock(&mut self, time: i64, kind: DueKind, strategy: u32) -> Result<(), Halt> {
        if time != self.livelock_time {
            self.livelock_time = time;
            self.livelock_left = self.waiting().map(|waiting| waiting.saturating_add(DUE_ITEMS_MAX));
        }
        let left = &mut self.livelock_left[kind as usize];
        let loops = matches!(kind, DueKind::Arrival | DueKind::Answer | DueKind::Timer) && *left == 0;
        *left = left.saturating_sub(1);
        let name = match kind {
            DueKind::Expiry => "expiry",
            DueKind::BarClose => "bar close",
            DueKind::Arrival => "arrival",
            DueKind::Answer => "answer",
            DueKind::Timer => "timer",
        };
        if kind == DueKind::Timer {
            self.timers_in_gap += 1;
        }
        if loops || self.timers_in_gap > TIMERS_IN_GAP_MAX {
            return Err(Halt::Livelock {
                strategy,
                kind: name,
                time,
            });
        }
        Ok(())
    }

    /// Items that wait, of each kind: what was asked for before a time is taken is no loop, be it as many as a feed
    /// that was away for a minute makes when all its records are received at once.
    fn waiting(&self) -> [u32; DUE_KINDS] {
        let mut counts = [0; DUE_KINDS];
        let mut put = |kind: DueKind, count: usize| counts[kind as usize] = u32::try_from(count).unwrap_or(u32::MAX);
        put(
            DueKind::Arrival,
            self.clocks.iter().map(|clock| clock.arrivals.len()).sum(),
        );
        put(DueKind::Answer, self.exchange.answers.len());
        put(DueKind::Timer, self.timers.len());
        counts
    }

    pub(super) fn place_expiries(&mut self) {
        for (instrument, time, id) in std::mem::take(&mut self.exchange.new_expiries) {
            let definition = &self.exchange.setup.instruments[instrument as usize];
            let clock = &mut self.clocks[definition.clock as usize];
            let queue = if definition.source == Source::Bar {
                &mut clock.bar_expiries
            } else {
                &mut clock.expiries
            };
            // Expiries at one time go by order id.
            queue.push(time, id, id);
            let orders = &self.exchange.orders;
            queue.sweep(|id| orders.find(*id).is_some_and(Order::is_working));
        }
    }
}
